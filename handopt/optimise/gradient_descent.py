"""The loop: coarse-to-fine descent of a batch of hypotheses, pruned as it goes."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from handopt.backend import Array, namespace, to_device, to_numpy
from handopt.config import Config
from handopt.hand_model import Hand, Pose
from handopt.objective.energy import CoarseToFineLevel, Objective, total_of
from handopt.optimise.finger_mutation import mutate
from handopt.optimise.ranking import best_rows
from handopt.optimise.solvers import SOLVERS

CHECK_EVERY = 10
Progress = Callable[[int, int, float], None]


@dataclass
class Iteration:
    """One iteration: the poses before the step and their terms, all hypotheses that were alive."""

    stage: int
    radius_px: float
    factor: float
    ids: NDArray[np.int64]
    pose: Pose
    terms: dict[str, NDArray[np.float64]]
    rest: NDArray[np.float32] | None = None

    @property
    def total(self) -> NDArray[np.float64]:
        """Sum of the weighted terms, per hypothesis."""
        return np.asarray(np.sum(list(self.terms.values()), axis=0))


@dataclass
class SearchHistory:
    """The survivors, best first and at least one of each image, and every iteration that led to them."""

    pose: Pose
    ids: NDArray[np.int64]
    totals: NDArray[np.float64]
    converged: dict[int, bool]  # by image
    steps: list[Iteration] = field(repr=False)
    parents: dict[int, int] = field(repr=False)

    @property
    def rest(self) -> NDArray[np.float32] | None:
        """The rest vertices at the end, (V, 3), where they were freed."""
        return self.steps[-1].rest

    def path(self, row: int) -> list[tuple[Iteration, int]]:
        """Every step with the row that a survivor, or what it is a mutant of, had in it."""
        wanted, path = int(self.ids[row]), []
        for step in reversed(self.steps):
            while wanted not in step.ids:
                wanted = self.parents[wanted]
            path.append((step, int(np.flatnonzero(step.ids == wanted)[0])))
        return path[::-1]


def prune(objective: Objective, pose: Pose, top_k_out: int, level: CoarseToFineLevel) -> tuple[Pose, NDArray[np.int64]]:
    """Keep the poses with the lowest totals, best first and at least one of each image, and say which they are."""
    rows = best_rows(total_of(objective.terms(pose, level)), to_numpy(pose.image), top_k_out)
    return pose.select(to_device(rows, objective.hand.device, np.int64)), rows


def descend(objective: Objective, pose: Pose, config: Config, progress: Progress | None = None) -> SearchHistory:
    """Run every stage: mutate, descend, keep each hypothesis' best pose, prune. Raises NumericalError."""
    ids = np.arange(len(pose))
    parents: dict[int, int] = {}
    steps: list[Iteration] = []
    converged: dict[int, bool] = {}
    next_id = len(pose)
    planned = sum(stage.iterations for stage in config.stages)
    for number, stage in enumerate(config.stages):
        level = objective.level(stage.radius_px, stage.sigma_mm, stage.depth)
        if stage.mutants:
            mutants, rows = mutate(objective, pose, level, stage.parents, stage.mutants)
            born = next_id + np.arange(len(rows))
            next_id += len(rows)
            parents |= {int(child): int(ids[row]) for child, row in zip(born, rows, strict=True)}
            pose, ids = pose.joined(mutants), np.concatenate([ids, born])
        best, totals, converged = _run_stage(objective, pose, number, level, ids, steps, config)
        rows = best_rows(totals, to_numpy(best.image), stage.top_k_out)
        pose, ids, totals = best.select(to_device(rows, objective.hand.device, np.int64)), ids[rows], totals[rows]
        if progress is not None:
            progress(len(steps), planned, float(totals[0]))
    terms = _on_host(objective.terms(pose, level))
    steps.append(Iteration(number, stage.radius_px, stage.step, ids, pose, terms))
    return SearchHistory(pose, ids, totals, converged, steps, parents)


