"""Preparing ahead: the next batch is made ready on another thread while the caller works on one on a GPU."""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from handopt.backend import CopiesAhead, Device, cpu_threads, one_cpu_thread, prepares_ahead, some_cpu_threads
from handopt.typing import Item

Ready = TypeVar("Ready")


def prepared_ahead(
    items: Iterable[Item], prepare: Callable[[Item, CopiesAhead | None], Ready], device: Device
) -> Iterator[Ready]:
    """What `prepare` makes of each item, in order.

    On the CPU an item is asked for and prepared when its turn comes. For a GPU the next one is asked for before one is
    given, and prepared while the caller works on that, with what starts its copies; never more than one. An error is
    raised in the place of its item. Who stops early waits until the item that is being prepared is.
    """
    if not prepares_ahead(device):
        for item in items:
            yield prepare(item, None)
        return
    with CopiesAhead(device) as copies, closing(_one_ahead(items, lambda item: prepare(item, copies))) as ready:
        yield from ready


def _one_ahead(items: Iterable[Item], prepare: Callable[[Item], Ready]) -> Generator[Ready, None, None]:
    """Ask for items here, and prepare them on another thread, one more than was given."""
    rest, threads = iter(items), cpu_threads()

    def prepare_beside(item: Item) -> Ready:
        with one_cpu_thread(), some_cpu_threads(threads):  # BLAS as in the search, kernels as for the caller
            return prepare(item)

    with ThreadPoolExecutor(1, "handopt-ahead") as thread:
        coming = _next(rest, prepare_beside, thread)
        while coming is not None:
            following = _next(rest, prepare_beside, thread)
            yield coming.result()
            coming = following


def _next(rest: Iterator[Item], prepare: Callable[[Item], Ready], thread: ThreadPoolExecutor) -> Future[Ready] | None:
    """The next item on its way, or the error that there is instead; None at the end."""
    try:
        item = next(rest)
    except StopIteration:
        return None
    except Exception as error:  # it comes after what was asked for before
        failed: Future[Ready] = Future()
        failed.set_exception(error)
        return failed
    return thread.submit(prepare, item)
