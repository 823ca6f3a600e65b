"""How sure frames of a track are."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from support.sequences import CAMERA, DROPOUT, FPS, followed, frames, truth

from handopt.assess.calibration import weights
from handopt.assess.config import ASSESS
from handopt.config import FitSettings
from handopt.input.sequence.base import SequenceFrame
from handopt.rig import default_rig
from handopt.tracking import confidence
from handopt.tracking.confidence import CONFIDENCE, features, ranges, spread_mm2
from handopt.tracking.config import TrackConfidenceConfig, TrackingConfig
from handopt.tracking.pose_estimate import PoseEstimate
from handopt.tracking.run import Run
from handopt.tracking.tracker import Tracker
from handopt.typing import Floats


@lru_cache
def first_pose() -> PoseEstimate:
    """What is found in the first frame."""
    run = Run(CAMERA, smooth=False)
    run.push(frames()[0])
    (first,) = run.poses
    assert first is not None
    return first


def found(jump: float = 0.0, unexplained: float = 0.1) -> list[PoseEstimate | None]:
    """A hand at rest whose index finger's tip jumps once, in frame 20 of 40; there is none in frame 5."""
    first = first_pose()
    rows: list[PoseEstimate | None] = [replace(first, unexplained_fraction=unexplained, runner_up_margin=1.0)] * 40
    moved = first.joints_mm.copy()
    moved[8, 0] += jump
    rows[20] = replace(first, joints_mm=moved, joint_visible=np.ones(21, np.bool_), unexplained_fraction=unexplained)
    rows[5] = None
    return rows


def test_features_say_what_is_unusual() -> None:
    rows = features(found(jump=40.0), causal=False)
    assert np.isnan(rows[5]).all()
    jump = confidence.FEATURES.index("log_jump")
    assert rows[20, jump] > rows[35, jump]
    assert rows[14, jump] > 0
    assert features(found(jump=40.0), causal=True)[14, jump] == 0, "nothing is known of later frames"
    assert rows[35, :2] == pytest.approx([np.log(0.1), 1.0])


def test_what_only_rendered_hands_show_does_not_count() -> None:
    def seen(**changes: float) -> Floats:
        first = replace(first_pose(), **{"unexplained_fraction": 0.2, "runner_up_margin": 0.5} | changes)
        return confidence.confidence(features([first] * 5, causal=False))

    assert seen(unexplained_fraction=0.05) == pytest.approx(seen())
    assert seen(runner_up_margin=0.1) == pytest.approx(seen())
    assert (seen(unexplained_fraction=0.3) < seen()).all()
    assert (seen(runner_up_margin=0.02) < seen()).all()
    small, large = (
        confidence.confidence(features(found(jump), causal=False))[20] for jump in (CONFIDENCE.least_jump_mm / 2, 30.0)
    )
    assert large < small == pytest.approx(confidence.confidence(features(found(), causal=False))[20])


@pytest.mark.parametrize("change", [{"unexplained_fraction": 0.6}, {"anchor_confidence": 0.4}])
def test_frames_that_nothing_speaks_for_are_doubtful(change: dict[str, float]) -> None:
    calm = replace(first_pose(), unexplained_fraction=0.1, runner_up_margin=1.0)
    sure, doubtful = (
        confidence.confidence(features([each] * 5, causal=False)) for each in (calm, replace(calm, **change))
    )
    assert (sure >= ASSESS.confident).all()
    assert (doubtful < ASSESS.doubtful).all()


def test_a_frame_with_a_jump_or_much_unexplained_is_less_sure() -> None:
    calm = confidence.confidence(features(found(), causal=False))
    jumped = confidence.confidence(features(found(jump=80.0), causal=False))
    assert np.isnan(calm[5])
    assert jumped[20] < calm[20]
    assert confidence.confidence(features(found(unexplained=0.4), causal=False))[20] < calm[20]


def walk(step_mm: float, anchor: float = 0.99, tip_mm: float = 0.0) -> list[PoseEstimate | None]:
    """A hand that goes to and fro between 30 frames, as far as given, and a fingertip farther."""
    first = replace(first_pose(), runner_up_margin=1.0, anchor_confidence=anchor)
    off = np.tile([step_mm, 0.0, 0.0], (21, 1))
    off[8, 0] += tip_mm
    visible = np.ones(21, np.bool_)
    return [
        replace(first, joints_mm=first.joints_mm + (row % 2) * off, joint_visible=visible, refitted=True)
        for row in range(30)
    ]


