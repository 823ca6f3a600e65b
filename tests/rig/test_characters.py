"""Hands of characters: found by the names of many programs, or by tree and geometry, cut out, and refused if broken."""

import time
from pathlib import Path

import numpy as np
import pytest
from support.character_files import character, names_of
from support.rig_files import HandFile

from handopt.errors import RigError
from handopt.rig import default_rig, load_rig
from handopt.rig.joints import mapping_text, read_mapping

PROGRAMS = ("mixamo", "vrm0", "vrm1", "vroid", "unreal", "rigify", "blender", "makehuman", "quest", "smplx", "soma")
PLACE_MM = {"right": np.array([-700.0, 1400.0, 100.0]), "left": np.array([700.0, 1400.0, 100.0])}


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_body_of_two_hands_gives_the_one_that_is_named(tmp_path: Path, program: str, side: str) -> None:
    path = character({each: names_of(program, each) for each in ("right", "left")}).write(tmp_path / "body.glb")
    rig, own = load_rig(path, side), default_rig(side)
    assert rig.side == side
    assert len(rig.rest_mm) == len(own.rest_mm)
    rows = [own.joint_names.index(name) for name in rig.joint_names]
    apart = np.linalg.norm(rig.bind[:, :, 3] - PLACE_MM[side] - own.bind[rows, :, 3], axis=1)
    is_tip = np.array([name.endswith("-tip") for name in rig.joint_names])
    assert apart[~is_tip].max() < 0.01
    # A tip that the program does not have is made from the skin of the last bone.
    assert apart[is_tip].max() < 6
    names = names_of(program, side)
    assert f"the joints were found by their names, wrist {names['wrist']!r}" in rig.notes
    called = dict(zip(rig.joint_names, rig.source_names, strict=True))
    assert called == {name: names.get(name, "") for name in rig.joint_names}
    assert any("the hand was cut out at" in note for note in rig.notes)
    by_wrist = load_rig(path, part=names_of(program, side)["wrist"])
    assert np.array_equal(by_wrist.rest_mm, rig.rest_mm)
    assert load_rig(path, part=side).side == side
    with pytest.raises(RigError, match=r"there are 2 hands, .*: say which with --hand right or left, or by the name"):
        load_rig(path)
    with pytest.raises(RigError, match="no hand has its wrist at 'tail'"):
        load_rig(path, part="tail")


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_hand_without_known_names_is_told_by_its_tree_and_geometry(tmp_path: Path, side: str) -> None:
    own = default_rig(side)
    rng = np.random.default_rng(3)
    labels = [f"node {number}" for number in rng.permutation(len(own.joint_names))]
    path = character({side: dict(zip(own.joint_names, labels, strict=True))}).write(tmp_path / "unnamed.glb")
    rig = load_rig(path)
    assert rig.side == side
    assert rig.joint_names == own.joint_names
    assert rig.source_names == tuple(labels)
    assert rig.bind[:, :, 3] - PLACE_MM[side] == pytest.approx(own.bind[:, :, 3], abs=0.01)
    # What was concluded is a joint map that loads the same hand.
    (tmp_path / "map.toml").write_text(mapping_text(rig.joint_names, rig.source_names))
    assert read_mapping(tmp_path / "map.toml") == dict(zip(own.joint_names, labels, strict=True))
    assert np.array_equal(load_rig(path, mapping=tmp_path / "map.toml").bind, rig.bind)


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_z_up_and_scaled_bodies_give_the_same_hand(tmp_path: Path, scale: float) -> None:
    body = character({"right": names_of("mixamo", "right")})
    turn = np.diag([1.0, 1, 1, 1])
    turn[1:3, 1:3] = [[0, -1], [1, 0]]
    binds = body.binds
    body.binds = turn @ binds @ np.diag([scale, scale, scale, 1])
    body.positions = (body.positions @ turn[:3, :3].T).astype(np.float32)
    rig = load_rig(body.write(tmp_path / "z-up.glb"))
    expected = default_rig().keypoints_mm + PLACE_MM["right"]
    assert rig.keypoints_mm @ turn[:3, :3] == pytest.approx(expected, abs=0.05)


def test_twist_bones_and_the_forearm_count_as_the_joint_above_them_or_the_wrist(tmp_path: Path) -> None:
    body = character({"right": names_of("unreal", "right")})
    upper = body.names.index("index_01_r")
    body.names.append("index_01_twist_r")
    assert body.parents is not None
    body.parents.append(upper)
    body.inverse_binds = np.concatenate([body.inverse_binds, body.inverse_binds[[upper]]])
    body.joints[body.joints == upper] = len(body.names) - 1
    forearm, wrist = body.names.index("forearm.right"), body.names.index("hand_r")
    owner = body.joints[np.arange(len(body.joints)), body.weights.argmax(axis=1)]
    palm = np.flatnonzero(owner == wrist)[:20]
    body.joints[palm], body.weights[palm] = [wrist, forearm, 0, 0], [0.6, 0.4, 0, 0]
    rig = load_rig(body.write(tmp_path / "twist.glb"))
    assert len(rig.rest_mm) == 1161, "two vertices on seams have a twin with other weights now"
    assert "1 more joints move with the one above them: index_01_twist_r" in rig.notes
    plain = load_rig(character({"right": names_of("unreal", "right")}).write(tmp_path / "plain.glb"))
    index = rig.joint_names.index("index-finger-phalanx-proximal")
    for each in (rig, plain):
        assert (each.skin_weights * (each.skin_indices == index)).sum() == pytest.approx(
            (plain.skin_weights * (plain.skin_indices == index)).sum(), abs=1e-3
        )


