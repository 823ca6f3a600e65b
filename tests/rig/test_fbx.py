"""Hands of characters in FBX files: the same hand as in GLB, in any unit, and whatever is broken refused soon."""

import importlib.util
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.character_files import character, names_of
from support.fbx_files import FbxFile
from support.rig_files import HandFile

from handopt.errors import RigError
from handopt.rig import default_rig, fbx, load_rig

PLACE_MM = {"right": np.array([-700.0, 1400.0, 100.0]), "left": np.array([700.0, 1400.0, 100.0])}


@pytest.fixture(scope="module")
def body() -> HandFile:
    """A body with two hands that have Mixamo's names."""
    return character({side: names_of("mixamo", side) for side in ("right", "left")})


def assert_same_hand(path: Path, side: str, places: np.ndarray | None = None) -> Any:
    rig, own = load_rig(path, side), default_rig(side)
    assert rig.side == side
    assert rig.joint_names == tuple(name for name in own.joint_names if name in rig.joint_names)
    found = rig.keypoints_mm if places is None else rig.keypoints_mm @ places
    assert found == pytest.approx(own.keypoints_mm + PLACE_MM[side], abs=0.02)
    assert len(rig.rest_mm) == len(own.rest_mm)
    assert len(rig.faces) == len(own.faces)
    assert rig.is_closed
    return rig


@pytest.mark.parametrize(("side", "unit_m"), [("right", 0.01), ("left", 1.0), ("right", 0.0254)])
def test_a_hand_of_a_body_is_the_same_in_any_unit(tmp_path: Path, body: HandFile, side: str, unit_m: float) -> None:
    path = FbxFile(body, unit_m=unit_m).write(tmp_path / "body.fbx")
    rig = assert_same_hand(path, side)
    assert any("the joints were found by their names, wrist 'mixamorig:" in note for note in rig.notes)
    said = any(note == f"the FBX is in units of {unit_m:.6g} m" for note in rig.notes)
    assert said == (unit_m != 0.01)


def test_quads_and_z_up_give_the_same_hand(tmp_path: Path, body: HandFile) -> None:
    faces, corner = body.faces.tolist(), {}
    polygons: list[list[int]] = []
    for face in faces:
        for turn in range(3):
            corner[face[turn], face[(turn + 1) % 3]] = face
    used: set[tuple[int, ...]] = set()
    for face in faces:  # the neighbour over the first edge that has one joins it
        twin = corner.get((face[1], face[0]))
        if twin is not None and not {tuple(face), tuple(twin)} & used:
            used |= {tuple(face), tuple(twin)}
            polygons.append([face[0], next(each for each in twin if each not in face[:2]), face[1], face[2]])
    rest = [face for face in faces if tuple(face) not in used]
    assert len(polygons) > 1000
    turned = character({side: names_of("mixamo", side) for side in ("right", "left")})
    rotated = np.eye(4)
    rotated[1:3, 1:3] = [[0, -1], [1, 0]]
    turned.binds = rotated @ turned.binds
    turned.positions = (turned.positions @ rotated[:3, :3].T).astype(np.float32)
    path = FbxFile(turned, axes="z up", polygons=[*polygons, *rest]).write(tmp_path / "quads.fbx")
    assert_same_hand(path, "right", rotated[:3, :3])


def test_blend_shapes_are_a_shape_space(tmp_path: Path) -> None:
    body = character({"right": names_of("unreal", "right")})
    body.targets = {"thick": body.positions * [0.0, 0.05, 0]}
    rig = load_rig(FbxFile(body, shapes=True).write(tmp_path / "shapes.fbx"))
    glb = load_rig(body.write(tmp_path / "shapes.glb"))
    assert rig.shape_names == glb.shape_names == ("thick",)
    largest = [np.linalg.norm(each.shape_basis[0], axis=2).max() for each in (rig, glb)]
    assert largest[0] == pytest.approx(largest[1], abs=1e-3)


def damaged(text: str, kind: str) -> bytes:
    """A file that is cut short, unreadable behind its first bytes, of another kind, or empty."""
    data = text.encode()
    return {
        "truncated": data[: len(data) // 2],
        "binary that ends": fbx._BINARY + b"  \x00\x1a\x00" + (7400).to_bytes(4, "little") + b"\x01",
        "encrypted": np.random.default_rng(0).bytes(100_000),
        "encrypted behind its head": fbx._BINARY + np.random.default_rng(0).bytes(100_000),
        "empty": b"",
    }[kind]


@pytest.mark.parametrize("kind", ["truncated", "binary that ends", "encrypted", "encrypted behind its head", "empty"])
def test_a_damaged_file_is_refused(tmp_path: Path, body: HandFile, kind: str) -> None:
    path = tmp_path / "body.fbx"
    path.write_bytes(damaged(FbxFile(body).text(), kind))
    started = time.perf_counter()
    with pytest.raises(RigError, match=r"truncated, encrypted or damaged|no FBX, or an encrypted one|no skin"):
        load_rig(path, "right")
    assert time.perf_counter() - started < 5


def test_what_is_no_hand_or_of_another_kind_is_refused(tmp_path: Path, body: HandFile) -> None:
    path = tmp_path / "body.fbx"
    for file, message in (
        (FbxFile(body, skinned=False), "has no skin: it needs a mesh that is bound to the joints of a hand"),
        (FbxFile(body, axes="left-handed"), "axes are left-handed: export it with right-handed axes"),
        (FbxFile(body, extra_nodes=20_001), "it has .* joints, more than 20000: export the hand alone"),
        (FbxFile(body), "there are 2 hands, .*: say which with --hand right or left"),
    ):
        file.write(path)
        started = time.perf_counter()
        with pytest.raises(RigError, match=message):
            load_rig(path)
        assert time.perf_counter() - started < 5


def test_a_hand_of_an_impossible_size_is_refused(tmp_path: Path, body: HandFile) -> None:
    text = FbxFile(body, unit_m=1.0).text().replace('"",100.0', '"",2.54')
    path = tmp_path / "inches.fbx"
    path.write_text(text)
    with pytest.raises(RigError, match=r"hand is 0.00.* units long .* scale the model to metres"):
        load_rig(path, "right")


def test_without_the_package_a_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "body.fbx"
    path.write_text("; FBX 7.4.0 project file")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(RigError, match=r"needs the package ufbx: pip install '\.\[fbx\]'"):
        load_rig(path)


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "truncated, encrypted or damaged: export it again"),
        ("import time; time.sleep(9)", "takes longer than 0.5 s to read"),
    ],
)
def test_a_reader_that_crashes_or_hangs_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: HandFile, worker: str, message: str
) -> None:
    (tmp_path / "worker.py").write_text(worker)
    monkeypatch.setattr(fbx, "_WORKER", tmp_path / "worker.py")
    monkeypatch.setattr(fbx, "_SECONDS", 0.5)
    with pytest.raises(RigError, match=message):
        load_rig(FbxFile(body).write(tmp_path / "body.fbx"))
