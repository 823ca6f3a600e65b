"""Which hypotheses are best: by cost, by what they leave unexplained, and by the plausibility of what they fit."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from handopt.assess.quality import measure
from handopt.backend import to_device, to_numpy
from handopt.hand_model import Hand
from handopt.objective.targets import FitTargets
from handopt.objective.unexplained import unexplained_fraction
from handopt.observation.observe import Observation
from handopt.rig.anatomy import MIRROR

if TYPE_CHECKING:
    from handopt.optimise.gradient_descent import SearchHistory

Faces = NDArray[np.int32]

OVERLAP_WEIGHT, DOUBT_WEIGHT = 1.0, 0.1
RANK_DOUBT_WEIGHT = 0.03  # unexplained share per unit of an observation's plausibility


def best_rows(totals: NDArray[np.float64], images: NDArray[np.int32], keep: int) -> NDArray[np.int64]:
    """The rows with the lowest totals, best first and at least one of each image."""
    order = np.argsort(totals, kind="stable")
    leaders = [int(order[images[order] == image][0]) for image in np.unique(images)]
    others = [int(row) for row in order if row not in leaders]
    chosen = leaders + others[: max(0, keep - len(leaders))]
    return np.array(sorted(chosen, key=lambda row: (totals[row], row)), np.int64)


def most_plausible(
    descent: "SearchHistory", hand: Hand, observations: list[Observation], mirrored: tuple[bool, ...], faces: Faces
) -> int:
    """The row to report: the best of each view is judged by its total, its overlap, and its view's own plausibility."""
    images = to_numpy(descent.pose.image)
    rows = [int(np.flatnonzero(images == image)[0]) for image in np.unique(images)]
    if len(rows) == 1:
        return rows[0]
    vertices = to_numpy(hand.vertices(hand.transforms(descent.pose), hand.rest_of(descent.pose))).astype(np.float64)
    best_score = max(observation.score for observation in observations)
    costs = []
    for row in rows:
        observation = observations[images[row]]
        posed = vertices[row] * (MIRROR if mirrored[images[row]] else 1)
        overlap = measure(posed, observation, faces).silhouette_iou
        doubt = best_score - observation.score
        costs.append(descent.totals[row] + OVERLAP_WEIGHT * (1 - overlap) + DOUBT_WEIGHT * doubt)
    return rows[int(np.argmin(costs))]


@dataclass(frozen=True, eq=False)
class Ranking:
    """All survivors of a search, best first.

    rows: of the descent's poses; unexplained: share of the observation that each leaves unexplained; judged: the same
    and a share for the lack of plausibility of its observation.
    """

    descent: "SearchHistory"
    rows: NDArray[np.int64]
    unexplained: NDArray[np.float64]
    judged: NDArray[np.float64]


def ranked(descent: "SearchHistory", hand: Hand, targets: FitTargets, scores: list[float]) -> Ranking:
    """Order survivors by how much of their observation they leave unexplained, and its lack of plausibility.

    scores: plausibility of each image's observation. See handopt.objective.unexplained.
    """
    images = to_numpy(descent.pose.image)
    vertices = hand.vertices(hand.transforms(descent.pose), hand.rest_of(descent.pose))
    unexplained = np.empty(len(images))
    for image in np.unique(images):
        rows = np.flatnonzero(images == image)
        there = vertices[to_device(rows, hand.device, np.int64)]
        unexplained[rows] = unexplained_fraction(there, hand.faces, *targets.grids[image])
    judged = unexplained + RANK_DOUBT_WEIGHT * (max(scores) - np.array(scores)[images])
    order = np.argsort(judged, kind="stable")
    return Ranking(descent, order, unexplained[order], judged[order])
