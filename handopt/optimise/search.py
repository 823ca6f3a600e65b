"""From what an image shows to the hypothesis that explains it best, and the others that nearly do."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handopt.assess.uncertainty import spread_of
from handopt.backend import Array, one_cpu_thread, sparse_to_device, to_device, to_numpy
from handopt.config import Config
from handopt.errors import ShapeError
from handopt.hand_model import MIRROR, Hand, Pose
from handopt.objective.energy import Objective
from handopt.objective.targets import Evidence
from handopt.objective.unexplained import explain
from handopt.observation.crop import Crop
from handopt.observation.observe import Observation
from handopt.optimise.batching import Clock, Search
from handopt.optimise.gradient_descent import descend, prune, refine_vertices
from handopt.optimise.levenberg_marquardt import LeastSquares
from handopt.optimise.ranking import Ranking, most_plausible, ranked
from handopt.optimise.replay import Winner
from handopt.optimise.solvers import MAX_SCALE, MIN_SCALE
from handopt.optimise.starts import around, believed_angles, fixed_starts, proposed_starts
from handopt.optimise.tournament import Tournament
from handopt.result import Alternative
from handopt.rig import Rig

Floats = NDArray[np.float64]
Progress = Callable[[int, int, float], None]
View = tuple[Observation, Crop, bool]

RETRY = 3  # times as many hypotheses in a second search


@dataclass(frozen=True)
class Start:
    """A pose to start from, instead of the fixed starts.

    rotation: (3, 3) rig -> camera; translation_mm: (3,) the wrist; angles_rad: (15, 3); scale: of the whole hand
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
class Found:
    """The winner of a search, what it leaves unexplained, the other survivors, and the (21,) joints' spread."""

    winner: Winner
    unexplained: float
    alternatives: tuple[Alternative, ...]
    spread_mm2: Floats


