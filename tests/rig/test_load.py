"""Loading rigs from files: names, units, sides, axes, weights."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.rig_files import HandFile

from handopt.errors import RigError
from handopt.rig import Rig, default_rig, load_limits, load_rig
from handopt.rig.joints import CANONICAL, KEYPOINT_JOINTS, canonical_name

OPENXR = {"phalanx": "", "pinky": "little", "finger": ""}


def openxr_name(name: str) -> str:
    parts = [OPENXR.get(part, part) for part in name.split("-")]
    return "XR_HAND_JOINT_" + "_".join(part for part in parts if part).upper() + "_EXT"


def assert_same_hand(rig: Rig, expected: Rig, tolerance_mm: float = 1e-4) -> None:
    assert rig.side == expected.side
    assert rig.joint_names == expected.joint_names
    assert rig.rest_mm == pytest.approx(expected.rest_mm, abs=tolerance_mm)
    assert rig.bind[:, :, 3] == pytest.approx(expected.bind[:, :, 3], abs=tolerance_mm)
    assert rig.bind[:, :, :3] == pytest.approx(expected.bind[:, :, :3], abs=1e-5)
    assert np.array_equal(rig.faces, expected.faces)


# Names


@pytest.mark.parametrize(
    ("node", "canonical"),
    [
        ("wrist", "wrist"),
        ("Index-Finger-Phalanx-Proximal", "index-finger-phalanx-proximal"),
        ("XR_HAND_JOINT_INDEX_PROXIMAL_EXT", "index-finger-phalanx-proximal"),
        ("XR_HAND_JOINT_LITTLE_TIP_EXT", "pinky-finger-tip"),
        ("XR_HAND_JOINT_PALM_EXT", "palm"),
        ("index_proximal", "index-finger-phalanx-proximal"),
        ("R_LittleIntermediate", "pinky-finger-phalanx-intermediate"),
        ("thumb_cmc", "thumb-metacarpal"),
        ("thumb_mcp", "thumb-phalanx-proximal"),
        ("thumb_ip", "thumb-phalanx-distal"),
        ("ring_dip.L", "ring-finger-phalanx-distal"),
        ("thumb_intermediate", None),
        ("index", None),
        ("Bone.001", None),
    ],
)
def test_joint_names_are_understood(node: str, canonical: str | None) -> None:
    assert canonical_name(node) == canonical


def test_every_canonical_name_is_its_own() -> None:
    assert [canonical_name(name) for name in CANONICAL] == list(CANONICAL)
    assert [canonical_name(openxr_name(name)) for name in CANONICAL] == list(CANONICAL)


def test_openxr_names_in_another_order_give_the_same_rig(tmp_path: Path) -> None:
    hand = HandFile.default()
    order = np.random.default_rng(0).permutation(len(hand.names))
    hand.joints = np.argsort(order).astype(np.uint8)[hand.joints]
    hand.names = [openxr_name(hand.names[index]) for index in order]
    hand.inverse_binds = hand.inverse_binds[order]
    hand.hierarchy = True
    assert_same_hand(load_rig(hand.write(tmp_path / "openxr.glb")), default_rig())


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_a_mapping_file_names_the_joints(tmp_path: Path, suffix: str) -> None:
    hand = HandFile.default()
    mapping = {name: f"Bone {index}" for index, name in enumerate(hand.names)}
    hand.names = list(mapping.values())
    path = hand.write(tmp_path / "bones.glb")
    with pytest.raises(RigError, match=r"missing joints: wrist.*and 17 more; name them in a mapping file"):
        load_rig(path)
    file = tmp_path / f"mapping{suffix}"
    file.write_text(json.dumps(mapping) if suffix == ".json" else "\n".join(f'{k} = "{v}"' for k, v in mapping.items()))
    assert_same_hand(load_rig(path, mapping=file), default_rig())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('wirst = "wrist"', r"unknown joint 'wirst' \(did you mean 'wrist'\?\)"),
        ('wrist = "wirst"', r"'wirst', a joint not in it \(did you mean 'wrist'\?\)"),
        ('wrist = "wrist"\nthumb-tip = "wrist"', "gives the joint 'wrist' two names"),
        ("wrist = 3", "must be the name of a joint in the rig, not 3"),
        ("wrist = ", "cannot be read"),
        ("wrist = " + 5000 * "9", "cannot be read"),
    ],
)
def test_a_bad_mapping_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text(text)
    with pytest.raises(RigError, match=message):
        load_rig(HandFile.default().write(tmp_path / "hand.glb"), mapping=file)


def test_a_mapping_that_is_no_table_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mapping.json"
    file.write_text('["wrist"]')
    with pytest.raises(RigError, match="must be a table"):
        load_rig(HandFile.default().write(tmp_path / "hand.glb"), mapping=file)


def test_finger_metacarpals_are_optional(tmp_path: Path) -> None:
    hand = HandFile.default()
    for finger in ("index", "middle", "ring", "pinky"):
        hand.drop(f"{finger}-finger-metacarpal", "wrist")
    rig = load_rig(hand.write(tmp_path / "no-metacarpals.glb"))
    assert rig.joint_names == KEYPOINT_JOINTS
    assert rig.parents[rig.joint_names.index("ring-finger-phalanx-proximal")] == 0
    assert rig.keypoints_mm == pytest.approx(default_rig().keypoints_mm, abs=1e-4)


def test_a_palm_joint_counts_as_the_wrist(tmp_path: Path) -> None:
    hand = HandFile.default()
    hand.joints[hand.joints == hand.names.index("wrist")] = len(hand.names)
    hand.names.append("XR_HAND_JOINT_PALM_EXT")
    hand.inverse_binds = np.concatenate([hand.inverse_binds, hand.inverse_binds[:1]])
    rig = load_rig(hand.write(tmp_path / "palm.glb"))
    assert_same_hand(rig, default_rig())
    assert rig.skin_weights == pytest.approx(default_rig().skin_weights, abs=1e-6)


def test_two_joints_of_one_name_are_refused(tmp_path: Path) -> None:
    hand = HandFile.default()
    hand.names.append("Thumb_Tip")
    hand.inverse_binds = np.concatenate([hand.inverse_binds, hand.inverse_binds[:1]])
    with pytest.raises(RigError, match="'thumb-tip' and 'Thumb_Tip' both look like thumb-tip"):
        load_rig(hand.write(tmp_path / "double.glb"))


def test_an_unknown_joint_is_refused_if_it_moves_anything(tmp_path: Path) -> None:
    hand = HandFile.default()
    hand.names.append("index-finger-metacarpel")
    hand.inverse_binds = np.concatenate([hand.inverse_binds, hand.inverse_binds[:1]])
    rig = load_rig(hand.write(tmp_path / "idle.glb"))
    assert rig.notes == ("the joint 'index-finger-metacarpel' was ignored: it is no joint of a hand and moves nothing",)
    hand.joints[hand.joints == hand.names.index("index-finger-metacarpal")] = 25
    with pytest.raises(RigError, match=r"unknown joint 'index-finger-metacarpel' moves \d+ vertices \(did you mean"):
        load_rig(hand.write(tmp_path / "unknown.glb"))


# Units, scale, axes, side


@pytest.mark.parametrize(("factor", "unit"), [(100.0, "centimetres"), (1000.0, "millimetres")])
def test_other_units_are_recognised_and_recorded(tmp_path: Path, factor: float, unit: str) -> None:
    hand = HandFile.default()
    hand.positions *= np.float32(factor)
    binds = hand.binds
    binds[:, :3, 3] *= factor
    hand.binds = binds
    rig = load_rig(hand.write(tmp_path / "hand.glb"))
    assert_same_hand(rig, default_rig(), tolerance_mm=1e-3)
    assert rig.notes == (f"the model's unit was taken to be {unit}, from the size of the hand",)


def test_an_absurd_size_is_refused(tmp_path: Path) -> None:
    hand = HandFile.default()
    binds = hand.binds
    binds[:, :3, 3] *= 12
    hand.binds = binds
    with pytest.raises(RigError, match=r"2\.133 units long .* scale the model to metres .*, or name the joints"):
        load_rig(hand.write(tmp_path / "giant.glb"))


def test_the_scale_of_bind_matrices_is_stripped(tmp_path: Path) -> None:
    hand = HandFile.default()
    binds = hand.binds
    binds[:, :3, :3] *= 0.01
    hand.binds = binds
    assert_same_hand(load_rig(hand.write(tmp_path / "scaled.glb")), default_rig())


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_side_is_told_from_the_geometry(tmp_path: Path, side: str) -> None:
    path = HandFile.default(side).write(tmp_path / "hand.glb")
    assert load_rig(path).side == side
    other = "left" if side == "right" else "right"
    with pytest.raises(RigError, match=rf"is a {side} hand, but a {other} hand was asked for: use side='{side}' or"):
        load_rig(path, side=other)


def flat_hand(side: str) -> HandFile:
    """A hand whose joints all lie in the palm's plane: nothing but the axes and names tells its side."""
    hand = HandFile.default(side)
    rig = default_rig(side)
    points = rig.keypoints_mm
    normal = np.cross(points[9] - points[0], points[17] - points[5])
    normal /= np.linalg.norm(normal)
    binds = hand.binds
    offsets = (binds[:, :3, 3] - binds[0, :3, 3]) @ normal
    binds[:, :3, 3] -= offsets[:, None] * normal
    hand.binds = binds
    return hand


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_flat_hand_is_told_by_its_joint_axes(tmp_path: Path, side: str) -> None:
    rig = load_rig(flat_hand(side).write(tmp_path / "flat.glb"))
    assert rig.side == side
    assert not any("side" in note for note in rig.notes)


