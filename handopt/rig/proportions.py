"""Proportions of a hand: a linear basis of lengths and thicknesses in which people differ, for any rig.

With coefficients b (S,), zero for the rig as it is, the rest vertices are P + sum_s b_s B_s and the joints' bind
positions c + sum_s b_s C_s. A coefficient is a relative change: 0.08 for "index_length" makes the index 8 % longer.
"""

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike

from handopt.errors import ShapeError
from handopt.rig.joints import CHAINS, DIGITS
from handopt.typing import Floats

if TYPE_CHECKING:
    from handopt.rig.model import Rig


PROPORTION_NAMES: Final = (
    *(f"{digit}_{part}" for digit in DIGITS for part in ("length", "thickness")),
    "palm_width",
    "palm_thickness",
    "palm_length",
)
"""The S = 13 coefficients, in order."""
_PALM_AXES: Final = 3  # the wrist's own axes: across the hand, towards its back, towards the arm


def proportion_basis(rig: "Rig") -> tuple[Floats, Floats]:
    """The basis of a rig's proportions: vertex offsets (S, V, 3) and bind position offsets (S, J, 3), mm per unit.

    A finger's length stretches its skeleton away from its base (MCP, the thumb's CMC) and carries the skin along; its
    thickness moves the skin away from its bones; the palm's width, thickness and length stretch the palm about the
    wrist along its own axes and carry the fingers along, which keep their size.
    """
    positions = rig.bind[:, :, 3]
    weights = np.zeros((len(rig.rest_mm), len(rig.joint_names)))
    np.add.at(weights, (np.arange(len(weights))[:, None], rig.skin_indices), rig.skin_weights)
    vertices = np.zeros((len(PROPORTION_NAMES), len(rig.rest_mm), 3))
    joints = np.zeros((len(PROPORTION_NAMES), len(rig.joint_names), 3))
    palm_weight = np.ones(len(rig.rest_mm))
    carried = []  # (joints of a digit, its base, the weight of a vertex in it)
    for number, digit in enumerate(DIGITS):
        names = CHAINS[digit] if digit == "thumb" else CHAINS[digit][1:]
        chain = [rig.joint_names.index(name) for name in names]
        share = weights[:, chain].sum(axis=1)
        palm_weight -= share
        carried.append((chain, chain[0], share))
        feet = _feet(rig.rest_mm, positions[chain])
        vertices[2 * number] = share[:, None] * (feet - positions[chain[0]])
        vertices[2 * number + 1] = share[:, None] * (rig.rest_mm - feet)
        joints[2 * number, chain] = positions[chain] - positions[chain[0]]
    wrist = positions[0]
    for axis in range(_PALM_AXES):
        direction = rig.bind[0, :, axis]
        stretch = np.outer(direction, direction)
        row = 2 * len(DIGITS) + axis
        joints[row] = (positions - wrist) @ stretch
        vertices[row] = palm_weight[:, None] * ((rig.rest_mm - wrist) @ stretch)
        for chain, base, share in carried:
            joints[row, chain] = joints[row, base]
            vertices[row] += share[:, None] * joints[row, base]
    return vertices, joints


def with_proportions(rig: "Rig", coefficients: ArrayLike) -> "Rig":
    """The rig with other proportions. coefficients: (S,) as PROPORTION_NAMES. Raises ShapeError and RigError."""
    from dataclasses import replace

    values = np.asarray(coefficients, np.float64)
    if values.shape != (len(PROPORTION_NAMES),) or not np.isfinite(values).all() or np.abs(values).max() >= 1:
        raise ShapeError(
            f"proportions: expected {len(PROPORTION_NAMES)} numbers between -1 and 1, got {values.tolist()}"
        )
    vertices, joints = rig.proportion_basis
    bind = rig.bind.copy()
    bind[:, :, 3] += np.tensordot(values, joints, 1)
    return replace(rig, rest_mm=rig.rest_mm + np.tensordot(values, vertices, 1), bind=bind)


def _feet(points: Floats, chain: Floats) -> Floats:
    """The nearest point of a polyline (n, 3) to each point (V, 3); its last segment goes on for ever."""
    best = np.full(len(points), np.inf)
    feet = np.empty_like(points)
    for segment in range(len(chain) - 1):
        start, along = chain[segment], chain[segment + 1] - chain[segment]
        reach = (points - start) @ along / (along @ along)
        last = segment == len(chain) - 2
        foot = start + np.clip(reach, 0, None if last else 1)[:, None] * along
        distance = np.linalg.norm(points - foot, axis=1)
        nearer = distance < best
        best, feet = np.where(nearer, distance, best), np.where(nearer[:, None], foot, feet)
    return feet
