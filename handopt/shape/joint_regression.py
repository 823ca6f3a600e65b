"""Joints that follow the skin: each joint's shift is a fixed weighted mean of the offsets of the skin around it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from handopt.rig.joints import CHAINS
from handopt.typing import Floats

if TYPE_CHECKING:
    from handopt.rig import Rig


@dataclass(frozen=True)
class RegressionConstants:
    """Which skin a joint follows."""

    ring_mm: float = 6.0  # standard deviation of a joint's ring of skin along its bones; chosen by hand
    reach: float = 3.0  # half the ring's width in standard deviations; chosen by hand
    # Share of a shift across the bones that joints follow: none, since a bulge of the skin does not say that the joint
    # under it lies elsewhere. Measured on synthetic people: following it cost 0.2 to 0.4 mm of joint error.
    across: float = 0.0


CONSTANTS: Final = RegressionConstants()
TIPS: Final = frozenset(chain[-1] for chain in CHAINS.values())


@dataclass(frozen=True)
class JointRegressor:
    """Joints follow the offsets of the skin: shift_j = G_j sum_v w_jv offset_v.

    weights: (J, V), each row of sum 1; gains: (J, 3, 3), 1 along the bones and CONSTANTS.across across them
    """

    weights: Floats
    gains: Floats

    def shifts(self, offsets_mm: Floats) -> Floats:
        """Shifts (J, 3) mm of the bind positions, given offsets (V, 3) mm."""
        return np.asarray(np.einsum("jab,jb->ja", self.gains, self.weights @ offsets_mm))

    def backward(self, grad_shifts: Floats) -> Floats:
        """Gradient by the offsets (V, 3), given that by the shifts (J, 3)."""
        return np.asarray(self.weights.T @ np.einsum("jab,ja->jb", self.gains, grad_shifts))


def joint_regressor(rig: "Rig") -> JointRegressor:
    """How the joints' bind positions follow the rest vertices.

    A joint follows the skin that it or its parent moves, in a ring about it. Shifts are regressed, not positions, so
    that the rig's own mesh gives the rig's own joints exactly.
    """
    positions = rig.bind[:, :, 3]
    weights = np.zeros((len(rig.joint_names), len(rig.rest_mm)))
    np.add.at(weights, (rig.skin_indices, np.arange(len(rig.rest_mm))[:, None]), rig.skin_weights)
    rows, gains = np.zeros_like(weights), np.zeros((len(weights), 3, 3))
    for joint, name in enumerate(rig.joint_names):
        parent = int(rig.parents[joint])
        own = weights[joint] + (weights[parent] if parent >= 0 else 0)
        if name in TIPS:  # moves no skin itself
            own = weights[parent]
        direction, offset = _direction(rig, joint), rig.rest_mm - positions[joint]
        along = offset @ direction
        rows[joint] = (
            own
            * np.exp(-0.5 * (along / CONSTANTS.ring_mm) ** 2)
            * (np.abs(along) < CONSTANTS.reach * CONSTANTS.ring_mm)
        )
        if rows[joint].sum() <= 1e-6:  # a joint that no skin follows: the skin nearest to it
            rows[joint] = np.exp(-0.5 * (np.linalg.norm(offset, axis=1) / CONSTANTS.ring_mm) ** 2) + 1e-300
        gains[joint] = CONSTANTS.across * np.eye(3) + (1 - CONSTANTS.across) * np.outer(direction, direction)
    return JointRegressor(rows / rows.sum(axis=1, keepdims=True), gains)


def _direction(rig: "Rig", joint: int) -> Floats:
    """Unit vector along the bones at a joint, from its parent to its children."""
    positions = rig.bind[:, :, 3]
    children = np.flatnonzero(rig.parents == joint)
    end = positions[children].mean(axis=0) if len(children) else positions[joint]
    start = positions[rig.parents[joint]] if rig.parents[joint] >= 0 else positions[joint]
    bone = end - start
    return np.asarray(bone / np.linalg.norm(bone))
