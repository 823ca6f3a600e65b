"""How sure a fit is: the probability that every visible joint lies within 20 mm, from what the fit itself shows.

A logistic regression, calibrated by scripts/calibrate/calibrate_fits.py on images of handopt synth.
"""

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DISTINCT_MM = 20.0
"""A hypothesis is another one where a joint that is visible in the best lies farther away than this."""
LARGEST_GAP = 1.0
WEIGHTS = (-8.599, -4.192, 1.508, -1.508, 6.721, 7.099)
"""Of 1 and of the signs in order."""


@dataclass(frozen=True)
class ConfidenceFeatures:
    """What speaks for and against a fit.

    unexplained: logarithm of the unexplained share. gap: logarithm of how much more the best other hypothesis leaves
    unexplained, relative to it, at most 1. visible: share of joints that are visible. likeness: of the observation to a
    hand. border: share of the outline on the image's border.
    """

    unexplained: float
    runner_up_margin: float
    visible: float
    hand_probability: float
    border: float

    @classmethod
    def of(
        cls,
        unexplained: float,
        joints: NDArray[np.floating],
        visible: NDArray[np.bool_],
        others: list[tuple[float, NDArray[np.floating]]],
        hand_probability: float,
        border: float,
    ) -> "ConfidenceFeatures":
        """Gather the signs of a fit. others: unexplained share and joints (21, 3) of the other hypotheses."""
        here = max(unexplained, 1e-3)
        runner_up_margin = LARGEST_GAP
        for share, other in others:
            away = np.linalg.norm(other - joints, axis=1)[visible if visible.any() else slice(None)]
            if away.max() > DISTINCT_MM:
                runner_up_margin = min(runner_up_margin, float(np.log(max(share, 1e-3) / here)))
        return cls(
            float(np.log(here)), max(runner_up_margin, -LARGEST_GAP), float(visible.mean()), hand_probability, border
        )


def confidence(signs: ConfidenceFeatures) -> float:
    """The probability, 0 to 1."""
    return float(logistic(np.array(WEIGHTS), np.array(astuple(signs))))


def logistic(weights: Floats, signs: Floats) -> Floats:
    """The probabilities (...) of signs (..., 5), in the order of Signs, with weights (6,)."""
    return np.asarray(1 / (1 + np.exp(-(weights[0] + signs @ weights[1:]))))
