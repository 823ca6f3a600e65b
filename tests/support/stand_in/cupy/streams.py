"""Streams of the stand-in for CuPy, and the capture of their launches as CUDA graphs."""

import threading
import weakref
from collections.abc import Callable
from itertools import count
from typing import Any

from cupy.counting import CAPTURE, COUNTS, launched, synchronised

_numbers = count(2)


class _Entered(threading.local):
    """The streams that a thread has entered."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []


class Stream:
    """A stream. Whatever is launched runs at once, but for launches that are captured."""

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.ptr = 0 if null else next(_numbers)
        self.non_blocking = non_blocking

    def __enter__(self) -> "Stream":
        _entered.streams.append(self)
        return self

    def __exit__(self, *_error: object) -> None:
        _entered.streams.pop()

    def synchronize(self) -> None:
        synchronised("stream")

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


_entered, _null = _Entered(), Stream(null=True)


def get_current_stream(device_id: int = -1) -> Stream:
    """The stream that this thread launches on."""
    return _entered.streams[-1] if _entered.streams else _null
