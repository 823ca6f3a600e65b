"""Poses of the network as they are, or after a few steps of Levenberg-Marquardt: no tournament and no second search."""

from dataclasses import replace
from typing import Final

import numpy as np

from handopt.backend import to_numpy
from handopt.config import Config
from handopt.errors import NumericalError
from handopt.hand_model import Hand, Pose
from handopt.optimise.batched_search import Request, Search
from handopt.optimise.history import Iteration, SearchHistory
from handopt.optimise.ranking import best_rows, distinct
from handopt.typing import Reals

PRIORITY: Final = (0, 0, 0)
"""All searches of a batch ask once, and are served together."""
ROUND: Final = 2
"""Of the tournament, whose settings the steps have: 10 mm to outliers, about the error of a network. Chosen by hand."""


def refined(hand: Hand, pose: Pose, config: Config, steps: int) -> Search[SearchHistory]:
    """Poses after some steps, best first; the prior expects of hidden fingers what the network saw.

    steps: 0 only evaluates. They are those of an early round, whose outliers lie far away. Raises NumericalError.
    """
    pose.angles = pose.angles.clip(hand.lower, hand.upper)
    rounds = config.rounds
    lm_settings = replace(rounds[min(ROUND, len(rounds) - 1)].lm_settings, iterations=steps, proportions=False)
    ids, iterations = np.arange(len(pose)), list[Iteration]()

    def record(at: Pose, terms: dict[str, Reals]) -> None:
        doubles = {name: term.astype(np.float64) for name, term in terms.items()}
        iterations.append(Iteration(0, config.render_px, 1.0, ids, at, doubles))

    pose, costs = yield Request(PRIORITY, pose, lm_settings, pose.angles, record)
    totals = np.where(np.isfinite(costs), costs, np.inf).astype(np.float64)
    if not np.isfinite(totals).any():
        raise NumericalError("the objective is not finite for any pose; check depth_mm=, camera= and the weights")
    images = to_numpy(pose.image)
    rows = best_rows(totals, images, len(pose))
    settled = dict.fromkeys((int(image) for image in distinct(images)), True)
    return SearchHistory(pose.select(rows), ids[rows], totals[rows], settled, iterations, {})
