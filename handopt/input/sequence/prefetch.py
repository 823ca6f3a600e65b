"""Prefetching: the next frames are decoded on another thread while one is processed."""

import queue
import threading
from collections.abc import Iterable, Iterator

from handopt.typing import Item

_END = object()


def prefetch(items: Iterable[Item], depth: int = 2) -> Iterator[Item]:
    """The items in order, up to `depth` of them prepared in advance. An error is raised in its place.

    If the caller stops early, the thread stops after its current item.
    """
    waiting: queue.Queue[object] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: object) -> None:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
        except BaseException as error:
            put(error)
        else:
            put(_END)

    thread = threading.Thread(target=work, name="handopt-prefetch", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join(timeout=10)