class ImageSearch:
    """The search of a right hand in all views of one image at once; left hands are mirrored views."""

    def __init__(
        self,
        hand: Hand,
        rig: Rig,
        views: list[View],
        evidence: Evidence,
        config: Config,
        *,
        start: Start | None,
        shape: str,
        clock: Clock,
        progress: Progress | None = None,
    ) -> None:
        """hand: of rig. evidence: of the views. The other arguments are those of handopt.fit."""
        self.hand, self.rig, self.views, self.evidence, self.config = hand, rig, views, evidence, config
        self._start, self._shape, self._clock, self._progress = start, shape, clock, progress
        laplacian = sparse_to_device(rig.laplacian(), hand.device) if shape == "vertices" else None
        self._objective = Objective(hand, evidence, config, laplacian)
        self._scores = [observation.score for observation, _, _ in views]

    def run(self) -> Search[Found]:
        """Search, judge what was found, and move the vertices where these are free."""
        if self.config.solver == "gradient":
            found = [self._descended()]
        else:
            found = yield from self._tournaments()
        found.sort(key=lambda each: each.judged[0])
        best, hand, evidence = found[0], self.hand, self.evidence
        row = self._row(best)
        unexplained = float(best.unexplained[best.rows == row][0])
        others = tuple(
            other for each in found for other in _alternatives(each, hand, evidence, row if each is best else None)
        )
        winning = best.descent.pose.select(to_device([row], hand.device, np.int64))
        with one_cpu_thread():
            spread = spread_of(LeastSquares(hand, evidence, self.config), winning, self.config.rounds[-1].approach)
        self._clock.lap("choose")
        if self._shape != "vertices":
            return Found(Winner.of(best.descent, row, evidence, hand), unexplained, others, spread)
        winner = Winner.of(refine_vertices(self._objective, best.descent, row, self.config), 0, evidence, hand)
        flip = MIRROR if evidence.mirrored[winner.view] else np.ones(3)
        unexplained = explain((winner.vertices_mm * flip)[None], self.rig.faces, *evidence.grids[winner.view])[0]
        self._clock.lap("vertices")
        return Found(winner, float(unexplained), others, spread)

    def _row(self, ranking: Ranking) -> int:
        """The row of the pose to report."""
        if self.config.solver == "auto":
            return int(ranking.rows[0])
        observations = [observation for observation, _, _ in self.views]
        return most_plausible(ranking.descent, self.hand, observations, self.evidence.mirrored, self.rig.faces)

    def _descended(self) -> Ranking:
        """What gradient descent finds."""
        pose = _starting_poses(self._objective, self.config, self._start)
        self._clock.lap("starts")
        descent = descend(self._objective, pose, self.config, self._progress)
        found = ranked(descent, self.hand, self.evidence, self._scores)
        self._clock.lap("descend")
        return found

    def _tournaments(self) -> Search[list[Ranking]]:
        """What a tournament finds, and a larger one where it leaves too much unexplained."""
        config, start = self.config, self._start
        if start is not None:
            config = dataclasses.replace(config, rounds=(config.capture, *config.rounds))
        found: list[Ranking] = []
        for factor in (1, RETRY) if start is None and config.proposals else (1,):
            if found and found[0].unexplained.min() <= config.retry:
                break
            larger = config.times(factor)
            if factor > 1:
                larger = dataclasses.replace(larger, proposals=factor * config.proposals)
            with one_cpu_thread():
                pose, expected = self._starts(larger)
            self._clock.lap("starts")
            tournament = Tournament(self.hand, self.evidence, larger, self._progress, number=len(found))
            descent = yield from tournament.search(pose, expected)
            found.append(ranked(descent, self.hand, self.evidence, self._scores))
            self._clock.lap("tournament")
        return found

    def _starts(self, config: Config) -> tuple[Pose, Array]:
        """Where the tournament begins, within the limits, and the angles (B, 15, 3) that the pose prior expects."""
        hand = self.hand
        if self._start is not None:
            pose = around(_given_start(hand, self.evidence, self._start), hand)
            expected = pose.angles
        elif config.proposals:
            pose = proposed_starts(hand, self.rig, self.views, config.proposals)
            expected = to_device(believed_angles(pose), hand.device, hand.rest.dtype)
        else:
            pose = fixed_starts(hand, self.evidence)
            expected = self._objective.prior.relaxed(len(pose))
        if self._start is None and self._shape == "none":
            pose.scale[:] = 1
        pose.angles = pose.angles.clip(hand.lower, hand.upper)
        return pose, expected


def _alternatives(ranking: Ranking, hand: Hand, evidence: Evidence, row: int | None) -> tuple[Alternative, ...]:
    """All survivors of a search but the given one, best first."""
    pose = ranking.descent.pose
    joints = to_numpy(hand.joints(hand.transforms(pose), hand.keypoints_of(pose))).astype(np.float64)
    images = to_numpy(pose.image)
    found = []
    for other, unexplained in zip(ranking.rows, ranking.unexplained, strict=True):
        if other != row:
            mirrored = evidence.mirrored[images[other]]
            side, flip = ("left", MIRROR) if mirrored else ("right", np.ones(3))
            found.append(Alternative(side, float(unexplained), joints[other] * flip))
    return tuple(found)


def _starting_poses(objective: Objective, config: Config, start: Start | None) -> Pose:
    """The best of the fixed starts, or the given one for every view."""
    hand, evidence = objective.hand, objective.evidence
    if start is not None:
        return _given_start(hand, evidence, start)
    first = config.stages[0]
    sharpness = objective.sharpness(first.radius_px, first.sigma_mm)
    return prune(objective, fixed_starts(hand, evidence), config.starts, sharpness)[0]


def _given_start(hand: Hand, evidence: Evidence, start: Start) -> Pose:
    """The given pose for every view."""
    flips = [np.diag(MIRROR) if mirrored else np.eye(3) for mirrored in evidence.mirrored]
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
