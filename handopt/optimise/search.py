"""The search of one image: from its targets to the hypothesis that explains it best, and the alternatives."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from handopt.assess.uncertainty import spread_of
from handopt.backend import Array, one_cpu_thread, sparse_to_device, to_device, to_numpy
from handopt.config import Config
from handopt.errors import ShapeError
from handopt.hand_model import MAX_SCALE, MIN_SCALE, Hand, Pose
from handopt.objective.descent_objective import DescentObjective
from handopt.objective.least_squares import LeastSquares
from handopt.objective.targets import FitTargets
from handopt.objective.unexplained import unexplained_fraction
from handopt.observation.crop import Crop
from handopt.observation.observe import Observation
from handopt.optimise.batched_search import Search, StageTimer
from handopt.optimise.descent_stages import descend, prune, refine_vertices
from handopt.optimise.ranking import Ranking, most_plausible, ranked
from handopt.optimise.replay import BestHypothesis
from handopt.optimise.starts import around, fixed_starts, proposal_mean_angles, proposed_starts
from handopt.optimise.tournament import Tournament
from handopt.result import Alternative
from handopt.rig import Rig
from handopt.rig.anatomy import MIRROR
from handopt.typing import Floats, Progress

CroppedObservation = tuple[Observation, Crop, bool]
"""An observation, its crop, and whether to mirror it, as left hands are."""

RETRY_FACTOR = 3  # times as many hypotheses in a second search; chosen by hand


@dataclass(frozen=True)
class Start:
    """A pose to start from, instead of the fixed starts.

    rotation: (3, 3) rig -> camera; translation_mm: (3,) of the wrist; angles_rad: (15, 3); scale: of the whole hand
    Raises ShapeError.
    """

    rotation: ArrayLike
    translation_mm: ArrayLike
    angles_rad: ArrayLike
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Check shapes and values."""
        for name, shape in (("rotation", (3, 3)), ("translation_mm", (3,)), ("angles_rad", (15, 3)), ("scale", ())):
            values = np.asarray(getattr(self, name), np.float64)
            if values.shape != shape or not np.isfinite(values).all():
                raise ShapeError(f"start.{name}: expected finite numbers of shape {shape}, got {values.tolist()}")
        rotation = np.asarray(self.rotation, np.float64)
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
            raise ShapeError(f"start.rotation: expected a rotation matrix, got {rotation.tolist()}")
        if not MIN_SCALE <= self.scale <= MAX_SCALE:
            raise ShapeError(f"start.scale: expected a number from {MIN_SCALE} to {MAX_SCALE}, got {self.scale!r}")


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The best hypothesis of a search, its unexplained fraction, and the other survivors, best first.

    spread_mm2: (21,) of the joints, see handopt.assess.uncertainty.spread_of
    """

    best: BestHypothesis
    unexplained_fraction: float
    alternatives: tuple[Alternative, ...]
    spread_mm2: Floats


class ImageSearch:
    """The search of a right hand in all views of one image at once; left hands are mirrored views."""

    def __init__(
        self,
        hand: Hand,
        rig: Rig,
        views: list[CroppedObservation],
        targets: FitTargets,
        config: Config,
        *,
        start: Start | None,
        shape: str,
        timer: StageTimer,
        progress: Progress | None = None,
    ) -> None:
        """hand: of rig; targets: of the views. start and shape are arguments of handopt.fit."""
        self.hand, self.rig, self.views, self.targets, self.config = hand, rig, views, targets, config
        self._start, self._shape, self._timer, self._progress = start, shape, timer, progress
        laplacian = sparse_to_device(rig.laplacian(), hand.device) if shape == "vertices" else None
        self._objective = DescentObjective(hand, targets, config, laplacian)
        self._scores = [observation.score for observation, _, _ in views]

    def run(self) -> Search[SearchResult]:
        """Search, choose the best hypothesis, and move the rest vertices where these are free."""
        if self.config.solver == "gradient":
            found = [self._descended()]
        else:
            found = yield from self._tournaments()
        found.sort(key=lambda each: each.penalised_fraction[0])
        best, hand, targets = found[0], self.hand, self.targets
        row = self._row(best)
        fraction = float(best.unexplained_fraction[best.rows == row][0])
        others = tuple(
            other for each in found for other in _alternatives(each, hand, targets, row if each is best else None)
        )
        winning = best.history.pose.select(to_device([row], hand.device, np.int64))
        with one_cpu_thread():
            spread = spread_of(LeastSquares(hand, targets, self.config), winning, self.config.rounds[-1].lm_settings)
        self._timer.record("choose")
        if self._shape != "vertices":
            return SearchResult(BestHypothesis.of(best.history, row, targets, hand), fraction, others, spread)
        refined = BestHypothesis.of(refine_vertices(self._objective, best.history, row, self.config), 0, targets, hand)
        flip = MIRROR if targets.mirrored[refined.view] else np.ones(3)
        fraction = unexplained_fraction(
            (refined.vertices_mm * flip)[None], self.rig.faces, *targets.grids[refined.view]
        )[0]
        self._timer.record("vertices")
        return SearchResult(refined, float(fraction), others, spread)

    def _row(self, ranking: Ranking) -> int:
        """The row of the pose to report."""
        if self.config.solver == "auto":
            return int(ranking.rows[0])
        observations = [observation for observation, _, _ in self.views]
        return most_plausible(ranking.history, self.hand, observations, self.targets.mirrored, self.rig.faces)

    def _descended(self) -> Ranking:
        """The survivors of gradient descent."""
        pose = _starting_poses(self._objective, self.config, self._start)
        self._timer.record("starts")
        history = descend(self._objective, pose, self.config, self._progress)
        found = ranked(history, self.hand, self.targets, self._scores)
        self._timer.record("descend")
        return found

    def _tournaments(self) -> Search[list[Ranking]]:
        """The survivors of a tournament, and of a larger one where the first leaves too much unexplained."""
        config, start = self.config, self._start
        if start is not None:
            config = dataclasses.replace(config, rounds=(config.coarse_round, *config.rounds))
        found: list[Ranking] = []
        for factor in (1, RETRY_FACTOR) if start is None and config.proposals else (1,):
            if found and found[0].unexplained_fraction.min() <= config.retry:
                break
            larger = config.times(factor)
            if factor > 1:
                larger = dataclasses.replace(larger, proposals=factor * config.proposals)
            with one_cpu_thread():
                pose, expected = self._starts(larger)
            self._timer.record("starts")
            tournament = Tournament(self.hand, self.targets, larger, self._progress, number=len(found))
            history = yield from tournament.search(pose, expected)
            found.append(ranked(history, self.hand, self.targets, self._scores))
            self._timer.record("tournament")
        return found

    def _starts(self, config: Config) -> tuple[Pose, Array]:
        """Where the tournament begins, within the limits, and the angles (B, 15, 3) that the pose prior expects."""
        hand = self.hand
        if self._start is not None:
            pose = around(_given_start(hand, self.targets, self._start), hand)
            expected = pose.angles
        elif config.proposals:
            pose = proposed_starts(hand, self.rig, self.views, config.proposals)
            expected = to_device(proposal_mean_angles(pose), hand.device, hand.rest.dtype)
        else:
            pose = fixed_starts(hand, self.targets)
            expected = self._objective.prior.relaxed(len(pose))
        if self._start is None and self._shape == "none":
            pose.scale[:] = 1
        pose.angles = pose.angles.clip(hand.lower, hand.upper)
        return pose, expected


def _alternatives(ranking: Ranking, hand: Hand, targets: FitTargets, row: int | None) -> tuple[Alternative, ...]:
    """All survivors of a search but the given one, best first."""
    pose = ranking.history.pose
    joints = to_numpy(hand.joints(hand.transforms(pose), hand.keypoints_of(pose))).astype(np.float64)
    images = to_numpy(pose.image)
    found = []
    for other, fraction in zip(ranking.rows, ranking.unexplained_fraction, strict=True):
        if other != row:
            mirrored = targets.mirrored[images[other]]
            side, flip = ("left", MIRROR) if mirrored else ("right", np.ones(3))
            found.append(Alternative(side, float(fraction), joints[other] * flip))
    return tuple(found)


def _starting_poses(objective: DescentObjective, config: Config, start: Start | None) -> Pose:
    """The best of the fixed starts, or the given one for every view."""
    hand, targets = objective.hand, objective.targets
    if start is not None:
        return _given_start(hand, targets, start)
    first = config.stages[0]
    level = objective.level(first.radius_px, first.sigma_mm)
    return prune(objective, fixed_starts(hand, targets), config.starts, level)[0]


def _given_start(hand: Hand, targets: FitTargets, start: Start) -> Pose:
    """The given pose for every view."""
    flips = [np.diag(MIRROR) if mirrored else np.eye(3) for mirrored in targets.mirrored]
    rotation, translation = np.asarray(start.rotation), np.asarray(start.translation_mm)
    dtype = hand.rest.dtype
    return Pose(
        angles=to_device([start.angles_rad] * len(flips), hand.device, dtype),
        rotation=to_device([flip @ rotation @ flip for flip in flips], hand.device, dtype),
        translation=to_device([flip @ translation for flip in flips], hand.device, dtype),
        scale=to_device([start.scale] * len(flips), hand.device, dtype),
        image=to_device(range(len(flips)), hand.device, np.int32),
        proportions=to_device(np.zeros((len(flips), 0)), hand.device, dtype),
    )
