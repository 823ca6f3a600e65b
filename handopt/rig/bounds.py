"""What a model's file may hold at most, and where its skin and joints may lie: beyond that it is no hand.

Bounds keep reading any file below 5 s and 500 MiB. A detailed character has 100,000 vertices and some hundred joints;
a hand has some thousand vertices.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handopt.errors import RigError
from handopt.rig.model import MIN_VERTICES
from handopt.typing import Floats

MOST_VERTICES: Final = 200_000
"""Of all meshes of a file."""
MOST_NUMBERS: Final = 12_000_000
"""In all arrays of a file that are read: positions, faces, weights, morph targets."""
MOST_JOINTS: Final = 1_000
"""Of a skin."""
MOST_ALL_JOINTS: Final = 10_000
MOST_PRIMITIVES: Final = 1_000
"""Of all meshes of a skin."""
MOST_PARTS: Final = 20_000
"""Nodes, meshes, accessors or any other list of a file: a character has some hundred."""
MOST_HAND_VERTICES: Final = 50_000
_FARTHEST_VERTEX_MM: Final = 1000.0
"""From the nearest joint: longer than any arm's sleeve."""
_FARTHEST_JOINT_MM: Final = 100.0
"""From the nearest vertex: wider than any palm."""
_CHUNK: Final = 4096


def check_parts(document: dict[str, Any], where: str) -> None:
    """Refuse a scene with too many nodes or other parts. Raises RigError."""
    most = max((len(each) for each in document.values() if isinstance(each, list)), default=0)
    if most > MOST_PARTS:
        raise RigError(
            f"{where}: the scene has {most} nodes or other parts, more than {MOST_PARTS}: export the character alone"
        )


def check_count(what: str, count: int, most: int, where: str) -> None:
    """Raise RigError where there are more of something than a file may have."""
    if count > most:
        raise RigError(f"{where}: it has {count} {what}, more than {most}: export the hand alone, or simplify it")


def check_mesh(vertices_mm: Floats, faces: NDArray[np.integer], joints: dict[str, Floats], where: str) -> None:
    """Refuse too few or too many vertices, some far from every joint, and joints far from the skin. Raises RigError.

    vertices_mm: (V, 3); faces: (F, 3); joints: positions (3,) by name, mm.
    """
    if len(vertices_mm) < MIN_VERTICES or len(faces) == 0:
        raise RigError(f"{where}: too few vertices or faces: {len(vertices_mm)} and {len(faces)}")
    check_count("vertices", len(vertices_mm), MOST_HAND_VERTICES, where)
    if not np.isfinite(vertices_mm).all():
        raise RigError(f"{where}: vertex {int(np.argwhere(~np.isfinite(vertices_mm))[0, 0])} has no finite position")
    names, places = list(joints), np.array(list(joints.values()))
    closest = np.full(len(names), np.inf)
    for begin in range(0, len(vertices_mm), _CHUNK):
        with np.errstate(over="ignore"):  # of positions such as 1e300
            apart = _distances(vertices_mm[begin : begin + _CHUNK], places)
        far = int(np.argmax(apart.min(axis=1)))
        if apart[far].min() > _FARTHEST_VERTEX_MM:
            raise RigError(
                f"{where}: vertex {begin + far} lies {apart[far].min() / 1000:.3g} m from the nearest joint: "
                "apply all transforms in the modelling tool, or remove what is no hand"
            )
        closest = np.minimum(closest, apart.min(axis=0))
    outside = int(np.argmax(closest))
    if closest[outside] > _FARTHEST_JOINT_MM:
        raise RigError(
            f"{where}: the joint {names[outside]} lies {closest[outside]:.0f} mm outside the skin: the bind matrices "
            "and the mesh do not belong together; apply all transforms in the modelling tool"
        )


def _distances(points: Floats, places: Floats) -> NDArray[np.float64]:
    """(N, J) distances of N points from J places."""
    return np.asarray(np.sqrt(np.square(points[:, None] - places).sum(axis=2)))
