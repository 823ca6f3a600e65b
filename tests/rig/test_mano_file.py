"""MANO's files: read as they are, posed by the published equations, and refused where they are broken."""

import os
import re
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.mano_files import PARENTS, TIP_VERTICES, mano_arrays, mano_reference, write_mano

from handopt.errors import RigError
from handopt.rig import Rig, load_rig, mano_file
from handopt.rig.joints import MANO_ROWS
from handopt.rig.mano_file import read_mano
from handopt.rig.model import with_shape
from handopt.rig.pose import joint_transforms, posed_keypoints, posed_vertices

REAL = os.environ.get("HANDOPT_MANO")
"""A folder with the user's own MANO_RIGHT.pkl and MANO_LEFT.pkl, whose licence forbids to ship them."""


@pytest.fixture(scope="module")
def right() -> dict[str, Any]:
    return mano_arrays()


def posed(rig: Rig, betas: np.ndarray, angles: np.ndarray, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and keypoints (m) of a pose of the rig, the wrist where the shaped rest pose has it."""
    space = rig.shape_space
    assert space is not None
    shaped = with_shape(rig, space.coefficients(betas))
    transforms = joint_transforms(shaped, rotation[None], shaped.bind[:1, :, 3], angles[None], np.ones(1))
    given = (shaped, transforms, angles[None])
    return posed_vertices(*given)[0] / 1000, posed_keypoints(*given)[0] / 1000


def axis_angles(rig: Rig, angles: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """MANO's pose (16, 3) of joint angles: the local rotations in the frame of the rest pose."""
    pose = np.zeros((16, 3))
    pose[0] = Rotation.from_matrix(rotation).as_rotvec()
    rows = {int(joint): row for row, joint in enumerate(rig.articulated)}
    for keypoint, mano in enumerate(MANO_ROWS):
        joint = int(rig.keypoint_joints[keypoint])
        if 1 <= mano < 16:
            twist, abduction, flexion = angles[rows[joint]]
            sign = rig.side_sign
            local = (
                Rotation.from_euler("y", sign * abduction)
                * Rotation.from_euler("x", -flexion)
                * Rotation.from_euler("z", sign * twist)
            ).as_matrix()
            frame = rig.bind[joint, :, :3]
            pose[mano] = Rotation.from_matrix(frame @ local @ frame.T).as_rotvec()
    return pose


def assert_equations(rig: Rig, arrays: dict[str, Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    betas = rng.normal(size=arrays["shapedirs"].shape[2])
    angles = rng.uniform(-0.5, 0.9, (15, 3))
    rotation = Rotation.random(random_state=seed).as_matrix()
    vertices, keypoints = posed(rig, betas, angles, rotation)
    expected, joints = mano_reference(arrays, axis_angles(rig, angles, rotation), betas, np.zeros(3))
    assert vertices == pytest.approx(expected, abs=1e-6)
    rows = [keypoint for keypoint, mano in enumerate(MANO_ROWS) if mano < 16]
    assert keypoints[rows] == pytest.approx(joints[[MANO_ROWS[row] for row in rows]], abs=1e-6)
    tips = [4, 8, 12, 16, 20]
    assert keypoints[tips] == pytest.approx(expected[list(TIP_VERTICES)], abs=1e-6)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("chumpy", [False, True])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_file_of_mano_poses_as_the_published_equations_say(
    tmp_path: Path, side: str, chumpy: bool, protocol: int
) -> None:
    arrays = mano_arrays(side)
    path = write_mano(tmp_path / f"MANO_{side.upper()}.pkl", arrays, chumpy=chumpy, protocol=protocol)
    rig = load_rig(path)
    assert (rig.side, len(rig.rest_mm), len(rig.faces)) == (side, 778, 1538)
    assert rig.shape_names == tuple(f"beta_{number}" for number in range(10))
    for seed in range(3):
        assert_equations(rig, arrays, seed)


@pytest.mark.skipif(REAL is None, reason="HANDOPT_MANO names no folder with MANO_RIGHT.pkl and MANO_LEFT.pkl")
@pytest.mark.parametrize("side", ["right", "left"])
def test_the_users_own_file_poses_as_the_published_equations_say(side: str) -> None:
    path = Path(str(REAL)) / f"MANO_{side.upper()}.pkl"
    model = read_mano(path)
    rig = load_rig(path)
    assert rig.side == side
    space = rig.shape_space
    assert space is not None
    arrays = {
        "v_template": model.template,
        "shapedirs": space.vertices.transpose(1, 2, 0) / 1000,
        "posedirs": model.posedirs,
        "J_regressor": np.linalg.lstsq(model.template.T, model.joints.T)[0].T,
        "weights": model.weights,
    }
    betas = np.zeros(10)
    angles = np.random.default_rng(0).uniform(-0.5, 0.9, (15, 3))
    vertices, _ = posed(rig, betas, angles, np.eye(3))
    expected, _ = mano_reference(arrays, axis_angles(rig, angles, np.eye(3)), betas, np.zeros(3))
    assert vertices == pytest.approx(expected, abs=1e-6)


def test_an_npz_is_read_with_and_without_objects(tmp_path: Path, right: dict[str, Any]) -> None:
    np.savez(tmp_path / "plain.npz", **right)
    objects = {name: np.array(values, dtype=object) for name, values in right.items() if name == "v_template"}
    boxed = np.empty((), object)
    boxed[()] = right["J_regressor"]
    np.savez(
        tmp_path / "objects.npz", **{**right, "J_regressor": boxed, **objects} | {"v_template": right["v_template"]}
    )
    for name in ("plain", "objects"):
        assert_equations(load_rig(tmp_path / f"{name}.npz"), right, 0)


@pytest.mark.parametrize("beside", [True, False])
def test_the_sign_error_of_the_released_left_model_is_corrected_and_said(tmp_path: Path, beside: bool) -> None:
    left = mano_arrays("left")
    released = dict(left, shapedirs=left["shapedirs"] * np.array([-1.0, 1.0, 1.0])[:, None])
    if beside:
        write_mano(tmp_path / "MANO_RIGHT.pkl", mano_arrays())
    rig = load_rig(write_mano(tmp_path / "MANO_LEFT.pkl", released))
    assert any("wrong sign in x: it was corrected" in note for note in rig.notes)
    assert_equations(rig, left, 1)
    rig = load_rig(write_mano(tmp_path / "MANO_LEFT.pkl", left))
    assert not any("wrong sign" in note for note in rig.notes)
    assert_equations(rig, left, 1)


def body_of(right: dict[str, Any], left: dict[str, Any], smplx: bool) -> dict[str, Any]:
    """A body of SMPL-H or SMPL-X with the hands far out at its sides and nothing else but an empty torso."""
    count, joints = (10475, 55) if smplx else (6890, 52)
    first = {"left": 25, "right": 40} if smplx else {"left": 22, "right": 37}
    tips = {
        "left": (5361, 4933, 5058, 5169, 5286) if smplx else (2746, 2319, 2445, 2556, 2673),
        "right": (8079, 7669, 7794, 7905, 8022) if smplx else (6191, 5782, 5905, 6016, 6133),
    }
    body: dict[str, Any] = {
        "v_template": np.random.default_rng(0).normal(0, 0.2, (count, 3)),
        "shapedirs": np.zeros((count, 3, 10)),
        "posedirs": np.zeros((count, 3, 9 * (joints - 1))),
        "J_regressor": np.zeros((joints, count)),
        "weights": np.eye(joints)[np.zeros(count, int)],
        "kintree_table": np.array([np.maximum(np.arange(joints) - 1, 0), np.arange(joints)]),
    }
    faces = []
    for side, hand, shift in (("left", left, 0.7), ("right", right, -0.7)):
        start = tips[side][0] - 778
        rows = np.arange(start, start + 778)
        for tip, vertex in zip(tips[side], TIP_VERTICES, strict=True):
            rows[vertex] = tip
        free = sorted(set(range(min(tips[side]) - 778, max(tips[side]) + 1)) - set(tips[side]))
        others = np.setdiff1d(np.arange(778), TIP_VERTICES)
        rows[others] = free[: len(others)]
        own = [20 if side == "left" else 21, *range(first[side], first[side] + 15)]
        body["v_template"][rows] = hand["v_template"] + [shift, 0, 0]
        body["shapedirs"][rows] = hand["shapedirs"] + 0.02  # the whole body grows as well
        body["posedirs"][rows[:, None, None], np.arange(3)[:, None], 9 * (first[side] - 1) + np.arange(135)] = hand[
            "posedirs"
        ]
        body["weights"][rows] = 0
        body["weights"][rows[:, None], own] = hand["weights"]
        body["J_regressor"][np.array(own)[:, None], rows] = hand["J_regressor"]
        body["kintree_table"][0, own[1:]] = [own[0] if p == 0 else first[side] + p - 1 for p in PARENTS[1:]]
        faces.append(rows[hand["f"]])
    return {**body, "f": np.concatenate([*faces, [[0, 1, 2]]])}


@pytest.mark.parametrize("smplx", [False, True])
@pytest.mark.parametrize("side", ["right", "left"])
def test_the_hand_of_a_body_is_cut_out(tmp_path: Path, smplx: bool, side: str) -> None:
    hands = {"right": mano_arrays("right"), "left": mano_arrays("left")}
    path = tmp_path / "BODY.npz"
    np.savez(path, **body_of(hands["right"], hands["left"], smplx))
    with pytest.raises(RigError, match="has two hands: say which with --hand right or --hand left"):
        load_rig(path)
    rig, own = load_rig(path, side), hands[side]
    assert rig.side == side
    assert len(rig.rest_mm) == 778
    betas, angles = np.linspace(-1, 1, 10), np.random.default_rng(1).uniform(-0.4, 0.8, (15, 3))
    vertices, keypoints = posed(rig, betas, angles, np.eye(3))
    expected, joints = mano_reference(own, axis_angles(rig, angles, np.eye(3)), betas, np.zeros(3))
    nearest = np.linalg.norm((vertices - keypoints[0])[:, None] - (expected - joints[0])[None], axis=2).min(axis=1)
    assert nearest.max() < 1e-6


BROKEN = {
    "NaN bases": (lambda a: a["shapedirs"].__setitem__((5, 1, 2), np.nan), "shapedirs contains NaN"),
    "NaN correctives": (lambda a: a["posedirs"].__setitem__((5, 1, 2), np.inf), "posedirs contains NaN"),
    "another count of betas": (
        lambda a: a.update(shapedirs=a["shapedirs"][:, :, :0]),
        r"shapedirs has shape \(778, 3, 0\)",
    ),
    "flat betas": (lambda a: a.update(shapedirs=a["shapedirs"][:, :, 0]), r"shapedirs has shape \(778, 3\)"),
    "other correctives": (
        lambda a: a.update(posedirs=a["posedirs"][..., :100]),
        r"posedirs has shape .* expected \(778, 3, 135\)",
    ),
    "no faces": (lambda a: a.pop("f"), "it lacks f"),
    "no weights": (lambda a: a.pop("weights"), "it lacks weights"),
    "other joints": (lambda a: a.update(weights=a["weights"][:, :9]), "posedirs has shape"),
    "a loop": (lambda a: a["kintree_table"].__setitem__((0, 3), 3), "are not MANO's five chains"),
    "a fork": (lambda a: a["kintree_table"].__setitem__((0, 3), 1), "are not MANO's five chains"),
    "far faces": (lambda a: a["f"].__setitem__((0, 0), 778), "a face refers to vertex 778 of 778"),
    "texts": (lambda a: a.update(v_template=np.array([["a"] * 3] * 778)), "v_template"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_model_is_refused(tmp_path: Path, case: str) -> None:
    arrays = {name: np.array(values) for name, values in mano_arrays().items()}
    change, message = BROKEN[case]
    change(arrays)
    started = time.perf_counter()
    np.savez(tmp_path / "MANO_RIGHT.npz", **arrays)
    with pytest.raises(RigError, match=message):
        load_rig(tmp_path / "MANO_RIGHT.npz")
    assert time.perf_counter() - started < 5


def test_a_truncated_or_encrypted_file_or_something_else_is_refused(tmp_path: Path, right: dict[str, Any]) -> None:
    path = write_mano(tmp_path / "MANO_RIGHT.pkl", right)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(RigError, match=r"truncated, encrypted or damaged \(.+\); copy it again"):
        load_rig(path)
    np.savez(tmp_path / "half.npz", **right)
    whole = (tmp_path / "half.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RigError, match="truncated, encrypted or damaged"):
        load_rig(tmp_path / "half.npz")
    for name, values in (("weights", np.zeros(())), ("v_template", np.zeros(()))):
        np.savez(tmp_path / "flat.npz", **{**right, name: values})
        with pytest.raises(RigError, match=rf"{name} has shape \(\), expected two axes"):
            load_rig(tmp_path / "flat.npz")
    np.savez(tmp_path / "header.npz", **{**right, "hands_mean": np.zeros(3)})
    with zipfile.ZipFile(tmp_path / "header.npz") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for old, new in ((b"'shape': (", b"'shape': {("), (b"'shape': (", b"'shape': (99999999, ")):
        with zipfile.ZipFile(tmp_path / "header.npz", "w") as archive:
            for name, member in members.items():
                archive.writestr(name, member.replace(old, new) if name == "v_template.npy" else member)
        with pytest.raises(RigError, match=r"damaged|announces shape"):
            load_rig(tmp_path / "header.npz")
    path.write_bytes(b"\x80\x02]q\x00.")
    with pytest.raises(RigError, match="holds a list, not a model's table of arrays: pass the file"):
        load_rig(path)
    path.write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(RigError, match=re.escape("it lacks v_template, f, shapedirs")):
        load_rig(path)
    with pytest.raises(RigError, match="cannot be read: it does not exist"):
        load_rig(tmp_path / "none.pkl")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"stem.weight": 0, "metadata": 0}, "it is a network of handopt train, which --proposals takes"),
        ({"rig_bind": 0, "angles_rad": 0}, "it holds the arrays of a result of handopt; give the rig that was fitted"),
        ({"poses": 0, "betas": 0}, "it holds betas, poses; give the file as its site gives it"),
    ],
)
def test_an_npz_of_something_else_is_refused_with_what_it_is(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(RigError, match=f"this .npz is no model of MANO, SMPL-H or SMPL-X: {re.escape(message)}"):
        load_rig(tmp_path / "other.npz")


def test_an_encrypted_npz_is_refused(tmp_path: Path, right: dict[str, Any]) -> None:
    np.savez(tmp_path / "secret.npz", **right)
    data = bytearray((tmp_path / "secret.npz").read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(mark, at + 4)
    (tmp_path / "secret.npz").write_bytes(data)
    with pytest.raises(RigError, match=r"the \.npz is encrypted: give it without a password"):
        load_rig(tmp_path / "secret.npz")


def test_arrays_that_are_too_large_together_are_refused(
    tmp_path: Path, right: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(values.nbytes for values in right.values())
    np.savez(tmp_path / "a.npz", **right)
    write_mano(tmp_path / "a.pkl", right)
    for path in (tmp_path / "a.npz", tmp_path / "a.pkl"):
        monkeypatch.setattr(mano_file, "MAX_ARRAY_BYTES", 2 * size)
        read_mano(path)
        monkeypatch.setattr(mano_file, "MAX_ARRAY_BYTES", size // 2)
        with pytest.raises(RigError, match="its arrays take more than 1 MiB, too many for a model"):
            read_mano(path)
