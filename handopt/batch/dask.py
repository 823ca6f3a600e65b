"""A run on Dask: chunks of images, a bounded number of them in flight, and results written by the workers."""

import logging
import os
import secrets
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, chdir, contextmanager, suppress
from itertools import takewhile
from typing import Any

from handopt.backend import one_cpu_thread
from handopt.batch.job import Job
from handopt.batch.outcome import FAILED, Outcome, Task
from handopt.batch.worker_slots import keep_memory, own_device, pin_to_core
from handopt.errors import WorkerError, how_to_install
from handopt.files import is_file
from handopt.optimise.chunks import chunks

CHUNK = 32  # images, at most; a few seconds of work, and a whole batch of a GPU
CHUNKS_PER_WORKER = 4  # at least, so that all end at about the same time
IN_FLIGHT = 2  # chunks per worker: one at work, one waiting
CONNECT_S = 15.0
ASK_S = 2.0

_one_at_a_time = threading.Lock()  # in a worker with several threads: kernels have one set of threads per process


class _Setup:
    """A Dask worker plugin that carries the job, so that workers that join later have it as well."""

    def __init__(self, name: str, job: Job, folder: str) -> None:
        """folder: in which paths of the job begin."""
        self.name, self.job, self.folder = name, job, folder

    def setup(self, worker: Any) -> None:
        """Claim a core or a GPU for this worker, and let it keep freed memory."""
        keep_memory()
        self.job = self.job.on(own_device(self.job.settings.device))
        if self.job.settings.device in ("auto", "cpu") and _threads(worker) == 1:
            pin_to_core()

    def teardown(self, worker: Any) -> None:
        """Do nothing: slots are held until the process ends."""


def on_cluster(
    job: Job,
    tasks: Sequence[Task],
    *,
    address: str | None,
    workers: int | None,
    notify: Callable[[str], None] = lambda _line: None,
) -> Iterator[Outcome]:
    """Run the tasks on the Dask cluster at an address, or on a number of new workers on this machine.

    address: of the scheduler, or its file. All workers must see the same files under the same paths. Chunks of a lost
    worker go to other workers, which skip the images that are done. notify: called with sentences for the user. Raises
    WorkerError.
    """
    with ExitStack() as stack:
        client = stack.enter_context(_client(stack, address, workers))
        name = f"handopt-{secrets.token_hex(4)}"
        client.register_plugin(_plugin(name, job, os.getcwd()), name=name)  # noqa: PTH109 (it may be gone)
        stack.callback(_forget, client, name)
        _check(client, workers, notify)
        yield from _outcomes(client, name, tasks, job.batch)


def _outcomes(client: Any, name: str, tasks: Sequence[Task], batch: int | None) -> Iterator[Outcome]:
    """Keep a few chunks per worker in flight until all are done."""
    from distributed import KilledWorker, as_completed

    count = _workers(client)
    asked = time.monotonic()
    size = chunk_size(len(tasks), count, batch)
    queue = deque(range(first, min(first + size, len(tasks))) for first in range(0, len(tasks), size))
    suspects: deque[int] = deque()  # Dask blames all that a lost worker had: these are tried again one at a time
    alone: set[int] = set()
    done = as_completed()
    chunks: dict[str, tuple[Any, range]] = {}

    def submit() -> None:
        if not queue and not chunks and suspects:
            suspect = suspects.popleft()
            queue.append(range(suspect, suspect + 1))
        while queue and len(chunks) < IN_FLIGHT * max(1, count):
            chunk = queue.popleft()
            key = f"{name}-{chunk.start}-{secrets.token_hex(4)}"
            work = client.submit(_work, name, [tasks[index] for index in chunk], key=key, pure=False)
            chunks[key] = work, chunk
            done.add(work)

    submit()
    try:
        while chunks:
            future = next(done)
            _, chunk = chunks.pop(future.key)
            error = future.exception() if future.status == "error" else None
            if future.status not in ("finished", "error"):
                raise WorkerError(
                    f"the cluster gave up a chunk of images ({future.status}); run the same command again"
                )
            if isinstance(error, KilledWorker):
                if chunk.start in alone:
                    yield _given_up(tasks[chunk.start])
                else:
                    suspects.extend(chunk)
                    alone.update(chunk)
            elif error is not None:
                raise WorkerError(f"a worker of the cluster failed: {type(error).__name__}: {error}") from error
            else:
                for index, outcome in zip(chunk, future.result(), strict=True):
                    yield outcome.renamed(tasks[index])
            future.release()
            if time.monotonic() - asked > ASK_S:
                count, asked = _workers(client), time.monotonic()
            submit()
    finally:
        with suppress(Exception):
            client.cancel([future for future, _ in chunks.values()], force=True)


