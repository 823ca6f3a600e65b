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
    rest = np.asarray(rig.rest_mm, np.float64)
    rows = np.square(rest - coarse_mm[:, None]).sum(axis=-1).argmin(axis=1)
    edges = np.concatenate([rig.faces[:, [0, 1]], rig.faces[:, [1, 2]], rig.faces[:, [2, 0]]])
    start, end = np.concatenate([edges, edges[:, ::-1]]).T
    length = np.linalg.norm(rest[start] - rest[end], axis=1)
    away, nearest = np.full(len(rest), np.inf), np.zeros(len(rest), np.int64)
    away[rows], nearest[rows] = 0.0, np.arange(len(rows))
    while True:  # Bellman and Ford: until no edge shortens a way
        way = away[start] + length
        shorter = np.flatnonzero(way < away[end])
        if not len(shorter):
            return nearest
        shorter = shorter[np.argsort(-way[shorter], kind="stable")]  # of several ways the shortest is written last
        away[end[shorter]], nearest[end[shorter]] = way[shorter], nearest[start[shorter]]
