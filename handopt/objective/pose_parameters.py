"""The parameters that least squares moves: rotation, translation, logarithm of the scale, free angles, proportions."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from handopt.backend import Array, namespace, namespace_of, to_device, to_numpy
from handopt.config import LMSchedule, LMSettings
from handopt.hand_model import MAX_PROPORTION, MAX_SCALE, MIN_SCALE, Hand, Pose, exponential
from handopt.ops.minimise_poses import Steps
from handopt.ops.normal_equations import RIGID


@dataclass(frozen=True)
class StepLimits:
    """The most that one step may change, which is about as far as the linear model holds. Chosen by hand."""

    turn_rad: float = 0.5  # of the hand's rotation and of each joint angle
    shift_mm: float = 30.0  # of the wrist
    relative: float = 0.1  # of the logarithm of the scale and of each proportion


STEP_LIMITS: Final = StepLimits()


class PoseParameters:
    """The P parameters of a hand's pose, in the order of handopt.ops.normal_equations.

    angles: (A,) which of the 45 joint angles may move; count: 7 + A, after which the proportions follow
    """

    def __init__(self, hand: Hand) -> None:
        free = to_numpy(hand.free).ravel() > 0
        self.device, self._dtype = hand.device, hand.rest.dtype
        self._xp = namespace(hand.device)
        self.angles = to_device(np.flatnonzero(free), hand.device, np.int64)
        self.count = RIGID + int(free.sum())

    def moved(self, pose: Pose, step: Array) -> Pose:
        """Poses after a step (B, P), limited to what the linear model can foresee."""
        xp, count, limits = self._xp, self.count, STEP_LIMITS
        turn = _at_most(step[:, :3], limits.turn_rad)
        angles = pose.angles.reshape(len(pose), -1).copy()
        angles[:, self.angles] += step[:, RIGID:count].clip(-limits.turn_rad, limits.turn_rad)
        scale = pose.scale * xp.exp(step[:, RIGID - 1].clip(-limits.relative, limits.relative))
        proportions = pose.proportions + step[:, count:].clip(-limits.relative, limits.relative)
        return Pose(
            angles=angles.reshape(pose.angles.shape),
            rotation=xp.ascontiguousarray(exponential(turn) @ pose.rotation),
            translation=pose.translation + _at_most(step[:, 3:6], limits.shift_mm),
            scale=scale.clip(MIN_SCALE, MAX_SCALE),
            image=pose.image,
            proportions=proportions.clip(-MAX_PROPORTION, MAX_PROPORTION),
        )

    def free(self, pose: Pose, lm_settings: LMSettings) -> Array:
        """Which parameters may move, (P,) of 0 and 1."""
        free = np.ones(self.count + pose.proportions.shape[1])
        free[RIGID - 1] = lm_settings.scale
        free[self.count :] = lm_settings.proportions
        return to_device(free, self.device, self._dtype)

    def steps(self, pose: Pose, lm_settings: LMSettings, schedule: LMSchedule) -> Steps:
        """The steps of a schedule, for a kernel that takes all of them."""
        limits = STEP_LIMITS
        return Steps(
            *(schedule.iterations, schedule.first_damping, schedule.lowest_damping, schedule.highest_damping),
            *(schedule.accepted, schedule.refused, limits.turn_rad, limits.shift_mm, limits.relative),
            *((MIN_SCALE, MAX_SCALE), MAX_PROPORTION, self.free(pose, lm_settings)),
        )


def _at_most(vectors: Array, length: float) -> Array:
    """Vectors (B, 3), shortened where they are longer."""
    xp = namespace_of(vectors)
    return vectors * xp.minimum(1, length / xp.maximum(xp.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
