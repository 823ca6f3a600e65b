"""Which hypotheses are best: by cost, by what they leave unexplained, and by the plausibility of what they fit."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from handopt.assess.quality import measure
from handopt.backend import Array, to_device, to_numpy
from handopt.hand_model import Hand
from handopt.objective.targets import FitTargets
from handopt.objective.unexplained import unexplained_fraction
from handopt.observation.observe import Observation
from handopt.optimise.history import SearchHistory
from handopt.rig.anatomy import MIRROR
from handopt.typing import Faces, Floats, Indices, Ints


@dataclass(frozen=True)
class RankingWeights:
    """How the best hypothesis of different views is chosen. Chosen by hand."""

    overlap: float = 1.0  # cost of a silhouette overlap (IoU) of 0 instead of 1
    implausibility: float = 0.1  # cost per unit that a view's score lies below the best view's
    fraction_per_score: float = 0.03  # unexplained fraction per unit that a view's score lies below the best view's


WEIGHTS: Final = RankingWeights()


def best_rows(totals: Floats, images: Ints, count: int) -> Indices:
    """The `count` rows with the lowest totals, best first and at least one of each image."""
    order = np.argsort(totals, kind="stable")
    leaders = [int(order[images[order] == image][0]) for image in np.unique(images)]
    others = [int(row) for row in order if row not in leaders]
    chosen = leaders + others[: max(0, count - len(leaders))]
    return np.array(sorted(chosen, key=lambda row: (totals[row], row)), np.int64)


def fractions_by_image(vertices: Array, images: Ints, hand: Hand, targets: FitTargets, step: int = 1) -> Floats:
    """The unexplained fraction (B,) of posed vertices (B, V, 3) mm, each against its own image.

    step: look at every step-th row and column only
    """
    fractions = np.empty(len(images))
    for image in np.unique(images):
        rows = np.flatnonzero(images == image)
        posed, (crop, grid) = vertices[to_device(rows, hand.device, np.int64)], targets.grids[image]
        fractions[rows] = unexplained_fraction(posed, hand.faces, crop, grid, step)
    return fractions


def most_plausible(
    history: SearchHistory, hand: Hand, observations: list[Observation], mirrored: tuple[bool, ...], faces: Faces
) -> int:
    """The row to report: of the best of each view, the one with the best total, overlap and plausible view."""
    images = to_numpy(history.pose.image)
    rows = [int(np.flatnonzero(images == image)[0]) for image in np.unique(images)]
    if len(rows) == 1:
        return rows[0]
    vertices = to_numpy(hand.vertices(hand.transforms(history.pose), hand.rest_of(history.pose))).astype(np.float64)
    best_score = max(observation.score for observation in observations)
    costs = []
    for row in rows:
        observation = observations[images[row]]
        posed = vertices[row] * (MIRROR if mirrored[images[row]] else 1)
        overlap = measure(posed, observation, faces).silhouette_iou
        doubt = best_score - observation.score
        costs.append(history.totals[row] + WEIGHTS.overlap * (1 - overlap) + WEIGHTS.implausibility * doubt)
    return rows[int(np.argmin(costs))]


@dataclass(frozen=True, eq=False)
class Ranking:
    """All survivors of a search, best first.

    rows: of the history's poses; unexplained_fraction: of each; penalised_fraction: the same, and a penalty for an
    implausible observation
    """

    history: SearchHistory
    rows: Indices
    unexplained_fraction: Floats
    penalised_fraction: Floats


def ranked(history: SearchHistory, hand: Hand, targets: FitTargets, scores: list[float]) -> Ranking:
    """Order survivors by their unexplained fraction and the plausibility of their observation.

    scores: plausibility of each image's observation. See handopt.objective.unexplained.
    """
    images = to_numpy(history.pose.image)
    vertices = hand.vertices(hand.transforms(history.pose), hand.rest_of(history.pose))
    fractions = fractions_by_image(vertices, images, hand, targets)
    penalised = fractions + WEIGHTS.fraction_per_score * (max(scores) - np.array(scores)[images])
    order = np.argsort(penalised, kind="stable")
    return Ranking(history, order, fractions[order], penalised[order])
