"""The fitted hand and the rest mesh of a rig as mesh files: glTF for viewers, PLY and OBJ for tools."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from handopt.draw import colour
from handopt.draw.shading import vertex_normals
from handopt.export.gltf_buffer import GltfBuffer, hand_mesh
from handopt.rig import KEYPOINT_NAMES
from handopt.typing import AnyArray, Integers, Reals

if TYPE_CHECKING:
    from handopt.result import FitResult
    from handopt.rig import Rig


CAMERA_FRAME_NOTE: Final = "camera frame in millimetres: x right, y down, z forward"
RIG_FRAME_NOTE: Final = "rig frame, bind pose, millimetres"
CONFIDENCE_COLOURS: Final = colour.ramp([(96, 32, 60), (196, 76, 66), (236, 168, 86), (142, 204, 120), (40, 170, 150)])
"""Of a vertex's confidence, from 0 (dark red) to 1 (green)."""


def to_gltf(points_mm: npt.ArrayLike) -> Reals:
    """Camera frame (..., 3) in mm to glTF's metres with y up: (x, y, z) -> (x, -y, -z) / 1000."""
    metres: Reals = np.asarray(points_mm, np.float64) * np.array([1e-3, -1e-3, -1e-3])
    return metres


def write_glb(result: "FitResult", path: Path) -> None:
    """Write the posed mesh as binary glTF, with normals, a skin material and the keypoints as named empty nodes."""
    import pygltflib as gltf

    buffer, faces = GltfBuffer(), np.asarray(result.rig.faces)
    normals = to_gltf(vertex_normals(result.vertices_mm, faces) * 1e3)
    attributes = buffer.add_mesh(to_gltf(result.vertices_mm), normals)
    joints = to_gltf(result.joints_mm)
    keypoints = [
        gltf.Node(name=name, translation=joint.tolist()) for name, joint in zip(KEYPOINT_NAMES, joints, strict=True)
    ]
    buffer.write(
        path,
        generator=f"handopt {result.versions.get('handopt', '')}".strip(),
        roots=[0, 1],
        nodes=[
            gltf.Node(name=f"{result.hand} hand", mesh=0),
            gltf.Node(name="keypoints", children=list(range(2, 2 + len(joints)))),
            *keypoints,
        ],
        meshes=[hand_mesh("hand", attributes, buffer.add_faces(faces))],
    )


def write_ply(result: "FitResult", path: Path) -> None:
    """Write the posed mesh as binary little-endian PLY, camera frame in mm, with normals."""
    _write_ply(path, result.vertices_mm, result.rig.faces, {}, f"handopt {result.hand} hand, {CAMERA_FRAME_NOTE}")


def write_obj(result: "FitResult", path: Path) -> None:
    """Write the posed mesh as Wavefront OBJ, camera frame in mm, with normals."""
    _write_obj(path, result.vertices_mm, result.rig.faces, f"handopt {result.hand} hand, {CAMERA_FRAME_NOTE}")


def write_rest_ply(rig: "Rig", path: Path, views: Reals | None = None) -> None:
    """Write the rest mesh as binary PLY in mm; with the rig's confidence also as colours, from dark red to green.

    views: (V,) number of images that show each vertex from the front, another property of the vertices
    """
    extra: dict[str, AnyArray] = {}
    if rig.confidence is not None:
        colours = colour.colourise(rig.confidence, 0.0, 1.0, CONFIDENCE_COLOURS)
        extra = {name: colours[:, channel] for channel, name in enumerate(("red", "green", "blue"))}
        extra["confidence"] = rig.confidence.astype("<f4")
    if views is not None:
        extra["views"] = views.astype("<f4")
    _write_ply(path, rig.rest_mm, rig.faces, extra, f"handopt {rig.side} hand, {RIG_FRAME_NOTE}")


def write_rest_obj(rig: "Rig", path: Path) -> None:
    """Write the rest mesh as Wavefront OBJ in mm, with normals."""
    _write_obj(path, rig.rest_mm, rig.faces, f"handopt {rig.side} hand, {RIG_FRAME_NOTE}")


def _write_ply(path: Path, vertices: Reals, faces: Integers, extra: dict[str, AnyArray], note: str) -> None:
    """Write a mesh (V, 3), (F, 3) with its normals and further properties (V,) of the vertices, by name."""
    placed = np.hstack([vertices, vertex_normals(vertices, faces)]).astype("<f4")
    columns = dict(zip(("x", "y", "z", "nx", "ny", "nz"), placed.T, strict=True)) | extra
    rows = np.empty(len(vertices), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        rows[name] = column
    corners = np.empty(len(faces), dtype=[("count", "u1"), ("corners", "<i4", (3,))])
    corners["count"], corners["corners"] = 3, faces
    kinds = {"f": "float", "u": "uchar"}
    properties = "".join(f"property {kinds[column.dtype.kind]} {name}\n" for name, column in columns.items())
    header = (
        f"ply\nformat binary_little_endian 1.0\ncomment {note}\nelement vertex {len(rows)}\n{properties}"
        f"element face {len(corners)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    path.write_bytes(header.encode("ascii") + rows.tobytes() + corners.tobytes())


def _write_obj(path: Path, vertices: Reals, faces: Integers, note: str) -> None:
    lines = [f"# {note}", "o hand"]
    lines += [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertices.tolist()]
    lines += [f"vn {x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertex_normals(vertices, faces).tolist()]
    lines += [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in (np.asarray(faces) + 1).tolist()]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
