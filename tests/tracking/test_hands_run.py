"""Following several hands: none is swapped, made up or forgotten, and those that touch are not sure."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.factories import fit_result
from support.two_hands import CAMERA, FPS, Course, Hands, of_hand, right_share, swaps, two_hands

import handopt
from handopt.config import FitSettings
from handopt.errors import ConfigError, ObservationError
from handopt.input.sequence.base import SequenceFrame
from handopt.result import FitResult
from handopt.tracking import hands_run
from handopt.tracking.frame_estimate import FrameEstimate
from handopt.tracking.hands_run import TOUCHES_NOTE, HandsRun
from handopt.tracking.run import Run
from handopt.tracking.track import Track
from handopt.typing import Floats

CPU = FitSettings(device="cpu")


def crossing(depth_mm: float) -> tuple[Course, Course]:
    return lambda share: (110 * share - 50, 10.0, 430.0), lambda share: (50 - 110 * share, 10.0, 430.0 + depth_mm)


def away_for_a_while() -> tuple[Course, Course]:
    return lambda _: (-100.0, 10.0, 430.0), lambda share: (110.0 if share < 0.3 or share > 0.6 else 900.0, 10.0, 430.0)


def followed(hands: Hands, **options: Any) -> tuple[list[tuple[FrameEstimate, ...]], list[Track]]:
    run = HandsRun(CAMERA, 2, settings=CPU, fps=FPS, **options)
    estimates = [run.push(frame) for frame in hands.frames]
    return estimates, run.tracks("hands", FPS)


@pytest.fixture(scope="module")
def crossed() -> tuple[Hands, list[tuple[FrameEstimate, ...]], list[Track]]:
    hands = two_hands(crossing(60.0), 3, 14)
    return hands, *followed(hands)


# ---------------------------------------------------------------------------------------------- real sequences


def test_hands_that_pass_each_other_are_not_swapped(
    crossed: tuple[Hands, list[tuple[FrameEstimate, ...]], list[Track]],
) -> None:
    hands, estimates, tracks = crossed
    assert sorted(track.hand for track in tracks) == ["left", "right"]
    own = of_hand(tracks, hands)
    assert [track.hand for track in own] == list(hands.sides)
    assert swaps(own, hands) == 0
    for index, track in enumerate(own):
        assert len(track) == 14
        assert right_share(track, hands, index) >= 0.9
    for row in estimates:
        assert [each.number for each in row] == [1, 2]
        assert [each.hand for each in row] == [track.hand for track in tracks]


def test_hands_that_touch_are_not_sure_and_others_are(
    crossed: tuple[Hands, list[tuple[FrameEstimate, ...]], list[Track]],
) -> None:
    _, estimates, tracks = crossed
    nearest = np.array([distance_mm(*(track.vertices_mm(row) for track in tracks)) for row in range(14)])
    touch, apart = nearest < 12.0, nearest > 22.0
    assert touch.sum() >= 2
    assert apart.sum() >= 2, "else this shows nothing"
    # The farther hand's fingers leap where the other one hides them, and 14 frames are all near that.
    assert max(track.confidence[apart].max() for track in tracks) > 0.9
    for track in tracks:
        assert not (track.confidence[touch] >= 0.9).any()  # a hand that is lost there has none
        assert any(note.startswith(TOUCHES_NOTE) for note in track.notes)
    for row, both in zip(estimates, touch, strict=True):
        assert not both or not any(each.confidence >= 0.9 for each in row)
    assert any(each.confidence >= 0.9 for row in estimates for each in row)


def distance_mm(one: Floats, other: Floats) -> float:
    """The least distance of some vertices of two hands, not below that of their skins."""
    return float(np.sqrt(((one[::4, None] - other[None, ::4]) ** 2).sum(axis=2)).min())


def test_a_hand_that_comes_back_is_the_one_that_left() -> None:
    hands = two_hands(away_for_a_while(), 3, 16)
    estimates, tracks = followed(hands)
    assert len(tracks) == 2
    first, second = of_hand(tracks, hands)
    gone = hands.visible[1].sum(axis=1) == 0
    assert 3 <= gone.sum() <= 6
    assert first.tracked.all()
    assert not second.tracked[gone].any()
    assert second.tracked[~gone].all(), "where it was back before it was searched for, a look back finds it"
    assert right_share(second, hands, 1) == 1.0
    assert swaps([first, second], hands) == 0
    assert all(len(row) == 2 for row in estimates)


def test_one_hand_is_that_of_track_and_no_second_one_is_made_up() -> None:
    hands = two_hands((away_for_a_while()[0], lambda _: (900.0, 0.0, 430.0)), 3, 4)
    estimates, tracks = followed(hands)
    assert [track.hand for track in tracks] == ["right"]
    assert all(len(row) == 1 for row in estimates)
    alone = Run(CAMERA, "auto", settings=CPU, fps=FPS)
    for frame in hands.frames:
        alone.push(frame)
    usual = alone.track("hands", FPS)
    assert np.abs(tracks[0].joints_mm() - usual.joints_mm()).max() < 5.0


# -------------------------------------------------------------------------------------------- when to search


class Searches:
    """Stands in for fit_image: counts searches, and finds nothing, or what it is told."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.now = 0

    def __call__(self, *_: Any) -> FitResult:
        self.frames.append(self.now)
        raise ObservationError("nothing")