def turned(hand: HandFile, rotation: np.ndarray) -> HandFile:
    """The same hand with other joint axes."""
    binds = hand.binds
    binds[:, :3, :3] = binds[:, :3, :3] @ rotation
    hand.binds = binds
    return hand


BLENDER_AXES = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""Columns: the joint's new axes in its old ones; the bone lies along +Y."""


@pytest.mark.parametrize("side", ["right", "left"])
def test_other_joint_axes_are_replaced_by_those_of_the_geometry(tmp_path: Path, side: str) -> None:
    hand = turned(HandFile.default(side), BLENDER_AXES)
    rig = load_rig(hand.write(tmp_path / "blender.glb"))
    expected = default_rig(side)
    assert len(rig.notes) == 1
    assert "the joint axes of the whole hand were built from geometry" in rig.notes[0]
    traces = np.einsum("jab,jab->j", rig.bind[:, :, :3], expected.bind[:, :, :3])
    degrees = np.degrees(np.arccos(np.clip((traces - 1) / 2, -1, 1)))
    # The geometry knows the axes of a hand to within the shape of one hand.
    assert degrees.max() < 20
    assert np.linalg.det(rig.bind[:, :, :3]) == pytest.approx(1)
    # Only the axes changed.
    assert rig.keypoints_mm == pytest.approx(expected.keypoints_mm, abs=1e-4)