def test_morph_targets_are_a_shape_space(tmp_path: Path) -> None:
    body = character({"right": names_of("mixamo", "right")})
    away = np.zeros_like(body.positions)
    wide = body.positions * [0.0, 0.05, 0]
    body.targets = {"smile": away, "thick": wide - wide.mean(axis=0)}
    rig = load_rig(body.write(tmp_path / "morphs.glb"))
    assert rig.shape_names == ("thick",)
    assert rig.shape_space is not None
    assert rig.shape_space.kind == "morphs"
    moved = 0.4 * body.targets["thick"] * 1000
    basis = np.tensordot(rig.shape_space.coefficients([0.4]), rig.shape_basis[0], 1)
    assert np.sort(basis[:, 1]) == pytest.approx(np.sort(basis[:, 1]), abs=0)
    assert basis[:, 1].max() == pytest.approx(moved[:, 1].max(), abs=1e-3)


def forked(names: dict[str, str]) -> HandFile:
    body = character({"right": names})
    assert body.parents is not None
    for name in ("a", "b"):
        body.names.append(name)
        body.parents.append(body.names.index(names["index-finger-phalanx-proximal"]))
        body.inverse_binds = np.concatenate([body.inverse_binds, body.inverse_binds[-1:]])
    leaf = len(body.names)
    for above in (leaf - 2, leaf - 1):
        body.names.append(f"leaf {above}")
        body.parents.append(above)
        body.inverse_binds = np.concatenate([body.inverse_binds, body.inverse_binds[-1:]])
    return body


def six_fingers(names: dict[str, str]) -> HandFile:
    body = character({"right": names})
    assert body.parents is not None
    above = body.names.index(names["wrist"])
    for number in range(3):
        body.names.append(f"sixth {number}")
        body.parents.append(above)
        body.inverse_binds = np.concatenate([body.inverse_binds, body.inverse_binds[-1:]])
        above = len(body.names) - 1
    return body


def no_hands(names: dict[str, str]) -> HandFile:
    body = character({"right": names})
    body.parents = [number - 1 for number in range(len(body.names))]
    return body


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (forked, "five chains of three joints without forks .at most 4."),
        (six_fingers, "6 chains of joints go out from .* but a hand has five digits"),
        (no_hands, r"no hand was found among its 27 joints: no names are known"),
    ],
)
def test_a_skeleton_without_a_hand_is_refused(tmp_path: Path, make: object, message: str) -> None:
    own = default_rig()
    names = {name: f"node {number}" for number, name in enumerate(own.joint_names)}
    assert callable(make)
    path = make(names).write(tmp_path / "odd.glb")
    started = time.perf_counter()
    with pytest.raises(RigError, match=message):
        load_rig(path)
    assert time.perf_counter() - started < 5


def rehung(names: dict[str, str], body: HandFile) -> HandFile:
    """The right hand's middle phalanges hung on the index finger's base, so that its fingers fork."""
    assert body.parents is not None
    row = {joint: body.names.index(name) for joint, name in names.items()}
    body.parents[row["middle-finger-phalanx-intermediate"]] = row["index-finger-phalanx-proximal"]
    return body


def test_a_named_hand_that_is_incomplete_is_refused_with_the_joints_that_are_wrong(tmp_path: Path) -> None:
    names = {side: names_of("mixamo", side) for side in ("right", "left")}
    wrong = (
        r"the right hand is incomplete: the joints of the middle, 'mixamorig:RightHandMiddle1', .*do not hang from "
        r"each other in one chain: mend the skeleton, or name the joints in a mapping file \(--joint-map\)"
    )
    both = rehung(names["right"], character(names)).write(tmp_path / "both.glb")
    with pytest.raises(RigError, match=wrong):
        load_rig(both, "right")
    assert load_rig(both).side == load_rig(both, "left").side == "left"
    alone = rehung(names["right"], character({"right": names["right"]})).write(tmp_path / "alone.glb")
    for side in ("right", None):
        with pytest.raises(RigError, match=wrong):
            load_rig(alone, side)
    wrists = {side: {"wrist": own["wrist"]} for side, own in names.items()}
    with pytest.raises(
        RigError, match="incomplete: the thumb needs three joints in a row, but none can be told by name"
    ):
        load_rig(character(wrists).write(tmp_path / "none.glb"))


def test_the_joint_that_was_taken_for_the_wrist_is_named(tmp_path: Path) -> None:
    own = {name: called for name, called in names_of("mixamo", "right").items() if name != "wrist"}
    path = character({"right": own}, arms=False).write(tmp_path / "no-wrist.glb")
    with pytest.raises(RigError, match=r"from the wrist, for which 'spine' was taken, to the tip of the middle finger"):
        load_rig(path)


def test_a_loop_of_joints_is_refused(tmp_path: Path) -> None:
    body = character({"right": names_of("mixamo", "right")})
    assert body.parents is not None
    spine = body.names.index("spine")
    body.parents[spine] = body.names.index("mixamorig:RightHand")
    with pytest.raises(RigError, match="form a loop: export it again"):
        load_rig(body.write(tmp_path / "loop.glb"))


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (30_000, "the scene has 30000 nodes or other parts, more than 20000"),
        (1_000_000, "the scene has more than 500000 values"),
    ],
)
def test_a_scene_of_many_nodes_is_refused_soon(tmp_path: Path, count: int, message: str) -> None:
    path = tmp_path / "huge.gltf"
    path.write_text('{"asset": {"version": "2.0"}, "nodes": [' + "{}," * (count - 1) + "{}]}")
    started = time.perf_counter()
    with pytest.raises(RigError, match=message):
        load_rig(path)
    assert time.perf_counter() - started < 5
