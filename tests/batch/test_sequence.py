"""Sequences that several processes predict: the same track, to the bit, as from one; and what ends them early."""

import multiprocessing
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from support.compare import assert_same_bits
from support.frames_in_memory import Frames
from support.sequences import samples

from handopt.batch.sequence import predict_in_processes, processes_for
from handopt.config import FitSettings
from handopt.errors import ObservationError, SourceError, WorkerError
from handopt.input.sequence import open_source
from handopt.input.sequence.base import FrameSource, SeekableSource, is_seekable
from handopt.input.sequence.stream_info import SourceOptions
from handopt.tracking import prediction
from handopt.tracking.prediction import parts_of, predict_source
from handopt.tracking.predictor import PredictedFrame
from handopt.tracking.track import Track

SETTINGS = FitSettings("scale", device="cpu", refine=0)
ASKED = SourceOptions(camera="237.5,237.5,159.5,119.5", unit=1.0, fps=30.0)
pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 frames have 4 parts."""
    monkeypatch.setattr(prediction, "PART_FRAMES", 6)


def assert_same_track(one: Track, other: Track) -> None:
    for each in fields(Track):
        if each.name not in ("seconds", "windows", "rig", "versions"):
            values = getattr(one, each.name), getattr(other, each.name)
            if isinstance(values[0], np.ndarray):
                assert_same_bits(*values, each.name)
            else:
                assert values[0] == values[1], each.name
    for name in ("depth_mm", "centers_mm"):
        assert_same_bits(np.asarray(getattr(one.windows, name)), np.asarray(getattr(other.windows, name)), name)


@pytest.mark.parametrize(("side", "hand"), [("right", "right"), ("left", "auto")])
def test_the_track_is_the_same_for_any_number_of_processes(side: str, hand: str) -> None:
    alone = predict_source(Frames(side), hand=hand, settings=SETTINGS).finish()
    assert alone.hand == side
    assert alone.errors == {8: "8: is damaged"}
    assert alone.refitted[[0, 6]].all(), "each part begins with a look at the whole image"
    assert not alone.tracked[12:18].any()
    tracking = predict_in_processes(Frames(side), 2, hand=hand, settings=SETTINGS)
    estimates = list(tracking)
    assert [each.frame for each in estimates] == list(range(24))
    assert [each.name for each in estimates] == list(alone.names)
    assert_same_track(tracking.result, alone)
    assert not multiprocessing.active_children()


def test_a_side_that_is_found_late_holds_for_all() -> None:
    alone = predict_source(Frames("left", begins_at=7), hand="auto", settings=SETTINGS).finish()
    joined = predict_in_processes(Frames("left", begins_at=7), 2, hand="auto", settings=SETTINGS)
    estimates = list(joined)
    assert [each.hand for each in estimates] == [None] * 7 + ["left"] * 17
    assert [each.tracked for each in estimates[:8]] == [False] * 7 + [True]
    assert estimates[9].tracked
    assert_same_track(joined.result, alone)


def test_nothing_is_seen_in_any_part() -> None:
    tracking = predict_in_processes(Frames(begins_at=24), 2, hand="auto", settings=SETTINGS)
    assert not any(each.tracked for each in tracking)
    with pytest.raises(ObservationError, match="no hand was found in any of 24 frames"):
        _ = tracking.result


def test_a_source_that_fails_keeps_what_came_before() -> None:
    tracking = predict_in_processes(Frames(fails_at=11), 2, hand="right", settings=SETTINGS)
    with pytest.raises(SourceError, match="changed while it was read"):
        list(tracking)
    assert tracking.frame_count == len(tracking.result) == 11


def test_processes_that_die_end_the_track() -> None:
    tracking = predict_in_processes(Frames(fails_at=9, kills=True), 2, hand="right", settings=SETTINGS)
    with pytest.raises(WorkerError, match=r"frames 6 to 11: the process .* crashed \(exit code 9\), 2 times"):
        list(tracking)
    assert tracking.frame_count == 6, "the part before it"
    assert not multiprocessing.active_children()


def test_who_has_enough_of_it_ends_the_processes() -> None:
    def two(frames: Iterator[PredictedFrame]) -> Iterator[PredictedFrame]:
        yield next(frames)
        yield next(frames)

    tracking = predict_in_processes(Frames(), 2, hand="right", settings=SETTINGS, given=two)
    assert len(list(tracking)) == len(tracking.result) == 2
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("pages", [11.0, 12.5])
def test_a_stack_that_ends_too_early_is_the_same(pages: float, tmp_path: Path) -> None:
    """Within a part, and in its last frame."""
    path = tmp_path / "stack.npy"
    np.save(path, np.stack([each.counts for each in samples()]).astype(np.uint16))
    path.write_bytes(path.read_bytes()[: -int(pages * 2 * 240 * 320)])
    source = open_source(path, ASKED)
    alone = predict_source(source, hand="right", settings=SETTINGS).finish()
    assert len(alone) == 25 - int(pages + 0.5), "the last one says that the file is cut short"
    joined = predict_in_processes(seekable(open_source(path, ASKED)), 2, hand="right", settings=SETTINGS).finish()
    assert_same_track(joined, alone)


def seekable(source: FrameSource) -> SeekableSource:
    assert is_seekable(source)
    return source


def test_parts_are_equally_long_and_do_not_depend_on_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "PART_FRAMES", 240)
    assert parts_of(1) == [range(1)]
    assert parts_of(240) == [range(240)]
    assert parts_of(300) == [range(150), range(150, 300)]
    for count in (241, 719, 1000, 12345):
        parts = parts_of(count)
        assert len(parts) % 2 == 0
        assert [each for part in parts for each in part] == list(range(count))
        assert max(map(len, parts)) <= min(map(len, parts)) + 1
        assert 120 <= len(parts[0]) <= 360


def test_processes_for_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handopt.batch.run.usable_cores", lambda: 3)
    assert processes_for(Frames(), None, None, "cpu") == 3
    assert processes_for(Frames(), 8, None, "cpu") == 4, "one a part at most"
    assert processes_for(Frames(), 1, None, "cpu") == 1
    assert processes_for(Frames(), None, 5, "cpu") == 1, "one part"
    unknown = Frames()
    unknown.length = None
    assert processes_for(unknown, 8, None, "cpu") == 1
