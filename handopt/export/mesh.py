"""The fitted hand as a mesh file: glTF for viewers, PLY and OBJ for tools."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from handopt.rig import KEYPOINT_NAMES

if TYPE_CHECKING:
    from handopt.result import FitResult

Floats = npt.NDArray[np.floating]
Indices = npt.NDArray[np.integer]

FRAME_NOTE = "camera frame in millimetres: x right, y down, z forward"
SKIN_LINEAR_RGBA = (0.66, 0.40, 0.29, 1.0)
SKIN_ROUGHNESS = 0.65


def vertex_normals(vertices: Floats, faces: Indices) -> Floats:
    """Area-weighted unit normals (V, 3) of a mesh (V, 3), (F, 3); a vertex without area gets (0, 0, 1)."""
    points = np.asarray(vertices, np.float64)
    corners = points[faces]
    areas = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.stack(
        [np.bincount(faces.ravel(), np.repeat(areas[:, axis], 3), minlength=len(points)) for axis in range(3)], axis=1
    )
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    units: Floats = np.where(lengths > 0, normals / np.where(lengths > 0, lengths, 1.0), (0.0, 0.0, 1.0))
    return units


def to_gltf(points_mm: npt.ArrayLike) -> Floats:
    """Camera frame (..., 3) in mm to glTF's metres with y up: (x, y, z) -> (x, -y, -z) / 1000."""
    metres: Floats = np.asarray(points_mm, np.float64) * np.array([1e-3, -1e-3, -1e-3])
    return metres


def write_glb(result: "FitResult", path: Path) -> None:
    """Write the posed mesh as binary glTF, with normals, a skin material and the keypoints as named empty nodes."""
    import pygltflib as gltf

    vertices = to_gltf(result.vertices_mm).astype("<f4")
    normals = to_gltf(vertex_normals(result.vertices_mm, result.rig.faces) * 1e3).astype("<f4")
    faces = np.asarray(result.rig.faces).astype("<u4")
    blocks = [vertices.tobytes(), normals.tobytes(), faces.tobytes()]
    offsets = np.cumsum([0, *(len(block) for block in blocks)])
    targets = [gltf.ARRAY_BUFFER, gltf.ARRAY_BUFFER, gltf.ELEMENT_ARRAY_BUFFER]
    joints = to_gltf(result.joints_mm)
    document = gltf.GLTF2(
        asset=gltf.Asset(version="2.0", generator=f"handopt {result.versions.get('handopt', '')}".strip()),
        scene=0,
        scenes=[gltf.Scene(name="hand", nodes=[0, 1])],
        nodes=[
            gltf.Node(name=f"{result.hand} hand", mesh=0),
            gltf.Node(name="keypoints", children=list(range(2, 2 + len(joints)))),
            *(
                gltf.Node(name=name, translation=joint.tolist())
                for name, joint in zip(KEYPOINT_NAMES, joints, strict=True)
            ),
        ],
        meshes=[
            gltf.Mesh(
                name="hand",
                primitives=[gltf.Primitive(attributes=gltf.Attributes(POSITION=0, NORMAL=1), indices=2, material=0)],
            )
        ],
        materials=[
            gltf.Material(
                name="skin",
                pbrMetallicRoughness=gltf.PbrMetallicRoughness(
                    baseColorFactor=list(SKIN_LINEAR_RGBA), metallicFactor=0.0, roughnessFactor=SKIN_ROUGHNESS
                ),
            )
        ],
        accessors=[
            gltf.Accessor(
                bufferView=0,
                componentType=gltf.FLOAT,
                count=len(vertices),
                type=gltf.VEC3,
                min=vertices.min(axis=0).tolist(),
                max=vertices.max(axis=0).tolist(),
            ),
            gltf.Accessor(bufferView=1, componentType=gltf.FLOAT, count=len(normals), type=gltf.VEC3),
            gltf.Accessor(bufferView=2, componentType=gltf.UNSIGNED_INT, count=faces.size, type=gltf.SCALAR),
        ],
        bufferViews=[
            gltf.BufferView(buffer=0, byteOffset=int(offsets[k]), byteLength=len(block), target=targets[k])
            for k, block in enumerate(blocks)
        ],
        buffers=[gltf.Buffer(byteLength=int(offsets[-1]))],
    )
    document.set_binary_blob(b"".join(blocks))
    path.write_bytes(b"".join(document.save_to_bytes()))


def write_ply(result: "FitResult", path: Path) -> None:
    """Write the posed mesh as binary little-endian PLY, camera frame in mm, with normals."""
    vertices = np.hstack([result.vertices_mm, vertex_normals(result.vertices_mm, result.rig.faces)]).astype("<f4")
    faces = np.empty(len(result.rig.faces), dtype=[("count", "u1"), ("corners", "<i4", (3,))])
    faces["count"] = 3
    faces["corners"] = result.rig.faces
    properties = "".join(f"property float {name}\n" for name in ("x", "y", "z", "nx", "ny", "nz"))
    header = (
        f"ply\nformat binary_little_endian 1.0\ncomment handopt {result.hand} hand, {FRAME_NOTE}\n"
        f"element vertex {len(vertices)}\n{properties}"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    path.write_bytes(header.encode("ascii") + vertices.tobytes() + faces.tobytes())


def write_obj(result: "FitResult", path: Path) -> None:
    """Write the posed mesh as Wavefront OBJ, camera frame in mm, with normals."""
    normals = vertex_normals(result.vertices_mm, result.rig.faces)
    lines = [f"# handopt {result.hand} hand, {FRAME_NOTE}", "o hand"]
    lines += [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in result.vertices_mm.tolist()]
    lines += [f"vn {x:.5f} {y:.5f} {z:.5f}" for x, y, z in normals.tolist()]
    lines += [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in (np.asarray(result.rig.faces) + 1).tolist()]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
