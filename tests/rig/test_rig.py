"""The default hand, what is derived from it, and the checks of Rig and Limits."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from handopt.assets import asset
from handopt.errors import HandoptError, RigError
from handopt.rig import ANGLE_NAMES, KEYPOINT_NAMES, Limits, Rig, default_rig, load_limits

SIDES = ("right", "left")
FINGERS = ("index", "middle", "ring", "pinky")


def posed_keypoints(rig: Rig, angles: np.ndarray) -> np.ndarray:
    """Keypoints (21, 3) in the rig frame after turning the joints by angles (15, 3)."""

    def turn(axis: int, angle: float) -> np.ndarray:
        i, j = (axis + 1) % 3, (axis + 2) % 3
        matrix = np.eye(4)
        matrix[i, i] = matrix[j, j] = np.cos(angle)
        matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
        return matrix

    bind = np.concatenate([rig.bind, np.tile([[[0.0, 0.0, 0.0, 1.0]]], (len(rig.bind), 1, 1))], axis=1)
    world: list[np.ndarray] = []
    for joint, parent in enumerate(rig.parents):
        local = bind[joint] if parent < 0 else world[parent] @ np.linalg.inv(bind[parent]) @ bind[joint]
        for row in np.flatnonzero(rig.articulated == joint):
            twist, abduction, flexion = angles[row]
            sign = rig.side_sign
            local = local @ turn(1, sign * abduction) @ turn(0, -flexion) @ turn(2, sign * twist)
        world.append(local)
    return np.array(world)[rig.keypoint_joints, :3, 3]


def hand_axes(rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors towards the palm's front and towards the thumb's side, from the keypoints alone."""
    points = dict(zip(KEYPOINT_NAMES, rig.keypoints_mm, strict=True))
    forward = points["middle_mcp"] - points["wrist"]
    thumbwards = points["index_mcp"] - points["pinky_mcp"]
    front = np.cross(forward, thumbwards)
    front *= np.sign(front @ (points["thumb_tip"] - points["wrist"]))
    return front / np.linalg.norm(front), thumbwards / np.linalg.norm(thumbwards)


def moved(rig: Rig, angle_name: str, column: int, tip: str, angle: float = 0.3) -> np.ndarray:
    angles = np.zeros((15, 3))
    angles[ANGLE_NAMES.index(angle_name), column] = angle
    at = KEYPOINT_NAMES.index(tip)
    return posed_keypoints(rig, angles)[at] - rig.keypoints_mm[at]


@pytest.mark.parametrize("side", SIDES)
def test_the_default_hand_is_welded_and_closed(side: str) -> None:
    rig = default_rig(side)
    assert rig.side == side
    assert rig.rest_mm.shape == (1159, 3)
    assert rig.faces.shape == (2314, 3)
    assert rig.is_closed
    assert rig.notes == ()
    assert rig.licence == "MIT License, Copyright (c) 2019 Amazon"
    assert len(rig.joint_names) == 25


@pytest.mark.parametrize("side", SIDES)
def test_joints_stand_in_canonical_order(side: str) -> None:
    rig = default_rig(side)
    assert rig.joint_names[0] == "wrist"
    assert rig.parents[0] == -1
    assert (rig.parents[1:] < np.arange(1, 25)).all()
    parents = {name: rig.joint_names[parent] for name, parent in zip(rig.joint_names, rig.parents, strict=True)}
    assert parents["thumb-metacarpal"] == "wrist"
    assert parents["index-finger-phalanx-proximal"] == "index-finger-metacarpal"
    assert parents["pinky-finger-tip"] == "pinky-finger-phalanx-distal"
    articulated = [rig.joint_names[joint] for joint in rig.articulated]
    assert articulated[:4] == [
        "thumb-metacarpal",
        "thumb-phalanx-proximal",
        "thumb-phalanx-distal",
        "index-finger-phalanx-proximal",
    ]


@pytest.mark.parametrize("side", SIDES)
def test_keypoints_are_those_of_an_open_hand_in_millimetres(side: str) -> None:
    rig = default_rig(side)
    lengths = np.linalg.norm(np.diff(rig.keypoints_mm[rig.bones], axis=1)[:, 0], axis=1)
    assert rig.keypoints_mm.shape == (21, 3)
    assert ((lengths > 8) & (lengths < 120)).all()
    # The finger bones shorten from the palm to the tip.
    fingers = lengths.reshape(5, 4)[1:]
    assert (np.diff(fingers, axis=1) < 0).all()
    assert np.linalg.norm(rig.keypoints_mm[12] - rig.keypoints_mm[0]) == pytest.approx(177.774, abs=1e-3)