def test_only_the_digit_with_other_axes_is_changed(tmp_path: Path) -> None:
    hand = HandFile.default()
    binds = hand.binds
    chosen = [index for index, name in enumerate(hand.names) if name.startswith("ring")]
    binds[chosen, :3, :3] = binds[chosen, :3, :3] @ BLENDER_AXES
    hand.binds = binds
    rig = load_rig(hand.write(tmp_path / "ring.glb"))
    assert len(rig.notes) == 1
    assert "joint axes of the ring were built from geometry" in rig.notes[0]
    others = [index for index in range(25) if index not in chosen]
    assert rig.bind[others, :, :3] == pytest.approx(default_rig().bind[others, :, :3], abs=1e-5)


def test_the_side_of_a_flat_hand_with_strange_axes_comes_from_names_or_the_option(tmp_path: Path) -> None:
    hand = turned(flat_hand("left"), BLENDER_AXES)
    with pytest.raises(RigError, match="cannot be told: use side='right' or side='left'"):
        load_rig(hand.write(tmp_path / "flat.glb"))
    assert load_rig(tmp_path / "flat.glb", side="left").side == "left"
    hand.mesh_name = "l_handMesh"
    rig = load_rig(hand.write(tmp_path / "named.glb"))
    assert rig.side == "left"
    assert "the side (left) was taken from names in the file" in rig.notes


# Weights and mesh


def test_integer_weights_and_data_in_a_gltf_file_are_read(tmp_path: Path) -> None:
    hand = HandFile.default()
    hand.weights = np.round(hand.weights * 65535).astype(np.uint16)
    hand.copyright = "Someone"
    for buffer in ("embedded", "file"):
        rig = load_rig(hand.write(tmp_path / f"{buffer}.gltf", buffer))
        assert_same_hand(rig, default_rig())
        assert rig.skin_weights == pytest.approx(default_rig().skin_weights, abs=1e-4)
        assert rig.licence == "Someone"


