"""What of a hand moves with one finger, so that copies of a pose with a finger changed are compared at a low cost."""

from dataclasses import dataclass

import numpy as np

from handopt.backend import Array, to_device, to_numpy
from handopt.hand_model import Hand, Pose
from handopt.objective.targets import FitTargets
from handopt.objective.unexplained import fraction_of_depths, nearest_depths
from handopt.ops.skinning import skin
from handopt.optimise.finger_mutation import FINGERS, ROWS
from handopt.typing import Bools, Floats, Indices


@dataclass(frozen=True, eq=False)
class FingerPart:
    """The faces of a hand that a finger's angles move, and those that they do not.

    vertices: (n,) of the hand, corners of the moved faces; indices, weights: (n, 4), with which they are skinned
    faces: (f, 3) int32, of these vertices; still: (F - f, 3) int32, of all vertices
    """

    vertices: Array
    indices: Array
    weights: Array
    faces: Array
    still: Array


def finger_parts(hand: Hand) -> list[FingerPart]:
    """The part of a hand that each finger moves, the thumb first."""
    ancestry, faces = to_numpy(hand.ancestry), to_numpy(hand.faces)
    indices, weights = to_numpy(hand.indices), to_numpy(hand.weights)
    parts = []
    for finger in range(FINGERS):
        of_finger = (ancestry >= ROWS * finger) & (ancestry < ROWS * (finger + 1))
        joints: Bools = np.asarray(np.any(of_finger, axis=1))
        vertices: Bools = np.asarray(np.any(joints[indices] & (weights != 0), axis=1))
        moved = np.any(vertices[faces], axis=1)
        kept, corners = np.unique(faces[moved], return_inverse=True)
        rows = to_device(kept, hand.device, np.int64)
        parts.append(
            FingerPart(
                rows,
                hand.indices[rows],
                hand.weights[rows],
                to_device(corners.reshape(-1, 3), hand.device, np.int32),
                to_device(faces[~moved], hand.device, np.int32),
            )
        )
    return parts


def unexplained_by_finger(
    hand: Hand,
    parts: list[FingerPart],
    targets: FitTargets,
    parent: Pose,
    pose: Pose,
    fingers: Indices,
    step: int,
) -> Floats:
    """The unexplained fraction (B,) of copies of a parent (1 pose) that differ from it in the angles of one finger.

    parts: as finger_parts gives them; pose: (B) the copies; fingers: (B,) which finger of each; step: look at every
    step-th row and column only. It is that of the whole meshes, to the bit, but what no finger moves is posed and
    rendered once.
    """
    (image,) = to_numpy(parent.image)
    crop, grid = targets.grids[image]
    rest = hand.rest_of(parent)
    posed = hand.vertices(hand.transforms(parent), rest)
    transforms = hand.transforms(pose)
    rest = rest if rest.ndim == 2 else rest[0]
    fractions = np.full(len(fingers), np.inf)
    for finger, part in enumerate(parts):
        rows = np.flatnonzero(fingers == finger)
        if len(rows) == 0:
            continue
        moved = skin(
            transforms[to_device(rows, hand.device, np.int64)], rest[part.vertices], part.indices, part.weights
        )
        depth = nearest_depths(moved, part.faces, crop, grid, step)
        behind = nearest_depths(posed, part.still, crop, grid, step)[0]
        finite = np.isfinite(to_numpy(moved).sum(axis=(1, 2)))
        fractions[rows] = np.where(finite, fraction_of_depths(depth, grid, step, behind), np.inf)
    return fractions
