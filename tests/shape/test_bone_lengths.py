"""The basis of single bones: one bone changes its length, the others and the palm keep theirs."""

import numpy as np
import pytest
from support.compare import assert_close

from handopt.rig import default_rig
from handopt.shape.bone_lengths import SHAPE_NAMES, shape_basis

RIG = default_rig()
VERTICES, JOINTS = shape_basis(RIG)


def bone_lengths(positions: np.ndarray) -> np.ndarray:
    keypoints = positions[RIG.keypoint_joints]
    return np.linalg.norm(keypoints[RIG.bones[:, 1]] - keypoints[RIG.bones[:, 0]], axis=1)


def test_the_proportions_come_first_as_they_are() -> None:
    vertices, joints = RIG.proportion_basis
    assert np.array_equal(VERTICES[: len(vertices)], vertices)
    assert np.array_equal(JOINTS[: len(joints)], joints)
    assert len(VERTICES) == len(JOINTS) == len(SHAPE_NAMES) == 23, "13 proportions, two bones of each of 5 digits"


@pytest.mark.parametrize("number", range(10))
def test_one_bone_grows(number: int) -> None:
    before = bone_lengths(RIG.bind[:, :, 3])
    joints = JOINTS[13 + number]
    after = bone_lengths(RIG.bind[:, :, 3] + 0.1 * joints)
    digit, part = divmod(number, 2)
    expected = before.copy()
    expected[4 * digit + 1 + part] *= 1.06  # a tenth of the unit, which is 60 % of the bone
    assert_close(after, expected, atol=1e-9, reason="rounding")


def test_the_skin_goes_with_the_bone() -> None:
    index = SHAPE_NAMES.index("index_proximal")
    tip = RIG.joint_names.index("index-finger-phalanx-distal")
    far = (RIG.skin_indices[:, 0] == tip) & (RIG.skin_weights[:, 0] > 0.99)
    assert far.any()
    assert_close(VERTICES[index][far], np.tile(JOINTS[index][tip], (int(far.sum()), 1)), atol=1e-9, reason="rounding")
    palm = (RIG.skin_indices[:, 0] == 0) & (RIG.skin_weights[:, 0] > 0.99)
    assert np.abs(VERTICES[index][palm]).max() == 0
