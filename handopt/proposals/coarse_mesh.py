"""A coarse mesh of the default right hand, in parts that can be rendered apart: the palm and five fingers."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from handopt.backend import Device
from handopt.hand_model import Hand, Pose
from handopt.proposals.propose import Proposals
from handopt.rig import Rig, default_rig
from handopt.typing import FloatImage, Floats

COARSE_VERTICES: Final = 300
"""Of the mesh. Chosen by hand: with all 1,159 vertices the poses that are chosen are no better."""
FINGERS: Final = 5
FINGER_ANGLES: Final = 3
"""Articulated joints of a finger."""


@dataclass(frozen=True, eq=False)
class CoarseMesh:
    """hand: with the coarse mesh's vertices alone. faces: (F, 3) of them; parts: those of the palm and of each finger.

    palm_mm: (3,) from the wrist to the middle between it and the knuckle of the middle finger, in the rig
    """

    hand: Hand
    parts: tuple[NDArray[np.int32], ...]
    faces: NDArray[np.int32]
    palm_mm: Floats

    def vertices(self, poses: Proposals) -> FloatImage:
        """Vertices (K, V, 3) mm of poses."""
        real = (poses.angles_rad, poses.rotation, poses.translation_mm, poses.scale)
        angles, rotation, translation, scale = (np.ascontiguousarray(each, np.float32) for each in real)
        count = len(poses)
        pose = Pose(angles, rotation, translation, scale, np.zeros(count, np.int32), np.zeros((count, 0), np.float32))
        return np.ascontiguousarray(self.hand.vertices(self.hand.transforms(pose)))


@cache
def coarse_mesh() -> CoarseMesh:
    """The mesh of the default right hand."""
    rig = default_rig("right")
    hand = Hand.of(rig, Device("cpu")).coarse(COARSE_VERTICES)
    kept = _kept(rig, np.asarray(hand.rest, np.float64))
    faces = kept[rig.faces]
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    faces = np.unique(faces[whole], axis=0)
    finger = _finger_of(rig, hand)[faces].max(axis=1)
    parts = tuple(np.ascontiguousarray(faces[finger == number], np.int32) for number in range(-1, FINGERS))
    wrist, knuckle = rig.keypoints_mm[0], rig.keypoints_mm[9]
    palm = 0.5 * (wrist + knuckle) - rig.bind[0, :, 3]
    return CoarseMesh(hand, parts, np.ascontiguousarray(faces, np.int32), palm)


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


def _finger_of(rig: Rig, hand: Hand) -> NDArray[np.int64]:
    """The finger of each vertex, by the joint that moves it most; -1 for the palm's."""
    of_joint = np.full(len(rig.parents), -1)
    of_joint[np.asarray(rig.articulated)] = np.arange(FINGERS * FINGER_ANGLES) // FINGER_ANGLES
    indices, weights = np.asarray(hand.indices), np.asarray(hand.weights)
    main = np.take_along_axis(indices, weights.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.asarray(of_joint[main])