@pytest.mark.parametrize("side", SIDES)
def test_normals_point_outward(side: str) -> None:
    rig = default_rig(side)
    assert np.linalg.norm(rig.normals, axis=1) == pytest.approx(1, abs=1e-12)
    corners = rig.rest_mm[rig.faces]
    volume = np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert volume == pytest.approx(343_234, abs=1)
    # A closed surface moved outward by 1 mm gains its area in volume.
    swollen = (rig.rest_mm + 0.01 * rig.normals)[rig.faces]
    assert np.einsum("ij,ij->", swollen[:, 0], np.cross(swollen[:, 1], swollen[:, 2])) / 6 > volume


@pytest.mark.parametrize("side", SIDES)
def test_zero_angles_are_the_bind_pose(side: str) -> None:
    rig = default_rig(side)
    assert posed_keypoints(rig, np.zeros((15, 3))) == pytest.approx(rig.keypoints_mm, abs=1e-9)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("finger", FINGERS)
@pytest.mark.parametrize("joint", ["mcp", "pip", "dip"])
def test_positive_flexion_bends_towards_the_palm(side: str, finger: str, joint: str) -> None:
    rig = default_rig(side)
    front, _ = hand_axes(rig)
    motion = moved(rig, f"{finger}_{joint}", 2, f"{finger}_tip")
    assert motion @ front > 0.8 * np.linalg.norm(motion)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("finger", FINGERS)
def test_positive_abduction_moves_a_finger_towards_the_thumb(side: str, finger: str) -> None:
    rig = default_rig(side)
    _, thumbwards = hand_axes(rig)
    motion = moved(rig, f"{finger}_mcp", 1, f"{finger}_tip")
    assert motion @ thumbwards > 0.8 * np.linalg.norm(motion)


@pytest.mark.parametrize("side", SIDES)
def test_the_thumb_abducts_forwards_flexes_across_the_palm_and_twists_into_opposition(side: str) -> None:
    rig = default_rig(side)
    front, thumbwards = hand_axes(rig)
    abduction = moved(rig, "thumb_cmc", 1, "thumb_tip")
    assert abduction @ front > 0.7 * np.linalg.norm(abduction)
    for joint in ("cmc", "mcp", "ip"):
        flexion = moved(rig, f"thumb_{joint}", 2, "thumb_tip")
        assert flexion @ -thumbwards > 0.6 * np.linalg.norm(flexion)
    # The pad of the neutral thumb faces the little finger's side; opposition turns it, and the bent tip, to the palm.
    bent = np.zeros((15, 3))
    bent[1:3, 2] = 0.8
    opposed = bent.copy()
    opposed[0, 0] = 0.8
    motion = posed_keypoints(rig, opposed)[4] - posed_keypoints(rig, bent)[4]
    assert motion @ -front > 0.6 * np.linalg.norm(motion)


def test_the_left_hand_mirrors_the_right_in_every_pose() -> None:
    angles = np.random.default_rng(3).uniform(-0.5, 0.5, (15, 3))
    right = posed_keypoints(default_rig("right"), angles)
    left = posed_keypoints(default_rig("left"), angles)
    assert left == pytest.approx(right * [-1, 1, 1], abs=1e-9)


@pytest.mark.parametrize("side", SIDES)
def test_mirrored_equals_the_file_of_the_other_side(side: str) -> None:
    mirrored = default_rig(side).mirrored()
    other = default_rig("left" if side == "right" else "right")
    assert (mirrored.side, mirrored.name) == (other.side, other.name)
    assert mirrored.rest_mm == pytest.approx(other.rest_mm, abs=1e-4)
    assert mirrored.bind == pytest.approx(other.bind, abs=1e-6)
    assert mirrored.normals == pytest.approx(other.normals, abs=1e-6)
    for field in ("faces", "skin_indices", "skin_weights", "parents", "joint_names"):
        assert np.array_equal(getattr(mirrored, field), getattr(other, field)), field


def test_mirroring_twice_is_the_identity() -> None:
    rig = default_rig()
    twice = rig.mirrored().mirrored()
    assert (twice.name, twice.side) == (rig.name, rig.side)
    for field in ("rest_mm", "faces", "bind", "skin_indices", "skin_weights"):
        assert np.array_equal(getattr(twice, field), getattr(rig, field)), field


@pytest.mark.parametrize("kind", ["uniform", "cotangent"])
def test_the_laplacian_is_zero_on_constants_and_small_on_the_surface(kind: str) -> None:
    rig = default_rig()
    laplacian = rig.laplacian(kind)
    assert laplacian.shape == (1159, 1159)
    assert np.abs(laplacian @ np.ones(1159)).max() < 1e-12
    assert laplacian.diagonal() == pytest.approx(1)
    bump = rig.rest_mm.copy()
    bump[100] += [0, 0, 5.0]
    assert np.linalg.norm(laplacian @ bump) > np.linalg.norm(laplacian @ rig.rest_mm)
    if kind == "uniform":
        neighbours = np.unique(rig.faces[(rig.faces == 100).any(axis=1)])
        mean = rig.rest_mm[neighbours[neighbours != 100]].mean(axis=0)
        assert (laplacian @ rig.rest_mm)[100] == pytest.approx(rig.rest_mm[100] - mean)


