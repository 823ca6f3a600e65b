"""Looking at frames of a recording before it is their turn."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from handopt.errors import HandoptError
from handopt.input.sequence.base import FrameSource, SequenceFrame

MOST_AHEAD: Final = 64
"""Most frames that are held: a fit from scratch takes as long as 20 to 60 frames of a track; 79 MB at 640 x 480."""


class ReadAhead(Iterator[SequenceFrame]):
    """Frames in order, of which the next ones can be looked at. An error is raised in its place."""

    def __init__(self, frames: Iterable[SequenceFrame]) -> None:
        self._frames = iter(frames)
        self._held: deque[SequenceFrame] = deque()
        self._failure: HandoptError | None = None
        self._ended = False

    @classmethod
    def of(cls, source: FrameSource, frames: Iterable[SequenceFrame]) -> "ReadAhead | None":
        """The frames of a recording; None for a source without a length, which may be a camera."""
        return None if source.length is None else cls(frames)

    def __next__(self) -> SequenceFrame:
        """The next frame. Raises what the source raises."""
        if self._held:
            return self._held.popleft()
        if self._failure is not None:
            raise self._failure
        if self._ended:
            raise StopIteration
        return next(self._frames)

    def upcoming(self) -> Iterator[SequenceFrame]:
        """The next frames, which stay where they are: each is read when it is asked for, up to MOST_AHEAD of them."""
        for place in range(MOST_AHEAD):
            if place == len(self._held) and not self._read():
                return
            yield self._held[place]

    def _read(self) -> bool:
        """Hold one more frame; False where there is none."""
        if self._failure is None and not self._ended:
            try:
                self._held.append(next(self._frames))
            except StopIteration:
                self._ended = True
            except HandoptError as error:
                self._failure = error
            else:
                return True
        return False
