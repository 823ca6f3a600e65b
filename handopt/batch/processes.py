"""Worker processes on this machine: each reads, fits and writes images on one thread of its own."""

import math
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, Generic, Protocol, TypeVar

from handopt.batch.worker_slots import own_device
from handopt.config import FitSettings
from handopt.errors import WorkerError

TRIES = 2
STARTS = 3
"""How often in a row a process may die before it is ready until no more are started in its place."""
PATIENCE_S = 10.0
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
READY = "ready"


OutcomeT = TypeVar("OutcomeT", bound="TaskOutcome")
OutcomeT_co = TypeVar("OutcomeT_co", covariant=True)
TaskT = TypeVar("TaskT", bound="LosableTask[Any]")


class LosableTask(Protocol[OutcomeT_co]):
    """A task of a process: equal to its copy in another process."""

    def lost(self, why: str) -> OutcomeT_co:
        """The outcome where processes died that worked on it."""
        ...


class TaskOutcome(Protocol):
    """What a process sends of a task."""

    @property
    def task(self) -> Any:
        """The task."""
        ...


class ProcessJob(Protocol[TaskT, OutcomeT_co]):
    """What processes do: Job for images. It can be sent to them."""

    @property
    def settings(self) -> FitSettings:
        """Of the fits."""
        ...

    def batch_size(self) -> int:
        """How many tasks a process does together."""
        ...

    def on(self, device: str) -> "ProcessJob[TaskT, OutcomeT_co]":
        """The same job on another device."""
        ...

    def run_batches(self, batches: Iterator[list[TaskT]]) -> Iterator[OutcomeT_co]:
        """The outcome of each task, in any order."""
        ...


@dataclass
class _Worker(Generic[TaskT]):
    """A process, the pipe to it, and the tasks that it works on. warm: whether it has started.

    ahead: those of the tasks that it only prepares
    """

    process: SpawnProcess
    connection: "Connection[Any, Any]"
    tasks: list[TaskT] = field(default_factory=list)
    ahead: list[TaskT] = field(default_factory=list)
    warm: bool = False


def in_processes(
    job: ProcessJob[TaskT, OutcomeT], tasks: Sequence[TaskT], count: int
) -> Generator[OutcomeT, None, None]:
    """Run the tasks in `count` processes, one batch at a time in each, and yield each outcome as soon as it is known.

    A process that dies is replaced, and its tasks are tried once more, one at a time. One that dies before it is ready
    is replaced as well, unless that goes on. Raises WorkerError where no process can start.
    """
    context = multiprocessing.get_context("spawn")
    queue = _Queue(tasks, job.batch_size(), count)
    workers: list[_Worker[TaskT]] = []
    failed_starts = 0
    try:
        for _ in range(count):
            workers.append(_started(context, job))
        while workers:
            for connection in wait([worker.connection for worker in workers]):
                worker = next(each for each in workers if each.connection is connection)
                try:
                    message = worker.connection.recv()
                except (EOFError, OSError):
                    workers.remove(worker)
                    yield from _after_death(worker, queue)
                    failed_starts = 0 if worker.warm else failed_starts + 1
                    if failed_starts < STARTS:
                        workers.append(_started(context, job))
                    elif not workers:
                        raise _no_start(worker) from None
                    continue
                if message == READY:
                    worker.warm, failed_starts = True, 0
                    if worker.tasks:
                        _next_ahead(worker, queue)
                    else:
                        _next(worker, queue, workers)
                else:
                    worker.tasks.remove(message.task)
                    yield message
    finally:
        _stop(workers)


