"""Sequences as a network sees them: as good as whole images, which are observed again where the hand is lost."""

import numpy as np
import pytest
from support.sequences import CAMERA, FPS, frames, truth

from handopt.config import FitSettings
from handopt.errors import ConfigError, ObservationError
from handopt.input.sequence.base import SequenceFrame
from handopt.tracking import predictor
from handopt.tracking.prediction import PredictionRun
from handopt.typing import Floats

FIRST, COUNT = 13, 10
"""Frames of the sequence, in which the hand is missing in two."""


def predicted(hand: str, refine: int = 0) -> PredictionRun:
    run = PredictionRun(CAMERA, hand, FitSettings("scale", device="cpu", refine=refine))
    for frame in frames("left" if hand == "left" else "right")[FIRST : FIRST + COUNT]:
        run.push(frame)
    return run


def errors_of(run: PredictionRun, side: str = "right") -> Floats:
    joints = run.track("frames", FPS).joints_mm()
    return np.asarray(np.linalg.norm(joints - truth(side)[FIRST : FIRST + COUNT], axis=-1).mean(axis=1))


def test_a_look_at_a_part_is_as_good_as_one_at_the_whole_image(monkeypatch: pytest.MonkeyPatch) -> None:
    near = predicted("right")
    track = near.track("frames", FPS)
    assert track.tracked.tolist() == [True] * 5 + [False] * 2 + [True] * 3
    assert track.refitted.tolist()[:5] == [True] + [False] * 4
    assert track.refitted[7], "after the hand was away the whole image is observed"
    monkeypatch.setattr(predictor, "LOST", -1.0)
    monkeypatch.setattr(predictor, "WORSE", 0.0)
    whole = predicted("right")
    assert whole.track("frames", FPS).refitted[track.tracked].all()
    there = track.tracked
    assert errors_of(near)[there].mean() < errors_of(whole)[there].mean() + 2.0


def test_a_left_hand_is_the_mirror_image_of_a_right_one() -> None:
    right, left = (predicted(side).track("frames", FPS) for side in ("right", "left"))
    assert left.hand == "left"
    away = np.abs(left.joints_mm() * [-1.0, 1.0, 1.0] - right.joints_mm())[right.tracked]
    assert np.median(away) < 1.0, "the samples' left hand is the mirror image of their right one"


def test_steps_refine_and_a_side_is_found() -> None:
    run = predicted("auto", refine=6)
    track = run.track("frames", FPS)
    assert track.hand == "right"
    assert track.refitted[track.tracked].all()
    refined, plain = errors_of(run)[track.tracked], errors_of(predicted("right"))[track.tracked]
    assert refined.mean() < 0.8 * plain.mean()


def test_nothing_seen_and_a_delay_are_said() -> None:
    run = PredictionRun(CAMERA, "auto", FitSettings(refine=0, device="cpu"))
    estimate = run.push(SequenceFrame(0, "broken.png", np.zeros((240, 320), np.float32), problem="broken.png: is cut"))
    assert not estimate.tracked
    assert estimate.error == "broken.png: is cut"
    with pytest.raises(ObservationError, match="no hand was found in the only frame of frames"):
        run.track("frames", FPS)
    with pytest.raises(ConfigError, match="delay="):
        run.delayed(0)
