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
from handopt.observation.observation import Observation
from handopt.observation.other_pixels import seen_around
from handopt.observation.pixel_reading import PixelReading, read_windows
from handopt.optimise.second_looks import seen_again
from handopt.optimise.views import CroppedObservation, cropped, labelled_reading
from handopt.proposals.model_file import PoseModel
from handopt.proposals.predict_pose import PredictedPose, predict_pose

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
        best = _looked_at(observations[0], sides, model)
        if (best is None or best.cost > EXPLAINED) and observations[0].limb is not None:
            best = _asked(best, observations, sides, model)
    if best is None:
        raise ObservationError("nothing of the hand lies within 120 mm of the middle of its points")
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
) -> _Place | None:
    """The best place by what the network of pixel labels says of all; first: of the first observation."""
    assert observations[0].limb is not None  # None where the pixels of the hand were given
    frame = observations[0].limb.frame
    palms = np.stack([each.center_mm for each in observations])
    readings = read_windows(frame.depth_mm, frame.camera, palms, rounds=1)
    best = None if first is None else _Place(first.views, _doubt(readings[0]))
    order = np.argsort([-each.presence for each in readings], kind="stable")
    for number in order:
        observation, reading = observations[number], readings[number]
        if number > 0 and _may_be_better(reading, best):
            best = _better(best, _looked_at(observation, sides, model, _doubt(reading)))
        if _may_be_better(reading, best):
            best = _better(best, _labelled(observation, reading, sides, model))
    others = observations[0].palms_mm
    if len(others) and (best is None or best.cost >= POOR):
        for reading in read_windows(frame.depth_mm, frame.camera, others[:MOST_PALMS], rounds=1):
            if reading.presence >= PERHAPS and _may_be_better(reading, best):
                best = _better(best, _labelled(observations[0], reading, sides, model))
    return best


def _doubt(reading: PixelReading) -> float:
    """What a place adds to its cost for lack of a palm."""
    return NO_PALM * (1 - reading.presence)


def _may_be_better(reading: PixelReading, best: _Place | None) -> bool:
    """Whether a place could be better than the best one: its doubt alone may be more than all that that one costs."""
    return best is None or _doubt(reading) < best.cost


def _better(best: _Place | None, other: _Place | None) -> _Place | None:
    """The better one of two places."""
    if best is None or other is None:
        return best or other
    return other if other.cost < best.cost else best


def _labelled(
    observation: Observation, reading: PixelReading, sides: Sequence[bool], model: PoseModel | None
) -> _Place | None:
    """What the network sees in the pixels that are labelled as the hand's, at the second look where there is one."""
    assert observation.limb is not None
    frame = observation.limb.frame
    found = seen_around(frame, reading)
    if np.count_nonzero(found.hand) < LEAST_PX:
        return None
    (again,) = seen_again(frame, [found], sides, model)
    read = labelled_reading(observation, again if np.count_nonzero(again.hand) >= LEAST_PX else found)
    return _looked_at(read, sides, model, _doubt(again.reading)) if len(read.points_mm) else None
