"""Joints follow the skin: along their bones, and exactly not at all where the skin stays."""

import numpy as np
import pytest
from support.compare import assert_close

from handopt.rig import default_rig
from handopt.shape.joint_regression import joint_regressor

RIG = default_rig()
REGRESSOR = joint_regressor(RIG)


def test_the_own_mesh_gives_the_own_joints() -> None:
    assert np.array_equal(REGRESSOR.shifts(np.zeros_like(RIG.rest_mm)), np.zeros((len(RIG.bind), 3)))
    assert_close(REGRESSOR.weights.sum(axis=1), np.ones(len(RIG.bind)), atol=1e-12, reason="rounding")
    assert REGRESSOR.weights.min() >= 0


@pytest.mark.parametrize("name", ["index-finger-phalanx-intermediate", "middle-finger-tip", "thumb-phalanx-distal"])
def test_a_longer_finger_has_a_longer_bone(name: str) -> None:
    joint = RIG.joint_names.index(name)
    bone = RIG.bind[joint, :, 3] - RIG.bind[RIG.parents[joint], :, 3]
    unit = bone / np.linalg.norm(bone)
    shifts = REGRESSOR.shifts(np.tile(3.0 * unit, (len(RIG.rest_mm), 1)))
    assert 2.5 < shifts[joint] @ unit <= 3.0 + 1e-9


def test_a_thicker_finger_keeps_its_joints() -> None:
    shifts = REGRESSOR.shifts(2.0 * RIG.normals)
    moved = np.linalg.norm(shifts[RIG.keypoint_joints], axis=1)
    tips = np.arange(4, 21, 4)
    assert np.delete(moved, tips).max() < 1.0  # half of the skin's 2 mm and less
    assert moved[tips].min() > 0.1  # the skin beyond a tip moves on


def test_backward_is_the_transpose_of_shifts(rng: np.random.Generator) -> None:
    offsets, cotangent = rng.normal(size=RIG.rest_mm.shape), rng.normal(size=(len(RIG.bind), 3))
    forward = (REGRESSOR.shifts(offsets) * cotangent).sum()
    backward = (offsets * REGRESSOR.backward(cotangent)).sum()
    assert forward == pytest.approx(backward, rel=1e-12)
    assert abs(forward) > 1e-3
