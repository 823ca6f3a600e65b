"""How single bones differ from person to person, beyond the length of the finger that they belong to."""

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from handopt.rig.joints import CHAINS, DIGITS
from handopt.rig.proportions import PROPORTION_NAMES
from handopt.typing import Floats, Indices

if TYPE_CHECKING:
    from handopt.rig import Rig


BONE_NAMES: Final = tuple(f"{digit}_{part}" for digit in DIGITS for part in ("proximal", "middle"))
"""Bones that have a length of their own; the last of each digit follows from the digit's length."""
SHAPE_NAMES: Final = (*PROPORTION_NAMES, *BONE_NAMES)
SPREAD: Final = 0.6
"""Relative change of a bone's length per unit of its coefficient: bones differ less than fingers do. Chosen by hand."""


def shape_basis(rig: "Rig") -> tuple[Floats, Floats]:
    """The proportions' basis (handopt.rig.proportions), then that of single bones: (S, V, 3) and (S, J, 3) mm per unit.

    A bone's length moves the skeleton beyond it and carries the skin along. A model's own shape space stands instead.
    """
    if rig.shape_space is not None:
        return rig.shape_basis
    vertices, joints = rig.proportion_basis
    own_vertices = np.zeros((len(BONE_NAMES), *vertices.shape[1:]))
    own_joints = np.zeros((len(BONE_NAMES), *joints.shape[1:]))
    positions = rig.bind[:, :, 3]
    weights = np.zeros((len(rig.rest_mm), len(rig.joint_names)))
    np.add.at(weights, (np.arange(len(weights))[:, None], rig.skin_indices), rig.skin_weights)
    for number, digit in enumerate(DIGITS):
        names = CHAINS[digit] if digit == "thumb" else CHAINS[digit][1:]
        chain = [rig.joint_names.index(name) for name in names]
        share = weights[:, chain].sum(axis=1)
        segment, reach = _along(rig.rest_mm, positions[chain])
        for bone in range(2):
            vector = SPREAD * (positions[chain[bone + 1]] - positions[chain[bone]])
            part = np.where(segment == bone, reach, segment > bone)
            own_vertices[2 * number + bone] = (share * part)[:, None] * vector
            own_joints[2 * number + bone, chain[bone + 1 :]] = vector
    return np.concatenate([vertices, own_vertices]), np.concatenate([joints, own_joints])


def _along(points: Floats, chain: Floats) -> tuple[Indices, Floats]:
    """The nearest segment of a polyline to each point (V,), and how far along it its foot is, from 0 to 1."""
    reaches, distances = [], []
    for start, end in pairwise(chain):
        bone = end - start
        reach = np.clip((points - start) @ bone / (bone @ bone), 0, 1)
        reaches.append(reach)
        distances.append(np.linalg.norm(points - start - reach[:, None] * bone, axis=1))
    nearest = np.argmin(distances, axis=0)
    return nearest, np.take_along_axis(np.array(reaches), nearest[None], axis=0)[0]
