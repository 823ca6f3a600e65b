"""The tournament: many starts in one batch, pruned round by round; single fingers of the best are mutated."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from handopt.backend import Array, namespace, to_device, to_numpy
from handopt.config import Config, TournamentRound
from handopt.errors import NumericalError
from handopt.hand_model import Hand, Pose
from handopt.objective.targets import FitTargets
from handopt.ops.comparisons import same_poses
from handopt.optimise.batched_search import Request, Search
from handopt.optimise.finger_mutation import GRIDS, ROWS
from handopt.optimise.finger_parts import FingerPart, finger_parts, unexplained_by_finger
from handopt.optimise.history import Iteration, SearchHistory
from handopt.optimise.ranking import (
    best_of_image,
    best_rows,
    best_rows_evenly,
    distinct,
    fractions_by_image,
    limb_fractions,
)
from handopt.typing import Bools, Floats, Indices, Ints, Progress, Reals


@dataclass(frozen=True)
class TournamentConstants:
    """What the rounds do not set. Chosen by hand."""

    same_mm: float = 4.0  # mean joint distance below which two hypotheses count as the same
    pixel_step: int = 2  # every so many rows and columns of the crop are compared to rank hypotheses
    crossover_starts: int = 12  # starts, those most alike in rotation, whose fingers a mutation may take
    # Of each reading of an image so many of the best hypotheses are compared by what they leave unexplained of hand and
    # arm, before the first round and after each of the next; readings that leave so much more than that are dropped.
    compared: int = 3
    margins: tuple[float, ...] = (0.4, 0.25, 0.15, 0.1)
    # The other hand is dropped after the first round or later, where both are tried and it leaves so many times as much
    # unexplained; its hypotheses are not replaced. Of 87 real and synthetic images the true hand left at most 1.2 times
    # as much as the wrong one.
    side_ratio: float = 1.4
    # Where the user says which hand it is, the other one is tried with so many hypotheses for each of the given one and
    # dropped at this ratio: it only tells whether the image speaks against the user.
    other_share: float = 0.375
    other_ratio: float = 1.15
    settled: float = 0.01  # relative decrease of the best cost in the last round's later half that counts as converged


CONSTANTS: Final = TournamentConstants()


@dataclass
class Population:
    """The hypotheses that are still in.

    expected: (B, 15, 3) rad, what the pose prior expects of each; costs: (B,) by which they are ranked, which are
    unexplained fractions where rank_by_unexplained says so
    """

    pose: Pose
    ids: Indices
    expected: Array
    costs: Floats
    rank_by_unexplained: bool = False

    def select(self, rows: Indices, hand: Hand) -> "Population":
        """The hypotheses in the given rows."""
        on_device = to_device(rows, hand.device, np.int64)
        return replace(
            self,
            pose=self.pose.select(on_device),
            ids=self.ids[rows],
            expected=self.expected[on_device],
            costs=self.costs[rows],
        )

    @property
    def images(self) -> Ints:
        """The image of each hypothesis, (B,)."""
        return np.asarray(to_numpy(self.pose.image))


class Tournament:
    """Runs config.rounds and records every iteration of every hypothesis."""

    def __init__(
        self,
        hand: Hand,
        targets: FitTargets,
        config: Config,
        progress: Progress | None = None,
        number: int = 0,
        side: bool | None = None,
    ) -> None:
        """hand: with all its vertices, of which rounds may take fewer; config: for one side.

        number: of this search among several; side: of the hand that the user named (whether mirrored), None for both
        """
        self.config, self.hand, self.targets, self.side = config, hand, targets, side
        self._progress, self._number = progress, number
        self._iterations: list[Iteration] = []
        self._parents: dict[int, int] = {}
        self._next = 0
        self._has_proportions = False
        self._weights: dict[bool, float] = {}
        self._dropped: dict[bool, float] = {}

    def search(self, starts: Pose, expected: Array) -> Search[SearchHistory]:
        """Run all rounds from B starts.

        expected: (B, 15, 3) rad, the angles that the pose prior expects of each start. Raises NumericalError.
        """
        population = Population(starts, self._new_ids(len(starts)), expected, np.zeros(len(starts)))
        self._starts = starts.copy()  # whose fingers mutations may take
        self._weights = {
            bool(side): 1.0 if self.side in (None, side) else CONSTANTS.other_share
            for side in distinct(self._mirrored(population.images))
        }
        self._has_proportions = any(each.lm_settings.proportions for each in self.config.rounds)
        for number, round_ in enumerate(self.config.rounds):
            if round_.skip_below and number and self._fractions(population).min() < round_.skip_below:
                continue
            if round_.lm_settings.proportions:
                population.pose = self._with_proportions(population.pose)
            if 0 < self._share_of(round_.top_k_in) < len(population.pose):
                _, costs = yield Request(
                    (self._number, number, 0), population.pose, round_.lm_settings, population.expected
                )
                population.costs = _finite(costs)
                population = self._of_plausible_readings(population, number)
                population = population.select(self._evenly(population, round_.top_k_in), self.hand)
            if round_.mutations:
                population = self._mutated(population, round_)
            yield from self._fit(number, round_, population)
            population.rank_by_unexplained = round_.rank_by_unexplained
            if round_.rank_by_unexplained:
                population.costs = self._unexplained(population.pose)
            population = self._of_plausible_readings(population, number + 1)
            population = population.select(self._distinct(population, self._share_of(round_.top_k_out)), self.hand)
            if self._progress is not None:
                planned = sum(each.lm_settings.iterations + 1 for each in self.config.rounds)
                self._progress(len(self._iterations), planned, float(population.costs[0]))
        settled = {int(image): self._settled(image) for image in distinct(population.images)}
        return SearchHistory(
            population.pose, population.ids, population.costs, settled, self._iterations, self._parents, self._dropped
        )

    def _of_plausible_readings(self, population: Population, rounds: int) -> Population:
        """The hypotheses of the readings that explain the limb about as well as the best one does, and of both hands.

        rounds: how many are done
        """
        images = population.images
        if rounds >= len(CONSTANTS.margins) or len(distinct(images)) == 1:
            return population
        rows = np.concatenate(
            [best_of_image(population.costs, images, each, CONSTANTS.compared) for each in distinct(images)]
        )
        compared = population.select(rows, self.hand)
        fractions = limb_fractions(compared.pose, self.hand, self.targets)
        mirrored = self._mirrored(compared.images)
        best_of = {bool(side): float(fractions[mirrored == side].min()) for side in distinct(mirrored)}
        sides = self._plausible_sides(best_of, rounds)
        near = fractions <= min(best_of[side] for side in sides) + CONSTANTS.margins[rounds]
        near |= fractions == np.array([best_of[bool(side)] for side in mirrored])
        kept = distinct(compared.images[near & np.isin(mirrored, sides)])
        return population.select(np.flatnonzero(np.isin(images, kept)), self.hand)

    def _plausible_sides(self, best_of: dict[bool, float], rounds: int) -> list[bool]:
        """The sides that stay in. best_of: the limb fraction of the best hypothesis of each."""
        leader, ratio = min(best_of.values()), CONSTANTS.side_ratio
        if self.side in best_of:
            leader, ratio = best_of[self.side], CONSTANTS.other_ratio
        sides = [side for side, best in best_of.items() if rounds == 0 or side == self.side or best <= ratio * leader]
        self._dropped |= {side: best for side, best in best_of.items() if side not in sides}
        self._weights = {side: weight for side, weight in self._weights.items() if side in sides}
        return sides

    def _mirrored(self, images: Ints) -> Bools:
        """Whether images (B,) are seen as left hands."""
        return np.array(self.targets.mirrored)[images]

    def _share_of(self, count: int) -> int:
        """How many hypotheses are kept, of a count for one side."""
        return max(1, round(count * sum(self._weights.values()))) if count else 0

    def _evenly(self, population: Population, count: int) -> Indices:
        """The best rows of each side, `count` or its share of it, as many of each image."""
        mirrored = self._mirrored(population.images)
        rows = []
        for side, weight in self._weights.items():
            here = np.flatnonzero(mirrored == side)
            best = best_rows_evenly(population.costs[here], population.images[here], max(1, round(count * weight)))
            rows.append(here[best])
        return np.concatenate(rows)

    def _settled(self, image: int) -> bool:
        """Whether the last round's later half hardly lowered the best cost of an image."""
        last = [each for each in self._iterations if each.stage == self._iterations[-1].stage]
        costs = [_finite(each.total)[to_numpy(each.pose.image) == image].min(initial=np.inf) for each in last]
        return bool(costs[len(costs) // 2] - costs[-1] <= CONSTANTS.settled * costs[-1])

    def _fit(self, number: int, round_: TournamentRound, population: Population) -> Search[None]:
        """Fit all hypotheses under the round's settings."""

        def record(at: Pose, terms: dict[str, Reals]) -> None:
            doubles = {name: term.astype(np.float64) for name, term in terms.items()}
            recorded = self._with_proportions(at) if self._has_proportions else at
            self._iterations.append(Iteration(number, self.config.render_px, 1.0, population.ids, recorded, doubles))

        priority = (self._number, number, 1)
        population.pose, costs = yield Request(
            priority, population.pose, round_.lm_settings, population.expected, record
        )
        population.costs = _finite(costs)
        if not np.isfinite(population.costs).any():
            raise NumericalError("the objective is not finite for any pose; check depth_mm=, camera= and the weights")

    def _mutated(self, population: Population, round_: TournamentRound) -> Population:
        """The hypotheses, then the copies of the best with one finger redrawn that leave the least unexplained."""
        mutants, parents, fingers = self._mutants(population)
        fractions = self._unexplained_mutants(mutants.pose, population.pose, parents, fingers)
        best = best_rows(fractions, mutants.images, self._share_of(round_.mutations))
        mutants = mutants.select(best, self.hand)
        mutants.ids = self._new_ids(len(best))
        self._parents |= {
            int(child): int(population.ids[parent]) for child, parent in zip(mutants.ids, parents[best], strict=True)
        }
        xp = namespace(self.hand.device)
        return Population(
            population.pose.joined(mutants.pose),
            np.concatenate([population.ids, mutants.ids]),
            xp.concatenate([population.expected, mutants.expected]),
            np.concatenate([population.costs, mutants.costs]),
        )

    @cached_property
    def _finger_parts(self) -> list[FingerPart]:
        return finger_parts(self.hand)

    def _unexplained_mutants(self, pose: Pose, of: Pose, parents: Indices, fingers: Indices) -> Floats:
        """The unexplained fraction (B,) of poses that differ from those of their parents, rows of `of`, in a finger."""
        if self.hand.has_correctives:  # an angle may move all of the skin
            return self._unexplained(pose)
        fractions = np.empty(len(parents))
        for parent in distinct(parents):
            rows = np.flatnonzero(parents == parent)
            here, there = (to_device(each, self.hand.device, np.int64) for each in (rows, [parent]))
            fractions[rows] = unexplained_by_finger(
                *(self.hand, self._finger_parts, self.targets, of.select(there), pose.select(here), fingers[rows]),
                CONSTANTS.pixel_step,
            )
        return fractions

    def _mutants(self, population: Population) -> tuple[Population, Indices, Indices]:
        """Copies of the best hypothesis of each image with one finger changed, what each is a copy of, and the finger.

        The finger comes from a grid (mutation), or from a start with a similar rotation (crossover).
        """
        angles, rotations, images = (
            to_numpy(each) for each in (population.pose.angles, population.pose.rotation, population.images)
        )
        starts = [to_numpy(each) for each in (self._starts.angles, self._starts.rotation, self._starts.image)]
        lower, upper = to_numpy(self.hand.lower), to_numpy(self.hand.upper)
        copies, rows, changed = [], [], []
        for parent in best_rows(population.costs, images, 1):
            fingers, turned = (each[starts[2] == images[parent]] for each in starts[:2])
            alike = np.einsum("aij,ij->a", turned, rotations[parent])
            fingers = fingers[np.argsort(-alike, kind="stable")[: CONSTANTS.crossover_starts]]
            for finger, grid in enumerate(GRIDS):
                part = slice(ROWS * finger, ROWS * (finger + 1))
                drawn = np.concatenate([grid, fingers[:, part]])
                copy = np.repeat(angles[[parent]], len(drawn), axis=0)
                copy[:, part] = np.clip(drawn, lower[part], upper[part])
                copies.append(copy)
                rows.append(np.full(len(drawn), parent))
                changed.append(np.full(len(drawn), finger))
        row = np.concatenate(rows)
        found = population.select(row, self.hand)
        found.pose.angles = to_device(np.concatenate(copies), self.hand.device, angles.dtype)
        return found, row, np.concatenate(changed)

    def _fractions(self, population: Population) -> Floats:
        """The unexplained fraction of each hypothesis, (B,)."""
        return population.costs if population.rank_by_unexplained else self._unexplained(population.pose)

    def _unexplained(self, pose: Pose) -> Floats:
        """The unexplained fraction of each pose (B,), on some of the pixels; infinite where the pose is not finite."""
        hand, images = self.hand, to_numpy(pose.image)
        vertices = hand.vertices(hand.transforms(pose), hand.rest_of(pose))
        fractions = fractions_by_image(vertices, images, hand, self.targets, CONSTANTS.pixel_step)
        return np.where(np.isfinite(to_numpy(vertices).sum(axis=(1, 2))), fractions, np.inf)

    def _distinct(self, population: Population, top_k_out: int) -> Indices:
        """The best rows. Of hypotheses that have become the same, only the best stays."""
        order = np.argsort(population.costs, kind="stable")
        keypoints = self.hand.keypoints_of(population.pose)
        joints = to_numpy(self.hand.joints(self.hand.transforms(population.pose), keypoints))[order]
        images = population.images[order]
        same = same_poses(joints, images, CONSTANTS.same_mm)
        stays = np.zeros(len(order), np.bool_)
        missing = set(images.tolist())  # images of which none is kept yet
        for row, image in enumerate(images.tolist()):
            if not missing and np.count_nonzero(stays) >= top_k_out:
                break
            if not (same[row] & stays).any():
                stays[row] = True
                missing.discard(image)
        kept = order[stays]
        return kept[best_rows(population.costs[kept], population.images[kept], top_k_out)]

    def _with_proportions(self, pose: Pose) -> Pose:
        """The same poses with room for proportions."""
        if pose.proportions.shape[1]:
            return pose
        zeros = namespace(self.hand.device).zeros((len(pose), len(self.hand.joint_basis)), pose.scale.dtype)
        return replace(pose, proportions=zeros)

    def _new_ids(self, count: int) -> Indices:
        first, self._next = self._next, self._next + count
        return np.arange(first, self._next)


def _finite(costs: Reals) -> Floats:
    return np.where(np.isfinite(costs), costs, np.inf).astype(np.float64)
