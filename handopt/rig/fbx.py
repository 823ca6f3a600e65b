"""Read the skinned meshes of an FBX file of a character, in metres, by ufbx in a process of its own."""

import importlib.util
import io
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.errors import RigError
from handopt.rig.bounds import MOST_JOINTS, MOST_NUMBERS, MOST_VERTICES
from handopt.rig.files import read_bytes
from handopt.rig.gltf import MAX_FILE_BYTES, MORPH_DEVIATION, SkinnedMesh
from handopt.rig.shape_space import ShapeSpace
from handopt.typing import Floats, Indices, Integers

_SECONDS: Final = 4.5
_WORKER: Final = Path(__file__).with_name("fbx_worker.py")
_BINARY: Final = b"Kaydara FBX Binary"
_DISAGREE: Final = 0.01
"""Of the hand's extent: how far two joints may disagree on where the mesh was when it was bound to them."""


def read_fbx_meshes(path: Path) -> tuple[list[SkinnedMesh], tuple[str, ...]]:
    """Read the meshes of each skin, and what reading says. Raises RigError for what is no FBX with a skin."""
    where = str(path)
    head = read_bytes(path, MAX_FILE_BYTES)[:4096]
    if importlib.util.find_spec("ufbx") is None:
        raise RigError(
            f"{where}: reading FBX needs the package ufbx: pip install '.[fbx]' in handopt's source folder, or export "
            "the character as GLB"
        )
    if not head.startswith(_BINARY) and b"FBX" not in head:
        raise RigError(f"{where}: this is no FBX, or an encrypted one: export the character again as FBX or GLB")
    arrays = _arrays(path)
    if not int(arrays["count"]):
        raise RigError(f"{where}: the model has no skin: it needs a mesh that is bound to the joints of a hand")
    unit = float(arrays["unit_m"])
    if not 1e-6 < unit < 1e6:
        raise RigError(f"{where}: the file's unit of {unit:g} m is none: set the scene's unit and export it again")
    if _is_mirrored(arrays["axes"]):
        raise RigError(f"{where}: the file's axes are left-handed: export it with right-handed axes, such as Y up")
    meshes = [_mesh(arrays, number, unit, where) for number in range(int(arrays["count"]))]
    note = "" if abs(unit - 0.01) < 1e-9 else f"the FBX is in units of {unit:.6g} m"
    return meshes, (note,) if note else ()


