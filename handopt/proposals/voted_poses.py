"""Poses whose joints lie where the cells of a view vote that they are.

The network looks at a view in four quarter turns; what it says of a joint in each counts by how sure it is of it. The
hypotheses whose joints are the nearest to that are drawn to it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from handopt.proposals.features import CenteredView, from_view
from handopt.proposals.pose_of_joints import joints_of, pose_of_joints
from handopt.proposals.proposals import Proposals
from handopt.rig.anatomy import MIRROR
from handopt.typing import Bools, FloatImage, Floats, Reals

SEED = 6
"""Of how far off the joints are that hypotheses are drawn to."""
LEAST_MM: Final = 4.0
"""Distance by which votes may be off at least, mm. Chosen by hand."""
MOST: Final = 4.0
"""Largest distance of a joint that counts, relative to how far off its votes may be. Chosen by hand."""


@dataclass(frozen=True, eq=False)
class VotedJoints:
    """Where joints are. places_mm: (21, 3) in the camera's frame. radius_mm: (21,), how far off each may be."""

    places_mm: Floats
    radius_mm: Floats

    def distance(self, joints_mm: Reals, chosen: Bools | slice = slice(None)) -> Floats:
        """The mean distance (...) of joints (..., 21, 3) mm from these, relative to how far off they may be.

        chosen: (21,), which of them count
        """
        off = np.linalg.norm(joints_mm - self.places_mm, axis=-1) / (self.radius_mm + LEAST_MM)
        return np.asarray(np.minimum(off, MOST)[..., chosen].mean(axis=-1))

    def mirrored(self) -> "VotedJoints":
        """The joints of the mirror image (x -> -x)."""
        return VotedJoints(self.places_mm * MIRROR, self.radius_mm)

    def rescaled(self, factor: float) -> "VotedJoints":
        """The joints with all lengths multiplied by a factor."""
        return VotedJoints(self.places_mm * factor, self.radius_mm * factor)


def voted_joints(views: list[CenteredView], keypoints_mm: FloatImage, radius_mm: FloatImage) -> VotedJoints:
    """What the votes of T views say together. keypoints_mm: (T, 21, 3) as the views show them; radius_mm: (T, 21)."""
    places = np.stack(
        [from_view(each.astype(np.float64), view.distance_mm) @ view.rotation
         for each, view in zip(keypoints_mm, views, strict=True)]
    )  # fmt: skip
    weight = 1 / np.square(radius_mm.astype(np.float64))
    mean = np.einsum("tj,tjc->jc", weight / weight.sum(axis=0), places)
    return VotedJoints(mean, 1 / np.sqrt(weight.mean(axis=0)))


def drawn_poses(hypotheses: Proposals, joints: VotedJoints, nearest: int, sampled: int = 0) -> Proposals:
    """Hypotheses that are drawn to the voted joints, and others drawn to joints as far off as these may be.

    nearest: how many of the first, those that are the nearest to the voted joints already, the nearest first. sampled:
    how many of the second, in the hypotheses' order; what they are drawn to is always the same.
    """
    off = np.linalg.norm(joints_of(hypotheses) - joints.places_mm, axis=-1) / joints.radius_mm
    rows = np.argsort(np.square(off).sum(axis=1), kind="stable")[:nearest]
    shift = np.random.default_rng(SEED).normal(size=(sampled, *joints.places_mm.shape))
    shift *= joints.radius_mm[:, None] / np.sqrt(3)
    shift = np.concatenate([np.zeros((len(rows), *joints.places_mm.shape)), shift])
    start = hypotheses.select(np.concatenate([rows, np.arange(sampled) % len(hypotheses)]))
    return pose_of_joints(start, joints.places_mm + shift, joints.radius_mm)
