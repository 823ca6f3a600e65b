"""A run over many images: in this process, in several, or on a cluster."""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

from handopt.atomic_folder import remove_stale
from handopt.batch.job import Job
from handopt.batch.outcome import Outcome, Task
from handopt.batch.worker_slots import usable_cores
from handopt.optimise.chunks import chunks
from handopt.typing import Progress

IMAGES_PER_PROCESS = 8  # below this a process costs more to start than it saves
PROCESSES_PER_GPU = 3  # one fits while the others read and write


@dataclass(frozen=True)
class RunSettings:
    """Where the work is done.

    jobs: number of processes, None for as many as pay. workers: number of Dask workers on this machine. cluster:
    address of a Dask scheduler, or its file.
    """

    jobs: int | None = None
    workers: int | None = None
    cluster: str | None = None


def run(
    job: Job,
    tasks: Sequence[Task],
    settings: RunSettings,
    *,
    progress: Progress | None = None,
    notify: Callable[[str], None] = lambda _line: None,
) -> Generator[Outcome, None, None]:
    """Yield the outcome of each task as soon as it is known, in any order. Close the iterator to stop early.

    progress: called with iterations of a fit in this process. notify: called with sentences for the user. Raises
    WorkerError where processes cannot start or the cluster cannot be reached.
    """
    _clear_up(tasks)
    try:
        yield from _outcomes(job, tasks, settings, progress, notify)
    finally:
        _clear_up(tasks)  # after workers that were lost


def _outcomes(
    job: Job, tasks: Sequence[Task], settings: RunSettings, progress: Progress | None, notify: Callable[[str], None]
) -> Iterator[Outcome]:
    if settings.workers is not None or settings.cluster is not None:
        from handopt.batch.dask import on_cluster

        return on_cluster(job, tasks, address=settings.cluster, workers=settings.workers, notify=notify)
    count = min(len(tasks), settings.jobs or processes_that_pay(len(tasks), job.settings.device))
    if count > 1 or (settings.jobs is None and len(tasks) > IMAGES_PER_PROCESS):  # a crash must not end a long run
        from handopt.batch.processes import in_processes

        return in_processes(job, tasks, count)
    return job.run_batches(chunks(tasks, job.batch_size()), progress)


def _clear_up(tasks: Sequence[Task]) -> None:
    """Remove what processes that were killed have left."""
    for folder in {task.folder.parent for task in tasks}:
        remove_stale(folder)


def processes_that_pay(images: int, device: str) -> int:
    """Number of processes for a number of images: at most one for each core, or a few for each GPU."""
    from handopt.backend import cuda_devices, resolve_device

    most = usable_cores()
    if resolve_device(device).kind == "cuda":
        most = min(most, PROCESSES_PER_GPU * (1 if ":" in device else cuda_devices()))
    return max(1, min(most, math.ceil(images / IMAGES_PER_PROCESS)))
