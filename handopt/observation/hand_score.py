"""How much a candidate looks like a hand: the features that its score is made of."""

import numpy as np

from handopt.observation.palm_proposals import PalmProposal
from handopt.observation.protrusions import Protrusion
from handopt.observation.surfaces import Window
from handopt.ops.surfaces import hand_creases
from handopt.typing import BoolImage


def hand_features(
    palm: PalmProposal,
    window: Window,
    hand: BoolImage,
    protrusions: list[Protrusion],
    arm: Protrusion | None,
    narrow: BoolImage,
    nearest_mm: float,
) -> dict[str, float]:
    """How far a candidate is from what hands look like, by name; a feature is about 1 where it starts to matter.

    hand: (h, w) its pixels in the window. arm: the protrusion that is taken for the forearm. narrow: (h, w) what is as
    narrow as a finger. nearest_mm: distance of the nearest palm of the image.
    """
    config = window.frame.config.score
    area = float(window.pixel_cm2[hand].sum())
    z = float(palm.center_mm[2])
    others = [part for part in protrusions if part is not arm]
    fingers_cm2 = float(window.pixel_cm2[hand & narrow].sum())
    creases_cm2 = float(window.pixel_cm2[_creases(window, hand, z)].sum())
    thickness, fat_unit = config.fat
    fat_cm2 = sum(part.area_cm2 * max(0.0, 1.0 - thickness * part.finger_fraction) for part in others)
    second_mm, second_unit = config.second_arm
    second_cm2 = sum(part.area_cm2 for part in others if part.reach_mm > second_mm)
    border_mm = np.count_nonzero(hand & window.border) * window.pixel_mm(z)
    return {
        "narrow_palm": _below(palm.radius_mm, config.narrow_palm_mm),
        "wide_palm": _above(palm.radius_mm, config.wide_palm_mm),
        "small": _below(area, config.small_cm2),
        "large": _above(area, config.large_cm2),
        "no_arm": float(arm is None),
        "wide_arm": _above(arm.width_mm, config.wide_arm_mm) if arm else 0.0,
        "fingers": _up_to(fingers_cm2, config.fingers_cm2),
        "creases": _up_to(creases_cm2, config.creases_cm2),
        "fat_parts": fat_cm2 / fat_unit,
        "second_arm": second_cm2 / second_unit,
        "at_border": _up_to(border_mm, config.border_mm),
        "far": (z - nearest_mm) / config.far_mm,
    }


def _below(value: float, scale: tuple[float, float]) -> float:
    return max(0.0, scale[0] - value) / scale[1]


def _above(value: float, scale: tuple[float, float]) -> float:
    return max(0.0, value - scale[0]) / scale[1]


def _up_to(value: float, scale: tuple[float, float]) -> float:
    return min(value, scale[0]) / scale[1]


def _creases(window: Window, hand: BoolImage, z_mm: float) -> BoolImage:
    """Tell where a surface is concave: farther than the middle of its neighbours on opposite sides.

    Hands are concave between fingers and over the palm; forearms, heads and balls are not. The depth that counts grows
    with a depth sensor's noise, from 1.7 mm at 400 mm to 3 mm at 1 m.
    """
    config = window.frame.config
    step = max(1, round(config.segmentation.crease_mm / window.pixel_mm(z_mm)))
    aslant = max(1, round(0.7 * step))
    near, per_m2 = config.score.crease_depth_mm
    least = near + per_m2 * (z_mm / 1000.0) ** 2
    return hand_creases(np.ascontiguousarray(window.depth_mm), np.ascontiguousarray(hand), least, step, aslant)
