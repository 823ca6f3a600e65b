"""Gradient descent on the rendered depth: the loop of one stage, in the shape of handopt.optimise.levenberg_marquardt.

Every step is taken, whether it lowers the objective or not; the best state of each hypothesis is kept beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from handopt.backend import Array, namespace_of, to_device, to_numpy
from handopt.hand_model import Pose
from handopt.objective.descent_objective import CoarseToFineLevel, DescentObjective, Gradient, total_of
from handopt.optimise.descent_steps import Stepper
from handopt.optimise.solution import Solution
from handopt.typing import Bools, Floats


@dataclass(frozen=True)
class DescentSchedule:
    """When a stage ends."""

    iterations: int  # at most
    tolerance: float = 0.0  # relative decrease of an image's best total below which it has converged; 0: never
    window: int = 10  # iterations over which that decrease is measured; chosen by hand


@dataclass(frozen=True, eq=False)
class DescentState:
    """B poses, and the rest vertices (V, 3) mm where they are free."""

    pose: Pose
    rest: Array | None = None


@dataclass(frozen=True, eq=False)
class DescentModel:
    """The objective near a state: its terms (B,) on the host, their totals (B,), and the gradient on the device."""

    terms: dict[str, Floats]
    cost: Floats
    gradient: Gradient


RecordDescent = Callable[[DescentState, dict[str, Floats]], None]


@dataclass(frozen=True, eq=False)
class DescentProblem:
    """The objective at one level, and how a stepper moves along its gradient.

    factor: of the step sizes; free_scale: whether the hand's size moves
    """

    objective: DescentObjective
    level: CoarseToFineLevel
    stepper: Stepper
    factor: float
    free_scale: bool

    def evaluate(self, state: DescentState) -> DescentModel:
        """Terms and gradient. Raises NumericalError where no hypothesis has a finite total."""
        terms, gradient = self.objective.terms_and_gradient(state.pose, self.level, state.rest)
        host = on_host(terms)
        return DescentModel(host, total_of(host), gradient)

    def moved(self, state: DescentState, gradient: Gradient) -> DescentState:
        """The state after a step."""
        pose, rest = state.pose.copy(), None if state.rest is None else state.rest.copy()
        self.stepper.step(pose, gradient, self.factor, self.free_scale, rest)
        return DescentState(pose, rest)

    def updated(self, better: Bools, new: DescentState, old: DescentState) -> DescentState:
        """The new state of the hypotheses that are better (B,), the old one of the others."""
        xp = namespace_of(new.pose.scale)
        mask = to_device(better, self.objective.hand.device, np.bool_)
        values = {}
        for name in ("angles", "rotation", "translation", "scale"):
            before, after = getattr(old.pose, name), getattr(new.pose, name)
            values[name] = xp.where(mask.reshape(-1, *[1] * (before.ndim - 1)), after, before)
        return DescentState(replace(old.pose, **values), new.rest if better.all() else old.rest)


@dataclass(frozen=True, eq=False)
class Iterate:
    """Where the loop stands.

    best: the best state of each hypothesis, and its total (B,) best_cost; images: (B,) the image of each hypothesis
    leaders: best total so far (I,) of each image, one array per iteration; stalled: (I,) whether it falls no more
    """

    state: DescentState
    model: DescentModel
    best: DescentState
    best_cost: Floats
    first_cost: Floats
    images: Floats
    leaders: tuple[Floats, ...]
    stalled: Bools


def gradient_descent(
    problem: DescentProblem, state: DescentState, schedule: DescentSchedule, record: RecordDescent | None = None
) -> Solution[DescentState, None]:
    """Descend until every image's best total has fallen and then stalled, or the iterations run out.

    record: called with each state that was evaluated, and with its terms (B,) on the host. The solution's state is the
    best of each hypothesis, and a hypothesis counts as converged where its image's best total has. Raises
    NumericalError where the objective is finite for no hypothesis.
    """
    at = init(problem, state, schedule)
    if record is not None:
        record(at.state, at.model.terms)
    while not terminate(at, schedule):
        at = step(problem, at, schedule)
        if record is not None:
            record(at.state, at.model.terms)
    return postprocess(at)


def init(problem: DescentProblem, state: DescentState, schedule: DescentSchedule) -> Iterate:
    """Evaluate the first state."""
    model = problem.evaluate(state)
    images = to_numpy(state.pose.image)
    leaders = (_by_image(images, model.cost),)
    stalled = has_stalled(leaders, leaders[0], schedule)
    return Iterate(state, model, state, model.cost, model.cost, images, leaders, stalled)


def step(problem: DescentProblem, at: Iterate, schedule: DescentSchedule) -> Iterate:
    """Follow the gradient, and keep the new state of each hypothesis that it has made better than ever before."""
    state = problem.moved(at.state, at.model.gradient)
    model = problem.evaluate(state)
    better = model.cost < at.best_cost
    best_cost = np.where(better, model.cost, at.best_cost)
    leaders = (*at.leaders, _by_image(at.images, best_cost))
    return replace(
        at,
        state=state,
        model=model,
        best=problem.updated(better, state, at.best),
        best_cost=best_cost,
        leaders=leaders,
        stalled=has_stalled(leaders, _by_image(at.images, model.cost), schedule),
    )


def terminate(at: Iterate, schedule: DescentSchedule) -> bool:
    """Whether every image's best total has stalled, or the iterations have run out."""
    return len(at.leaders) >= schedule.iterations or bool(at.stalled.all())


def postprocess(at: Iterate) -> Solution[DescentState, None]:
    """What a caller gets."""
    converged = at.stalled[np.searchsorted(np.unique(at.images), at.images)]
    return Solution(at.best, None, at.best_cost, len(at.leaders), converged, improved=at.best_cost < at.first_cost)


def has_stalled(leaders: tuple[Floats, ...], current: Floats, schedule: DescentSchedule) -> Bools:
    """Whether each image's best total has lately fallen by next to nothing.

    leaders: best totals so far (I,), one array per iteration; current: (I,) of the last iteration alone. Descent's
    first steps may climb: it counts only once the best total has fallen, or the current one is back at the best.
    """
    tolerance = schedule.tolerance
    if len(leaders) <= schedule.window:
        return np.zeros(len(leaders[-1]), np.bool_)
    now = leaders[-1]
    little = leaders[-1 - schedule.window] - now < tolerance * now
    return np.asarray(little & ((now < leaders[0]) | (current <= (1 + tolerance) * now)))


def on_host(terms: dict[str, Array]) -> dict[str, Floats]:
    """Terms as float64 on the host."""
    return {name: to_numpy(term).astype(np.float64) for name, term in terms.items()}


def _by_image(images: Floats, totals: Floats) -> Floats:
    """The lowest total of each image, in the order of their numbers."""
    return np.array([totals[images == image].min() for image in np.unique(images)])
