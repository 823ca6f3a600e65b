"""A process of its own that reads an FBX by ufbx and writes the arrays of its skins to its standard output.

Files of strangers are read by native code here; whatever it does with one ends with this process. It imports nothing of
handopt. Objects of ufbx 0.0.5 are freed too early where one is read for a second time and dropped: all that is read is
held until the process ends.
"""

import io
import os
import sys
from typing import Any

import numpy as np
import ufbx

_HELD: list[Any] = []


def held(value: Any) -> Any:
    """The value, which now lives as long as the process."""
    _HELD.append(value)
    return value


def get(owner: Any, *names: str) -> Any:
    """An attribute of an attribute, and so on."""
    for name in names:
        owner = held(getattr(owner, name))
    return owner


def items(owner: Any, *names: str) -> list[Any]:
    """The entries of a list of ufbx."""
    found: list[Any] = held(list(get(owner, *names)))
    return found


def main() -> None:
    """Read the file of the first argument; bounds are the others: vertices, joints and weights in all."""
    path, most_vertices, most_joints, most_weights = sys.argv[1], *(int(each) for each in sys.argv[2:5])
    try:
        scene = ufbx.load_file(path, file_format=ufbx.FileFormat.FBX, ignore_animation=True, ignore_embedded=True)
    except ufbx.UfbxError as error:
        _fail(f"damaged {error}")
    meshes = [mesh for mesh in items(scene, "meshes") if len(get(mesh, "skin_deformers"))]
    for what, count, most in (
        ("vertices", sum(get(mesh, "num_vertices") for mesh in meshes), most_vertices),
        ("joints", len(get(scene, "nodes")), most_joints),
        ("weights", sum(len(get(_deformer(mesh), "weights")) for mesh in meshes), most_weights),
        ("corners of faces", sum(get(mesh, "num_indices") for mesh in meshes), most_weights),
        (
            "offsets of shapes",
            sum(3 * len(channels(mesh)) * get(mesh, "num_vertices") for mesh in meshes),
            most_weights,
        ),
    ):
        if count > most:
            _fail(f"bound it has {count} {what}, more than {most}")
    settings = get(scene, "settings")
    arrays: dict[str, Any] = {
        "count": np.array(len(meshes)),
        "unit_m": np.array(get(settings, "unit_meters")),
        "axes": np.array([int(get(settings, "axes", name)) for name in ("right", "up", "front")]),
    }
    joints = tree(scene)
    for number, mesh in enumerate(meshes):
        arrays |= {f"{name}_{number}": value for name, value in skin_arrays(mesh, *joints).items()}
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    sys.stdout.buffer.write(stream.getvalue())
    sys.stdout.buffer.flush()
    os._exit(0)  # without freeing anything


def _fail(words: str) -> None:
    sys.stderr.write(words + "\n")
    sys.stderr.flush()
    os._exit(3)


def _deformer(mesh: Any) -> Any:
    return items(mesh, "skin_deformers")[0]


def skin_arrays(mesh: Any, nodes: list[Any], parents: list[int], locals_: list[Any]) -> dict[str, Any]:
    """The arrays of one skinned mesh, in the file's unit, in the world's frame at the time when it was bound."""
    row_of = {get(node, "element_id"): row for row, node in enumerate(nodes)}
    every = {row_of[get(each, "bone_node", "element_id")]: each for each in items(_deformer(mesh), "clusters")}
    bound = {owner: matrix(cluster, "bind_to_world") for owner, cluster in every.items()}
    owners = [owner for owner, cluster in every.items() if get(cluster, "num_weights")]
    clusters = [every[owner] for owner in owners]
    placed = [bound[row] @ matrix(cluster, "geometry_to_bone") for row, cluster in zip(owners, clusters, strict=True)]
    kept = skeleton(owners, parents)
    binds: list[Any] = []
    for row, parent in enumerate(parents):
        before = np.eye(4) if parent < 0 else binds[parent]
        binds.append(bound.get(row, before @ locals_[row]))
    number = {row: index for index, row in enumerate(kept)}
    index, joint, weight = [], [], []
    for owner, cluster in zip(owners, clusters, strict=True):
        index += items(cluster, "vertices")
        weight += items(cluster, "weights")
        joint += [number[owner]] * get(cluster, "num_weights")
    vertices = rows(mesh, "vertices")
    faces = [(get(face, "index_begin"), get(face, "num_indices")) for face in items(mesh, "faces")]
    names, offsets = targets(mesh, len(vertices))
    return {
        "mesh": np.array(get(mesh, "name")),
        "vertices": vertices,
        "placed": np.array(placed).reshape(-1, 4, 4),
        "faces": np.array(faces, np.int64).reshape(-1, 2),
        "corners": np.array(items(mesh, "vertex_indices"), np.int64),
        "weight_vertex": np.array(index, np.int64),
        "weight_joint": np.array(joint, np.int64),
        "weight": np.array(weight, np.float64),
        "names": np.array([get(nodes[row], "name") for row in kept], np.str_),
        "parents": np.array([number.get(parents[row], -1) for row in kept], np.int64),
        "binds": np.array([binds[row] for row in kept]).reshape(-1, 4, 4),
        "target_names": np.array(names, np.str_),
        "targets": offsets,
    }


def tree(scene: Any) -> tuple[list[Any], list[int], list[Any]]:
    """Nodes, parents first, the parent of each and its own transform."""
    nodes, parents = [], []
    ahead = [(get(scene, "root_node"), -1)]
    while ahead:
        node, parent = ahead.pop()
        nodes.append(node)
        parents.append(parent)
        ahead += [(child, len(nodes) - 1) for child in reversed(items(node, "children"))]
    return nodes, parents, [matrix(node, "node_to_parent") for node in nodes]


def skeleton(owners: list[int], parents: list[int]) -> list[int]:
    """The joints that move vertices, those above them but the root, and those below them."""
    chosen, below = set(owners), set(owners)
    for row in range(len(parents) - 1, 0, -1):
        if row in chosen:
            chosen.add(parents[row])
    for row, parent in enumerate(parents):
        if parent in below:
            below.add(row)
    return [row for row in range(len(parents)) if row in below or (row in chosen and parents[row] >= 0)]


def channels(mesh: Any) -> list[Any]:
    """The shapes that the mesh can be blended with, at most 400."""
    return [channel for each in items(mesh, "blend_deformers") for channel in items(each, "channels")][:400]


def targets(mesh: Any, count: int) -> tuple[list[str], Any]:
    """Names and offsets (T, N, 3) of the shapes that the mesh can be blended with."""
    names, offsets = [], []
    for channel in channels(mesh):
        keyframes = items(channel, "keyframes")
        if not keyframes:
            continue
        shape, moved = get(keyframes[-1], "shape"), np.zeros((count, 3))
        numbers = np.array(items(shape, "offset_vertices"), np.int64)
        inside = numbers < count
        moved[numbers[inside]] = rows(shape, "position_offsets")[inside]
        names.append(get(channel, "name"))
        offsets.append(moved)
    return names, np.array(offsets).reshape(-1, count, 3)


def rows(owner: Any, name: str) -> Any:
    """A list of vectors as (N, 3)."""
    return np.array([tuple(each) for each in items(owner, name)], np.float64).reshape(-1, 3)


def matrix(owner: Any, name: str) -> Any:
    """A matrix (4, 4) of one of ufbx."""
    result, values = np.eye(4), get(owner, name)
    for column, part in enumerate(("c0", "c1", "c2", "c3")):
        result[:3, column] = tuple(get(values, part))
    return result


if __name__ == "__main__":
    main()