class _Queue(Generic[TaskT]):
    """Tasks that are still to be done, and how often each was lost with a process."""

    def __init__(self, tasks: Sequence[TaskT], batch: int, workers: int) -> None:
        self._tasks, self._batch, self._workers = deque(tasks), batch, workers
        self._again: deque[TaskT] = deque()
        self._lost: dict[TaskT, int] = {}

    def take(self) -> list[TaskT]:
        """The next batch, smaller at the end so that all processes share the rest; empty where no task is left."""
        if self._again:
            return [self._again.popleft()]
        return self._next()

    def take_ahead(self, others: Sequence[TaskT]) -> list[TaskT]:
        """The next batch of a process that still has others; empty where none is left, or where one is tried alone."""
        return [] if self._again or any(task in self._lost for task in others) else self._next()

    def _next(self) -> list[TaskT]:
        size = min(self._batch, math.ceil(len(self._tasks) / self._workers))
        return [self._tasks.popleft() for _ in range(size)]

    def lose(self, task: TaskT, *, ahead: bool = False) -> bool:
        """Put a task of a dead process back. Returns False where it was lost too often, not counting those ahead."""
        self._lost[task] = self._lost.get(task, 0) + (not ahead)
        if self._lost[task] < TRIES:
            self._again.append(task)
            return True
        return False


def _next(worker: _Worker[TaskT], queue: _Queue[TaskT], workers: list[_Worker[TaskT]]) -> None:
    """Send a worker its next tasks, or let it end."""
    worker.tasks, worker.ahead = queue.take(), []
    try:
        worker.connection.send(worker.tasks or None)
    except OSError:  # it has just died, which the next wait will tell
        return
    if not worker.tasks:
        worker.process.join(PATIENCE_S)
        worker.connection.close()
        workers.remove(worker)


def _next_ahead(worker: _Worker[TaskT], queue: _Queue[TaskT]) -> None:
    """Send a worker that has tasks the batch after them, or none where it is to ask again when it has done these."""
    worker.ahead = queue.take_ahead(worker.tasks)
    worker.tasks += worker.ahead
    with suppress(OSError):  # it has just died, which the next wait will tell
        worker.connection.send(worker.ahead)


def _after_death(worker: _Worker[TaskT], queue: _Queue[TaskT]) -> Iterator[Any]:
    """Put the tasks of a dead worker back into the queue, or give them up."""
    worker.process.join(PATIENCE_S)
    worker.connection.close()
    how = _how_it_ended(worker)
    why = "the process that worked on it was killed, perhaps because memory ran out"
    if worker.process.exitcode != -signal.SIGKILL:
        why = "the process that worked on it crashed"
    for task in worker.tasks:
        if not queue.lose(task, ahead=task in worker.ahead):
            yield task.lost(f"{why} ({how}), {TRIES} times")


def _how_it_ended(worker: _Worker[Any]) -> str:
    code = worker.process.exitcode
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _no_start(worker: _Worker[Any]) -> WorkerError:
    how = _how_it_ended(worker)
    return WorkerError(f"a worker process could not start ({how}), {STARTS} times; work in this process with jobs=1")


def _started(context: SpawnContext, job: ProcessJob[TaskT, Any]) -> _Worker[TaskT]:
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, job), daemon=True)
    with _environment():
        process.start()
    there.close()
    return _Worker(process, here)


@contextmanager
def _environment() -> Iterator[None]:
    """Let processes that start meanwhile compute on one thread each."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _stop(workers: list[_Worker[Any]]) -> None:
    """End workers that still run. They remove unfinished files."""
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(PATIENCE_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.connection.close()


def _serve(connection: "Connection[Any, Any]", job: ProcessJob[Any, Any]) -> None:
    """The loop of a worker process: it sends outcomes for tasks until it gets None or the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes; the first one decides
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda number, _frame: sys.exit(128 + number))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    job = job.on(own_device(job.settings.device))
    with suppress(EOFError, OSError):
        for outcome in job.run_batches(_batches(connection)):
            connection.send(outcome)


def _batches(connection: "Connection[Any, Any]") -> Iterator[list[Any]]:
    """Ask for batches until there is none. A job that prepares ahead may get an empty one: it is to ask again."""
    connection.send(READY)
    while (tasks := connection.recv()) is not None:
        yield tasks
        connection.send(READY)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
