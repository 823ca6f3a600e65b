"""The tournament: many starts in one batch, pruned round by round, single fingers of the best redrawn and exchanged."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from handopt.backend import Array, namespace, to_device, to_numpy
from handopt.config import Config, TournamentRound
from handopt.errors import NumericalError
from handopt.hand_model import Hand, Pose
from handopt.objective.targets import FitTargets
from handopt.objective.unexplained import unexplained_fraction
from handopt.optimise.batching import Reals, Request, Search
from handopt.optimise.finger_mutation import GRIDS, ROWS
from handopt.optimise.gradient_descent import Iteration, SearchHistory
from handopt.optimise.ranking import best_rows

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Progress = Callable[[int, int, float], None]

SAME_MM = 4.0
JUDGE_STEP = 2  # of the crop's rows and columns that a judged round looks at
ALIKE = 12  # starts turned most alike whose fingers are tried
SETTLED = 0.01  # relative decrease of the cost


@dataclass
class Population:
    """The hypotheses that are still in: their poses, numbers, what the pose prior expects of them, and their costs.

    judged: whether these are the shares of the observation that they leave unexplained.
    """

    pose: Pose
    ids: Rows
    expected: Array
    costs: Floats
    rank_by_unexplained: bool = False

    def select(self, rows: Rows, hand: Hand) -> "Population":
        """The hypotheses in the given rows."""
        there = to_device(rows, hand.device, np.int64)
        return Population(
            self.pose.select(there), self.ids[rows], self.expected[there], self.costs[rows], self.rank_by_unexplained
        )

    @property
    def images(self) -> NDArray[np.int32]:
        """The image of each hypothesis."""
        return np.asarray(to_numpy(self.pose.image))


class Tournament:
    """Runs the rounds of config.rounds and keeps a record of every iteration of every hypothesis."""

    def __init__(
        self, hand: Hand, targets: FitTargets, config: Config, progress: Progress | None = None, number: int = 0
    ) -> None:
        """hand: with all its vertices; rounds ask for fewer. number: of the search, where one follows another."""
        self.config, self.hand, self.targets = config, hand, targets
        self._progress, self._number = progress, number
        self._steps: list[Iteration] = []
        self._parents: dict[int, int] = {}
        self._next = 0
        self._shaped = False

    def search(self, starts: Pose, expected: Array) -> Search[SearchHistory]:
        """From starts to survivors, best first and at least one of each image.

        expected: (B, 15, 3) rad, the angles that the pose prior expects of each start.
        """
        population = Population(starts, self._new_ids(len(starts)), expected, np.zeros(len(starts)))
        self._starts = starts.copy()  # whose fingers are tried later
        self._shaped = any(stage.lm_settings.proportions for stage in self.config.rounds)
        for number, stage in enumerate(self.config.rounds):
            if stage.skip_below and number and self._shares(population).min() < stage.skip_below:
                continue
            if stage.lm_settings.proportions:
                population.pose = self._with_proportions(population.pose)
            if 0 < stage.top_k_in < len(population.pose):
                _, costs = yield Request(
                    (self._number, number, 0), population.pose, stage.lm_settings, population.expected
                )
                population = population.select(best_rows(_finite(costs), population.images, stage.top_k_in), self.hand)
            if stage.mutations:
                population = self._mutated(population, stage)
            yield from self._descend(number, stage, population)
            population.rank_by_unexplained = stage.rank_by_unexplained
            if stage.rank_by_unexplained:
                population.costs = self._unexplained(population.pose)
            population = population.select(self._distinct(population, stage.top_k_out), self.hand)
            if self._progress is not None:
                planned = sum(each.lm_settings.iterations + 1 for each in self.config.rounds)
                self._progress(len(self._steps), planned, float(population.costs[0]))
        settled = {int(image): self._settled(image) for image in np.unique(population.images)}
        return SearchHistory(population.pose, population.ids, population.costs, settled, self._steps, self._parents)

    def _settled(self, image: int) -> bool:
        """Whether the last round's later half lowered the best cost of an image by next to nothing."""
        last = [step for step in self._steps if step.stage == self._steps[-1].stage]
        costs = [_finite(step.total)[to_numpy(step.pose.image) == image].min(initial=np.inf) for step in last]
        return bool(costs[len(costs) // 2] - costs[-1] <= SETTLED * costs[-1])

    def _descend(self, number: int, stage: TournamentRound, population: Population) -> Search[None]:
        """Let all hypotheses descend."""

        def record(at: Pose, terms: dict[str, Reals]) -> None:
            doubles = {name: term.astype(np.float64) for name, term in terms.items()}
            recorded = self._with_proportions(at) if self._shaped else at
            self._steps.append(Iteration(number, self.config.render_px, 1.0, population.ids, recorded, doubles))

        priority = (self._number, number, 1)
        population.pose, costs = yield Request(
            priority, population.pose, stage.lm_settings, population.expected, record
        )
        population.costs = _finite(costs)
        if not np.isfinite(population.costs).any():
            raise NumericalError("the objective is not finite for any pose; check --unit, --camera and the weights")

    def _mutated(self, population: Population, stage: TournamentRound) -> Population:
        """The hypotheses, then those copies of each image's best, with one finger redrawn, that explain most."""
        drawn, parents = self._redrawn(population)
        best = best_rows(self._unexplained(drawn.pose), drawn.images, stage.mutations)
        drawn = drawn.select(best, self.hand)
        drawn.ids = self._new_ids(len(best))
        self._parents |= {
            int(child): int(population.ids[parent]) for child, parent in zip(drawn.ids, parents[best], strict=True)
        }
        xp = namespace(self.hand.device)
        return Population(
            population.pose.joined(drawn.pose),
            np.concatenate([population.ids, drawn.ids]),
            xp.concatenate([population.expected, drawn.expected]),
            np.concatenate([population.costs, drawn.costs]),
        )

    def _redrawn(self, population: Population) -> tuple[Population, Rows]:
        """Copies of the best hypothesis of each image, and the row that each is a copy of.

        In each, one finger is from a grid (mutation) or from a start that is turned alike (crossover).
        """
        angles, rotations, images = (
            to_numpy(each) for each in (population.pose.angles, population.pose.rotation, population.images)
        )
        starts = [to_numpy(each) for each in (self._starts.angles, self._starts.rotation, self._starts.image)]
        lower, upper = to_numpy(self.hand.lower), to_numpy(self.hand.upper)
        copies, rows = [], []
        for parent in best_rows(population.costs, images, 1):
            fingers, turned = (each[starts[2] == images[parent]] for each in starts[:2])
            alike = np.einsum("aij,ij->a", turned, rotations[parent])
            fingers = fingers[np.argsort(-alike, kind="stable")[:ALIKE]]
            for finger, grid in enumerate(GRIDS):
                part = slice(ROWS * finger, ROWS * (finger + 1))
                drawn = np.concatenate([grid, fingers[:, part]])
                copy = np.repeat(angles[[parent]], len(drawn), axis=0)
                copy[:, part] = np.clip(drawn, lower[part], upper[part])
                copies.append(copy)
                rows.append(np.full(len(drawn), parent))
        row = np.concatenate(rows)
        found = population.select(row, self.hand)
        found.pose.angles = to_device(np.concatenate(copies), self.hand.device, angles.dtype)
        return found, row

    def _shares(self, population: Population) -> Floats:
        """The share of its observation that each hypothesis leaves unexplained."""
        return population.costs if population.rank_by_unexplained else self._unexplained(population.pose)

    def _unexplained(self, pose: Pose) -> Floats:
        """The share of its observation that each pose leaves unexplained, looked at coarsely."""
        hand, images = self.hand, to_numpy(pose.image)
        vertices = hand.vertices(hand.transforms(pose), hand.rest_of(pose))
        shares = np.empty(len(images))
        for image in np.unique(images):
            rows = np.flatnonzero(images == image)
            there = vertices[to_device(rows, hand.device, np.int64)]
            crop, grid = self.targets.grids[image]
            shares[rows] = unexplained_fraction(there, hand.faces, crop, grid, JUDGE_STEP)
        return np.where(np.isfinite(to_numpy(vertices).sum(axis=(1, 2))), shares, np.inf)

    def _distinct(self, population: Population, top_k_out: int) -> Rows:
        """The best rows; of hypotheses that have become the same, only the better one."""
        order = np.argsort(population.costs, kind="stable")
        keypoints = self.hand.keypoints_of(population.pose)
        joints = to_numpy(self.hand.joints(self.hand.transforms(population.pose), keypoints))[order]
        images = population.images[order]
        rows: list[int] = []
        for row in range(len(order)):
            same = [other for other in rows if images[other] == images[row]]
            if same and np.linalg.norm(joints[same] - joints[row], axis=2).mean(axis=1).min() < SAME_MM:
                continue
            rows.append(row)
        kept = order[rows]
        return kept[best_rows(population.costs[kept], population.images[kept], top_k_out)]

    def _with_proportions(self, pose: Pose) -> Pose:
        """The same poses with room for proportions."""
        if pose.proportions.shape[1]:
            return pose
        zeros = namespace(self.hand.device).zeros((len(pose), len(self.hand.joint_basis)), pose.scale.dtype)
        return replace(pose, proportions=zeros)

    def _new_ids(self, count: int) -> Rows:
        first, self._next = self._next, self._next + count
        return np.arange(first, self._next)


def _finite(costs: NDArray[np.floating]) -> Floats:
    return np.where(np.isfinite(costs), costs, np.inf).astype(np.float64)