def chunk_size(images: int, workers: int, batch: int | None = None) -> int:
    """Number of images in a chunk: small enough that all workers finish at about the same time.

    batch: images that are fitted together, where the user has chosen the number.
    """
    return max(1, min(max(CHUNK, batch or 0), images // (CHUNKS_PER_WORKER * max(1, workers))))


def _work(name: str, tasks: list[Task]) -> list[Outcome]:
    """Fit all images of a chunk in a worker, one batch after the other, on one thread.

    The worker works in the caller's folder meanwhile, so that results name the same paths as without Dask.
    """
    from distributed import get_worker

    worker = get_worker()
    plugin = worker.plugins[name]
    with _one_at_a_time, chdir(plugin.folder), one_cpu_thread():
        batches = chunks(tasks, plugin.job.batch_size())
        unless_ended = takewhile(lambda _batch: name in worker.plugins, batches)
        outcomes = {outcome.task: outcome for outcome in plugin.job.run_batches(unless_ended)}
    return [outcomes[task] for task in tasks if task in outcomes]


def _given_up(task: Task) -> Outcome:
    why = "every worker that worked on it was lost, perhaps because memory ran out; try it alone, without cluster="
    return Outcome(task, FAILED, error=f"{task.image}: {why}")


def _client(stack: ExitStack, address: str | None, workers: int | None) -> Any:
    """Connect to the scheduler, after starting workers on this machine where no address is given."""
    try:
        import distributed
    except ImportError:
        raise WorkerError(f"cluster= and workers= need Dask: {how_to_install('cluster')}") from None
    for name in ("distributed", "distributed.client", "distributed.worker", "distributed.nanny"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        if address is None:
            with _ignoring_ctrl_c():
                local = distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=0,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                )
            address = stack.enter_context(local).scheduler_address
        if is_file(address):
            return distributed.Client(scheduler_file=address, timeout=CONNECT_S)
        return distributed.Client(address, timeout=CONNECT_S)
    except (OSError, ValueError, RuntimeError, TimeoutError) as error:
        raise WorkerError(
            f"no Dask scheduler answers at {address}: {' '.join(str(error).split()) or type(error).__name__}; "
            "change cluster=, or use workers=N on this machine"
        ) from error


@contextmanager
def _ignoring_ctrl_c() -> Iterator[None]:
    """Let processes that start meanwhile ignore Ctrl-C, so that only the main process reacts to it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _check(client: Any, workers: int | None, notify: Callable[[str], None]) -> None:
    """Tell the user where the cluster has no workers yet, or workers with several threads."""
    cores = client.ncores()
    if not cores and workers is None:
        notify("The cluster has no workers yet: waiting for them.")
    many = max(cores.values(), default=1)
    if many > 1:
        notify(
            f"Workers of the cluster have up to {many} threads, of which handopt uses one: start one worker for each "
            "core (dask worker --nworkers N --nthreads 1)."
        )


def _plugin(name: str, job: Job, folder: str) -> Any:
    from distributed import WorkerPlugin

    class Plugin(_Setup, WorkerPlugin):  # type: ignore[misc]
        """Dask asks for its own base class, which is imported here only."""

    return Plugin(name, job, folder)


def _forget(client: Any, name: str) -> None:
    with suppress(Exception):
        client.unregister_worker_plugin(name)


def _workers(client: Any) -> int:
    return len(client.ncores())


def _threads(worker: Any) -> int:
    return int(getattr(worker.state, "nthreads", 1))
