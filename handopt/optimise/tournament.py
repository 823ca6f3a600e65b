"""The tournament: many starts in one batch, pruned round by round, single fingers of the best redrawn and exchanged."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from handopt.backend import namespace, to_device, to_numpy
from handopt.config import Config, Round
from handopt.evidence import Evidence
from handopt.hand import Hand, Pose
from handopt.optimise.descend import Descent, Step
from handopt.optimise.fingers import GRIDS, ROWS
from handopt.optimise.levenberg import LeastSquares, levenberg

Floats = NDArray[np.float64]
SAME_MM = 4.0
SETTLED = 1e-3  # relative decrease of the cost

Progress = Callable[[int, int, float], None]


class Tournament:
    """Runs the rounds of config.rounds and keeps a record of every iteration of every hypothesis."""

    def __init__(self, hand: Hand, evidence: Evidence, config: Config, progress: Progress | None = None) -> None:
        """hand: with all its vertices; rounds ask for fewer."""
        self.config, self.hand, self._progress = config, hand, progress
        self._problems = {
            count: LeastSquares(hand.coarse(count) if count else hand, evidence, config)
            for count in {stage.approach.vertices for stage in config.rounds}
        }
        self._steps: list[Step] = []
        self._parents: dict[int, int] = {}
        self._next = 0

    def run(self, starts: Pose) -> Descent:
        """From starts to survivors, best first and at least one of each image."""
        pose, ids = starts, self._born(len(starts))
        costs = np.zeros(0)
        for number, stage in enumerate(self.config.rounds):
            problem = self._problems[stage.approach.vertices]
            if stage.approach.proportions:
                pose = self._with_proportions(pose)
            if stage.enter:
                costs = _finite(to_numpy(problem.cost(pose, stage.approach)))
                rows = best_rows(costs, to_numpy(pose.image), stage.enter)
                pose, ids = self._select(pose, rows), ids[rows]
            if stage.mutants or stage.crossings:
                pose, ids = self._bred(problem, pose, ids, stage)
            pose, costs = self._descend(problem, number, stage, pose, ids)
            rows = self._distinct(pose, costs, stage.keep)
            pose, ids, costs = self._select(pose, rows), ids[rows], costs[rows]
            if self._progress is not None:
                planned = sum(each.approach.iterations + 1 for each in self.config.rounds)
                self._progress(len(self._steps), planned, float(costs[0]))
        images = np.unique(to_numpy(pose.image)).tolist()
        return Descent(pose, ids, costs, {image: self._settled(image) for image in images}, self._steps, self._parents)

    def _settled(self, image: int) -> bool:
        """Whether the last iteration lowered the best cost of an image by next to nothing."""
        before, after = (
            min(step.total[to_numpy(step.pose.image) == image], default=np.inf) for step in self._steps[-2:]
        )
        return bool(before - after <= SETTLED * after)

    def _descend(
        self, problem: LeastSquares, number: int, stage: Round, pose: Pose, ids: NDArray[np.int64]
    ) -> tuple[Pose, Floats]:
        def record(at: Pose, terms: dict[str, object]) -> None:
            host = {name: to_numpy(term).astype(np.float64) for name, term in terms.items()}
            self._steps.append(Step(number, self.config.render_px, 1.0, ids, self._with_proportions(at), host))

        pose, system = levenberg(problem, pose, stage.approach, record)
        return pose, _finite(to_numpy(system.cost))

    def _bred(
        self, problem: LeastSquares, pose: Pose, ids: NDArray[np.int64], stage: Round
    ) -> tuple[Pose, NDArray[np.int64]]:
        """The poses, then the best of those that differ from a parent in one finger: redrawn, or another's."""
        angles = to_numpy(pose.angles)
        images = to_numpy(pose.image)
        trials, rows, groups = [], [], []
        for parent in best_rows(np.arange(len(pose), dtype=np.float64), images, stage.parents):
            others = angles[(images == images[parent]) & (np.arange(len(pose)) != parent)][: stage.partners]
            for finger, grid in enumerate(GRIDS):
                part = slice(ROWS * finger, ROWS * (finger + 1))
                for kind, drawn in enumerate((grid if stage.mutants else grid[:0], others[:, part])):
                    if kind == 1 and not stage.crossings:
                        continue
                    redrawn = np.repeat(angles[parent : parent + 1], len(drawn), axis=0)
                    redrawn[:, part] = drawn
                    trials.append(redrawn)
                    rows.append(np.full(len(drawn), parent))
                    groups.append(np.full(len(drawn), (int(parent) * len(GRIDS) + finger) * 2 + kind))
        row, group = np.concatenate(rows), np.concatenate(groups)
        drawn = self._select(pose, row)
        drawn.angles = to_device(np.concatenate(trials), self.hand.device, angles.dtype)
        drawn.angles = drawn.angles.clip(self.hand.lower, self.hand.upper)
        costs = _finite(to_numpy(problem.cost(drawn, stage.approach)))
        chosen = []
        for each in np.unique(group):
            inside = np.flatnonzero(group == each)
            keep = stage.crossings if each % 2 else stage.mutants
            chosen.append(inside[np.argsort(costs[inside], kind="stable")[:keep]])
        best = np.concatenate(chosen)
        born = self._born(len(best))
        self._parents |= {int(child): int(ids[parent]) for child, parent in zip(born, row[best], strict=True)}
        return pose.joined(self._select(drawn, best)), np.concatenate([ids, born])

    def _distinct(self, pose: Pose, costs: Floats, keep: int) -> NDArray[np.int64]:
        """The best rows; of hypotheses that have become the same, only the better one."""
        order = np.argsort(costs, kind="stable")
        joints = to_numpy(self.hand.joints(self.hand.transforms(pose), self.hand.keypoints_of(pose)))[order]
        images = to_numpy(pose.image)[order]
        rows: list[int] = []
        for row in range(len(order)):
            same = images[rows] == images[row]
            if rows and same.any():
                away = np.linalg.norm(joints[rows][same] - joints[row], axis=2).mean(axis=1)
                if away.min() < SAME_MM:
                    continue
            rows.append(row)
        kept = order[rows]
        return kept[best_rows(costs[kept], to_numpy(pose.image)[kept], keep)]

    def _with_proportions(self, pose: Pose) -> Pose:
        """The same poses with room for proportions."""
        if pose.proportions.shape[1]:
            return pose
        xp = namespace(self.hand.device)
        zeros = xp.zeros((len(pose), len(self.hand.joint_basis)), pose.scale.dtype)
        return replace(pose, proportions=zeros)

    def _select(self, pose: Pose, rows: NDArray[np.int64]) -> Pose:
        return pose.select(to_device(rows, self.hand.device, np.int64))

    def _born(self, count: int) -> NDArray[np.int64]:
        first, self._next = self._next, self._next + count
        return np.arange(first, self._next)


def best_rows(costs: Floats, images: NDArray[np.int32], keep: int) -> NDArray[np.int64]:
    """The rows with the lowest costs, best first and at least one of each image."""
    order = np.argsort(costs, kind="stable")
    leaders = [int(order[images[order] == image][0]) for image in np.unique(images)]
    others = [int(row) for row in order if row not in leaders]
    chosen = leaders + others[: max(0, keep - len(leaders))]
    return np.array(sorted(chosen, key=lambda row: (costs[row], row)), np.int64)


def _finite(costs: Floats) -> Floats:
    return np.where(np.isfinite(costs), costs, np.inf).astype(np.float64)
