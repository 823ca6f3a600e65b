"""Levenberg-Marquardt: damped Gauss-Newton steps, each kept where it lowers the cost (Marquardt, 1963).

The one loop of both stages of the shape fit, and of poses that no op minimises in one call (handopt.ops.minimise_poses
and minimise_poses_grid). A problem says what is minimised, a solver turns a linear model and a damping into a step, and
a schedule says how the damping changes and when to stop.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from handopt.backend import Array, namespace_of
from handopt.config import LMSchedule
from handopt.optimise.solution import Solution


class LinearModel(Protocol):
    """A cost near a state. What else a model holds is between the problem and its solver."""

    @property
    def cost(self) -> Array:
        """(N,) of hypotheses that are independent of each other, or (1,) of one problem."""


State = TypeVar("State")
Model = TypeVar("Model", bound=LinearModel)


class Problem(Protocol[State, Model]):
    """A sum of squares."""

    def evaluate(self, state: State, *, derivatives: bool = True) -> Model:
        """The cost at a state and its linear model, which may be left out where derivatives are not asked for."""

    def moved(self, state: State, step: Any) -> State:
        """The state after a step."""

    def updated(self, accepted: Array, new: tuple[State, Model], old: tuple[State, Model]) -> tuple[State, Model]:
        """The new state and model where a step is accepted (N,), the old ones elsewhere."""


Solve = Callable[[Model, Array], Any]
"""The damped Gauss-Newton step of a model, given the dampings (N,): shares of the Hessian's diagonal to add to it."""
RecordIteration = Callable[[int, State, Model], None]
"""Called with the iteration, 0 at the start, and with the state and model that stand after it."""


@dataclass(frozen=True, eq=False)
class Iterate(Generic[State, Model]):
    """Where the loop stands. All arrays are (N,), on the cost's device."""

    state: State
    model: Model
    cost: Array
    damping: Array
    improved: Array
    converged: Array
    iterations: int = 0


def levenberg_marquardt(
    problem: Problem[State, Model],
    state: State,
    schedule: LMSchedule,
    solve: Solve[Model],
    record: RecordIteration[State, Model] | None = None,
    *,
    linearised: bool = True,
) -> Solution[State, Model]:
    """Minimise a sum of squares from a state on.

    linearised: whether the model is wanted at the last state; if not, its derivatives are those of the state before.
    """
    at = init(problem, state, schedule)
    if record is not None:
        record(0, at.state, at.model)
    for left in reversed(range(schedule.iterations)):
        at = step(problem, at, schedule, solve, derivatives=linearised or left > 0)
        if record is not None:
            record(at.iterations, at.state, at.model)
        if terminate(at, schedule):
            break
    return postprocess(at)


def init(problem: Problem[State, Model], state: State, schedule: LMSchedule) -> Iterate[State, Model]:
    """Linearise at the first state. A cost that is not a number counts as infinite, so that a step can lower it."""
    model = problem.evaluate(state)
    cost = model.cost
    xp = namespace_of(cost)
    cost = xp.where(xp.isnan(cost), xp.asarray(np.inf, cost.dtype), cost)
    damping = xp.full(cost.shape, schedule.first_damping, cost.dtype)
    no = xp.zeros(cost.shape, bool)
    return Iterate(state, model, cost, damping, improved=no, converged=no)


def step(
    problem: Problem[State, Model],
    at: Iterate[State, Model],
    schedule: LMSchedule,
    solve: Solve[Model],
    *,
    derivatives: bool = True,
) -> Iterate[State, Model]:
    """Try a damped step; keep it where the cost falls. A cost that is not finite never counts as lower."""
    trial = problem.moved(at.state, solve(at.model, at.damping))
    found = problem.evaluate(trial, derivatives=derivatives)
    found_cost = found.cost
    accepted = found_cost < at.cost
    xp = namespace_of(accepted)
    state, model = problem.updated(accepted, (trial, found), (at.state, at.model))
    factor = xp.where(accepted, schedule.accepted, schedule.refused).astype(at.damping.dtype)
    return Iterate(
        state,
        model,
        cost=xp.where(accepted, found_cost, at.cost),
        damping=(at.damping * factor).clip(schedule.lowest_damping, schedule.highest_damping),
        improved=at.improved | accepted,
        converged=at.converged | _fell_little(accepted, found_cost, at, schedule.tolerance),
        iterations=at.iterations + 1,
    )


def terminate(at: Iterate[Any, Any], schedule: LMSchedule) -> bool:
    """Whether every cost has converged. Without a tolerance none does, and the device need not be asked."""
    return schedule.tolerance > 0 and bool(at.converged.all())


def postprocess(at: Iterate[State, Model]) -> Solution[State, Model]:
    """What a caller gets."""
    return Solution(at.state, at.model, at.cost, at.iterations, converged=at.converged, improved=at.improved)


def _fell_little(accepted: Array, new: Array, at: Iterate[Any, Any], tolerance: float) -> Array:
    """Where a step was accepted that lowered the cost by less than a share of it, and not because it was damped.

    With a damping d a step is about 1 / (1 + d) of Gauss-Newton's, and lowers the cost by 1 - (d / (1 + d))^2 of what
    that would (exactly so where the Hessian is diagonal). The share is taken of what is expected of a damped step.
    """
    if tolerance == 0:
        return accepted & False
    xp = namespace_of(new)
    new, old = xp.where(accepted, new, 0), xp.where(accepted, at.cost, 0)  # a refused step's may not be finite
    expected = 1 - (at.damping / (1 + at.damping)) ** 2
    return accepted & (old - new < tolerance * expected * new)
