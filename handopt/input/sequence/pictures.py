"""The colour pictures of a recording, found by the time of its depth frames."""

from collections.abc import Iterator
from typing import Final

from handopt.typing import Bytes

MOST_APART_S: Final = 0.034
"""Between depth and its picture: a frame at 30 a second, s."""


class NearestPictures:
    """Pictures (H, W, 3) with their times, s, which rise; read on as they are asked for, two kept at a time."""

    def __init__(self, pictures: Iterator[tuple[float, Bytes]]) -> None:
        self._pictures = pictures
        self._before: tuple[float, Bytes] | None = None
        self._after = next(self._pictures, None)

    def at(self, time_s: float) -> Bytes | None:
        """The picture that is nearest in time, None where none is within MOST_APART_S. Times rise from call to call."""
        while self._after is not None and self._after[0] < time_s:
            self._before, self._after = self._after, next(self._pictures, None)
        near = [each for each in (self._before, self._after) if each is not None]
        near = [each for each in near if abs(each[0] - time_s) <= MOST_APART_S]
        return min(near, key=lambda each: abs(each[0] - time_s))[1] if near else None
