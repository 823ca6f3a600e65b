"""Whose hands images are rendered of: those of all people, or those of the one that an adaptation sees."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.spatial.transform import Rotation

from handopt.rig import Rig
from handopt.synth.poses import LEVELS, sample_view
from handopt.synth.subject import sample_subject
from handopt.typing import Floats

LEVEL_SHARES: Final = (0.12, 0.23, 0.65)
"""Of poses and views."""
POSE_JITTER_RAD: Final = 0.04
SCALE: Final = (0.66, 1.2)
SEEN_SHARE: Final = 0.5
"""Of the chunks of images of one person whose hand is empty, those with poses that frames have shown."""
TURN_RAD: Final = 0.25
"""Deviation of a hand's rotation from that of a frame, about each axis."""
SCALE_SPREAD, PROPORTION_SPREAD = 0.03, 0.02
"""Deviation of the logarithm of one person's size, and of the proportions: about what they may be off."""


@dataclass(frozen=True, eq=False)
class People:
    """Hands of all people. poses: (N, 15, 3) angles that they have."""

    poses: Floats

    def sample_proportions(self, rng: np.random.Generator) -> Floats:
        """Draw the proportions (13,) of a subject."""
        return sample_subject(rng).proportions

    def sample_scales(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw sizes (count,)."""
        return rng.uniform(*SCALE, count)

    def sample_poses(self, rng: np.random.Generator, rig: Rig, count: int) -> tuple[Floats, Floats]:
        """Draw angles (count, 15, 3) within the rig's limits, and rotations (count, 3, 3) from the rig to the view."""
        angles = _varied(rng, rig, self.poses[rng.integers(len(self.poses), size=count)])
        levels = rng.choice(LEVELS, count, p=LEVEL_SHARES)
        return angles, np.stack([sample_view(rng, level, rig) for level in levels])


@dataclass(frozen=True, eq=False)
class OnePerson(People):
    """Hands like those of one person, some of them in poses that frames have shown.

    scale: of the rig. proportions: (13,). angles: (M, 15, 3) and rotations: (M, 3, 3) in frames, as views see them
    """

    scale: float
    proportions: Floats
    angles: Floats
    rotations: Floats

    def sample_proportions(self, rng: np.random.Generator) -> Floats:
        """Draw proportions (13,) that are about this person's."""
        return np.asarray(self.proportions + rng.normal(0.0, PROPORTION_SPREAD, len(self.proportions)))

    def sample_scales(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw sizes (count,) that are about this person's."""
        return np.asarray(self.scale * np.exp(rng.normal(0.0, SCALE_SPREAD, count)))

    def sample_poses(self, rng: np.random.Generator, rig: Rig, count: int) -> tuple[Floats, Floats]:
        """Draw all of them about those of frames, or as for all people."""
        if rng.random() >= SEEN_SHARE:
            return super().sample_poses(rng, rig, count)
        rows = rng.integers(len(self.angles), size=count)
        turns = Rotation.from_rotvec(rng.normal(0.0, TURN_RAD, (count, 3))).as_matrix()
        return _varied(rng, rig, self.angles[rows]), turns @ self.rotations[rows]


def _varied(rng: np.random.Generator, rig: Rig, angles: Floats) -> Floats:
    """Angles (B, 15, 3) that are somewhat off, within the rig's limits."""
    jitter = rng.normal(0.0, POSE_JITTER_RAD, angles.shape) * rng.uniform(0, 1, (len(angles), 1, 1))
    return np.asarray(np.clip(angles + jitter, rig.limits.lower, rig.limits.upper))
