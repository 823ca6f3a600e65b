"""Mesh files, read back by independent means."""

import json
import struct
from pathlib import Path

import numpy as np
import pygltflib
import pytest
from support.factories import fit_result

from handopt.draw.shading import vertex_normals
from handopt.export.mesh import to_gltf, write_glb, write_obj, write_ply
from handopt.result import FitResult
from handopt.rig import KEYPOINT_NAMES

FLOAT32_MM = 1e-4  # float32 steps are 3e-5 mm at 430 mm


@pytest.fixture(scope="module", params=["right", "left"])
def result(request: pytest.FixtureRequest) -> FitResult:
    return fit_result(request.param)


def signed_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume that counter-clockwise faces enclose; negative if they are turned inside out."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return float(np.sum(a * np.cross(b, c)) / 6)


def read_glb(path: Path) -> tuple[dict, np.ndarray, np.ndarray, np.ndarray]:
    """The JSON of a .glb by hand, and positions, normals and faces."""
    data = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    assert size % 4 == 0
    document = json.loads(data[20 : 20 + size])
    blob_size, kind = struct.unpack_from("<I4s", data, 20 + size)
    assert kind == b"BIN\0"
    blob = data[28 + size : 28 + size + blob_size]
    arrays = []
    for accessor in document["accessors"]:
        view = document["bufferViews"][accessor["bufferView"]]
        dtype, width = {5126: "<f4", 5125: "<u4"}[accessor["componentType"]], {"VEC3": 3, "SCALAR": 1}[accessor["type"]]
        raw = blob[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        arrays.append(np.frombuffer(raw, dtype).reshape(accessor["count"], width))
    positions, normals, corners = arrays
    return document, positions, normals, corners.reshape(-1, 3)


def test_glb_holds_the_posed_mesh_in_metres_with_y_up(result: FitResult, tmp_path: Path) -> None:
    write_glb(result, tmp_path / "mesh.glb")
    document, positions, normals, faces = read_glb(tmp_path / "mesh.glb")
    np.testing.assert_allclose(positions * [1000, -1000, -1000], result.vertices_mm, atol=FLOAT32_MM)
    np.testing.assert_array_equal(faces, result.rig.faces)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(normals, vertex_normals(positions, faces), atol=1e-3)
    assert signed_volume(positions, faces) > 1e-4
    bounds = document["accessors"][0]
    np.testing.assert_array_equal(np.float32(bounds["min"]), positions.min(axis=0))
    np.testing.assert_array_equal(np.float32(bounds["max"]), positions.max(axis=0))


def test_glb_names_the_keypoints(result: FitResult, tmp_path: Path) -> None:
    write_glb(result, tmp_path / "mesh.glb")
    document = pygltflib.GLTF2().load(tmp_path / "mesh.glb")
    nodes = {node.name: node for node in document.nodes}
    reached = [document.nodes[child].name for child in nodes["keypoints"].children]
    assert reached == list(KEYPOINT_NAMES)
    found = np.array([nodes[name].translation for name in KEYPOINT_NAMES])
    np.testing.assert_allclose(found, to_gltf(result.joints_mm), atol=1e-12)
    assert all(nodes[name].mesh is None for name in KEYPOINT_NAMES)
    assert nodes[f"{result.hand} hand"].mesh == 0
    roots = [document.nodes[index].name for index in document.scenes[document.scene].nodes]
    assert roots == [f"{result.hand} hand", "keypoints"]
    colours = document.materials[0].pbrMetallicRoughness
    assert colours.metallicFactor == 0
    red, green, blue, alpha = colours.baseColorFactor
    assert red > green > blue
    assert alpha == 1


def test_ply_is_binary_in_millimetres_of_the_camera(result: FitResult, tmp_path: Path) -> None:
    write_ply(result, tmp_path / "mesh.ply")
    head, body = (tmp_path / "mesh.ply").read_bytes().split(b"end_header\n", 1)
    lines = head.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    assert "millimetres" in lines[2]
    assert "camera frame" in lines[2]
    count, triangles = (int(line.split()[-1]) for line in lines if line.startswith("element"))
    assert [line.split()[-1] for line in lines if line.startswith("property float")] == [
        "x",
        "y",
        "z",
        "nx",
        "ny",
        "nz",
    ]
    vertices = np.frombuffer(body, "<f4", count * 6).reshape(count, 6)
    rows = np.frombuffer(body[count * 24 :], np.uint8).reshape(triangles, 13)
    assert (rows[:, 0] == 3).all()
    faces = np.ascontiguousarray(rows[:, 1:]).view("<i4")
    np.testing.assert_allclose(vertices[:, :3], result.vertices_mm, atol=FLOAT32_MM)
    np.testing.assert_allclose(vertices[:, 3:], vertex_normals(result.vertices_mm, result.rig.faces), atol=1e-6)
    np.testing.assert_array_equal(faces, result.rig.faces)


def test_obj_is_in_millimetres_of_the_camera(result: FitResult, tmp_path: Path) -> None:
    write_obj(result, tmp_path / "mesh.obj")
    lines = (tmp_path / "mesh.obj").read_text().splitlines()
    assert lines[0].startswith("#")
    assert "millimetres" in lines[0]
    rows = {kind: [line.split()[1:] for line in lines if line.split()[0] == kind] for kind in ("v", "vn", "f")}
    np.testing.assert_allclose(np.array(rows["v"], float), result.vertices_mm, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(np.array(rows["vn"], float), axis=1), 1, atol=1e-4)
    corners = np.array([[corner.split("//") for corner in row] for row in rows["f"]], int)
    np.testing.assert_array_equal(corners[..., 0], corners[..., 1])
    np.testing.assert_array_equal(corners[..., 0] - 1, result.rig.faces)


def test_vertex_normals_of_a_tetrahedron_point_outwards() -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [9, 9, 9]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    normals = vertex_normals(vertices, faces)
    np.testing.assert_allclose(normals[0], -np.ones(3) / np.sqrt(3))
    assert (np.sum(normals[:4] * (vertices[:4] - vertices[:4].mean(axis=0)), axis=1) > 0).all()
    np.testing.assert_array_equal(normals[4], [0, 0, 1])
