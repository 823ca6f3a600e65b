"""Lengths and breadths of a hand, as people measure it, on any rig of one topology."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from handopt.rig.joints import DIGITS, KNUCKLES
from handopt.typing import Bools, Floats

if TYPE_CHECKING:
    from handopt.rig import Rig


_WRIST, _MIDDLE_TIP = 0, 12
_KNUCKLES: Final = {digit: 4 * number + (2 if digit == "thumb" else 1) for number, digit in enumerate(DIGITS)}
_TIP_REACH_MM: Final = 12.0  # how far around a tip joint the tip of the skin is looked for; chosen by hand
_BREADTH_RING_MM: Final = 4.0  # half the width of the ring of skin whose breadth is measured; chosen by hand

DESCRIPTIONS: Final = {
    "hand_length": "wrist joint to the tip of the middle finger, along the straight hand",
    "hand_breadth": "across the palm, skin to skin, at the knuckles of index to little finger",
    **{f"{digit}_length": "knuckle (MCP joint) to the tip of the skin" for digit in DIGITS},
    **{f"{digit}_breadth": "across the finger, skin to skin, at its middle joint" for digit in DIGITS},
}


@dataclass(frozen=True)
class Measurement:
    """A length and its standard deviation, mm; generic_mm: the length of the generic hand."""

    name: str
    value_mm: float
    deviation_mm: float
    generic_mm: float

    def to_dict(self) -> dict[str, float | str]:
        """Plain values, rounded to 0.01 mm."""
        return {
            "mm": round(self.value_mm, 2),
            "deviation_mm": round(self.deviation_mm, 2),
            "generic_mm": round(self.generic_mm, 2),
            "what": DESCRIPTIONS[self.name],
        }


@dataclass(frozen=True)
class MeasurementSet:
    """The two ends of each measurement, ("joint", keypoint) or ("skin", vertex), found once on the generic hand."""

    ends: dict[str, tuple[tuple[str, int], tuple[str, int]]]

    @classmethod
    def on(cls, rig: "Rig") -> "MeasurementSet":
        """Find the places on a rig."""
        keypoints = rig.keypoints_mm
        tips = {digit: _tip(rig, number) for number, digit in enumerate(DIGITS)}
        ends = {"hand_length": (("joint", _WRIST), ("skin", tips["middle"]))}
        across = keypoints[17] - keypoints[5]
        palm = _near(rig, keypoints[list(KNUCKLES)].mean(axis=0), keypoints[9] - keypoints[0], 2 * _BREADTH_RING_MM)
        palm &= ~_moved_by(rig, "thumb")
        ends["hand_breadth"] = _extremes(rig, palm, across)
        for digit in DIGITS:
            ends[f"{digit}_length"] = (("joint", _KNUCKLES[digit]), ("skin", tips[digit]))
        for number, digit in enumerate(DIGITS):
            middle = 4 * number + (3 if digit == "thumb" else 2)
            bone = keypoints[middle + 1] - keypoints[middle - 1]
            ring = _near(rig, keypoints[middle], bone, _BREADTH_RING_MM) & _moved_by(rig, digit)
            side = across if digit != "thumb" else np.cross(bone, rig.bind[rig.keypoint_joints[middle], :, 1])
            ends[f"{digit}_breadth"] = _extremes(rig, ring, side)
        return cls(ends)

    @property
    def names(self) -> tuple[str, ...]:
        """The measurements in order."""
        return tuple(self.ends)

    def lengths(self, rig: "Rig") -> Floats:
        """All lengths (M,) mm of a rig of the same topology."""
        places = {"joint": rig.keypoints_mm, "skin": rig.rest_mm}
        return np.array(
            [np.linalg.norm(places[a][i] - places[b][j]) for (a, i), (b, j) in self.ends.values()], np.float64
        )


def _tip(rig: "Rig", number: int) -> int:
    """The vertex farthest out along the last bone of a digit."""
    distal, tip = rig.keypoints_mm[4 * number + 3], rig.keypoints_mm[4 * number + 4]
    bone = (tip - distal) / np.linalg.norm(tip - distal)
    offset = rig.rest_mm - tip
    along = offset @ bone
    beside = np.linalg.norm(offset - along[:, None] * bone, axis=1)
    near = (np.linalg.norm(offset, axis=1) < 2 * _TIP_REACH_MM) & (beside < _TIP_REACH_MM)
    return int(np.argmax(np.where(near, along - 0.2 * beside, -np.inf)))


def _near(rig: "Rig", point: Floats, direction: Floats, reach_mm: float) -> Bools:
    along = (rig.rest_mm - point) @ (direction / np.linalg.norm(direction))
    return np.asarray(np.abs(along) < reach_mm)


def _moved_by(rig: "Rig", digit: str) -> Bools:
    """Vertices whose strongest joint belongs to a digit's phalanges."""
    names = np.array([name.startswith(digit) and "metacarpal" not in name for name in rig.joint_names])
    if digit == "thumb":
        names = np.array([name.startswith(digit) for name in rig.joint_names])
    return np.asarray(names[rig.skin_indices[:, 0]])


def _extremes(rig: "Rig", chosen: Bools, direction: Floats) -> tuple[tuple[str, int], tuple[str, int]]:
    """The two vertices that lie farthest apart along a direction."""
    along = rig.rest_mm @ (direction / np.linalg.norm(direction))
    low = int(np.argmin(np.where(chosen, along, np.inf)))
    high = int(np.argmax(np.where(chosen, along, -np.inf)))
    return ("skin", low), ("skin", high)
