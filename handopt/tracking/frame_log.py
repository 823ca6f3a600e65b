"""The frames of a track so far: the last ones as they are, earlier ones in a temporary file that has no name."""

import pickle
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from os import PathLike
from typing import Final, overload

from handopt.tracking.pose_estimate import TrackedFrame
from handopt.tracking.scratch_file import POSES, ScratchFile
from handopt.typing import Floats

HELD: Final = 640
"""Frames that stay in memory: more than a delay of 600 frames and the 30 before it look at."""
IN_MEMORY_BYTES: Final = 4 << 20
"""What is kept in memory of earlier frames before a file is begun: about 600 of them. By hand."""


class FrameLog:
    """Reads like a list of TrackedFrame; the last ones can be replaced.

    A frame with a pose takes about 7 KB, which would add up: 10,000 frames had 70 MB. In the file it costs 8 bytes of
    memory, its place there.
    """

    def __init__(self, scratch: str | PathLike[str] | None = None, least: int = 0) -> None:
        """Begin without a frame. scratch: folder of the temporary file, the system's if None.

        least: how many of the last frames must stay replaceable
        """
        self._scratch, self._held = scratch, max(HELD, least)
        self._begin()

    def _begin(self) -> None:
        self._file = ScratchFile(self._scratch, IN_MEMORY_BYTES, POSES)
        self._ends = array("Q")
        self._recent: deque[TrackedFrame] = deque()

    def __len__(self) -> int:
        return len(self._ends) + len(self._recent)

    def __iter__(self) -> Iterator[TrackedFrame]:
        """The frames from the first one, each read when it is asked for."""
        return (self[row] for row in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> TrackedFrame: ...

    @overload
    def __getitem__(self, index: slice) -> list[TrackedFrame]: ...

    def __getitem__(self, index: int | slice) -> TrackedFrame | list[TrackedFrame]:
        """A frame, or a slice of frames."""
        if isinstance(index, slice):
            return [self[row] for row in range(len(self))[index]]
        row = range(len(self))[index]
        filed = len(self._ends)
        return self._recent[row - filed] if row >= filed else self._read(row)

    def __setitem__(self, index: int, step: TrackedFrame) -> None:
        """Replace one of the last frames. Raises IndexError for an earlier one."""
        place = range(len(self))[index] - len(self._ends)
        if place < 0:
            raise IndexError(f"frame {index} is in the file by now")
        self._recent[place] = step

    def append(self, step: TrackedFrame) -> None:
        """Add the next frame. Raises OutputError where the temporary file cannot be written."""
        if len(self._recent) >= self._held:
            self._write(self._recent.popleft())
        self._recent.append(step)

    def forget(self, center_mm: Floats) -> None:
        """Take all poses back; center_mm: (3,) of what is to be shown of each frame."""
        steps = [replace(step, pose=None, center_mm=center_mm) for step in self]
        self._begin()
        for step in steps:
            self.append(step)

    def _write(self, step: TrackedFrame) -> None:
        data = pickle.dumps(step, pickle.HIGHEST_PROTOCOL)
        begin = self._ends[-1] if self._ends else 0
        self._file.write(begin, data)
        self._ends.append(begin + len(data))

    def _read(self, row: int) -> TrackedFrame:
        begin = self._ends[row - 1] if row else 0
        step: TrackedFrame = pickle.loads(self._file.read(begin, self._ends[row] - begin))
        return step
