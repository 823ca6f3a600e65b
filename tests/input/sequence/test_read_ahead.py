"""Frames that are looked at before their turn."""

from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest

from handopt.errors import SourceError
from handopt.input.sequence.base import SequenceFrame
from handopt.input.sequence.read_ahead import MOST_AHEAD, ReadAhead


def frames(stop: int | None = None, read: list[int] | None = None) -> Iterator[SequenceFrame]:
    for index in count():
        if index == stop:
            raise SourceError("the file ends in the middle of a frame")
        if read is not None:
            read.append(index)
        yield SequenceFrame(index, str(index), np.zeros((2, 2), np.float32))


def test_frames_that_were_looked_at_come_in_their_turn() -> None:
    read: list[int] = []
    lookahead = ReadAhead(frames(read=read))
    assert next(lookahead).index == 0
    looked_at = lookahead.upcoming()
    assert [next(looked_at).index for _ in range(3)] == [1, 2, 3]
    assert read == [0, 1, 2, 3], "each is read when it is asked for"
    assert [next(lookahead).index for _ in range(2)] == [1, 2]
    assert next(lookahead.upcoming()).index == 3
    assert [next(lookahead).index for _ in range(2)] == [3, 4]


def test_no_more_are_held_than_a_bound() -> None:
    lookahead = ReadAhead(frames())
    assert len(list(lookahead.upcoming())) == MOST_AHEAD
    assert len(list(lookahead.upcoming())) == MOST_AHEAD
    assert [frame.index for frame, _ in zip(lookahead, range(MOST_AHEAD + 2), strict=False)] == list(
        range(MOST_AHEAD + 2)
    )


def test_an_error_is_raised_in_its_place_and_stays() -> None:
    lookahead = ReadAhead(frames(stop=3))
    assert len(list(lookahead.upcoming())) == 3
    assert [next(lookahead).index for _ in range(3)] == [0, 1, 2]
    for _ in range(2):
        with pytest.raises(SourceError, match="in the middle"):
            next(lookahead)


def test_the_end_is_the_end() -> None:
    lookahead = ReadAhead(SequenceFrame(index, "", np.zeros((1, 1), np.float32)) for index in range(2))
    assert len(list(lookahead.upcoming())) == 2
    assert [frame.index for frame in lookahead] == [0, 1]
    assert list(lookahead) == []
    assert list(lookahead.upcoming()) == []
