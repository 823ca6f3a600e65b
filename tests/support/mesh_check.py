"""How deep a mesh reaches into itself, by winding numbers: the slow twin of handopt.synth.hand_volume."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from handopt.rig import Rig
from handopt.rig.joints import CHAINS

Floats = NDArray[np.float64]
_INSIDE = 0.6
_SUBDIVISIONS = 4


def self_intersection_mm(rig: Rig, vertices: Floats) -> float:
    """Depth of the vertices of fingers beyond their first joint in other fingers and the palm, the worst, in mm.

    vertices: (V, 3) posed. For each digit the mesh without its own faces is left; a vertex of it with a winding number
    near 1 is inside, by its distance to that surface.
    """
    owner = rig.skin_indices[:, 0]
    steps = range(_SUBDIVISIONS + 1)
    weights = np.array([(i, j, _SUBDIVISIONS - i - j) for i in steps for j in steps if i + j <= _SUBDIVISIONS])
    worst = 0.0
    for digit, chain in enumerate(CHAINS.values()):
        own = np.isin(owner, [rig.joint_names.index(name) for name in chain])
        far = np.flatnonzero(np.isin(owner, rig.keypoint_joints[4 * digit + 2 : 4 * digit + 5]))
        triangles = vertices[rig.faces[~own[rig.faces].any(axis=1)]]
        inside = far[_winding(vertices[far], triangles) > _INSIDE]
        if len(inside):
            surface = np.einsum("wk,fki->fwi", weights / _SUBDIVISIONS, triangles).reshape(-1, 3)
            worst = max(worst, float(cKDTree(surface).query(vertices[inside])[0].max()))
    return worst


def _winding(points: Floats, triangles: Floats) -> Floats:
    """Winding numbers (n,) of points about triangles (F, 3, 3), from the solid angles (van Oosterom and Strackee)."""
    a, b, c = (triangles[:, corner] - points[:, None] for corner in range(3))
    la, lb, lc = (np.linalg.norm(each, axis=2) for each in (a, b, c))
    top = np.einsum("pfi,pfi->pf", a, np.cross(b, c))
    dots = [np.einsum("pfi,pfi->pf", first, second) for first, second in ((a, b), (b, c), (c, a))]
    bottom = la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb
    return np.arctan2(top, bottom).sum(axis=1) / (2 * np.pi)