class FakeRun:
    """Stands in for Run: a hand in the place that it is given, in the frames that it is told."""

    def __init__(self, estimate: FrameEstimate, seen: range) -> None:
        self.estimate, self.seen, self.pose, self.lost = estimate, seen, None, list[int]()

    def push(self, frame: SequenceFrame) -> FrameEstimate:
        if frame.index in self.seen:
            return replace(self.estimate, frame=frame.index)
        return FrameEstimate(frame.index, frame.name, None, None, self.estimate.hand, tracked=False)

    def skip(self, frame: SequenceFrame, _depth: Any = None) -> FrameEstimate:
        return FrameEstimate(frame.index, frame.name, None, None, self.estimate.hand, tracked=False)

    def lose(self, count: int) -> None:
        self.lost.append(count)


def estimate_at(x_mm: float, side: str = "right", **changes: Any) -> FrameEstimate:
    """An estimate of a hand beside others."""
    result = fit_result(side)
    place = np.asarray(result.translation_mm) + np.array([x_mm, 0.0, 0.0])
    usual = {"confidence": 0.95, "unexplained_fraction": 0.1}
    return FrameEstimate(
        0, "0", None, None, side, tracked=True, joint_visible=np.ones(21, bool), rotation=np.asarray(result.rotation),
        translation_mm=place, angles_rad=np.asarray(result.angles_rad),
        scale=1.0, proportions=np.zeros(13), _rig=handopt.default_rig(side), **{**usual, **changes},
    )  # fmt: skip


def run_of(*fakes: FakeRun, max_hands: int = 2) -> HandsRun:
    """A run that follows fakes."""
    run = HandsRun(CAMERA, max_hands, settings=CPU, fps=FPS)
    run._hands = [hands_run._Followed(fake, fake.estimate, None, fake.estimate) for fake in fakes]
    return run


def frames(count: int) -> Iterator[SequenceFrame]:
    depth = np.full((CAMERA.height, CAMERA.width), 900.0, np.float32)
    for index in range(count):
        yield SequenceFrame(index, str(index), depth, index / FPS)


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Searches:
    fake = Searches()
    monkeypatch.setattr(hands_run, "fit_image", fake)
    return fake


def pushed(run: HandsRun, count: int, searches: Searches) -> list[tuple[FrameEstimate, ...]]:
    estimates = []
    for frame in frames(count):
        searches.now = frame.index
        estimates.append(run.push(frame))
    return estimates


