"""Slots: each worker process has a core or GPU of its own, and gives it back when it ends."""

import fcntl
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.devices import set_cuda_problem

from handopt import backend
from handopt.batch import worker_slots
from handopt.batch.worker_slots import claim, own_device, pin_to_core, release, usable_cores

CLAIM = (
    "import sys; from handopt.batch.worker_slots import claim; print(claim('core', sys.argv[1:]), flush=True); input()"
)


@pytest.fixture(autouse=True)
def slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Slots of this test's own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    cores = os.sched_getaffinity(0)
    yield
    for kind in list(worker_slots._held):
        release(kind)
    os.sched_setaffinity(0, cores)


@pytest.mark.process
def test_processes_take_different_slots_and_free_them_at_their_end() -> None:
    command = [sys.executable, "-P", "-c", CLAIM, "0", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "0\n"
        assert claim("core", ["0", "1"]) == "1"
        assert claim("core", ["0", "1"]) == "1", "it has one already"
        assert claim("gpu", ["0"]) == "0", "another kind"
        release("core")
        assert claim("core", ["0"]) is None
        other.kill()
    assert claim("core", ["0"]) == "0"


def test_a_worker_is_bound_to_one_core() -> None:
    cores = os.sched_getaffinity(0)
    if len(cores) == 1:
        assert pin_to_core() is None
        return
    core = pin_to_core()
    assert core in cores
    assert os.sched_getaffinity(0) == {core}
    assert usable_cores() == 1
    assert pin_to_core() is None, "it is bound already"


def test_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_device("cpu") == "cpu"
    assert own_device("cuda:3") == "cuda:3"
    monkeypatch.setattr(backend, "cuda_devices", lambda: 1)
    assert own_device("auto") == "auto"
    monkeypatch.setattr(backend, "cuda_devices", lambda: 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6,7")
    assert own_device("auto") == "cuda:0"
    release("gpu")
    held = Path(tempfile.gettempdir()) / f"handopt-slots-{os.getuid()}" / "gpu-6"
    with held.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6,7,5")  # as dask-cuda turns them
        assert own_device("cuda") == "cuda:1"
        release("gpu")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6,6,6")
        assert own_device("cuda") == f"cuda:{os.getpid() % 3}", "all are taken: share"


def test_a_machine_without_room_for_slots_pins_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"handopt-slots-{os.getuid()}").touch()
    assert claim("core", ["0"]) is None


def test_no_gpu_is_counted_where_cuda_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    set_cuda_problem(monkeypatch, "CuPy is not installed")
    assert backend.cuda_devices() == 0
    assert own_device("auto") == "auto"


@pytest.mark.process
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep memory")
def test_memory_is_kept_where_dask_would_have_it_given_back() -> None:
    code = """
import resource, sys
import numpy as np
from handopt.batch.worker_slots import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(200):
    np.ones(1 << 17)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    faults = {
        word: int(subprocess.check_output([sys.executable, "-c", code, word], env=environment, text=True))
        for word in ("keep", "lose")
    }
    assert faults["keep"] < faults["lose"] / 10
