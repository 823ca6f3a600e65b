"""Worker processes on this machine: each reads, fits and writes images on one thread of its own."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from handopt.batch.job import Job
from handopt.batch.outcome import FAILED, Outcome, Task
from handopt.batch.placement import own_device
from handopt.errors import WorkerError

TRIES = 2
PATIENCE_S = 10.0
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
READY = "ready"


@dataclass
class _Worker:
    """A process, the line to it, and the image that it is at. warm: it has started, and can work."""

    process: SpawnProcess
    connection: "Connection[Any, Any]"
    task: Task | None = None
    warm: bool = False


def in_processes(job: Job, tasks: Iterable[Task], count: int) -> Iterator[Outcome]:
    """Run the tasks in `count` processes and give each outcome when it is there.

    A process that dies is replaced, and its image tried once more. Raises WorkerError where none can start.
    """
    context = multiprocessing.get_context("spawn")
    queue, again = iter(tasks), deque[Task]()
    lost: dict[Task, int] = {}
    workers: list[_Worker] = []
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
                    outcome = _after_death(worker, lost, again)
                    if outcome is not None:
                        yield outcome
                    workers.append(_started(context, job))
                    continue
                worker.warm, worker.task = True, None
                if message != READY:
                    yield message
                _next(worker, queue, again, workers)
    finally:
        _stop(workers)


def _next(worker: _Worker, queue: Iterator[Task], again: deque[Task], workers: list[_Worker]) -> None:
    """Give a worker its next image, or let it go."""
    task = again.popleft() if again else next(queue, None)
    try:
        worker.connection.send(task)
    except OSError:  # it has just died, which the next wait will tell
        worker.task = task
        return
    worker.task = task
    if task is None:
        worker.process.join(PATIENCE_S)
        worker.connection.close()
        workers.remove(worker)


def _after_death(worker: _Worker, lost: dict[Task, int], again: deque[Task]) -> Outcome | None:
    """Put the image of a dead worker back into the queue, or give it up."""
    worker.process.join(PATIENCE_S)
    worker.connection.close()
    code = worker.process.exitcode
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    if not worker.warm:
        raise WorkerError(f"a worker process could not start ({how}); work in this process with --jobs 1")
    task = worker.task
    if task is None:
        return None
    lost[task] = lost.get(task, 0) + 1
    if lost[task] < TRIES:
        again.append(task)
        return None
    why = "the process that worked on it was killed, perhaps for want of memory"
    if code != -signal.SIGKILL:
        why = "the process that worked on it crashed"
    return Outcome(task, FAILED, error=f"{task.image}: {why} ({how}), {TRIES} times; try it alone with fewer --jobs")


def _started(context: SpawnContext, job: Job) -> _Worker:
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, job), daemon=True)
    with _environment():
        process.start()
    there.close()
    return _Worker(process, here)


@contextmanager
def _environment() -> Iterator[None]:
    """Let processes that start meanwhile compute on one thread: they share the cores among themselves."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _stop(workers: list[_Worker]) -> None:
    """End workers that still run; they remove what they have half written."""
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(PATIENCE_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.connection.close()


def _serve(connection: "Connection[Any, Any]", job: Job) -> None:
    """What a worker process does: outcomes for tasks, until it gets None or nobody is there any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes; the first one decides
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    job = job.on(own_device(job.settings["device"]))
    with suppress(EOFError, OSError):
        connection.send(READY)
        while (task := connection.recv()) is not None:
            connection.send(job.run(task))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
