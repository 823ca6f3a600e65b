"""What both objectives share: the names of their terms, and the units and deviations that scale them."""

from dataclasses import dataclass
from typing import Final

GRADIENT_TERMS: Final = ("depth", "silhouette", "points", "collision", "limits", "prior", "size", "shape")
"""Of the objective that gradient descent minimises (handopt.objective.descent_objective)."""
LEAST_SQUARES_TERMS: Final = ("points", "silhouette", "collision", "limits", "prior", "size", "votes")
"""Of the sum of squares that Levenberg-Marquardt minimises (handopt.objective.least_squares)."""


@dataclass(frozen=True)
class TermScales:
    """Units of the terms. The weights in Config are relative to them, so that a change here rescales a weight."""

    length_unit_mm: float = 10.0  # mm that count as 1 in squared lengths (silhouette, collision); chosen by hand
    size_sigma: float = 0.08  # standard deviation of the logarithm of a hand's scale; chosen by hand
    proportion_sigma: float = 0.05  # standard deviation of each proportion, a relative length; chosen by hand


SCALES: Final = TermScales()
