"""How long frames come after one another, in usual intervals."""

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from handopt.input.sequence.base import SequenceFrame


class Intervals:
    """Counts intervals between frames. The usual one is that of fps, else the median of those so far."""

    def __init__(self, fps: float | None, remembered: int) -> None:
        """fps: frames a second, None if unknown. remembered: intervals of which the median is taken."""
        self._fps = fps
        self._gone: deque[float] = deque(maxlen=remembered)

    def copy(self) -> "Intervals":
        """One that goes on from here on its own."""
        other = Intervals(self._fps, 0)
        other._gone = self._gone.copy()
        return other

    def advance(self, frame: "SequenceFrame", before: "SequenceFrame | None") -> float:
        """How long the next frame comes after the one before it, which is counted; 1 where nothing says."""
        gone = seconds_between(frame, before)
        if gone is None:
            return 1.0
        self._gone.append(gone)
        return gone / self._usual()

    def between(self, frame: "SequenceFrame", before: "SequenceFrame") -> float:
        """How long a frame comes after another one; 1 where nothing says."""
        gone = seconds_between(frame, before)
        return 1.0 if gone is None else gone / self._usual()

    def _usual(self) -> float:
        return 1.0 / self._fps if self._fps else float(np.median(self._gone))


def seconds_between(frame: "SequenceFrame", before: "SequenceFrame | None") -> float | None:
    """Seconds since another frame; None where nothing says."""
    if before is None or before.time_s is None or frame.time_s is None or frame.time_s <= before.time_s:
        return None
    return frame.time_s - before.time_s
