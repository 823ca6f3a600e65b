"""What the network of proposals sees in the views of an image, before anything is fitted to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from handopt.backend import one_cpu_thread
from handopt.config import Config
from handopt.errors import ObservationError
from handopt.observation.observation import Observation
from handopt.optimise.views import CroppedObservation, cropped
from handopt.proposals.model_file import PoseModel
from handopt.proposals.proposals import Proposals
from handopt.proposals.propose import propose_and_look
from handopt.proposals.voted_poses import VotedJoints

SMALL: Final = 0.9
"""Size of a hand, relative to an adult's, below which its forearm is cut off nearer to the palm. By hand: the network
is off by 4 %."""


@dataclass(frozen=True, eq=False)
class Proposed:
    """What the network proposes for a view, as of a right hand. voted: where it sees the joints."""

    proposals: Proposals
    voted: VotedJoints

    @property
    def size(self) -> float:
        """The size of the hand, relative to the default rig's."""
        return float(np.median(self.proposals.scale))


def looked_at(views: Sequence[CroppedObservation], count: int, model: PoseModel | None) -> dict[int, Proposed]:
    """Look at each view, of which `count` poses are proposed; by the view's number.

    Views of which nothing is near the middle have none. model: see handopt.proposals.propose. Raises ObservationError
    where all views are like that.
    """
    found: dict[int, Proposed] = {}
    problem: ObservationError | None = None
    with one_cpu_thread():
        for number, (observation, _, mirrored) in enumerate(views):
            try:
                seen = observation.mirrored() if mirrored else observation
                found[number] = Proposed(*propose_and_look(seen, count, model))
            except ObservationError as error:  # another view may show the hand
                problem = error
    if not found and problem is not None:
        raise problem
    return found


def first_look(
    views: Sequence[CroppedObservation], config: Config, model: PoseModel | None
) -> tuple[list[CroppedObservation], dict[int, Proposed]]:
    """What is proposed for each view, by its number, and the views with the forearms of small hands cut off nearer.

    Forearms are cut off where an adult's hand ends. What is left of one that belongs to a child's hand would stretch
    the palm of the pose that is fitted: by 7 to 12 %, on rendered hands of 0.7 times an adult's size. Nothing is
    proposed to gradient descent, nor where config asks for no proposals. Raises what looked_at raises.
    """
    if config.solver == "gradient" or not config.proposals:
        return list(views), {}
    proposed = looked_at(views, config.proposals, model)
    return [
        _cut(view, proposed[number].size, config) if number in proposed else view for number, view in enumerate(views)
    ], proposed


def cut_to_size(observation: Observation, size: float) -> Observation:
    """An observation with the forearm cut off where a hand of a size ends, which is that of an adult at most.

    size: relative to the default rig's. Pixels that the user gave stay as they are.
    """
    given = observation.limb is None
    if given or observation.arm_direction is None or size >= SMALL:
        return observation
    cut = observation.cut_off(size * observation.config.segmentation.cut_mm)
    return cut if len(cut.points_mm) else observation


def _cut(view: CroppedObservation, size: float, config: Config) -> CroppedObservation:
    observation, _, mirrored = view
    cut = cut_to_size(observation, size)
    return view if cut is observation else cropped(cut, mirrored, config)
