"""Where a run works, and that it clears up after a kill first."""

import os
from pathlib import Path

import pytest
from support.batch_jobs import NamedJob, tasks_of

from handopt import backend
from handopt.atomic_folder import remove_stale
from handopt.backend import Device
from handopt.batch import run as module
from handopt.batch.outcome import DONE, FAILED
from handopt.batch.run import RunSettings, processes_that_pay, run


def test_few_images_are_done_in_this_process(tmp_path: Path) -> None:
    tasks = tasks_of(tmp_path, "a", "b")
    outcomes = list(run(NamedJob(), tasks, RunSettings()))
    assert [(outcome.task, outcome.kind) for outcome in outcomes] == [(task, DONE) for task in tasks]
    assert all((task.folder / "process").read_text() == str(os.getpid()) for task in tasks)


@pytest.mark.process
def test_jobs_are_processes(tmp_path: Path) -> None:
    tasks = tasks_of(tmp_path, "a", "b")
    assert len(list(run(NamedJob(), tasks, RunSettings(jobs=2)))) == 2
    assert all((task.folder / "process").read_text() != str(os.getpid()) for task in tasks)


@pytest.mark.process
def test_a_long_run_survives_a_crash_also_on_one_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 1)
    tasks = tasks_of(tmp_path, "killer", *(f"i{number}" for number in range(module.IMAGES_PER_PROCESS)))
    outcomes = {outcome.task.image.stem: outcome.kind for outcome in run(NamedJob(), tasks, RunSettings())}
    assert outcomes.pop("killer") == FAILED
    assert list(outcomes.values()) == [DONE] * module.IMAGES_PER_PROCESS


def test_one_process_a_core_but_only_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 4)
    monkeypatch.setattr(backend, "resolve_device", lambda _name: Device("cpu"))
    assert [processes_that_pay(images, "auto") for images in (1, 8, 9, 24, 10**6)] == [1, 1, 2, 3, 4]
    monkeypatch.setattr(module, "usable_cores", lambda: 64)
    monkeypatch.setattr(backend, "resolve_device", lambda _name: Device("cuda"))
    monkeypatch.setattr(backend, "cuda_devices", lambda: 8)
    assert processes_that_pay(10**6, "cuda") == 8 * module.PROCESSES_PER_GPU
    assert processes_that_pay(10**6, "cuda:1") == module.PROCESSES_PER_GPU


def test_what_a_kill_left_goes_first(tmp_path: Path) -> None:
    left = tmp_path / "out" / f".handopt-{remove_stale.__globals__['_host']()}-{2**22 + 1}-0a.partial"
    (left / "renders").mkdir(parents=True)
    list(run(NamedJob(), tasks_of(tmp_path, "a"), RunSettings()))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
