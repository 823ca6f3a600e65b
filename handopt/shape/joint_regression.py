"""Joints that follow the skin: each joint's shift is a fixed mean of the shifts of the skin around it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from handopt.rig.joints import CHAINS
from handopt.typing import Floats

if TYPE_CHECKING:
    from handopt.rig import Rig


RING_MM: Final = 6.0
"""Width of a joint's ring along its bones."""
ACROSS: Final = 0.0
"""Gain across the bones: a bulge of the skin does not say that the joint under it lies elsewhere."""
TIPS: Final = frozenset(chain[-1] for chain in CHAINS.values())
_REACH = 3.0  # in widths of the ring


@dataclass(frozen=True)
class JointRegressor:
    """Joints follow the offsets of the skin: shift_j = G_j sum_v w_jv offset_v.

    weights: (J, V), each row of sum 1; gains: (J, 3, 3), 1 along the bones and ACROSS across them
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

    A joint looks at the skin that it or its parent moves, in a ring of RING_MM about it along the bone. What is
    regressed is the shift, so that the rig's own mesh gives the rig's own joints exactly.
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
        rows[joint] = own * np.exp(-0.5 * (along / RING_MM) ** 2) * (np.abs(along) < _REACH * RING_MM)
        if rows[joint].sum() <= 1e-6:  # a joint that no skin follows: the skin nearest to it
            rows[joint] = np.exp(-0.5 * (np.linalg.norm(offset, axis=1) / RING_MM) ** 2) + 1e-300
        gains[joint] = ACROSS * np.eye(3) + (1 - ACROSS) * np.outer(direction, direction)
    return JointRegressor(rows / rows.sum(axis=1, keepdims=True), gains)


def _direction(rig: "Rig", joint: int) -> Floats:
    """Unit vector along the bones at a joint, from its parent to its children."""
    positions = rig.bind[:, :, 3]
    children = np.flatnonzero(rig.parents == joint)
    end = positions[children].mean(axis=0) if len(children) else positions[joint]
    start = positions[rig.parents[joint]] if rig.parents[joint] >= 0 else positions[joint]
    bone = end - start
    return np.asarray(bone / np.linalg.norm(bone))
