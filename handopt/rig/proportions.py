"""Proportions of a hand: a linear basis of lengths and thicknesses in which people differ, for any rig.

With coefficients b (S,), zero for the rig as it is, the rest vertices are P + sum_s b_s B_s and the joints' bind
positions c + sum_s b_s C_s. A coefficient is a relative change: 0.08 for "index_length" makes the index 8 % longer.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from handopt.rig.joints import CHAINS, DIGITS
from handopt.typing import Floats, Ints

PROPORTION_NAMES: Final = (
    *(f"{digit}_{part}" for digit in DIGITS for part in ("length", "thickness")),
    "palm_width",
    "palm_thickness",
    "palm_length",
)
"""The S = 13 coefficients, in order."""
_PALM_AXES: Final = 3  # the wrist's own axes: across the hand, towards its back, towards the arm


def proportion_basis(
    rest_mm: Floats, skin_indices: Ints, skin_weights: Floats, joint_names: Sequence[str], bind: Floats
) -> tuple[Floats, Floats]:
    """The basis of a rig's proportions: vertex offsets (S, V, 3) and bind position offsets (S, J, 3), mm per unit.

    The arguments are the arrays of handopt.rig.Rig.

    A finger's length stretches its skeleton away from its base (MCP, the thumb's CMC) and carries the skin along; its
    thickness moves the skin away from its bones; the palm's width, thickness and length stretch the palm about the
    wrist along its own axes and carry the fingers along, which keep their size.
    """
    positions = bind[:, :, 3]
    weights = np.zeros((len(rest_mm), len(joint_names)))
    np.add.at(weights, (np.arange(len(weights))[:, None], skin_indices), skin_weights)
    vertices = np.zeros((len(PROPORTION_NAMES), len(rest_mm), 3))
    joints = np.zeros((len(PROPORTION_NAMES), len(joint_names), 3))
    palm_weight = np.ones(len(rest_mm))
    carried = []  # (joints of a digit, its base, the weight of a vertex in it)
    for number, digit in enumerate(DIGITS):
        names = CHAINS[digit] if digit == "thumb" else CHAINS[digit][1:]
        chain = [joint_names.index(name) for name in names]
        share = weights[:, chain].sum(axis=1)
        palm_weight -= share
        carried.append((chain, chain[0], share))
        feet = _feet(rest_mm, positions[chain])
        vertices[2 * number] = share[:, None] * (feet - positions[chain[0]])
        vertices[2 * number + 1] = share[:, None] * (rest_mm - feet)
        joints[2 * number, chain] = positions[chain] - positions[chain[0]]
    wrist = positions[0]
    for axis in range(_PALM_AXES):
        direction = bind[0, :, axis]
        stretch = np.outer(direction, direction)
        row = 2 * len(DIGITS) + axis
        joints[row] = (positions - wrist) @ stretch
        vertices[row] = palm_weight[:, None] * ((rest_mm - wrist) @ stretch)
        for chain, base, share in carried:
            joints[row, chain] = joints[row, base]
            vertices[row] += share[:, None] * joints[row, base]
    return vertices, joints


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
