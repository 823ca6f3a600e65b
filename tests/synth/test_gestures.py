"""Tests of gestures and free poses before any test of overlaps."""

import numpy as np
import pytest

from handopt.rig import default_rig
from handopt.synth.gestures import GESTURES, free_angles, gesture_angles, mild_angles, sample_gesture

RIG = default_rig("right")


def flexion(angles: np.ndarray) -> np.ndarray:
    """Sum of a finger's three flexions, (n, 4), index to pinky."""
    return angles[:, 3:, 2].reshape(-1, 4, 3).sum(axis=2)


def test_every_gesture_is_drawn_and_none_too_often() -> None:
    rng = np.random.default_rng(0)
    names = [sample_gesture(rng) for _ in range(3000)]
    counts = {name: names.count(name) for name in GESTURES}
    assert min(counts.values()) > 20
    assert max(counts.values()) < 400


@pytest.mark.parametrize(
    ("name", "straight"),
    [("fist", 0), ("thumb_up", 0), ("point", 1), ("two", 2), ("three", 3), ("four", 4), ("five", 4)],
)
def test_counting_gestures_have_their_number_of_straight_fingers(name: str, straight: int) -> None:
    bent = flexion(gesture_angles(np.random.default_rng(1), name, 50))
    assert ((bent < 1.2).sum(axis=1) == straight).all()
    assert ((bent > 2.5).sum(axis=1) == 4 - straight).all()


def test_free_poses_reach_over_the_range_and_bend_their_joints_together() -> None:
    angles = np.clip(free_angles(np.random.default_rng(2), 4000, 0.6), RIG.limits.lower, RIG.limits.upper)
    mcp, pip, dip = (angles[:, 3 + row :: 3, 2] for row in range(3))
    assert mcp.min() < -0.25
    assert np.percentile(mcp, 99) > 1.5
    assert pip.min() < 0.0
    assert np.percentile(pip, 99) > 1.7
    assert np.percentile(dip, 99) > 1.2
    assert np.corrcoef(pip.ravel(), dip.ravel())[0, 1] > 0.7
    assert 0.2 < np.corrcoef(mcp.ravel(), pip.ravel())[0, 1] < 0.8
    neighbours = np.corrcoef(pip[:, 1], pip[:, 2])[0, 1]
    assert 0.2 < neighbours < 0.9
    thumb = angles[:, 0]
    assert np.percentile(thumb[:, 0], 2) < -0.1  # twist, away from and towards opposition
    assert np.percentile(thumb[:, 0], 98) > 0.8


def test_bent_fingers_hardly_spread() -> None:
    angles = free_angles(np.random.default_rng(3), 4000, 0.5)
    flexed, spread = angles[:, 3::3, 2], np.abs(angles[:, 3::3, 1])
    assert spread[flexed > 1.3].mean() < 0.4 * spread[flexed < 0.2].mean()


def test_mild_poses_are_nearly_open() -> None:
    bent = flexion(mild_angles(np.random.default_rng(4), 1000))
    assert 0.3 < bent.mean() < 0.6
    assert np.percentile(bent, 99) < 1.3


def test_only_the_thumb_twists() -> None:
    for angles in (gesture_angles(np.random.default_rng(5), "fist", 5), free_angles(np.random.default_rng(5), 5, 0.5)):
        assert (angles[:, 1:, 0] == 0).all()
