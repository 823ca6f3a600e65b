"""Where the keypoints of handopt's own hand lie in another rig: labels of the same places, whatever a rig's joints are.

Programs put their joints at other places of the hand: 5 to 10 mm along a finger are common. The places follow from the
two rest meshes alone. Along a digit, a keypoint lies at the same share of the length from the skin's end to the folds
beside the digit; across, at the same place of the cross-section. The wrist and the thumb's CMC, which no
digit's skin shows, stay at the rig's joints.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from handopt.errors import RigError
from handopt.rig.digit_surface import DigitSurface, digit_surfaces
from handopt.rig.joints import DIGITS
from handopt.rig.load import default_rig
from handopt.rig.model import Rig
from handopt.typing import Floats

_NOT_SHOWN: Final = (0, 1)
"""Rows of the keypoints that stay at the rig's joints: the wrist and the thumb's CMC."""


def with_default_keypoints(rig: Rig) -> Rig:
    """The rig with its keypoints at the places of the hand where those of handopt's own hand lie.

    The wrist and the thumb's CMC stay at the rig's joints. Its joints and all poses stay as they are. Raises
    RigError where the digits' skin cannot be matched.
    """
    own = default_rig(rig.side)
    theirs, ours = digit_surfaces(rig), digit_surfaces(own)
    if theirs is None or ours is None:
        raise RigError(f"{rig.name}: the folds between its fingers were not found: use its own joints (keypoints rig)")
    joints = rig.bind[rig.keypoint_joints, :, 3]
    places = joints.copy()
    for digit in range(len(DIGITS)):
        for row in range(4 * digit + 1, 4 * digit + 5):
            if row not in _NOT_SHOWN:
                places[row] = _matched(own, rig, ours[digit], theirs[digit], row)
    moved = np.linalg.norm(places - joints, axis=1)
    note = (
        f"keypoints but the wrist and the thumb's CMC are at the places of handopt's own hand, "
        f"{np.delete(moved, _NOT_SHOWN).mean():.1f} mm from the model's joints on average"
    )
    return replace(rig, keypoint_offsets_mm=places - joints, notes=(*rig.notes, note))


def _matched(own: Rig, rig: Rig, ours: DigitSurface, theirs: DigitSurface, row: int) -> Floats:
    """The place (3,) of a digit's keypoint in another rig."""
    point = own.keypoints_mm[row]
    reach = ours.reach_of(point)
    matched = reach * theirs.length / ours.length
    own_across, across = _across(own, ours, reach, row), _across(rig, theirs, matched, row)
    own_middle, own_half = ours.middle(reach, own_across)
    middle, half = theirs.middle(matched, across)
    aside = ((point - ours.place(reach)) @ own_across.T - own_middle) / np.maximum(own_half, 1e-6)
    return np.asarray(theirs.place(matched) + (middle + aside * half) @ across)


def _across(rig: Rig, surface: DigitSurface, reach: float, row: int) -> Floats:
    """Unit vectors (2, 3) across a digit at a length: sideways and towards its back."""
    step = 0.1 * surface.length
    along = surface.place(reach - step) - surface.place(reach + step)
    along /= np.linalg.norm(along)
    side = np.cross(rig.bind[rig.keypoint_joints[row], :, 1], along)
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(along, side)])
