"""Worker processes: all images end, also those that kill their process, and nobody is left behind."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest
from support.batch_jobs import BrokenJob, NamedJob, tasks_of

from handopt.batch.outcome import DONE, FAILED
from handopt.batch.processes import _Queue, in_processes
from handopt.errors import WorkerError

pytestmark = pytest.mark.process


def test_every_image_is_done_once_by_processes_of_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    tasks = tasks_of(tmp_path, *(f"pair{number}" for number in range(12)))
    outcomes = list(in_processes(NamedJob(), tasks, 2))
    assert {outcome.task for outcome in outcomes} == set(tasks)
    assert len(outcomes) == len(tasks)
    assert {(outcome.kind, outcome.status) for outcome in outcomes} == {(DONE, "1")}
    processes = {(task.folder / "process").read_text() for task in tasks}
    assert len(processes) == 2
    assert str(os.getpid()) not in processes
    assert os.environ["OMP_NUM_THREADS"] == "5"
    assert not multiprocessing.active_children()


def test_an_image_that_kills_its_process_fails_and_the_rest_is_done(tmp_path: Path) -> None:
    tasks = tasks_of(tmp_path, "a", "killer", "b", "once", "c")
    outcomes = {outcome.task.image.stem: outcome for outcome in in_processes(NamedJob(), tasks, 2)}
    assert {name: outcome.kind for name, outcome in outcomes.items()} == {
        **dict.fromkeys(("a", "b", "c", "once"), DONE),
        "killer": FAILED,
    }
    assert "because memory ran out (signal 9), 2 times" in str(outcomes["killer"].error)
    assert "jobs=" in str(outcomes["killer"].error)
    assert not multiprocessing.active_children()


def test_of_a_batch_that_kills_its_process_each_image_is_tried_alone(tmp_path: Path) -> None:
    tasks = tasks_of(tmp_path, "a", "killer", "b", "once", "c", "d")
    outcomes = list(in_processes(NamedJob(batch=3), tasks, 2))
    assert sorted(outcome.task.image.stem for outcome in outcomes) == ["a", "b", "c", "d", "killer", "once"]
    assert [outcome.task.image.stem for outcome in outcomes if outcome.kind == FAILED] == ["killer"]
    processes = [(task.folder / "process").read_text() for task in tasks if task.folder.exists()]
    assert max(processes.count(each) for each in processes) >= 2, "some were done together"


@pytest.mark.parametrize(("batch", "processes"), [(2, 1), (1, 2)])
def test_of_processes_that_prepare_ahead_only_an_image_that_kills_them_fails(
    tmp_path: Path, batch: int, processes: int
) -> None:
    tasks = tasks_of(tmp_path, "a", "killer1", "b", "once", "c", "killer2", "killer3", "d", "e")
    outcomes = list(in_processes(NamedJob(batch=batch, ahead=True), tasks, processes))
    assert len(outcomes) == len(tasks)
    failed = [outcome.task.image.stem for outcome in outcomes if outcome.kind == FAILED]
    assert sorted(failed) == ["killer1", "killer2", "killer3"]
    assert all(task.folder.exists() for task in tasks if not task.image.stem.startswith("killer"))
    assert not multiprocessing.active_children()


def test_what_is_tried_again_is_alone_in_its_process(tmp_path: Path) -> None:
    first, second, third = tasks_of(tmp_path, "a", "b", "c")
    queue = _Queue([first, second, third], 1, 1)
    assert queue.take() == [first]
    assert queue.take_ahead([first]) == [second]
    assert queue.lose(first)
    assert queue.lose(second)
    assert queue.take_ahead([third]) == [], "nothing new before what was lost"
    assert queue.take() == [first]
    assert queue.take() == [second]
    assert queue.take_ahead([second]) == [], "nothing beside what was lost"
    assert queue.take() == [third]


def test_batches_become_smaller_towards_the_end(tmp_path: Path) -> None:
    queue = _Queue(tasks_of(tmp_path, *map(str, range(21))), 8, 2)
    assert [len(queue.take()) for _ in range(7)] == [8, 7, 3, 2, 1, 0, 0]


def test_stopping_early_ends_the_workers(tmp_path: Path) -> None:
    outcomes = in_processes(NamedJob(), tasks_of(tmp_path, "a", "slow1", "slow2", "b"), 2)
    assert next(outcomes).task.image.stem == "a"
    started = time.monotonic()
    outcomes.close()
    assert time.monotonic() - started < 10
    assert not multiprocessing.active_children()


def test_workers_that_cannot_start_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"could not start \(exit code 7\).*jobs=1"):
        list(in_processes(BrokenJob(), tasks_of(tmp_path, "a"), 1))
    assert not multiprocessing.active_children()
