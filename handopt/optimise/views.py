"""The views of an image that a search compares poses with: readings of the hand, each cropped, and for each side."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.config import Config
from handopt.observation.crop import Crop
from handopt.observation.observation import Observation
from handopt.observation.observe import observe_other_sizes
from handopt.observation.other_pixels import OtherPixels

CroppedObservation = tuple[Observation, Crop, bool]
"""An observation, its crop, and whether to mirror it, as left hands are."""


def cropped(observation: Observation, mirrored: bool, config: Config) -> CroppedObservation:
    """The view of an observation."""
    return observation, observation.crop(config.crop_px, config.crop_half_mm), mirrored


def views_of(observations: Sequence[Observation], sides: Sequence[bool], config: Config) -> list[CroppedObservation]:
    """Each observation for each side that the hand may be of. sides: whether to mirror it."""
    return [cropped(each, mirrored, config) for each in observations for mirrored in sides]


def without_others(views: Sequence[CroppedObservation], found: Sequence[OtherPixels]) -> list[CroppedObservation]:
    """The same views without what is not the hand's, as it looks from the nearest palm that was found."""
    left: dict[int, Observation] = {}  # an observation may be seen as either hand
    for observation, _, _ in views:
        if id(observation) not in left:
            left[id(observation)] = _without_others(observation, found)
    return [(left[id(observation)], crop, mirrored) for observation, crop, mirrored in views]


def _without_others(observation: Observation, found: Sequence[OtherPixels]) -> Observation:
    limb = observation.limb
    if not found or limb is None or limb.mask.shape != found[0].other.shape:
        return observation
    nearest = min(found, key=lambda each: float(np.linalg.norm(each.reading.palm_mm - observation.center_mm)))
    left = observation.without(nearest.other, nearest.holds)
    return left if len(left.points_mm) else observation


def labelled_readings(observations: Sequence[Observation], found: Sequence[OtherPixels]) -> list[Observation]:
    """The hand as the network of pixel labels sees it, about each palm that was found."""
    readings = []
    for each in found:
        palm = each.reading.palm_mm
        nearest = min(observations, key=lambda one: float(np.linalg.norm(one.center_mm - palm)))
        readings.append(nearest.without(each.other, each.holds).labelled(each.hand, palm))
    return [each for each in readings if len(each.points_mm)]


def other_readings(
    depth_mm: NDArray[Any], best: Observation, hints: dict[str, Any], any_size: bool
) -> list[Observation]:
    """Other ways to read an image: with nothing cut off at the wrist, and as a hand of another size.

    best: the observation that is read as it is; hints: box, center and ignore as observe takes them. any_size: False
    where the hand's size is known. Empty where the pixels of the hand were given, and where it looks beyond doubt like
    a hand.
    """
    if best.limb is None or best.score >= best.config.candidates.sure_score:
        return []
    read = [best]
    if any_size:
        read += observe_other_sizes(depth_mm, best.camera, best, **hints)
    return read[1:] + [one.uncut() for one in read if one.arm_direction is not None]
