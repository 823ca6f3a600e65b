"""The views of an image that a search compares poses with: readings of the hand, each cropped, and for each side."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from handopt.config import Config
from handopt.observation.crop import Crop
from handopt.observation.observation import Observation
from handopt.observation.observe import observe_other_sizes

CroppedObservation = tuple[Observation, Crop, bool]
"""An observation, its crop, and whether to mirror it, as left hands are."""


def cropped(observation: Observation, mirrored: bool, config: Config) -> CroppedObservation:
    """The view of an observation."""
    return observation, observation.crop(config.crop_px, config.crop_half_mm), mirrored


def views_of(observations: Sequence[Observation], sides: Sequence[bool], config: Config) -> list[CroppedObservation]:
    """Each observation for each side that the hand may be of. sides: whether to mirror it."""
    return [cropped(each, mirrored, config) for each in observations for mirrored in sides]


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
