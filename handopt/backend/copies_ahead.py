"""Copies to a GPU while it works on something else: on a stream of their own, from page-locked memory that is reused.

The stream that needs the arrays waits for an event, and the host for nothing. Where CuPy or the driver refuses, the log
says so once, and arrays are copied when they are needed. HANDOPT_COPIES_AHEAD=0 turns preparing ahead off.
"""

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handopt.backend.devices import Array, Device, to_device, using

COPIES_VARIABLE: Final = "HANDOPT_COPIES_AHEAD"
BUFFERS: Final = 2
"""One is read from by the copy of the next batch; the other one's copy, of this batch, is over."""
ALIGNMENT: Final = 256
"""Bytes at a multiple of which each array begins, as those that CuPy allocates do."""
PER_THREAD: Final = 2
"""cudaStreamPerThread: another stream in every thread, so that no other thread can allocate on it."""


def prepares_ahead(device: Device) -> bool:
    """Whether the next batch is prepared, and copied there, while a device works: it pays on a GPU alone."""
    return device.kind != "cpu" and os.environ.get(COPIES_VARIABLE, "1") != "0"


class PendingCopy:
    """Arrays on their way to a GPU, or, without a buffer, still to be copied there."""

    def __init__(self, device: Device, host: Sequence[NDArray[Any]], buffer: "_Buffer | None" = None) -> None:
        self._device, self._host, self._buffer = device, list(host), buffer
        self._sent: list[Array] = []
        self._copied: Any = None

    def arrays(self) -> list[Array]:
        """The arrays on the device, for the stream that is the current one here. To be called once."""
        if self._buffer is None:
            return [to_device(each, self._device, each.dtype) for each in self._host]
        import cupy

        with using(self._device):
            cupy.cuda.get_current_stream().wait_event(self._copied)
        self._buffer.release(self._copied)
        sent, self._sent = self._sent, []
        return sent

    def send(self, work: Any, stream: Any) -> None:
        """Copy on a stream, to memory of the stream that the arrays are for."""
        import cupy

        assert self._buffer is not None
        dtype = self._host[0].dtype
        starts, total = _starts([each.size for each in self._host], ALIGNMENT // dtype.itemsize)
        pinned = self._buffer.room(total, dtype)
        for each, start in zip(self._host, starts, strict=True):
            pinned[start : start + each.size] = each.ravel()
        with work:
            sent = cupy.empty(total, dtype)
        # What had this memory before may still be read by launches of that stream
        stream.wait_event(work.record())
        self._buffer.target = sent  # not freed before the copy is over, whatever happens to the batch
        sent.set(pinned, stream=stream)
        self._copied = self._buffer.copied = stream.record()
        shapes = [each.shape for each in self._host]
        self._sent = [
            sent[start : start + each.size].reshape(shape)
            for each, start, shape in zip(self._host, starts, shapes, strict=True)
        ]
        self._host = []


class CopiesAhead:
    """Starts copies to a GPU for the stream that is the current one where this is made.

    One thread may start copies while another one works with those that were started before. Page-locked memory is as
    much as the largest two of them, rounded up to powers of two. A context: on leaving it no copy is under way.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._buffers: list[_Buffer] = []
        self._count = 0
        if _failures:
            return
        import cupy

        try:
            with using(device):
                self._work = cupy.cuda.get_current_stream()
                if self._work.ptr != PER_THREAD:
                    self._stream = cupy.cuda.Stream(non_blocking=True)
                    self._buffers = [_Buffer() for _ in range(BUFFERS)]
        except Exception as error:  # of CuPy, CUDA or the driver
            _turn_off(error)

    def __enter__(self) -> "CopiesAhead":
        return self

    def __exit__(self, *_error: object) -> None:
        buffers, self._buffers = self._buffers, []
        if sys.is_finalizing():  # nobody works with anything any more
            return
        with using(self._device):
            for each in buffers:
                each.wait()

    def start(self, arrays: Sequence[NDArray[Any]]) -> PendingCopy:
        """Start to copy arrays of one type. Waits for the device only where the copy before the last is not over."""
        if self._buffers and arrays and not _failures:
            buffer = self._buffers[self._count % BUFFERS]
            self._count += 1
            copy = PendingCopy(self._device, arrays, buffer)
            try:
                with using(self._device):
                    copy.send(self._work, self._stream)
            except Exception as error:  # of CuPy, CUDA or the driver
                _turn_off(error)
                with suppress(Exception):  # should the copy be under way all the same
                    self._stream.synchronize()
            else:
                return copy
        return PendingCopy(self._device, arrays)


class _Buffer:
    """Page-locked memory, and what was copied from it last."""

    def __init__(self) -> None:
        self._memory: NDArray[Any] = np.empty(0, np.uint8)
        self.copied: Any = None
        self.target: Array | None = None

    def room(self, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Room for so many numbers, once the last copy from it is over."""
        import cupy

        self.wait()
        needed = count * dtype.itemsize
        if needed > self._memory.nbytes:
            size = 1 << (needed - 1).bit_length()
            self._memory = np.empty(0, np.uint8)
            self._memory = np.frombuffer(cupy.cuda.alloc_pinned_memory(size), np.uint8, size)
        return self._memory[:needed].view(dtype)

    def wait(self) -> None:
        """Wait for the last copy, which is over long since where its batch was worked on."""
        if self.copied is not None and not self.copied.done:
            self.copied.synchronize()
        self.copied = self.target = None

    def release(self, copied: Any) -> None:
        """Leave the memory of a copy to those who use it: their stream waits for the copy."""
        if self.copied is copied:
            self.target = None


_failures: list[str] = []
"""Why arrays could not be copied ahead in this process; after the first none are."""


def _turn_off(error: Exception) -> None:
    """From now on copy arrays when they are needed, and say so once."""
    _failures.append(f"{type(error).__name__}: {error}")
    if len(_failures) == 1:
        logging.getLogger(__name__).warning("batches are not copied ahead from here on: %s", _failures[0])


def _starts(sizes: Sequence[int], step: int) -> tuple[list[int], int]:
    """Where arrays of these sizes begin one after the other, at multiples of a step, and where the last ends."""
    starts, end = [], 0
    for size in sizes:
        starts.append(end)
        end += -(-size // step) * step
    return starts, end
