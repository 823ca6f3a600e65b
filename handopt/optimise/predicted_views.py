"""Where in an image a network sees the hand: of several readings the one that its pose explains, with a palm in it.

The likeliest place is taken where its pose explains it. Otherwise the network of pixel labels is asked around each
place: how probably a palm is there, and which pixels are the hand's, which is a further reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from handopt.backend import one_cpu_thread
from handopt.config import Config
from handopt.errors import ObservationError
from handopt.input.pixel_labels import HAND
from handopt.observation.observation import Observation
from handopt.observation.pixel_reading import PixelReading, probability_in_image, read_windows
from handopt.optimise.views import CroppedObservation, cropped
from handopt.proposals.consensus import PredictedPose, predict_pose
from handopt.proposals.model_file import PoseModel

EXPLAINED: Final = 0.3
"""Share of a view that a pose may leave unexplained for its place to be taken at once. Chosen on synthetic images: of
these half are explained so well, and none of those is elsewhere."""
NO_PALM: Final = 0.5
"""Unexplained share that a place adds where the network of pixel labels is sure that there is no palm. By hand."""
POOR: Final = 0.6
"""Cost of the best likely place from which on others are asked about. Chosen on synthetic images."""
PERHAPS: Final = 0.3
"""Presence of a palm below which another place is left out. By hand."""
MOST_PALMS: Final = 6
"""Other places that are asked about, at most. By hand."""
LEAST_PX: Final = 200
"""Pixels that a reading of the hand has at least. By hand."""


@dataclass(frozen=True, eq=False)
class PredictedView:
    """A view of an image, and what the network sees in it."""

    view: CroppedObservation
    predicted: PredictedPose


@dataclass(frozen=True, eq=False)
class _Place:
    """A reading of the image for each side. doubt: what is added for lack of a palm."""

    views: list[tuple[Observation, bool, PredictedPose]]
    doubt: float = 0.0

    @property
    def cost(self) -> float:
        return min(predicted.unexplained_fraction for _, _, predicted in self.views) + self.doubt


def predicted_views(
    observations: Sequence[Observation], sides: Sequence[bool], config: Config, model: PoseModel | None
) -> list[PredictedView]:
    """The views of the place where the network sees the hand best, one for each side.

    observations: the most plausible first. sides: whether to mirror it. Raises ObservationError.
    """
    with one_cpu_thread():
        first = _looked_at(observations[0], sides, model)
        places: list[_Place | None] = [first]
        if (first is None or first.cost > EXPLAINED) and observations[0].limb is not None:
            places = _asked(first, observations, sides, model)
    found = [each for each in places if each is not None]
    if not found:
        raise ObservationError("nothing of the hand lies within 120 mm of the middle of its points")
    best = min(found, key=lambda each: each.cost)
    return [PredictedView(cropped(seen, side, config), predicted) for seen, side, predicted in best.views]


def _looked_at(
    observation: Observation, sides: Sequence[bool], model: PoseModel | None, doubt: float = 0.0
) -> _Place | None:
    """What the network sees in an observation; None where nothing of it is near its middle."""
    try:
        seen = [
            (observation, side, predict_pose(observation.mirrored() if side else observation, model)) for side in sides
        ]
    except ObservationError:
        return None
    return _Place(seen, doubt)


def _asked(
    first: _Place | None, observations: Sequence[Observation], sides: Sequence[bool], model: PoseModel | None
) -> list[_Place | None]:
    """All places with what the network of pixel labels says of them; first: of the first observation."""
    assert observations[0].limb is not None  # None where the pixels of the hand were given
    frame = observations[0].limb.frame
    palms = np.stack([each.center_mm for each in observations])
    readings = read_windows(frame.depth_mm, frame.camera, palms, rounds=1)
    places: list[_Place | None] = []
    for number, (observation, reading) in enumerate(zip(observations, readings, strict=True)):
        doubt = NO_PALM * (1 - reading.presence)
        if number == 0 and first is not None:
            places.append(_Place(first.views, doubt))
        elif number > 0:
            places.append(_looked_at(observation, sides, model, doubt))
        places.append(_labelled(observation, reading, sides, model))
    others = observations[0].palms_mm
    if len(others) and not any(each is not None and each.cost < POOR for each in places):
        for reading in read_windows(frame.depth_mm, frame.camera, others[:MOST_PALMS], rounds=1):
            if reading.presence >= PERHAPS:
                places.append(_labelled(observations[0], reading, sides, model))
    return places


def _labelled(
    observation: Observation, reading: PixelReading, sides: Sequence[bool], model: PoseModel | None
) -> _Place | None:
    """What the network sees in the pixels that are labelled as the hand's."""
    assert observation.limb is not None
    frame = observation.limb.frame
    box, probability = probability_in_image(reading, frame.depth_mm, frame.camera)
    hand = np.zeros(frame.depth_mm.shape, np.bool_)
    hand[box] = probability[..., HAND] > 0.5
    if np.count_nonzero(hand) < LEAST_PX:
        return None
    read = observation.labelled(hand, reading.palm_mm)
    return _looked_at(read, sides, model, NO_PALM * (1 - reading.presence)) if len(read.points_mm) else None
