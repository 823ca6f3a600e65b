"""A sequence in memory that can be read from any frame on, also by other processes."""

import os
from collections.abc import Iterator

import numpy as np

from handopt.errors import SourceError
from handopt.input.sequence import SequenceFrame
from handopt.input.sequence.base import StreamInfo
from support.sequences import CAMERA, samples


class Frames:
    """A source in memory: frame 8 is damaged, and frames 12 to 17, a whole part, show nothing.

    begins_at: the first frame that shows something. fails_at: the frame before which the source ends; kills: whether
    the process ends there.
    """

    name, fps, hand, unit_mm, assumptions = "frames", 30.0, None, 1.0, ()
    length: int | None = 24
    camera = CAMERA

    def __init__(
        self, side: str = "right", *, begins_at: int = 0, fails_at: int | None = None, kills: bool = False
    ) -> None:
        self._side, self._begins_at, self._fails_at, self._kills = side, begins_at, fails_at, kills

    def __iter__(self) -> Iterator[SequenceFrame]:
        return self.frames_from(0)

    def frames_from(self, first: int) -> Iterator[SequenceFrame]:
        """The frames from one on."""
        empty = StreamInfo(CAMERA, 1.0).empty()
        for index, sample in enumerate(samples(self._side)[first:], first):
            if index == self._fails_at:
                if self._kills:
                    os._exit(9)
                raise SourceError("frames: changed while it was read")
            if index == 8:
                yield SequenceFrame(index, "8", empty, index / 30, problem="8: is damaged")
            else:
                shows = self._begins_at <= index and not 12 <= index < 18
                depth = sample.counts.astype(np.float32) if shows else empty
                yield SequenceFrame(index, str(index), depth, index / 30)