def test_weights_within_one_percent_are_normalised(tmp_path: Path) -> None:
    hand = HandFile.default()
    hand.weights *= np.float32(0.995)
    rig = load_rig(hand.write(tmp_path / "hand.glb"))
    assert rig.skin_weights.sum(axis=1) == pytest.approx(1, abs=1e-12)


def test_the_strongest_four_of_eight_weights_are_kept(tmp_path: Path) -> None:
    hand = HandFile.default()
    count = len(hand.positions)
    hand.joints = np.tile(np.arange(8, dtype=np.uint8), (count, 1))
    hand.weights = np.tile(np.array([1, 2, 3, 4, 5, 6, 7, 8], np.float32) / 36, (count, 1))
    rig = load_rig(hand.write(tmp_path / "eight.glb"))
    assert np.array_equal(rig.skin_indices, np.tile([7, 6, 5, 4], (1159, 1)))
    assert rig.skin_weights == pytest.approx(np.tile(np.array([8, 7, 6, 5]) / 26, (1159, 1)), abs=1e-6)
    assert rig.notes == ("only the 4 strongest weights of a vertex were kept (at most 27.8% was lost)",)


def test_a_seam_with_different_weights_stays_open(tmp_path: Path) -> None:
    hand = HandFile.default()
    _, inverse, counts = np.unique(hand.positions, axis=0, return_inverse=True, return_counts=True)
    doubled = np.flatnonzero(counts[inverse.ravel()] == 2)[0]
    hand.joints[doubled] = [24, 0, 0, 0]
    hand.weights[doubled] = [1, 0, 0, 0]
    rig = load_rig(hand.write(tmp_path / "seam.glb"))
    assert len(rig.rest_mm) == 1160
    assert not rig.is_closed
    assert "1 pairs of coinciding vertices were not welded: their weights differ" in rig.notes
    assert "the mesh is not closed: some edges do not have two faces" in rig.notes


def test_faces_that_look_inward_are_turned_over(tmp_path: Path) -> None:
    hand = HandFile.default()
    hand.faces = hand.faces[:, [0, 2, 1]]
    rig = load_rig(hand.write(tmp_path / "inside-out.glb"))
    assert np.array_equal(rig.faces, default_rig().faces)
    assert rig.notes == ("the faces looked inward and were turned over",)


def test_unused_vertices_and_empty_faces_are_dropped(tmp_path: Path) -> None:
    hand = HandFile.default()
    for field in ("positions", "joints", "weights"):
        values = getattr(hand, field)
        setattr(hand, field, np.concatenate([values, values[:1] * 0 + (field == "weights")]) / 1)
    hand.positions = hand.positions.astype(np.float32)
    hand.joints = hand.joints.astype(np.uint8)
    hand.weights = hand.weights.astype(np.float32)
    hand.weights[-1] = [1, 0, 0, 0]
    hand.faces = np.concatenate([hand.faces, [[5, 5, 9]]]).astype(np.uint16)
    rig = load_rig(hand.write(tmp_path / "spare.glb"))
    assert_same_hand(rig, default_rig())


def test_limits_beside_the_model_are_used(tmp_path: Path) -> None:
    path = HandFile.default().write(tmp_path / "hand.glb")
    rows = "[[-1, 1], [-1, 1], [-1, 1]]"
    digits = ("thumb", "index", "middle", "ring", "pinky")
    text = "\n".join(f"[mine.{digit}]\ntwist = {rows}\nabduction = {rows}\nflexion = {rows}" for digit in digits)
    (tmp_path / "limits.toml").write_text(text)
    assert load_rig(path, limits="mine").limits.free.all()
    with pytest.raises(RigError, match="has no limits called 'default', only mine"):
        load_rig(path)
    (tmp_path / "limits.toml").write_text(text.replace("[mine.ring]", "[mine.rong]"))
    with pytest.raises(RigError, match="'mine' are incomplete"):
        load_rig(path, limits="mine")
    (tmp_path / "limits.toml").write_text(text.replace("[-1, 1], [-1, 1], [-1, 1]", "[-1, 1], [-1, 1]"))
    with pytest.raises(RigError, match="three pairs"):
        load_limits("mine", tmp_path / "limits.toml")
    (tmp_path / "limits.toml").write_text("[")
    with pytest.raises(RigError, match="cannot be read"):
        load_rig(path)