def _arrays(path: Path) -> dict[str, Any]:
    """What the worker reads. Raises RigError where it fails, crashes or takes too long."""
    bounds = (str(most) for most in (MOST_VERTICES, 20 * MOST_JOINTS, MOST_NUMBERS))
    command = [sys.executable, "-P", str(_WORKER), str(path), *bounds]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise RigError(
            f"{path}: the FBX takes longer than {_SECONDS:g} s to read: export the character alone, without animation"
        ) from None
    told = done.stderr.decode("utf-8", "replace").strip().splitlines()
    if done.returncode == 0:
        with np.load(io.BytesIO(done.stdout), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    kind, _, words = (told[-1] if told else "").partition(" ")
    if kind == "bound":
        raise RigError(f"{path}: {words}: export the hand alone, or simplify it")
    reason = f" ({words})" if kind == "damaged" else ""
    raise RigError(f"{path}: the FBX is truncated, encrypted or damaged{reason}: export it again, or as GLB")


def _is_mirrored(axes: Integers) -> bool:
    """Whether right, up and front (towards the viewer), as ufbx numbers axes, are left-handed."""
    if (axes > 5).any():
        return False  # the file does not say
    vectors = np.zeros((3, 3))
    vectors[np.arange(3), axes // 2] = np.where(axes % 2, -1, 1)
    return bool(np.linalg.det(vectors) < 0)


def _mesh(arrays: dict[str, Any], number: int, unit: float, where: str) -> SkinnedMesh:
    own = {name: arrays[f"{name}_{number}"] for name in _NAMES}
    placed = own["placed"]
    if not len(placed):
        raise RigError(f"{where}: the skin of {own['mesh']} follows no joint: bind the mesh again")
    corners = own["vertices"]
    ends = np.stack([corners.min(axis=0), corners.max(axis=0)]) if len(corners) else np.zeros((2, 3))
    at = np.einsum("kab,eb->kea", placed[:, :3, :3], ends) + placed[:, None, :3, 3]
    if not np.isfinite(at).all() or np.abs(at - at[0]).max() > _DISAGREE * np.ptp(at[0], axis=0).max():
        raise RigError(
            f"{where}: the joints of {own['mesh']} disagree on where the mesh was bound: bind the mesh again, or "
            "export as GLB"
        )
    place = placed[0] * np.array([unit, unit, unit, 1.0])[:, None]
    binds = own["binds"] * np.array([unit, unit, unit, 1.0])[:, None]
    joints, weights = _packed(own["weight_vertex"], own["weight_joint"], own["weight"], len(corners))
    with np.errstate(all="ignore"):
        inverse = np.array([_inverse(bind) for bind in binds])
    return SkinnedMesh(
        positions=corners @ place[:3, :3].T + place[:3, 3],
        faces=_triangles(own["faces"], own["corners"]),
        joints=joints,
        weights=weights,
        joint_names=tuple(str(name) for name in own["names"]),
        inverse_binds=inverse,
        mesh_name=str(own["mesh"]),
        copyright="",
        extras={},
        confidence=None,
        shape_space=_space(own["target_names"], own["targets"] @ place[:3, :3].T, len(binds)),
        parents=own["parents"],
    )


_NAMES: Final = (
    *("mesh", "vertices", "placed", "faces", "corners", "weight_vertex", "weight_joint", "weight", "names"),
    *("parents", "binds", "target_names", "targets"),
)


def _inverse(bind: Floats) -> Floats:
    """The inverse, NaN where there is none: whoever needs the joint refuses it by name."""
    return np.full((4, 4), np.nan) if abs(np.linalg.det(bind)) < 1e-30 else np.asarray(np.linalg.inv(bind), np.float64)


def _packed(vertices: Integers, joints: Integers, weights: Floats, count: int) -> tuple[Indices, Floats]:
    """Joints and weights (N, K) of lists of them; the weights of each vertex sum to 1, as programs apply them."""
    order = np.argsort(vertices, kind="stable")
    vertices, joints, weights = vertices[order], joints[order], weights[order]
    number = np.arange(len(vertices)) - np.searchsorted(vertices, vertices)
    width = max(int(number.max(initial=0)) + 1, 1)
    table, values = np.zeros((count, width), np.int64), np.zeros((count, width))
    table[vertices, number], values[vertices, number] = joints, weights
    sums = values.sum(axis=1, keepdims=True)
    shares: Floats = values / np.where(sums > 0, sums, 1)
    return table, shares


def _triangles(faces: Integers, corners: Indices) -> Indices:
    """(F, 3) triangles of polygons, each split like a fan. faces: first corner and their count."""
    found = [np.empty((0, 3), np.int64)]
    for count in np.unique(faces[:, 1]):
        first = faces[faces[:, 1] == count, 0]
        found += [corners[np.stack([first, first + turn, first + turn + 1], 1)] for turn in range(1, int(count) - 1)]
    return np.concatenate(found)


def _space(names: Any, offsets: Floats, joints: int) -> ShapeSpace | None:
    """The mesh' own blend shapes, which move no joints."""
    count = len(names)
    if not count or not np.isfinite(offsets).all():
        return None
    still, spread = np.zeros((count, joints, 3)), np.full(count, MORPH_DEVIATION)
    return ShapeSpace("morphs", tuple(str(name) for name in names), MORPH_DEVIATION * offsets, still, spread)
