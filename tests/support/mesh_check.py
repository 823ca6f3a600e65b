"""How deep a mesh reaches into itself, by libigl's winding numbers: the slow twin of handopt.synth.hand_volume."""

import igl
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
        faces = rig.faces[~own[rig.faces].any(axis=1)].astype(np.int64)
        inside = far[igl.winding_number(vertices, faces, vertices[far]) > _INSIDE]
        if len(inside):
            surface = np.einsum("wk,fki->fwi", weights / _SUBDIVISIONS, vertices[faces]).reshape(-1, 3)
            worst = max(worst, float(cKDTree(surface).query(vertices[inside])[0].max()))
    return worst
