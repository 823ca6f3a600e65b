"""Following a hand: accuracy, dropouts, left hands, causal use, and sources that end early."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.sequences import CAMERA, DROPOUT, FPS, followed, frames, samples, truth

from handopt.config import FitSettings
from handopt.errors import NumericalError, ObservationError
from handopt.fitting import fit
from handopt.input.sequence import SourceError
from handopt.input.sequence.base import SequenceFrame
from handopt.tracking.api import track
from handopt.tracking.run import Run

SEEN = np.array([sample.counts.any() for sample in samples()])


def errors(hand: str, smooth: bool) -> np.ndarray:
    return np.linalg.norm(followed(hand, smooth).joints_mm() - truth(hand), axis=2)


@pytest.mark.parametrize("smooth", [True, False])
def test_joints_are_where_they_were(smooth: bool) -> None:
    off = errors("right", smooth)
    visible = np.array([sample.scene.visible(sample.hand.scale) for sample in samples()])
    assert np.median(off[SEEN]) < 5.0, "few frames, at half the usual resolution, do not tell the hand's shape well"
    assert off[SEEN][visible[SEEN]].max() < 30.0


def test_a_dropout_is_noticed_bridged_and_recovered_from_at_once() -> None:
    result = followed()
    gap = slice(DROPOUT[0], sum(DROPOUT))
    assert not result.tracked[gap].any()
    assert result.bridged[gap].all()
    assert result.tracked[~result.bridged].all()
    assert np.median(errors("right", True)[gap]) < 12
    causal = followed("right", False)
    assert causal.refitted[sum(DROPOUT)], "a look back from later frames may find it otherwise"
    assert not causal.bridged.any()
    assert np.isnan(causal.joints_mm()[gap]).all()
    assert DROPOUT[1] < 0.5 * FPS


def test_a_left_hand_is_followed_as_its_mirror_image() -> None:
    left, right = followed("left"), followed("right")
    assert left.hand == "left"
    assert left.rig.side == "left"
    assert np.allclose(left.joints_mm(), right.joints_mm() * [-1, 1, 1], atol=6.0)
    assert np.median(errors("left", True)) < 5.0


def test_smoothing_takes_out_acceleration() -> None:
    before = slice(0, DROPOUT[0])
    rough, smooth = (np.diff(followed("right", each).joints_mm()[before], 2, axis=0) for each in (False, True))
    assert np.linalg.norm(smooth, axis=2).mean() < np.linalg.norm(rough, axis=2).mean()


def test_the_side_is_found_where_none_is_named() -> None:
    run = Run(CAMERA, "auto", smooth=False)
    for frame in frames("left")[:2]:
        run.push(frame)
    assert run.track("x", FPS).hand == "left"


def test_the_side_is_decided_in_the_first_frame_with_a_hand_and_by_the_users_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds: list[int] = []

    def refused_at_first(*arguments: Any, seed: int, **options: Any) -> Any:
        seeds.append(seed)
        if len(seeds) == 1:
            raise NumericalError("the objective is not finite")
        return fit(*arguments, seed=seed, **options)

    monkeypatch.setattr("handopt.tracking.side.fit", refused_at_first)
    run = Run(CAMERA, "auto", smooth=False, settings=FitSettings(seed=3))
    estimates = [run.push(frame) for frame in frames("left")[:2]]
    assert [each.tracked for each in estimates] == [False, True]
    assert [each.hand for each in estimates] == [None, "left"]
    assert seeds == [3, 3]


def test_pictures_show_the_pose_that_the_look_back_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first frame's pose is 50 mm off and rests on nothing, and the second's is right."""
    run = Run(CAMERA)
    run.push(frames()[0])
    (step,) = run._steps
    assert step.pose is not None
    off = np.array([50.0, 0.0, 0.0])
    wrong = replace(step.pose, joints_mm=step.pose.joints_mm + off, anchor_confidence=0.1)
    run._steps[0] = replace(step, pose=wrong, center_mm=step.center_mm + off)
    shown = run._crops.last()
    run._crops.change(0, np.zeros_like(shown))
    run.push(frames()[1])
    assert run.poses[1] is not None
    run._look_back(run.poses[1])
    again = run._steps[0]
    assert again.pose is not wrong
    assert np.linalg.norm(again.center_mm - step.center_mm) < 10
    assert np.mean(run._crops.frames()[0] > 0) == pytest.approx(np.mean(shown > 0), rel=0.1)