def test_an_unknown_laplacian_is_refused() -> None:
    with pytest.raises(RigError, match="'uniform' or 'cotangent'"):
        default_rig().laplacian("graph")


def test_the_default_rig_is_loaded_once_and_cannot_be_changed() -> None:
    rig = default_rig()
    assert default_rig() is rig
    with pytest.raises(ValueError, match="read-only"):
        rig.rest_mm[0, 0] = 1


def test_importing_rig_loads_neither_pygltflib_nor_scipy() -> None:
    code = "import sys, handopt.rig; print(sorted({'pygltflib', 'scipy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# Limits


def test_the_printed_and_the_swapped_limits_differ_in_two_rows() -> None:
    printed, swapped = load_limits("printed"), load_limits("swapped")
    for field in ("lower", "upper"):
        first, second = getattr(printed, field), getattr(swapped, field)
        assert np.array_equal(first[:3], second[3:6])
        assert np.array_equal(first[3:6], second[:3])
        assert np.array_equal(first[6:], second[6:])
    # Spot checks against Table 1: index twist, middle MCP abduction, little DIP flexion.
    assert (printed.lower[3, 0], printed.upper[3, 0]) == (-1.4, 0.1)
    assert (printed.lower[6, 1], printed.upper[6, 1]) == (-0.8, 0.2)
    assert (printed.lower[14, 2], printed.upper[14, 2]) == (-0.3, 1.6)
    assert (swapped.lower[0, 0], swapped.upper[0, 0]) == (-1.4, 0.1)


def test_the_default_limits_hold_the_neutral_pose_and_leave_22_degrees_of_freedom() -> None:
    limits = default_rig().limits
    assert limits.name == "default"
    assert (limits.lower <= 0).all()
    assert (limits.upper >= 0).all()
    assert limits.free.sum() == 22
    assert limits.free[0].all()
    assert not limits.free[1:, 0].any()


def test_a_set_of_limits_can_be_chosen() -> None:
    assert default_rig("left", "printed").limits.upper[3, 2] == 0.6


def test_an_unknown_set_of_limits_is_refused_with_a_suggestion() -> None:
    with pytest.raises(RigError, match=r"only default, printed, swapped; did you mean 'swapped'"):
        load_limits("swaped")


def test_limits_out_of_order_are_refused() -> None:
    bounds = np.zeros((15, 3))
    with pytest.raises(RigError, match=r"lower > upper in row 4, flexion"):
        Limits("mine", bounds + (np.arange(45).reshape(15, 3) == 14), bounds)
    with pytest.raises(RigError, match="finite"):
        Limits("mine", bounds - np.inf, bounds)
    with pytest.raises(RigError, match=r"shape \(15, 2\)"):
        Limits("mine", bounds[:, :2], bounds)


# What the constructor refuses


def changed(field: str, index: tuple[int, ...], value: float) -> dict[str, np.ndarray]:
    array = getattr(default_rig(), field).copy()
    array[index] = value
    return {field: array}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"side": "both"}, "'right' or 'left'"),
        ({"rest_mm": np.zeros((5, 2))}, "rest_mm has shape"),
        (changed("rest_mm", (7, 1), np.nan), "rest_mm contains NaN"),
        (changed("faces", (3, 2), 1159), "faces refer to vertices"),
        (changed("skin_indices", (3, 0), 25), "joints that do not exist"),
        (changed("skin_weights", (3, 0), 0.0), "sum to 1"),
        (changed("bind", (2, 0, 0), 2.0), "must be rotations"),
        (changed("parents", (3,), 0), "canonical order"),
        ({"joint_names": ("wirst", *default_rig().joint_names[1:])}, "unknown joint 'wirst'"),
        ({"joint_names": (*default_rig().joint_names[:-1], "wrist")}, "missing joint 'pinky-finger-tip'"),
    ],
)
def test_an_inconsistent_rig_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RigError, match=message):
        replace(default_rig(), **changes)


def test_a_rig_of_few_vertices_is_refused() -> None:
    rig = default_rig()
    with pytest.raises(RigError, match="too few vertices: 99"):
        replace(rig, rest_mm=rig.rest_mm[:99], skin_indices=rig.skin_indices[:99], skin_weights=rig.skin_weights[:99])


def test_an_asset_that_is_missing_is_named() -> None:
    with pytest.raises(HandoptError, match=r"both\.glb that belongs to handopt is missing"):
        asset("hands/both.glb")
