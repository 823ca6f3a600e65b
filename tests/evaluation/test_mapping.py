"""The joints of each data set, made from the 21 keypoints."""

import numpy as np
import pytest
from support import label_files
from support.problems_hand import random_rotations

from handopt.errors import ShapeError
from handopt.evaluation.mapping import (
    ICVL,
    JOINT_SETS,
    KEYPOINTS,
    MSRA,
    NYU,
    JointSet,
    lateral_direction,
    map_keypoints,
)
from handopt.rig import KEYPOINT_NAMES, default_rig


def mapped(joint_set: JointSet, joints: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(joint_set.joints, map_keypoints(joints, joint_set), strict=True))


def by_name(joints: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(KEYPOINT_NAMES, joints, strict=True))


def test_nyu_joints_follow_the_documented_mapping() -> None:
    joints = label_files.hand()
    at, found = by_name(joints), mapped(NYU, joints)
    assert len(found) == 14
    for finger in ("index", "middle", "ring", "pinky"):
        assert found[f"{finger}_tip"] == pytest.approx(at[f"{finger}_tip"])
        assert found[f"{finger}_mid"] == pytest.approx(at[f"{finger}_pip"])
    assert found["thumb_mid"] == pytest.approx(at["thumb_ip"])
    assert found["thumb_base"] == pytest.approx(0.65 * at["thumb_mcp"] + 0.35 * at["thumb_cmc"])
    knuckles = np.mean([at[f"{finger}_mcp"] for finger in ("index", "middle", "ring", "pinky")], axis=0)
    assert found["palm_centre"] == pytest.approx(0.3 * at["wrist"] + 0.7 * knuckles)
    sides = found["wrist_little_side"] - found["wrist_thumb_side"]
    assert np.linalg.norm(sides) == pytest.approx(34.0)
    assert sides @ (at["pinky_mcp"] - at["index_mcp"]) > 0
    assert sides @ (at["middle_mcp"] - at["wrist"]) == pytest.approx(0.0, abs=1e-9)


def test_icvl_points_are_the_middles_of_the_phalanges() -> None:
    joints = label_files.hand()
    at, found = by_name(joints), mapped(ICVL, joints)
    assert list(found)[:7] == ["palm", "thumb_root", "thumb_mid", "thumb_tip", "index_root", "index_mid", "index_tip"]
    assert len(found) == 16
    assert found["thumb_root"] == pytest.approx((at["thumb_cmc"] + at["thumb_mcp"]) / 2)
    assert found["ring_mid"] == pytest.approx((at["ring_pip"] + at["ring_dip"]) / 2)
    assert found["pinky_tip"] == pytest.approx(at["pinky_tip"])


def test_msra_joints_are_our_keypoints_in_another_order() -> None:
    joints = np.arange(63.0).reshape(21, 3)
    found = map_keypoints(joints, MSRA)
    order = [0, *range(5, 21), 1, 2, 3, 4]
    assert np.array_equal(found, joints[order])


@pytest.mark.parametrize("joint_set", JOINT_SETS.values(), ids=list(JOINT_SETS))
def test_every_mapping_moves_with_the_hand(joint_set: JointSet) -> None:
    joints = label_files.hand()
    assert joint_set.weights.sum(axis=1) == pytest.approx(1.0)
    rotation = random_rotations(np.random.default_rng(0), 1)[0]
    moved = joints @ rotation.T + (5.0, -7.0, 90.0)
    assert map_keypoints(moved, joint_set) == pytest.approx(
        map_keypoints(joints, joint_set) @ rotation.T + (5.0, -7.0, 90.0)
    )
    batch = map_keypoints(np.stack([joints, moved]), joint_set)
    assert batch[1] == pytest.approx(map_keypoints(moved, joint_set))


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_lateral_direction_points_to_the_little_finger(side: str) -> None:
    rig = default_rig(side)
    lateral = lateral_direction(rig.keypoints_mm)
    assert np.linalg.norm(lateral) == pytest.approx(1.0)
    angle = np.degrees(np.arccos(lateral @ (rig.side_sign * rig.bind[0, :, 0])))
    assert angle == pytest.approx(6.7, abs=0.1), "the docstring says 7 degrees"


def test_a_hand_in_one_point_has_no_sides() -> None:
    assert np.array_equal(map_keypoints(np.zeros((21, 3)), NYU), np.zeros((14, 3)))


@pytest.mark.parametrize("joints", [np.zeros((20, 3)), np.zeros(63), np.full((21, 3), "a")])
def test_other_shapes_are_refused(joints: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="keypoints_mm"):
        map_keypoints(joints, KEYPOINTS)
