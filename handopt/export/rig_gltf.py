"""A rig as a file that handopt, Blender, three.js and trimesh read: glTF with a skin; and its mesh as PLY and OBJ."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from handopt.draw import colour
from handopt.export.mesh import SKIN_LINEAR_RGBA, SKIN_ROUGHNESS, vertex_normals
from handopt.rig.extras import CONFIDENCE_ATTRIBUTE, EXTRAS_KEY, extras_of

if TYPE_CHECKING:
    from handopt.rig import Rig

Floats = npt.NDArray[np.float64]

MM: Final = 1e-3
FRAME_NOTE: Final = "rig frame, bind pose, millimetres"
CONFIDENCE_COLOURS: Final = colour.ramp([(96, 32, 60), (196, 76, 66), (236, 168, 86), (142, 204, 120), (40, 170, 150)])


class _Buffer:
    """Accessors and the binary data behind them."""

    def __init__(self) -> None:
        self.views: list[Any] = []
        self.accessors: list[Any] = []
        self.data = bytearray()

    def add(self, values: npt.NDArray[Any], kind: str, target: int | None = None, bounds: bool = False) -> int:
        """Append values (count, width) and return the number of their accessor."""
        import pygltflib as gltf

        components = {"<f4": gltf.FLOAT, "|u1": gltf.UNSIGNED_BYTE, "<u4": gltf.UNSIGNED_INT}
        self.data.extend(b"\0" * (-len(self.data) % 4))
        self.views.append(gltf.BufferView(buffer=0, byteOffset=len(self.data), byteLength=values.nbytes, target=target))
        self.accessors.append(
            gltf.Accessor(
                bufferView=len(self.views) - 1,
                componentType=components[values.dtype.str],
                count=values.size if kind == "SCALAR" else len(values),
                type=kind,
                min=values.min(axis=0).tolist() if bounds else None,
                max=values.max(axis=0).tolist() if bounds else None,
            )
        )
        self.data.extend(values.tobytes())
        return len(self.accessors) - 1


def write_rig(rig: "Rig", path: Path, extras: dict[str, Any] | None = None) -> None:
    """Write a rig as .glb in metres: mesh, skin, joints as a tree of nodes, inverse bind matrices.

    The skin's extras hold the side and the joint limits, which load_rig reads back; extras: more of them. A rig's
    confidence is the vertex attribute _CONFIDENCE. What load_rig makes of the file equals the rig to float32 precision.
    """
    import pygltflib as gltf

    buffer = _Buffer()
    attributes = {
        "POSITION": buffer.add((rig.rest_mm * MM).astype("<f4"), "VEC3", gltf.ARRAY_BUFFER, bounds=True),
        "NORMAL": buffer.add(vertex_normals(rig.rest_mm, rig.faces).astype("<f4"), "VEC3", gltf.ARRAY_BUFFER),
        "JOINTS_0": buffer.add(rig.skin_indices.astype("|u1"), "VEC4", gltf.ARRAY_BUFFER),
        "WEIGHTS_0": buffer.add(rig.skin_weights.astype("<f4"), "VEC4", gltf.ARRAY_BUFFER),
    }
    if rig.confidence is not None:
        values = rig.confidence.astype("<f4")
        attributes[CONFIDENCE_ATTRIBUTE] = buffer.add(values, "SCALAR", gltf.ARRAY_BUFFER)
    indices = buffer.add(rig.faces.astype("<u4").reshape(-1), "SCALAR", gltf.ELEMENT_ARRAY_BUFFER)
    binds = buffer.add(_inverse_binds(rig), "MAT4")
    count = len(rig.joint_names)
    document = gltf.GLTF2(
        asset=gltf.Asset(version="2.0", generator="handopt", copyright=rig.licence or None),
        scene=0,
        scenes=[gltf.Scene(name="hand", nodes=[0, count])],
        nodes=[*_joint_nodes(rig), gltf.Node(name=f"{rig.side} hand", mesh=0, skin=0)],
        meshes=[
            gltf.Mesh(
                name=f"{rig.side} hand",
                primitives=[gltf.Primitive(attributes=gltf.Attributes(**attributes), indices=indices, material=0)],
            )
        ],
        skins=[
            gltf.Skin(
                joints=list(range(count)), skeleton=0, inverseBindMatrices=binds,
                extras={EXTRAS_KEY: {**extras_of(rig), **(extras or {})}},
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
        accessors=buffer.accessors,
        bufferViews=buffer.views,
        buffers=[gltf.Buffer(byteLength=len(buffer.data))],
    )  # fmt: skip
    document.set_binary_blob(bytes(buffer.data))
    path.write_bytes(b"".join(document.save_to_bytes()))


def _inverse_binds(rig: "Rig") -> npt.NDArray[Any]:
    """(J, 16) float32, column by column, in metres."""
    rotations = rig.bind[:, :, :3].transpose(0, 2, 1)
    inverse = np.tile(np.eye(4), (len(rig.bind), 1, 1))
    inverse[:, :3, :3] = rotations
    inverse[:, :3, 3] = -np.einsum("jab,jb->ja", rotations, rig.bind[:, :, 3] * MM)
    return inverse.transpose(0, 2, 1).reshape(-1, 16).astype("<f4")


def _joint_nodes(rig: "Rig") -> list[Any]:
    """A node for each joint, placed in its parent's frame as in the bind pose."""
    import pygltflib as gltf
    from scipy.spatial.transform import Rotation

    nodes = []
    for joint, (name, parent) in enumerate(zip(rig.joint_names, rig.parents, strict=True)):
        rotation, origin = rig.bind[joint, :, :3], rig.bind[joint, :, 3]
        if parent >= 0:
            frame = rig.bind[parent]
            rotation, origin = frame[:, :3].T @ rotation, frame[:, :3].T @ (origin - frame[:, 3])
        nodes.append(
            gltf.Node(
                name=name,
                translation=(origin * MM).tolist(),
                rotation=Rotation.from_matrix(rotation).as_quat().tolist(),
                children=np.flatnonzero(rig.parents == joint).tolist() or None,
            )
        )
    return nodes


