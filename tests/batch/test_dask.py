"""Dask: a real scheduler and real workers on this machine, one of which is killed in mid-run."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.batch_jobs import NamedJob, tasks_of
from support.dask_cluster import PATIENCE_S, cluster
from support.fit_cli import EXAMPLES, QUICK, fit

from handopt.batch import dask as module
from handopt.batch.dask import on_cluster
from handopt.batch.outcome import DONE, FAILED
from handopt.errors import WorkerError

pytestmark = pytest.mark.process

IMAGES = 8


def results(output: Path) -> dict[str, Any]:
    """Everything that a run has written, seconds left out."""
    found: dict[str, Any] = {}
    for path in sorted(each for each in output.rglob("*") if each.is_file()):
        name = str(path.relative_to(output))
        if path.name == "result.json":
            found[name] = {**json.loads(path.read_text()), "seconds": None}
        elif path.name == "summary.jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [{**row, "total_seconds": None, "folder": None} for row in rows]
        else:
            found[name] = path.read_bytes()
    return found


def test_a_worker_killed_in_mid_run_loses_nothing(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(EXAMPLES / "open.json", images / "camera.json")
    for number in range(IMAGES):
        shutil.copy(EXAMPLES / "open.png", images / f"{number:02}.png")
    (tmp_path / "quick.toml").write_text(QUICK)
    options = [str(images), "--config", str(tmp_path / "quick.toml"), "--no-renders", "--no-overlay", "-o"]
    with cluster(tmp_path / "dask", workers=2) as dask:
        command = [sys.executable, "-P", "-m", "handopt", "fit", *options, str(tmp_path / "out")]
        words = [*command, "--cluster", str(dask.file)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            deadline = time.monotonic() + PATIENCE_S
            while not list(tmp_path.glob("out/*/result.json")):
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            dask.workers[0].send_signal(signal.SIGKILL)
            stdout, stderr = process.communicate(timeout=PATIENCE_S)
        assert dask.workers[0].wait() == -signal.SIGKILL
        assert dask.workers[1].poll() is None
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    assert len(stdout.splitlines()) == IMAGES
    alone = fit(*options, tmp_path / "alone", "-j", "1")
    assert alone.exit_code == 0
    assert results(tmp_path / "out") == results(tmp_path / "alone"), "whoever did it, and whoever died"


def test_an_image_that_kills_every_worker_fails_and_the_rest_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dask
    import distributed  # noqa: F401 (which adds its own settings)

    tasks = tasks_of(tmp_path, "a", "killer", "b", "c", "d", "e")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        outcomes = {
            outcome.task.image.stem: outcome for outcome in on_cluster(NamedJob(), tasks, address=None, workers=2)
        }
    failed = outcomes.pop("killer")
    assert failed.kind == FAILED
    assert "every worker that worked on it was lost" in str(failed.error)
    assert {name: outcome.kind for name, outcome in outcomes.items()} == dict.fromkeys("abcde", DONE)


def test_two_workers_share_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))
    tasks = tasks_of(tmp_path, *(f"pause{number}" for number in range(12)))
    ended = {outcome.task for outcome in on_cluster(NamedJob(), tasks, address=None, workers=2)}
    assert ended == set(tasks)
    shares = Counter((task.folder / "process").read_text() for task in tasks)
    assert len(shares) == 2
    assert min(shares.values()) >= 2


def test_chunks_are_small_enough_for_all_and_few_enough_for_the_scheduler() -> None:
    assert module.chunk_size(8, 2) == 1
    assert module.chunk_size(64, 2) == 8
    assert module.chunk_size(10**6, 100) == module.CHUNK


def test_no_scheduler_is_an_error_that_names_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_S", 0.5)
    with pytest.raises(WorkerError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9: .*change cluster="):
        list(on_cluster(NamedJob(), tasks_of(tmp_path, "a"), address="tcp://127.0.0.1:9", workers=None))


def test_dask_is_needed_only_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(WorkerError, match=r"pip install '\.\[cluster\]'"):
        list(on_cluster(NamedJob(), tasks_of(tmp_path, "a"), address=None, workers=1))
