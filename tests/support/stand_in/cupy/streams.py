"""Streams of the stand-in for CuPy, their events, and the capture of their launches as CUDA graphs.

Kernels run at once, and so do copies from pageable memory, for which the host waits. Copies from page-locked memory
run as late as CUDA may run them: when somebody waits for an event behind them. Memory that was freed by then, or that
has changed, shows.
"""

import ctypes
import threading
import weakref
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
from cupy.counting import CAPTURE, COUNTS, launched, not_captured, synchronised

_numbers = count(16)  # 0 to 2 are streams that CUDA has


class _Entered(threading.local):
    """The streams that a thread has entered."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []


class Event:
    """A point in a stream, after what it was given before."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self._stream: Stream | None = None
        self._place = 0

    def record(self, stream: "Stream | None" = None) -> None:
        self._stream = stream or get_current_stream()
        self._place = self._stream.given

    @property
    def done(self) -> bool:
        return self._stream is None or self._stream.ran >= self._place

    def synchronize(self) -> None:
        synchronised("event")
        self.happen()

    def happen(self) -> None:
        """Run what is before it."""
        if self._stream is not None:
            self._stream.run(self._place)


class Stream:
    """A stream. Whatever is launched runs at once, but for launches that are captured."""

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.ptr = 0 if null else next(_numbers)
        self.non_blocking = non_blocking
        self._waiting: deque[Callable[[], None]] = deque()
        self.given, self.ran = 0, 0
        _streams.add(self)

    def __enter__(self) -> "Stream":
        _entered.streams.append(self)
        return self

    def __exit__(self, *_error: object) -> None:
        _entered.streams.pop()

    def synchronize(self) -> None:
        synchronised("stream")
        self.run(self.given)

    def record(self, event: Event | None = None) -> Event:
        """An event after what the stream was given."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let what the stream is given from now on run after an event."""
        if self._waiting:
            self.later(event.happen)
        else:
            event.happen()

    def later(self, run: Callable[[], None]) -> None:
        """Keep something that is to be run after what was given before."""
        self._waiting.append(run)
        self.given += 1

    def run(self, place: int) -> None:
        """Run what was given before a place."""
        while self.ran < place:
            self._waiting.popleft()()
            self.ran += 1

    def begin_capture(self, mode: Any = None) -> None:
        """From now on keep what this thread launches."""
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if not self.non_blocking or get_current_stream() is not self or CAPTURE.launches is not None:
            raise RuntimeError("cudaErrorStreamCaptureImplicit: the stand-in captures one current stream at a time")
        CAPTURE.launches, CAPTURE.refused = [], ""

    def end_capture(self) -> "Graph":
        """What was launched."""
        launches, refused = CAPTURE.launches, CAPTURE.refused
        CAPTURE.launches = None
        if launches is None or get_current_stream() is not self:
            raise RuntimeError("cudaErrorIllegalState: the stream is not captured")
        if refused:
            raise RuntimeError(f"cudaErrorStreamCaptureInvalidated: by {refused}")
        return Graph(launches)


class Graph:
    """Launches that were captured, with the addresses of their arrays: it keeps no array, as CUDA does not."""

    def __init__(self, launches: list[tuple[str, Callable[[], None], list["weakref.ref[Any]"]]]) -> None:
        self._launches = launches

    def launch(self, stream: Stream | None = None) -> None:
        """Run them all, which is one launch of the host's."""
        launched("graph")
        for name, run, memory in self._launches:
            if any(each() is None for each in memory):
                raise RuntimeError(f"cudaErrorIllegalAddress: memory of {name} was freed after it was captured")
            COUNTS[f"replayed {name}"] += 1
            run()


def run_all() -> None:
    """Run whatever waits."""
    for stream in list(_streams):
        stream.run(stream.given)


class PinnedMemory(bytearray):
    """Page-locked memory of the host."""


def alloc_pinned_memory(nbytes: int) -> PinnedMemory:
    """New page-locked memory."""
    not_captured("alloc_pinned_memory")
    COUNTS["page-locked allocations"] += 1
    COUNTS["page-locked bytes"] += nbytes
    return PinnedMemory(nbytes)


def copied(source: Any, target: Any, stream: Stream) -> None:
    """Copy from the host's memory to the device's on a stream."""
    not_captured("copy")
    COUNTS["copies to device"] += 1
    memory = [owner(source), owner(target)]
    origin = memory[0].base
    if not isinstance(origin.obj if isinstance(origin, memoryview) else origin, PinnedMemory):
        synchronised("pageable copy")
        stream.run(stream.given)
        target[...] = source
        return
    COUNTS["asynchronous copies"] += 1
    into, out_of = (int(each.__array_interface__["data"][0]) for each in (target, source))
    size, kept = target.nbytes, [weakref.ref(each) for each in memory]

    def copy() -> None:
        if any(each() is None for each in kept):
            raise RuntimeError("cudaErrorIllegalAddress: memory was freed before the copy was over")
        ctypes.memmove(into, out_of, size)

    stream.later(copy)
    if stream is get_current_stream():  # kernels that follow run at once
        stream.run(stream.given)


def owner(values: Any) -> Any:
    """The array whose memory a view shows."""
    while isinstance(values.base, np.ndarray):
        values = values.base
    return values


_streams: "weakref.WeakSet[Stream]" = weakref.WeakSet()
_entered, _null = _Entered(), Stream(null=True)


def get_current_stream(device_id: int = -1) -> Stream:
    """The stream that this thread launches on."""
    return _entered.streams[-1] if _entered.streams else _null
