"""Poses by Levenberg-Marquardt: independent hypotheses in one batch, each with a dense system of its own."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from handopt.backend import Array, namespace_of, to_numpy
from handopt.config import LMSettings
from handopt.hand_model import Pose
from handopt.objective.least_squares import LeastSquares, System
from handopt.ops.normal_equations import solve_damped
from handopt.optimise.levenberg_marquardt import levenberg_marquardt
from handopt.optimise.solution import Solution


@dataclass(frozen=True, eq=False)
class PoseProblem:
    """Least squares of B poses under one round's settings. Each pose's cost counts by itself.

    expected: (B, 15, 3) rad, what the pose prior expects of each pose; a relaxed hand if None
    """

    least_squares: LeastSquares
    lm_settings: LMSettings
    expected: Array | None = None

    def evaluate(self, pose: Pose, *, derivatives: bool = True) -> System:
        """The terms of each pose, and its normal equations where derivatives are asked for."""
        return self.least_squares.system(pose, self.lm_settings, self.expected, derivatives=derivatives)

    def moved(self, pose: Pose, step: Array) -> Pose:
        """Poses after a step (B, P)."""
        return self.least_squares.parameters.moved(pose, step)

    def updated(self, accepted: Array, new: tuple[Pose, System], old: tuple[Pose, System]) -> tuple[Pose, System]:
        """The rows of the new poses and system where they are accepted (B,), of the old ones elsewhere."""
        xp = namespace_of(accepted)
        values = {}
        for name in ("angles", "rotation", "translation", "scale", "proportions"):
            before, after = getattr(old[0], name), getattr(new[0], name)
            values[name] = xp.where(accepted.reshape(-1, *[1] * (before.ndim - 1)), after, before)
        return replace(new[0], **values), old[1].updated(accepted, new[1])


def fit_poses(
    problem: LeastSquares,
    pose: Pose,
    lm_settings: LMSettings,
    record: Callable[[Pose, dict[str, Array]], None] | None = None,
    expected: Array | None = None,
    *,
    linearised: bool = True,
) -> Solution[Pose, System]:
    """Run a round's iterations on B poses.

    record: called with the poses and their terms (B,) at the start and after every iteration, which may be on the host
    expected: (B, 15, 3) rad, what the pose prior expects of each pose; a relaxed hand if None
    linearised: whether the system is wanted at the last poses; else only its terms are of them
    """
    if problem.in_one_call:
        return _in_one_call(problem, pose, lm_settings, record, expected, linearised=linearised)
    free = problem.parameters.free(pose, lm_settings)
    return levenberg_marquardt(
        PoseProblem(problem, lm_settings, expected),
        pose,
        lm_settings.schedule,
        lambda system, damping: solve_damped(system.hessian, system.gradient, damping, free),
        None if record is None else lambda _, at, system: record(at, dict(system.terms)),
        linearised=linearised,
    )


def _in_one_call(
    problem: LeastSquares,
    pose: Pose,
    lm_settings: LMSettings,
    record: Callable[[Pose, dict[str, Array]], None] | None,
    expected: Array | None,
    *,
    linearised: bool,
) -> Solution[Pose, System]:
    """The same by the op that runs all iterations; without `linearised` the system has no normal equations.

    A device is asked for nothing before the last of them.
    """
    schedule = lm_settings.schedule
    every = record is not None
    found = problem.minimum(pose, lm_settings, schedule, expected, derivatives=linearised, every=every)

    def pose_at(iteration: int) -> Pose:
        names = ("angles", "rotation", "translation", "scale", "proportions")
        return replace(pose, **{name: getattr(found, name)[iteration] for name in names})

    if record is not None:
        told = replace(found, terms=to_numpy(found.terms))
        for iteration in range(schedule.iterations + 1):
            record(pose_at(iteration), dict(problem.system_of(told, iteration).terms))
    system = problem.system_of(found)
    xp, cost = namespace_of(pose.scale), system.cost
    cost = xp.where(xp.isnan(cost), xp.asarray(np.inf, cost.dtype), cost)  # as in the loop's init
    no = found.improved & False
    return Solution(pose_at(-1), system, cost, schedule.iterations, converged=no, improved=found.improved)
