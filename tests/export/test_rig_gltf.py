"""A rig's file is the rig: for handopt to float32 precision, and for other tools a skinned mesh."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import trimesh
from support.compare import assert_close
from support.factories import bent, posed, raster
from support.shape_cases import smooth_offsets

from handopt.errors import RigError
from handopt.export.mesh import write_rest_obj, write_rest_ply
from handopt.export.rig_gltf import write_rig
from handopt.input.camera import Camera
from handopt.rig import Rig, default_rig, load_rig

FLOAT32 = "float32 metres at 0.25 m"


def personal(side: str = "right") -> Rig:
    """A hand that no file holds, with a confidence and limits of its own."""
    rig = default_rig("right")
    confidence = np.linspace(0, 0.95, len(rig.rest_mm))
    limits = replace(rig.limits, name="own", upper=rig.limits.upper * 0.9 + 0.1 * rig.limits.lower)
    rig = replace(rig, name="mine", rest_mm=rig.rest_mm + smooth_offsets(2.0), confidence=confidence, limits=limits)
    return rig if side == "right" else rig.mirrored()


@pytest.mark.parametrize("side", ["right", "left"])
def test_reading_gives_what_was_written(side: str, tmp_path: Path) -> None:
    rig = personal(side)
    path = tmp_path / "mine.glb"
    write_rig(rig, path)
    again = load_rig(path)
    assert (again.name, again.side, again.notes, again.licence) == ("mine", side, (), rig.licence)
    assert again.joint_names == rig.joint_names
    assert np.array_equal(again.faces, rig.faces)
    assert np.array_equal(again.skin_indices, rig.skin_indices)
    assert_close(again.rest_mm, rig.rest_mm, atol=2e-5, reason=FLOAT32)
    assert_close(again.bind[:, :, 3], rig.bind[:, :, 3], atol=5e-5, reason=FLOAT32)
    assert_close(again.bind[:, :, :3], rig.bind[:, :, :3], atol=1e-6, reason="float32")
    assert_close(again.skin_weights, rig.skin_weights, atol=1e-7, reason="float32")
    assert_close(again.confidence, rig.confidence, atol=1e-7, reason="float32")
    assert again.limits.name == "own"
    assert np.array_equal(again.limits.lower, rig.limits.lower)
    assert np.array_equal(again.limits.upper, rig.limits.upper)
    assert again.is_personal


def test_what_was_read_renders_the_same(tmp_path: Path) -> None:
    rig = personal()
    write_rig(rig, tmp_path / "mine.glb")
    camera = Camera(200.0, 200.0, 79.5, 79.5, 160, 160)
    rotation, translation = np.diag([1.0, -1.0, -1.0]) @ np.eye(3), np.array([0.0, 0.0, 400.0])
    depths = []
    for each in (rig, load_rig(tmp_path / "mine.glb")):
        vertices, _ = posed(each, bent(0.6), rotation, translation, 1.0)
        depths.append(raster(vertices, each, camera))
    assert (depths[0] > 0).sum() > 1000
    same = (depths[0] > 0) == (depths[1] > 0)
    assert same.mean() > 0.9999
    off = np.abs(depths[0] - depths[1])[same]
    assert np.quantile(off, 0.999) < 1e-3


def test_limits_that_are_asked_for_go_before_the_files(tmp_path: Path) -> None:
    write_rig(personal(), tmp_path / "mine.glb")
    assert load_rig(tmp_path / "mine.glb", limits="printed").limits.name == "printed"


def test_the_tree_of_joints_stands_where_the_bind_matrices_say(tmp_path: Path) -> None:
    rig = personal("left")
    write_rig(rig, tmp_path / "mine.glb", {"images": 3})
    document = pygltflib.GLTF2().load(str(tmp_path / "mine.glb"))
    assert document is not None
    assert document.skins[0].extras["handopt"]["images"] == 3
    scene = trimesh.load_scene(tmp_path / "mine.glb")
    for joint, name in enumerate(rig.joint_names):
        matrix, _ = scene.graph.get(name)
        assert_close(matrix[:3, 3] * 1000, rig.bind[joint, :, 3], atol=1e-3, reason=FLOAT32)
        assert_close(matrix[:3, :3], rig.bind[joint, :, :3], atol=1e-5, reason="a quaternion's rounding")
    mesh = next(iter(scene.geometry.values()))
    assert len(mesh.vertices) == len(rig.rest_mm)
    assert mesh.is_watertight
    assert mesh.volume > 0


def test_ply_and_obj_hold_the_rest_mesh(tmp_path: Path) -> None:
    rig = personal()
    views = np.arange(len(rig.rest_mm), dtype=np.float64)
    write_rest_ply(rig, tmp_path / "rest.ply", views)
    write_rest_obj(rig, tmp_path / "rest.obj")
    for name in ("rest.ply", "rest.obj"):
        mesh = trimesh.load_mesh(tmp_path / name, process=False)
        assert_close(mesh.vertices, rig.rest_mm, atol=1e-4, reason="five decimals and float32")
        assert np.array_equal(mesh.faces, rig.faces)
    header = (tmp_path / "rest.ply").read_bytes().split(b"end_header")[0].decode()
    assert "property uchar red" in header
    assert "property float confidence" in header
    assert "property float views" in header
    visual = trimesh.load_mesh(tmp_path / "rest.ply", process=False).visual
    assert isinstance(visual, trimesh.visual.ColorVisuals)
    colours = visual.vertex_colors
    assert not np.array_equal(colours[0], colours[-1])


def test_a_rig_without_confidence_has_no_colours(tmp_path: Path) -> None:
    write_rest_ply(default_rig(), tmp_path / "rest.ply")
    assert b"red" not in (tmp_path / "rest.ply").read_bytes()[:600]
    write_rig(default_rig(), tmp_path / "plain.glb")
    assert not load_rig(tmp_path / "plain.glb").is_personal


@pytest.mark.parametrize("damage", [{"vertices": 9999}, {"vertices": 0, "joints": 0}, {"joints": "many"}, 3])
def test_pose_correctives_that_are_damaged_are_refused(tmp_path: Path, damage: object) -> None:
    write_rig(personal(), tmp_path / "mine.glb", {"pose_correctives": damage})
    with pytest.raises(RigError, match="damaged"):
        load_rig(tmp_path / "mine.glb")
