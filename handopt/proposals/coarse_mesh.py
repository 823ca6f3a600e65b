"""A coarse mesh of the default right hand, with which poses are compared with a view."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from handopt.backend import Device
from handopt.hand_model import Hand
from handopt.proposals.proposals import Proposals
from handopt.rig import Rig, default_rig
from handopt.typing import FloatImage, Floats

COARSE_VERTICES: Final = 300
"""Of the mesh. Chosen by hand."""


@dataclass(frozen=True, eq=False)
class CoarseMesh:
    """hand: with the coarse mesh's vertices alone. faces: (F, 3) of them."""

    hand: Hand
    faces: NDArray[np.int32]

    def vertices(self, poses: Proposals) -> FloatImage:
        """Vertices (K, V, 3) mm of poses."""
        return np.ascontiguousarray(self.hand.vertices(self.hand.transforms(poses.as_pose(np.float32))))


@cache
def coarse_mesh() -> CoarseMesh:
    """The mesh of the default right hand."""
    rig = default_rig("right")
    hand = Hand.of(rig, Device("cpu")).coarse(COARSE_VERTICES)
    kept = _kept(rig, np.asarray(hand.rest, np.float64))
    faces = kept[rig.faces]
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    faces = np.unique(faces[whole], axis=0)
    return CoarseMesh(hand, np.ascontiguousarray(faces, np.int32))


def _kept(rig: Rig, coarse_mm: Floats) -> NDArray[np.int64]:
    """Which vertex of the coarse mesh (C, 3) each vertex of the rig's becomes: the nearest one along the edges."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra
    from scipy.spatial import KDTree

    rest = np.asarray(rig.rest_mm, np.float64)
    rows = KDTree(rest).query(coarse_mm)[1]
    edges = np.concatenate([rig.faces[:, [0, 1]], rig.faces[:, [1, 2]], rig.faces[:, [2, 0]]])
    lengths = np.linalg.norm(rest[edges[:, 0]] - rest[edges[:, 1]], axis=1)
    graph = coo_array((lengths, (edges[:, 0], edges[:, 1])), shape=(len(rest), len(rest))).tocsr()
    return np.asarray(dijkstra(graph, directed=False, indices=rows).argmin(axis=0), np.int64)