def test_further_hands_are_searched_for_now_and_then(searches: Searches) -> None:
    pushed(run_of(FakeRun(estimate_at(0.0), range(99))), 40, searches)
    assert searches.frames[:3] == [0, 2, 6], "soon after the start"
    assert set(np.diff(searches.frames)[2:]) <= {8, 10}
    assert len(searches.frames) <= 7


def test_nothing_is_searched_for_while_there_are_enough_hands(searches: Searches) -> None:
    hands = (FakeRun(estimate_at(-150.0), range(99)), FakeRun(estimate_at(150.0, "left"), range(99)))
    pushed(run_of(*hands), 12, searches)
    assert searches.frames == []


def test_a_lost_hand_is_searched_for_soon_and_then_less_often(searches: Searches) -> None:
    hands = (FakeRun(estimate_at(-150.0), range(99)), FakeRun(estimate_at(150.0, "left"), range(5)))
    estimates = pushed(run_of(*hands), 30, searches)
    assert searches.frames[0] == 6, "frame 5 was searched by its own run"
    assert len(searches.frames) <= 5
    assert [row[1].tracked for row in estimates] == [True] * 5 + [False] * 25


def test_without_any_hand_every_frame_is_searched(searches: Searches) -> None:
    run = HandsRun(CAMERA, 2, settings=CPU, fps=FPS)
    estimates = pushed(run, 5, searches)
    assert searches.frames == [0, 1, 2, 3, 4]
    assert all(len(row) == 1 and not row[0].tracked for row in estimates)
    with pytest.raises(ObservationError, match=r"no hand was found in any of 5 frames of wall.*lies 900 mm away"):
        run.tracks("wall", FPS)


# ------------------------------------------------------------------------------------------ one hand, not two


def test_of_two_tracks_of_one_hand_the_worse_is_lost(searches: Searches) -> None:
    good, bad = FakeRun(estimate_at(0.0), range(99)), FakeRun(estimate_at(10.0, confidence=0.6), range(99))
    run = run_of(good, bad)
    estimates = pushed(run, 5, searches)
    assert (good.lost, bad.lost) == ([], [5])
    assert [each.tracked for each in estimates[-1]] == [True, False]
    assert [each.tracked for each in estimates[-2]] == [True, True], "hands that cross are in one place for some frames"


def test_the_more_is_explained_the_better_where_both_are_as_sure(searches: Searches) -> None:
    bad = FakeRun(estimate_at(0.0, unexplained_fraction=0.3), range(99))
    good = FakeRun(estimate_at(10.0), range(99))
    pushed(run_of(bad, good), 5, searches)
    assert (bad.lost, good.lost) == ([5], [])


def test_hands_that_are_apart_are_two(searches: Searches) -> None:
    one, other = FakeRun(estimate_at(0.0), range(99)), FakeRun(estimate_at(70.0, "left"), range(99))
    pushed(run_of(one, other), 12, searches)
    assert one.lost == other.lost == []


# ------------------------------------------------------------------------------------------------- track_hands


def test_estimates_come_frame_by_frame_and_end_in_tracks() -> None:
    hands = two_hands(away_for_a_while(), 3, 2)
    tracking = handopt.track_hands(hands.frames, camera=CAMERA, fps=FPS, device="cpu", smooth=False)
    assert tracking.frame_count == 0
    rows = list(tracking)
    assert tracking.frame_count == 2
    assert sorted(str(each.hand) for each in rows[-1]) == ["left", "right"]
    assert tracking.results is tracking.results, "made once for the same frames"
    for track, numbered in zip(tracking.finish(), (0, 1), strict=True):
        assert np.allclose(track.joints_mm()[-1], rows[-1][numbered].joints_mm, atol=1e-3)


@pytest.mark.parametrize("max_hands", [0, -1, 1.5, "2", True, None])
def test_a_number_of_hands_that_makes_no_sense(max_hands: Any) -> None:
    with pytest.raises(ConfigError, match="max_hands"):
        handopt.track_hands([], max_hands, camera=CAMERA)