def test_a_live_estimate_is_as_sure_as_the_track(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three frames far apart and two close together: whether frames are far apart is told by all five bends."""
    first = replace(first_pose(), runner_up_margin=1.0, anchor_confidence=0.99)
    bends_mm = [0.0, 0.0, 160.0, -160.0, 160.0, -8.0, 8.0]
    places_mm = np.cumsum(np.cumsum(bends_mm))
    poses = iter([replace(first, joints_mm=first.joints_mm + np.array([x, 0.0, 0.0])) for x in places_mm])
    monkeypatch.setattr(Tracker, "step", lambda _, state, *__: (replace(state, shape=first.shape), next(poses)))
    few = TrackingConfig(confidence=TrackConfidenceConfig(usual_frames=4, jump_frames=2))
    run = Run(CAMERA, smooth=False, tracking=few, settings=FitSettings(device="cpu"))
    live = [run.push(frame).confidence for frame in frames()[: len(bends_mm)]]
    np.testing.assert_array_equal(run.track("frames", 30.0).confidence, live)


@pytest.mark.parametrize("causal", [True, False])
def test_frames_that_are_far_apart_have_the_confidence_of_their_own_fits(causal: bool) -> None:
    still, far = (confidence.confidence(features(walk(step), causal=causal)) for step in (0.0, 80.0))
    assert far == pytest.approx(still)
    dense = confidence.confidence(features(walk(4.0, tip_mm=20.0), causal=causal))
    assert (dense[3:] < still[3:] - 1e-4).all(), "between frames that are close together a jump is a fault"
    away = confidence.confidence(features(walk(80.0, tip_mm=20.0), causal=causal))
    assert away == pytest.approx(still)


def test_jumps_of_a_track_that_rests_on_nothing_count_however_far_apart_frames_are() -> None:
    still, far = (confidence.confidence(features(walk(step, anchor=0.6), causal=False)) for step in (0.0, 80.0))
    assert (far < 0.6).all()
    assert (still >= ASSESS.confident).all()


def test_the_spread_is_that_of_poses_drawn_from_the_covariance(rng: np.random.Generator) -> None:
    rig = default_rig("right")
    (first,) = found()[:1]
    assert first is not None
    size = len(first.covariance)
    small = np.zeros((size, size), np.float32)
    small[3:6, 3:6] = np.diag([1.0, 4.0, 9.0])
    shifted = spread_mm2([replace(first, covariance=small), None], rig, 1.0, np.zeros(13))
    assert np.allclose(shifted[0], 14.0)
    assert np.isnan(shifted[1]).all()
    turned = np.zeros((size, size), np.float32)
    turned[:3, :3] = 1e-4 * np.eye(3)
    spread = spread_mm2([replace(first, covariance=turned)], rig, 1.0, np.zeros(13))[0]
    away = np.linalg.norm(first.joints_mm - first.joints_mm[0], axis=1)
    assert spread[0] == pytest.approx(0, abs=1e-3)
    assert np.all(np.diff(spread[[0, 9, 12]]) > 0), "farther joints move more"
    assert spread[12] == pytest.approx(2e-4 * away[12] ** 2, rel=0.3)


def test_a_track_says_how_sure_it_is() -> None:
    track = followed()
    assert np.isnan(track.confidence[~track.tracked]).all()
    assert track.confidence[track.tracked].min() > 0.5
    assert not track.doubtful.any()
    errors = np.linalg.norm(track.joints_mm() - truth(), axis=2)[track.tracked]
    radii = track.joint_uncertainty_mm[track.tracked]
    assert (errors < 3 * radii).mean() > 0.6
    line = track.line(0, track.joints_mm())
    assert line["confidence"] > 0.5
    assert len(line["joint_uncertainty_mm"]) == 21
    gap = track.line(DROPOUT[0], track.joints_mm())
    assert gap["confidence"] is None
    assert gap["joint_uncertainty_mm"] is None
    assert track.header()["missing_frames"] == [f"{DROPOUT[0]}-{sum(DROPOUT) - 1}"]
    assert track.header()["doubtful_frames"] == []


def test_a_doubtful_start_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def doubtful(table: str, *names: str) -> tuple[float, ...]:
        return (-3.0, *[0.0] * 3) if table == "track_confidence" else weights(table, *names)

    monkeypatch.setattr(confidence, "weights", doubtful)
    run = Run(CAMERA, smooth=False)
    for frame in frames()[:2]:
        run.push(frame)
    track = run.track("x", FPS)
    assert track.doubtful.all()
    assert "The start is doubtful" in track.notes[-1]


def test_times_that_stand_still_are_not_used() -> None:
    run = Run(CAMERA, smooth=False, fps=10.0)
    for index, frame in enumerate(frames()[:3]):
        run.push(SequenceFrame(index, frame.name, frame.depth_mm, 0.0))
    track = run.track("x", 10.0)
    assert track.time_s == pytest.approx([0.0, 0.1, 0.2])
    assert "none after that of the frame before; 10 frames a second were assumed" in track.notes[0]


def test_ranges_are_short() -> None:
    assert ranges(np.array([1, 1, 0, 1, 0, 1, 1, 1], np.bool_)) == ["0-1", "3", "5-7"]
    assert ranges(np.zeros(3, np.bool_)) == []