def write_rest_ply(rig: "Rig", path: Path, views: Floats | None = None) -> None:
    """Write the rest mesh as binary PLY in mm; with the rig's confidence also as colours, from dark red to green.

    views: (V,) frontal views of each vertex, another property
    """
    columns = [*rig.rest_mm.T, *vertex_normals(rig.rest_mm, rig.faces).T]
    fields = [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
    if rig.confidence is not None:
        fields += [(name, "u1") for name in ("red", "green", "blue")] + [("confidence", "<f4")]
        columns += [*colour.colourise(rig.confidence, 0.0, 1.0, CONFIDENCE_COLOURS).T, rig.confidence]
    if views is not None:
        fields.append(("views", "<f4"))
        columns.append(views)
    vertices = np.empty(len(rig.rest_mm), fields)
    for (name, _), column in zip(fields, columns, strict=True):
        vertices[name] = column
    faces = np.empty(len(rig.faces), dtype=[("count", "u1"), ("corners", "<i4", (3,))])
    faces["count"], faces["corners"] = 3, rig.faces
    kinds = {"<f4": "float", "u1": "uchar"}
    properties = "".join(f"property {kinds[kind]} {name}\n" for name, kind in fields)
    header = (
        f"ply\nformat binary_little_endian 1.0\ncomment handopt {rig.side} hand, {FRAME_NOTE}\n"
        f"element vertex {len(vertices)}\n{properties}"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    path.write_bytes(header.encode("ascii") + vertices.tobytes() + faces.tobytes())


def write_rest_obj(rig: "Rig", path: Path) -> None:
    """Write the rest mesh as Wavefront OBJ in mm, with normals."""
    lines = [f"# handopt {rig.side} hand, {FRAME_NOTE}", "o hand"]
    lines += [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in rig.rest_mm.tolist()]
    lines += [f"vn {x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertex_normals(rig.rest_mm, rig.faces).tolist()]
    lines += [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in (np.asarray(rig.faces) + 1).tolist()]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
