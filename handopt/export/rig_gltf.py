"""A rig as a file that handopt, Blender, three.js and trimesh read: glTF with a skin."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handopt.draw.shading import vertex_normals
from handopt.export.gltf_buffer import M_PER_MM, GltfBuffer, children_of, hand_mesh
from handopt.rig.extras import CONFIDENCE_ATTRIBUTE, CORRECTIVES_KEY, EXTRAS_KEY, correctives_to_store, extras_of
from handopt.typing import Floats

if TYPE_CHECKING:
    from handopt.rig import Rig


def write_rig(rig: "Rig", path: Path, extras: dict[str, Any] | None = None) -> None:
    """Write a rig as .glb in metres: mesh, skin, joints as a tree of nodes, inverse bind matrices.

    The skin's extras hold the side, the joint limits and where pose correctives lie, which load_rig reads back; extras:
    more of them. A rig's confidence is the vertex attribute _CONFIDENCE. What load_rig makes of the file equals the rig
    to float32 precision.
    """
    import pygltflib as gltf

    buffer = GltfBuffer()
    attributes = buffer.add_mesh(rig.rest_mm * M_PER_MM, vertex_normals(rig.rest_mm, rig.faces))
    attributes |= buffer.add_skin(rig.skin_indices, rig.skin_weights)
    if rig.confidence is not None:
        attributes[CONFIDENCE_ATTRIBUTE] = buffer.add(rig.confidence, "<f4", "SCALAR", target=gltf.ARRAY_BUFFER)
    stored = correctives_to_store(rig) or {}
    correctives = {name: buffer.add(rows * M_PER_MM, "<f4", "VEC3") for name, rows in stored.items()}
    own = extras_of(rig) | ({CORRECTIVES_KEY: correctives} if correctives else {})
    indices = buffer.add_faces(rig.faces)
    binds = buffer.add(_inverse_binds(rig), "<f4", "MAT4")
    count, name = len(rig.joint_names), f"{rig.side} hand"
    skin = gltf.Skin(
        joints=list(range(count)),
        skeleton=0,
        inverseBindMatrices=binds,
        extras={EXTRAS_KEY: {**own, **(extras or {})}},
    )
    buffer.write(
        path,
        generator="handopt",
        copyright=rig.licence or None,
        roots=[0, count],
        nodes=[*_joint_nodes(rig), gltf.Node(name=name, mesh=0, skin=0)],
        meshes=[hand_mesh(name, attributes, indices)],
        skins=[skin],
    )


def _inverse_binds(rig: "Rig") -> Floats:
    """Inverse bind matrices (J, 16), column by column, metres."""
    rotations = rig.bind[:, :, :3].transpose(0, 2, 1)
    inverse = np.tile(np.eye(4), (len(rig.bind), 1, 1))
    inverse[:, :3, :3] = rotations
    inverse[:, :3, 3] = -np.einsum("jab,jb->ja", rotations, rig.bind[:, :, 3] * M_PER_MM)
    return inverse.transpose(0, 2, 1).reshape(-1, 16)


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
                translation=(origin * M_PER_MM).tolist(),
                rotation=Rotation.from_matrix(rotation).as_quat().tolist(),
                children=children_of(rig.parents, joint) or None,
            )
        )
    return nodes
