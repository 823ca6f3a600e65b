"""What a search did: every iteration of every hypothesis, and the survivors with their ancestry."""

from dataclasses import dataclass, field

import numpy as np

from handopt.hand_model import Pose
from handopt.typing import Floats, Indices, Points


@dataclass
class Iteration:
    """One iteration of all hypotheses that were still in: the poses that were evaluated, and their terms.

    stage: of the gradient's stages or the tournament's rounds; radius_px: of a splat; factor: of the step sizes
    ids: (B,) of the hypotheses; terms: (B,) each, weighted; rest: (V, 3) mm, where the rest vertices are free
    """

    stage: int
    radius_px: float
    factor: float
    ids: Indices
    pose: Pose
    terms: dict[str, Floats]
    rest: Points | None = None

    @property
    def total(self) -> Floats:
        """Sum of the weighted terms of each hypothesis, (B,)."""
        return np.asarray(np.sum(list(self.terms.values()), axis=0))


@dataclass
class SearchHistory:
    """The survivors, best first and at least one of each image, and every iteration that led to them.

    ids, totals: (B,) of the survivors; converged: by image; parents: of each mutant's id, the id that it is a copy of
    dropped: by side (whether mirrored) the limb fraction of the best hypothesis of a hand that was dropped
    """

    pose: Pose
    ids: Indices
    totals: Floats
    converged: dict[int, bool]
    iterations: list[Iteration] = field(repr=False)
    parents: dict[int, int] = field(repr=False)
    dropped: dict[bool, float] = field(default_factory=dict)

    @property
    def rest(self) -> Points | None:
        """The rest vertices at the end, (V, 3) mm, where they were free."""
        return self.iterations[-1].rest

    def path(self, row: int) -> list[tuple[Iteration, int]]:
        """Every iteration, with the row that a survivor or its ancestor had in it."""
        wanted, path = int(self.ids[row]), []
        for iteration in reversed(self.iterations):
            while wanted not in iteration.ids:
                wanted = self.parents[wanted]
            path.append((iteration, int(np.flatnonzero(iteration.ids == wanted)[0])))
        return path[::-1]
