"""What a killed process left behind is removed by the next run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from handopt import atomic_folder


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    host, dead, alive = atomic_folder._host(), 2**22 + 1, os.getppid()
    names = {
        f".handopt-{host}-{dead}-0a.partial": True,
        f".handopt-{host}-{dead}-0b.old": True,
        f".handopt-{host}-{alive}-0c.partial": False,
        f".handopt-{host}-{os.getpid()}-0d.partial": False,
        f".handopt-00000000-{dead}-0e.partial": False,
        f".handopt-{host}-x-0f.partial": False,
        "hand": False,
    }
    for name in names:
        (tmp_path / name / "renders").mkdir(parents=True)
    assert atomic_folder.remove_stale(tmp_path) == 2
    assert {path.name for path in tmp_path.iterdir()} == {name for name, stale in names.items() if not stale}
    for name in names:
        if (tmp_path / name).is_dir():
            os.utime(tmp_path / name, (1, 1))
    assert atomic_folder.remove_stale(tmp_path) == 3, (
        "another machine's, and those whose number another process has now"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"hand", f".handopt-{host}-x-0f.partial"}
    assert atomic_folder.remove_stale(tmp_path / "missing") == 0


@pytest.mark.process
def test_what_a_killed_process_left_is_removed_before_its_parent_has_noticed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        (tmp_path / f".handopt-{atomic_folder._host()}-{child.pid}-0a.partial").mkdir()
        assert atomic_folder.remove_stale(tmp_path) == 0
        child.kill()
        deadline = time.monotonic() + 10
        while atomic_folder.remove_stale(tmp_path) == 0:
            assert time.monotonic() < deadline
        assert child.wait() == -signal.SIGKILL
