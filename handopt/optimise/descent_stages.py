"""Gradient descent from coarse to fine: a batch of hypotheses goes through the stages and is pruned as it goes."""

import numpy as np

from handopt.backend import Array, to_device, to_numpy
from handopt.config import Config
from handopt.hand_model import Hand, Pose
from handopt.objective.descent_objective import CoarseToFineLevel, DescentObjective, total_of
from handopt.optimise.descent_steps import STEPPERS
from handopt.optimise.finger_mutation import mutate
from handopt.optimise.gradient_descent import (
    DescentProblem,
    DescentSchedule,
    DescentState,
    gradient_descent,
    on_host,
)
from handopt.optimise.history import Iteration, SearchHistory
from handopt.optimise.ranking import best_rows
from handopt.optimise.solution import Solution
from handopt.optimise.starts import Start, fixed_starts, given_start
from handopt.typing import Floats, Indices, Progress


def prune(objective: DescentObjective, pose: Pose, top_k_out: int, level: CoarseToFineLevel) -> tuple[Pose, Indices]:
    """Keep the poses with the lowest totals, best first and at least one of each image, and say which they are."""
    rows = best_rows(total_of(objective.terms(pose, level)), to_numpy(pose.image), top_k_out)
    return pose.select(to_device(rows, objective.hand.device, np.int64)), rows


def descend(objective: DescentObjective, pose: Pose, config: Config, progress: Progress | None = None) -> SearchHistory:
    """Run every stage: mutate, descend, keep each hypothesis' best pose, prune. Raises NumericalError."""
    ids = np.arange(len(pose))
    parents: dict[int, int] = {}
    iterations: list[Iteration] = []
    converged: dict[int, bool] = {}
    next_id = len(pose)
    planned = sum(stage.iterations for stage in config.stages)
    for number, stage in enumerate(config.stages):
        level = objective.level(stage.radius_px, stage.sigma_mm, stage.depth)
        if stage.mutants:
            mutants, rows = mutate(objective, pose, level, stage.parents, stage.mutants)
            new_ids = next_id + np.arange(len(rows))
            next_id += len(rows)
            parents |= {int(child): int(ids[row]) for child, row in zip(new_ids, rows, strict=True)}
            pose, ids = pose.joined(mutants), np.concatenate([ids, new_ids])
        found = _run_stage(objective, pose, number, level, ids, iterations, config)
        images, totals = to_numpy(pose.image), to_numpy(found.cost)
        converged = dict(zip(images.tolist(), to_numpy(found.converged).tolist(), strict=True))
        rows = best_rows(totals, images, stage.top_k_out)
        pose = found.state.pose.select(to_device(rows, objective.hand.device, np.int64))
        ids, totals = ids[rows], totals[rows]
        if progress is not None:
            progress(len(iterations), planned, float(totals[0]))
    terms = on_host(objective.terms(pose, level))
    iterations.append(Iteration(number, stage.radius_px, stage.step, ids, pose, terms))
    return SearchHistory(pose, ids, totals, converged, iterations, parents)


def _run_stage(
    objective: DescentObjective,
    pose: Pose,
    number: int,
    level: CoarseToFineLevel,
    ids: Indices,
    iterations: list[Iteration],
    config: Config,
) -> Solution[DescentState, None]:
    """Descend in one stage, and append its iterations."""
    stage = config.stages[number]

    def record(state: DescentState, terms: dict[str, Floats]) -> None:
        iterations.append(Iteration(number, stage.radius_px, stage.step, ids, state.pose, terms))

    problem = DescentProblem(objective, level, STEPPERS[config.descent](config.steps), stage.step, stage.scale)
    schedule = DescentSchedule(stage.iterations, config.tolerance)
    return gradient_descent(problem, DescentState(pose), schedule, record)


def rest_copy(hand: Hand, pose: Pose) -> Array:
    """A copy of the rest vertices (V, 3) mm of a single pose, with its proportions."""
    rest = hand.rest_of(pose)
    return (rest[0] if rest.ndim == 3 else rest).copy()


def refine_vertices(objective: DescentObjective, history: SearchHistory, row: int, config: Config) -> SearchHistory:
    """Move the rest vertices along with one pose (paper, Eq. 8), up to where the objective is lowest."""
    stage, number, ids = config.vertices, len(config.stages), history.ids[row : row + 1]
    level = objective.level(stage.radius_px, stage.sigma_mm)
    pose = history.pose.select(to_device([row], objective.hand.device, np.int64))
    added: list[Iteration] = []

    def record(state: DescentState, terms: dict[str, Floats]) -> None:
        rest = to_numpy(state.rest).copy()
        added.append(Iteration(number, stage.radius_px, stage.step, ids, state.pose, terms, rest))

    problem = DescentProblem(objective, level, STEPPERS[config.descent](config.steps), stage.step, free_scale=True)
    start = DescentState(pose, rest_copy(objective.hand, pose))
    gradient_descent(problem, start, DescentSchedule(stage.iterations), record)
    added = added[: int(np.argmin([each.total[0] for each in added])) + 1]
    return SearchHistory(
        added[-1].pose, ids, added[-1].total, history.converged, history.iterations + added, history.parents
    )


def starting_poses(objective: DescentObjective, config: Config, start: Start | None) -> Pose:
    """The best of the fixed starts, or the given one for every view."""
    hand, targets = objective.hand, objective.targets
    if start is not None:
        return given_start(hand, targets, start)
    first = config.stages[0]
    level = objective.level(first.radius_px, first.sigma_mm)
    return prune(objective, fixed_starts(hand, targets), config.starts, level)[0]
