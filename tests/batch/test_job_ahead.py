"""A folder on a GPU: the next batch is read, prepared and copied while one is fitted, here and in worker processes.

These tests need CuPy, or the stand-in for it: test_the_cuda_tests_pass_without_a_gpu runs them there.
"""

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.compare import assert_same_bits

from handopt.backend import COPIES_VARIABLE, PendingCopy, copies_ahead, cuda_problem, one_cpu_thread
from handopt.batch.job import Job
from handopt.batch.outcome import DONE, FAILED, Outcome, Task
from handopt.batch.processes import _Queue, in_processes
from handopt.batch.provenance import Identity
from handopt.batch.run import RunSettings, run
from handopt.batch.settings import OutputSettings
from handopt.config import Config, FitSettings
from handopt.input.reader import Reader
from handopt.observation.observe import observe
from handopt.optimise.batched_search import BatchedSearch

pytestmark = pytest.mark.skipif(cuda_problem() is not None, reason=f"not tested on cuda: {cuda_problem()}")
EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"
JOB = Job(
    reader=Reader(),
    rig=None,
    settings=FitSettings(config=replace(Config(), proposals=8), device="cuda"),
    outputs=OutputSettings(renders=False, overlay=False),
    identity=Identity(handopt="0.1.0", solver="auto", config="", shape="proportions"),
    batch=2,
)
SOON_S = 60.0


