"""`handopt fit` on a folder as processes: killed, resumed, and stopped by Ctrl-C."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.fit_cli import EXAMPLES, QUICK, fit

pytestmark = pytest.mark.process


def summary(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "summary.jsonl").read_text().splitlines()]


def statuses(output: Path) -> dict[str, str]:
    return {Path(row["image"]).name: row["outcome"] for row in summary(output)}


def test_a_run_in_processes_that_is_killed_and_resumed_is_that_of_one_process(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(EXAMPLES / "open.json", folder / "camera.json")
    for number in range(6):
        shutil.copy(EXAMPLES / "open.png", folder / f"{number}.png")
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:500])
    (tmp_path / "quick.toml").write_text(QUICK)
    options = (str(folder), "--config", str(tmp_path / "quick.toml"), "--no-renders", "--no-overlay", "-q", "-o")
    command = [sys.executable, "-P", "-m", "handopt", "fit", *options, str(tmp_path / "out"), "-j", "2"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not list(tmp_path.glob("out/*/result.json")):
            assert process.poll() is None, "it ended before it wrote"
            time.sleep(0.01)
        process.kill()
    assert len(list(tmp_path.glob("out/*/result.json"))) < 5, "it was killed too late"
    resumed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert resumed.returncode == 1
    assert resumed.stderr.splitlines()[-1] == "1 of 6 images failed."
    assert len(resumed.stdout.splitlines()) == 5
    assert fit(*options, tmp_path / "alone", "-j", "1").exit_code == 1
    assert statuses(tmp_path / "out") == statuses(tmp_path / "alone")
    names = {path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*")}
    assert {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*")} == names
    for name in names:
        one, other = tmp_path / "alone" / name, tmp_path / "out" / name
        if name.name == "result.json":
            assert {**json.loads(one.read_text()), "seconds": 0} == {**json.loads(other.read_text()), "seconds": 0}
        elif one.is_file() and name.name != "summary.jsonl":
            assert one.read_bytes() == other.read_bytes(), name


@pytest.mark.parametrize("where", ["--jobs", "--workers"])
def test_ctrl_c_ends_a_run_in_processes(tmp_path: Path, where: str) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(EXAMPLES / "open.json", folder / "camera.json")
    for number in range(20):
        shutil.copy(EXAMPLES / "open.png", folder / f"{number:02}.png")
    command = [sys.executable, "-P", "-m", "handopt", "fit", str(folder), "-o", str(tmp_path / "out"), where, "2"]
    with subprocess.Popen(
        [*command, "--no-renders"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.splitlines()[-1].startswith("Interrupted: ")
    assert "Traceback" not in stderr
    assert 1 <= len(summary(tmp_path / "out")) < 20
    assert not list(tmp_path.rglob(".handopt-*"))
    deadline = time.monotonic() + 10
    while alive(process.pid):  # the last of them notice it a moment later
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(group: int) -> bool:
    """Whether a process group has a process."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
