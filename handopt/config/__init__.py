"""Every setting of a fit: weights of the objective, schedules of the solvers, and what else was tuned.

Each number has a comment that says what it is, its unit, and where it comes from:
[paper] from the paper, [tuned] the best of several values on synthetic development images, [hand] chosen by hand on
synthetic images. Constraints are part of the fields' types, see handopt.config.constraints.
"""

from handopt.config.schedules import DescentStage, LMSchedule, LMSettings, Steps, TournamentRound, VertexStage
from handopt.config.settings import DESCENTS, SHAPES, SOLVERS, Config, FitSettings
from handopt.config.weights import Weights

__all__ = [
    "DESCENTS",
    "SHAPES",
    "SOLVERS",
    "Config",
    "DescentStage",
    "FitSettings",
    "LMSchedule",
    "LMSettings",
    "Steps",
    "TournamentRound",
    "VertexStage",
    "Weights",
]