@pytest.fixture(autouse=True)
def on(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(copies_ahead, "_failures", [])
    monkeypatch.delenv(COPIES_VARIABLE, raising=False)
    with one_cpu_thread():  # what BLAS rounds depends on its threads
        yield


@pytest.fixture
def events() -> None:
    import cupy

    if not hasattr(cupy.cuda, "Event"):
        pytest.skip("this stand-in for CuPy has no events")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Two batches of good images, and between them one with a broken and one with an empty image."""
    names = ("open", "pinch", "broken", "empty", "open", "pinch")
    found = [tmp_path / f"{number}-{name}.png" for number, name in enumerate(names)]
    for path, name in zip(found, names, strict=True):
        source = EXAMPLES / f"{'open' if name in ('broken', 'empty') else name}.png"
        content = source.read_bytes()
        path.write_bytes(content[:200] if name == "broken" else b"" if name == "empty" else content)
        shutil.copy(source.with_suffix(".json"), path.with_suffix(".json"))
    return found


def tasks_into(folder: Path, images: list[Path]) -> list[Task]:
    return [Task(image, folder / image.stem) for image in images]


def kinds(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.task.image.stem: outcome.kind for outcome in outcomes}


def assert_same_results(one: list[Task], other: list[Task]) -> None:
    """To the bit where sums are added up in a fixed order, which they are on the stand-in alone."""
    import cupy

    for own, theirs in zip(one, other, strict=True):
        assert own.folder.exists() == theirs.folder.exists()
        if own.folder.exists():
            results = [json.loads((each.folder / "result.json").read_text()) for each in (own, theirs)]
            for key in ("joints_mm", "confidence", "limb_fraction", "unexplained_fraction"):
                found, expected = (np.array(each[key], np.float64) for each in results)
                if hasattr(cupy, "COUNTS"):
                    assert_same_bits(found, expected, key)
                elif key == "joints_mm":
                    np.testing.assert_allclose(found, expected, atol=5.0)  # rounding may lead to another minimum nearby


EXPECTED = {
    **dict.fromkeys(("0-open", "1-pinch", "4-open", "5-pinch"), DONE),
    **dict.fromkeys(("2-broken", "3-empty"), FAILED),
}


def test_cuda_a_folder_has_the_same_results_and_broken_images_fail_alone(
    events: None, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead, plain = tasks_into(tmp_path / "ahead", images), tasks_into(tmp_path / "plain", images)
    assert kinds(list(run(JOB, ahead, RunSettings(jobs=1)))) == EXPECTED
    assert not copies_ahead._failures
    monkeypatch.setenv(COPIES_VARIABLE, "0")
    assert kinds(list(run(JOB, plain, RunSettings(jobs=1)))) == EXPECTED
    assert_same_results(ahead, plain)


def test_cuda_a_batch_is_read_and_copied_before_the_one_before_is_saved(
    events: None, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    started = threading.Semaphore(0)
    send, fit = PendingCopy.send, BatchedSearch.run

    def noted(self: PendingCopy, *streams: Any) -> None:
        send(self, *streams)
        log.append("copy")
        started.release()

    def watched(self: BatchedSearch, *given: Any) -> Any:
        assert started.acquire(timeout=SOON_S)
        found = fit(self, *given)
        if "fitted" not in log:  # the next batch is on its way meanwhile
            assert started.acquire(timeout=SOON_S)
            started.release()
        log.append("fitted")
        return found

    monkeypatch.setattr(PendingCopy, "send", noted)
    monkeypatch.setattr(BatchedSearch, "run", watched)
    good = [images[place] for place in (0, 1, 4, 5)]
    for outcome in run(JOB, tasks_into(tmp_path / "out", good), RunSettings(jobs=1)):
        log.append(f"saved {outcome.task.image.stem}")
    assert log == [*("copy", "copy", "fitted", "saved 0-open", "saved 1-pinch"), "fitted", *log[-2:]]


def test_cuda_an_error_of_any_kind_while_a_batch_is_prepared_is_that_of_its_image(
    events: None, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[bool] = []

    def failing(depth: Any, *given: Any, **more: Any) -> Any:
        calls.append(threading.current_thread() is threading.main_thread())
        if not depth[0].any() and depth[1].any():
            raise MemoryError("no room")
        return observe(depth, *given, **more)

    monkeypatch.setattr("handopt.fitting.observe", failing)
    read = Reader.read

    def marked(self: Reader, image: Path) -> Any:
        found = read(self, image)
        found.depth_mm[0] = 0
        found.depth_mm[1] = 900.0 if image.stem == "4-open" else 0
        return found

    monkeypatch.setattr(Reader, "read", marked)
    good = [images[place] for place in (0, 1, 4, 5)]
    outcomes = list(run(JOB, tasks_into(tmp_path / "out", good), RunSettings(jobs=1)))
    assert kinds(outcomes) == {**dict.fromkeys(("0-open", "1-pinch", "5-pinch"), DONE), "4-open": FAILED}
    assert [each.error for each in outcomes if each.error] == ["MemoryError: no room"]
    assert not calls[0], "batches are prepared on another thread"


def test_cuda_of_large_images_only_what_is_fitted_together_is_read_ahead(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bool] = []
    reader = Reader.read

    def noted(self: Reader, image: Path) -> Any:
        read.append(threading.current_thread() is threading.main_thread())
        return reader(self, image)

    monkeypatch.setattr(Reader, "read", noted)
    monkeypatch.setattr("handopt.batch.job.BATCH_PX", 1)
    good = [images[place] for place in (0, 1, 4, 5)]
    outcomes = list(run(JOB, tasks_into(tmp_path / "out", good), RunSettings(jobs=1)))
    assert set(kinds(outcomes).values()) == {DONE}
    assert sorted(read) == [False, False, True, True]


@pytest.mark.process
def test_cuda_worker_processes_prepare_ahead_and_broken_images_fail_alone(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    take_ahead = _Queue.take_ahead

    def noted(self: _Queue, others: list[Task]) -> list[Task]:
        given.append(len(found := take_ahead(self, others)))
        return found

    monkeypatch.setattr(_Queue, "take_ahead", noted)
    here, there = tasks_into(tmp_path / "here", images), tasks_into(tmp_path / "there", images)
    assert kinds(list(run(JOB, here, RunSettings(jobs=1)))) == EXPECTED
    assert kinds(list(in_processes(JOB, there, 1))) == EXPECTED
    assert given == [2, 2, 0], "one batch ahead of the one that is fitted"
    assert_same_results(here, there)


def test_cuda_what_is_done_already_is_not_fitted_again(images: list[Path], tmp_path: Path) -> None:
    tasks = tasks_into(tmp_path / "out", [images[0], images[1], images[4]])

    def before() -> Iterator[bool]:
        return (outcome.before for outcome in run(JOB, tasks, RunSettings(jobs=1)))

    assert list(before()) == [False] * 3
    assert list(before()) == [True] * 3
