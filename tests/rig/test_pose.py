"""Poses of a rig in NumPy against rotations written out, and names of joints against published lists."""

import numpy as np
import pytest

from handopt.errors import ShapeError
from handopt.rig import KEYPOINT_NAMES, default_rig
from handopt.rig.joints import JOINT_TABLE, canonical_name, from_mano_order, to_mano_order
from handopt.rig.pose import joint_transforms, posed_keypoints, posed_vertices
from handopt.rig.skinned import Skinned

RIG = default_rig("right")
# The joints of MANO and the tips after them, as manopth and smplx order them.
MANO = (
    *("wrist", "index_mcp", "index_pip", "index_dip", "middle_mcp", "middle_pip", "middle_dip"),
    *("pinky_mcp", "pinky_pip", "pinky_dip", "ring_mcp", "ring_pip", "ring_dip", "thumb_cmc", "thumb_mcp", "thumb_ip"),
    *("thumb_tip", "index_tip", "middle_tip", "ring_tip", "pinky_tip"),
)
OPENXR = {
    "XR_HAND_JOINT_WRIST_EXT": "wrist",
    "XR_HAND_JOINT_THUMB_METACARPAL_EXT": "thumb_cmc",
    "XR_HAND_JOINT_THUMB_PROXIMAL_EXT": "thumb_mcp",
    "XR_HAND_JOINT_THUMB_DISTAL_EXT": "thumb_ip",
    "XR_HAND_JOINT_INDEX_METACARPAL_EXT": None,
    "XR_HAND_JOINT_INDEX_PROXIMAL_EXT": "index_mcp",
    "XR_HAND_JOINT_LITTLE_INTERMEDIATE_EXT": "pinky_pip",
    "XR_HAND_JOINT_LITTLE_DISTAL_EXT": "pinky_dip",
    "XR_HAND_JOINT_RING_TIP_EXT": "ring_tip",
}


def test_zero_angles_place_the_rest_mesh_by_rotation_scale_and_wrist(rng: np.random.Generator) -> None:
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    place = np.array([10.0, -20.0, 500.0])
    transforms = joint_transforms(RIG, turn[None], place[None], np.zeros((1, 15, 3)), [1.2])
    wrist = RIG.bind[0, :, 3]
    np.testing.assert_allclose(
        posed_vertices(RIG, transforms)[0], 1.2 * (RIG.rest_mm - wrist) @ turn.T + place, atol=1e-9
    )
    np.testing.assert_allclose(
        posed_keypoints(RIG, transforms)[0], 1.2 * (RIG.keypoints_mm - wrist) @ turn.T + place, atol=1e-9
    )


def test_many_poses_are_each_of_them_alone_and_a_skinned_copy_poses_alike(rng: np.random.Generator) -> None:
    angles = rng.uniform(-0.3, 0.6, (3, 15, 3))
    turns, places, scales = np.repeat(np.eye(3)[None], 3, axis=0), rng.normal(0, 100, (3, 3)), rng.uniform(0.8, 1.2, 3)
    together = joint_transforms(RIG, turns, places, angles, scales)
    for row in range(3):
        one = slice(row, row + 1)
        alone = joint_transforms(RIG, turns[one], places[one], angles[one], scales[one])
        np.testing.assert_array_equal(together[one], alone)
    vertices, joints = Skinned.of(RIG).posed(turns, places, angles, scales)
    np.testing.assert_array_equal(vertices, posed_vertices(RIG, together))
    np.testing.assert_array_equal(joints, posed_keypoints(RIG, together))


def test_another_bind_moves_the_joints() -> None:
    bind = RIG.bind.copy()
    bind[:, :, 3] += [5.0, 0.0, 0.0]
    pose = (np.eye(3)[None], np.zeros((1, 3)), np.full((1, 15, 3), 0.2), np.ones(1))
    moved, own = joint_transforms(RIG, *pose, bind), joint_transforms(RIG, *pose)
    # The wrist goes to the given place in both: the skin is 5 mm to the left where all joints moved to the right.
    np.testing.assert_allclose(moved[0, 0, :, 3] - own[0, 0, :, 3], [-5.0, 0.0, 0.0], atol=1e-9)


@pytest.mark.parametrize("angles", [np.zeros((1, 14, 3)), np.zeros((2, 15, 3))])
def test_poses_of_other_shapes_are_refused(angles: np.ndarray) -> None:
    with pytest.raises(ShapeError):
        joint_transforms(RIG, np.eye(3)[None], np.zeros((1, 3)), angles, np.ones(1))


def test_manos_order_is_that_of_its_layers() -> None:
    numbers = np.arange(21.0)[:, None].repeat(3, axis=1)
    rows = from_mano_order(numbers)[:, 0].astype(int)
    assert tuple(MANO[row] for row in rows) == KEYPOINT_NAMES
    np.testing.assert_array_equal(to_mano_order(from_mano_order(numbers)), numbers)
    batch = np.stack([numbers, 100 + numbers])
    np.testing.assert_array_equal(to_mano_order(batch)[1], to_mano_order(100 + numbers))


@pytest.mark.parametrize("joints", [np.zeros((20, 3)), np.zeros((21, 2)), np.zeros((21, 3), bool), [["a"] * 3] * 21])
def test_joints_of_other_shapes_are_refused(joints: object) -> None:
    with pytest.raises(ShapeError, match=r"\(\.\.\., 21, 3\)"):
        from_mano_order(joints)


def test_the_table_has_every_joint_of_webxr_once_and_openxrs_names() -> None:
    assert len(JOINT_TABLE) == len({joint.webxr for joint in JOINT_TABLE}) == 25
    assert [joint.webxr for joint in JOINT_TABLE[:3]] == ["wrist", "thumb-metacarpal", "thumb-phalanx-proximal"]
    table = {joint.openxr: joint for joint in JOINT_TABLE}
    assert {name: table[name].keypoint for name in OPENXR} == OPENXR
    assert tuple(joint.keypoint for joint in JOINT_TABLE if joint.keypoint) == KEYPOINT_NAMES
    for joint in JOINT_TABLE:
        assert canonical_name(joint.openxr) == canonical_name(joint.webxr) == joint.webxr
        assert joint.keypoint is None or canonical_name(joint.keypoint) == joint.webxr
        assert (joint.keypoint is None) == (joint.mano is None)