def _on_host(terms: dict[str, Array]) -> dict[str, NDArray[np.float64]]:
    return {name: to_numpy(term).astype(np.float64) for name, term in terms.items()}


def _run_stage(
    objective: Objective,
    pose: Pose,
    number: int,
    level: CoarseToFineLevel,
    ids: NDArray[np.int64],
    steps: list[Iteration],
    config: Config,
) -> tuple[Pose, NDArray[np.float64], dict[int, bool]]:
    """Descend until every image's best total has fallen and then stalled, or the iterations run out.

    Returns each hypothesis' best pose and its total, and for each image whether it has converged.
    """
    xp = namespace(objective.hand.device)
    stage, solver = config.stages[number], SOLVERS[config.descent](config.steps)
    best, best_totals = pose.copy(), np.full(len(pose), np.inf)
    images = to_numpy(pose.image)
    pictures = np.unique(images)
    leaders: list[NDArray[np.float64]] = []
    stalled = np.zeros(0, np.bool_)
    for _ in range(stage.iterations):
        terms, gradient = objective.terms_and_gradient(pose, level)
        host = _on_host(terms)
        steps.append(Iteration(number, stage.radius_px, stage.step, ids, pose.copy(), host))
        totals = total_of(host)
        better = totals < best_totals
        best_totals = np.where(better, totals, best_totals)
        mask = to_device(better, objective.hand.device, np.bool_)
        for name in ("angles", "rotation", "translation", "scale"):
            old, new = getattr(best, name), getattr(pose, name)
            setattr(best, name, xp.where(mask.reshape(-1, *[1] * (old.ndim - 1)), new, old))
        leaders.append(np.array([best_totals[images == image].min() for image in pictures]))
        current = np.array([totals[images == image].min() for image in pictures])
        stalled = _stalled(leaders, current, config.tolerance)
        if stalled.all():
            break
        solver.step(pose, gradient, stage.step, stage.scale)
    return best, best_totals, dict(zip(pictures.tolist(), stalled.tolist(), strict=True))


def _stalled(leaders: list[NDArray[np.float64]], current: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    """Whether each image's best total has lately fallen by next to nothing.

    A solver's first steps may climb: it counts only once the total has fallen, or is back at its best.
    """
    if len(leaders) <= CHECK_EVERY:
        return np.zeros(len(leaders[-1]), np.bool_)
    now = leaders[-1]
    return np.asarray(
        (leaders[-1 - CHECK_EVERY] - now < tolerance * now) & ((now < leaders[0]) | (current <= (1 + tolerance) * now))
    )


def own_rest(hand: Hand, pose: Pose) -> Array:
    """A copy of the rest vertices (V, 3) of a single pose, with its proportions."""
    rest = hand.rest_of(pose)
    return (rest[0] if rest.ndim == 3 else rest).copy()


def refine_vertices(objective: Objective, descent: SearchHistory, row: int, config: Config) -> SearchHistory:
    """Move the rest vertices along with one pose (paper, Eq. 8), as long as the objective falls."""
    stage = config.vertices
    level = objective.level(stage.radius_px, stage.sigma_mm)
    solver = SOLVERS[config.descent](config.steps)
    pose = descent.pose.select(to_device([row], objective.hand.device, np.int64))
    rest = own_rest(objective.hand, pose)
    steps: list[Iteration] = []
    number = len(config.stages)
    for _ in range(stage.iterations):
        terms, gradient = objective.terms_and_gradient(pose, level, rest)
        host = _on_host(terms)
        total_of(host)
        steps.append(
            Iteration(
                number,
                stage.radius_px,
                stage.step,
                descent.ids[row : row + 1],
                pose.copy(),
                host,
                to_numpy(rest).copy(),
            )
        )
        solver.step(pose, gradient, stage.step, free_scale=True, rest=rest)
    best = int(np.argmin([step.total[0] for step in steps]))
    steps = steps[: best + 1]
    return SearchHistory(
        steps[-1].pose, descent.ids[row : row + 1], steps[-1].total, descent.converged, descent.steps + steps,
        descent.parents,
    )  # fmt: skip
