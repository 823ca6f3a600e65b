"""Where a minimisation ended, and a sentence on how."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from handopt.backend import Array, to_numpy

State = TypeVar("State")
Model = TypeVar("Model")


@dataclass(frozen=True, eq=False)
class Solution(Generic[State, Model]):
    """The best state that a loop found, for N costs that fall independently of each other.

    model: what is known of the costs there, such as normal equations; cost: (N,); iterations: how many were run
    converged: (N,) whether the schedule's tolerance was met; improved: (N,) whether any step lowered the cost
    """

    state: State
    model: Model
    cost: Array
    iterations: int
    converged: Array
    improved: Array

    @property
    def status(self) -> str:
        """A sentence on how the loop ended."""
        cost, converged, improved = (to_numpy(each) for each in (self.cost, self.converged, self.improved))
        count = f"{self.iterations} iteration{'' if self.iterations == 1 else 's'}"
        finite = np.isfinite(cost)
        if not finite.any():
            return f"The cost is not finite after {count}."
        if converged[finite].all():
            return f"Converged after {count}."
        if not improved.any():
            return f"No step lowered the cost in {count}."
        if len(cost) == 1:
            return f"Ended after the {count} allowed, before converging."
        return f"Ended after the {count} allowed; {int(converged.sum())} of {len(cost)} converged."
