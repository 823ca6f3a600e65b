"""Where the keypoints of handopt's own hand lie in another rig: labels of the same places, whatever a rig's joints are.

Programs put their joints at other places of the hand: 5 to 10 mm along a finger are common. The places follow from the
two rest meshes alone. Along a digit, a keypoint lies at the same share of the length from the skin's end to the folds
beside the digit; across, at the same place of the cross-section. The wrist and the thumb's CMC, which no
digit's skin shows, stay at the rig's joints.
"""

from dataclasses import replace
from typing import Final, Literal

import numpy as np

from handopt.errors import RigError, did_you_mean
from handopt.rig.digit_surface import DigitSurface, digit_surfaces
from handopt.rig.joints import DIGITS
from handopt.rig.load import default_rig
from handopt.rig.model import Rig
from handopt.typing import Floats

_NOT_SHOWN: Final = (0, 1)
"""Rows of the keypoints that stay at the rig's joints: the wrist and the thumb's CMC."""
CLEARLY_ELSEWHERE_MM: Final = 5.0
"""Mean distance of the joints from the places at which they are given up for these.

Below it a rig's own joints agree with handopt's within the 6 mm that are wanted. A mesh that differs in its vertices
alone has the places within 1 mm, one whose folds were filled when it was simplified within 5 mm.
"""

Places = Literal["auto", "rig", "default"]


def with_keypoints(rig: Rig, places: Places = "auto") -> Rig:
    """The rig with its keypoints at its joints ("rig"), at handopt's places ("default"), or where "auto" puts them.

    auto takes handopt's places where the rig's joints lie clearly elsewhere, CLEARLY_ELSEWHERE_MM on average. Joints of
    MANO are a convention of their own and stay, as do those of a rig whose digits' skin cannot be matched. Raises
    RigError as with_default_keypoints, and for other places.
    """
    if places == "rig":
        return rig
    if places == "default":
        return with_default_keypoints(rig)
    if places != "auto":
        raise RigError(f"keypoints={places!r} is unknown{did_you_mean(places, ['auto', 'rig', 'default'])}")
    if rig.pose_correctives is not None or rig.keypoint_offsets_mm is not None:
        return rig
    try:
        moved = with_default_keypoints(rig)
    except RigError:
        return rig
    return rig if _distance_mm(rig, moved) < CLEARLY_ELSEWHERE_MM else moved


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
    moved = replace(rig, keypoint_offsets_mm=places - joints)
    note = (
        f"keypoints but the wrist and the thumb's CMC are at the places of handopt's own hand, "
        f"{_distance_mm(rig, moved):.1f} mm from the model's joints on average (--keypoints rig keeps them there)"
    )
    return replace(moved, notes=(*rig.notes, note))


def _distance_mm(rig: Rig, moved: Rig) -> float:
    """Mean distance of the keypoints that can move from a rig's joints."""
    joints = rig.bind[rig.keypoint_joints, :, 3]
    return float(np.delete(np.linalg.norm(moved.keypoints_mm - joints, axis=1), _NOT_SHOWN).mean())


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
