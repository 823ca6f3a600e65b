"""The views of an image that a search compares poses with: readings of the hand, each cropped, and for each side."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handopt.config import Config
from handopt.observation.crop import Crop
from handopt.observation.observation import Observation
from handopt.observation.observe import observe_other_sizes
from handopt.observation.other_pixels import OtherPixels, evidence_and_labels_in

ALIKE: Final = 0.75  # intersection over union from which on two readings have the same hand; chosen by hand

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
    left = _with_evidence(observation, nearest)
    if nearest.holds is None:
        return left
    parted = left.without(nearest.other, nearest.holds)
    return parted if len(parted.points_mm) else left


def _with_evidence(observation: Observation, found: OtherPixels) -> Observation:
    """The observation whose pixels count as much as the network says that they are of hand or forearm, if it doubts."""
    if found.evidence is None:
        return observation
    depth_mm = observation.depth_mm * np.float32(observation.size)  # the network has read the image as it is
    config = observation.config.evidence
    evidence, labels = evidence_and_labels_in(found.reading, depth_mm, observation.camera, config)
    return observation.weighted(evidence, found.evidence, labels)


def labelled_readings(observations: Sequence[Observation], found: Sequence[OtherPixels]) -> list[Observation]:
    """The hand as the network of pixel labels sees it, about each palm that was found."""
    readings = []
    for each in found:
        palm = each.reading.palm_mm
        nearest = min(observations, key=lambda one: float(np.linalg.norm(one.center_mm - palm)))
        known = np.linalg.norm(nearest.center_mm - palm) < nearest.config.candidates.distinct_mm
        if each.evidence is None and known:
            continue
        read = labelled_reading(nearest, each)
        if each.holds is not None or not any(_alike(read, one) for one in observations):
            readings.append(read)
    return [each for each in readings if len(each.points_mm)]


def labelled_reading(observation: Observation, found: OtherPixels) -> Observation:
    """The hand as the network of pixel labels sees it about a palm; it may have no points."""
    read = _with_evidence(observation, found).labelled(found.hand, found.reading.palm_mm)
    return read if found.holds is None else read.without(found.other, found.holds)


def _alike(one: Observation, other: Observation) -> bool:
    """Whether two observations have nearly the same hand."""
    return bool(np.count_nonzero(one.mask & other.mask) > ALIKE * np.count_nonzero(one.mask | other.mask))


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