def test_a_source_that_fails_keeps_what_came_before() -> None:
    def failing() -> Iterator[SequenceFrame]:
        yield from frames()[:3]
        raise SourceError("the camera was unplugged")

    seen: list[tuple[int, bool]] = []
    tracking = track(failing(), camera=CAMERA, smooth=False)
    with pytest.raises(SourceError, match="the camera was unplugged"):
        seen.extend((estimate.frame, estimate.tracked) for estimate in tracking)
    assert seen == [(0, True), (1, True), (2, True)]
    assert len(tracking.result) == 3


def test_the_rate_comes_from_the_frames_times_or_is_assumed() -> None:
    timed, untimed = Run(CAMERA, smooth=False), Run(CAMERA, smooth=False)
    for with_time, without in zip(frames()[:2], frames(timed=False)[:2], strict=True):
        timed.push(with_time)
        untimed.push(without)
    assert timed.track("x", None).fps == pytest.approx(FPS)
    assumed = untimed.track("x", None)
    assert assumed.fps == 30
    assert assumed.notes[0] == "No frame rate is known; 30 frames a second were assumed."


def test_frames_without_any_hand_are_an_error() -> None:
    run = Run(CAMERA)
    run.push(SequenceFrame(0, "a", np.zeros((240, 320), np.float32)))
    run.push(SequenceFrame(1, "b", np.full((240, 320), 800, np.float32)))
    with pytest.raises(ObservationError, match="no hand was found in any of 2 frames"):
        run.track("x", FPS)


def test_unreadable_frames_are_named_in_the_track() -> None:
    run = Run(CAMERA, smooth=True)
    first, second, third = frames()[:3]
    for frame in (
        first,
        SequenceFrame(1, "b", np.zeros_like(second.depth_mm), 1 / FPS, problem="b: is damaged"),
        third,
    ):
        run.push(frame)
    result = run.track("x", FPS)
    assert result.errors == {1: "b: is damaged"}
    line = result.line(1, result.joints_mm())
    assert (line["error"], line["tracked"], line["name"]) == ("b: is damaged", False, "b")


def test_frames_too_far_apart_are_not_smoothed() -> None:
    run = Run(CAMERA)
    for index in range(4):
        shifted = np.roll(frames()[0].depth_mm, (-1) ** index * 16, axis=1)
        run.push(SequenceFrame(index, str(index), shifted))
    result = run.track("x", FPS)
    assert not result.smoothed
    assert "too far between frames" in result.notes[-1]
    assert len(result) == 4


def test_real_frames_are_followed_although_they_are_far_apart(shared_data: Path) -> None:
    result = track(shared_data / "sr305").finish()
    assert result.tracked.all()
    assert result.confidence.min() > 0.9, "as single fits of the same frames say"
    assert result.unexplained_fraction.max() < 0.25
    assert not result.smoothed


def test_frames_that_the_camera_dropped_are_passed_over() -> None:
    """Every third frame is missing: poses go on over the real interval, and keep their places in time."""
    run = Run(CAMERA, fps=FPS)
    kept = [frame for frame in frames()[: DROPOUT[0]] if frame.index % 3 != 2]
    for number, frame in enumerate(kept):
        run.push(SequenceFrame(number, frame.name, frame.depth_mm, frame.time_s))
    result = run.track("x", FPS)
    assert result.tracked.all()
    assert result.time_s == pytest.approx([frame.index / FPS for frame in kept])
    off = np.linalg.norm(result.joints_mm() - truth()[[frame.index for frame in kept]], axis=2)
    assert np.median(off) < 5.0
    assert result.refitted.sum() <= 2


def test_the_way_back_goes_as_fast_as_the_way_there() -> None:
    run = Run(CAMERA)
    for frame in frames()[:2]:
        run.push(frame)
    later = SequenceFrame(2, "c", frames()[2].depth_mm, frames()[1].time_s + 3 / FPS)  # type: ignore[operator]
    assert run._intervals.advance(later, frames()[1]) == pytest.approx(1.5)  # of a median of 1 and 3 frames
    assert run._intervals.between(later, frames()[1]) == pytest.approx(1.5)
    assert run._intervals.between(frames()[0], later) == 1.0, "time that goes back says nothing"
