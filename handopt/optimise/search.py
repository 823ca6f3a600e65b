"""The search of one image: from its targets to the hypothesis that explains it best, and the alternatives."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from handopt.assess.uncertainty import spread_of
from handopt.backend import Array, one_cpu_thread, sparse_to_device, to_device, to_numpy
from handopt.config import Config, FitSettings
from handopt.hand_model import Hand, Pose
from handopt.objective.descent_objective import DescentObjective
from handopt.objective.least_squares import LeastSquares
from handopt.objective.limb_fraction import seen_in_limb
from handopt.objective.targets import FitTargets, build_targets
from handopt.objective.unexplained import unexplained_fraction
from handopt.observation.observation import Observation
from handopt.observation.other_pixels import OtherPixels
from handopt.observation.surfaces import flipped
from handopt.optimise.batched_search import Extension, Search, StageTimer
from handopt.optimise.descent_stages import descend, refine_vertices, starting_poses
from handopt.optimise.first_look import Proposed, looked_at
from handopt.optimise.history import SearchHistory
from handopt.optimise.prediction import refined
from handopt.optimise.ranking import Ranking, most_plausible, ranked
from handopt.optimise.replay import BestHypothesis
from handopt.optimise.second_looks import read_twice
from handopt.optimise.starts import (
    Start,
    around,
    fixed_starts,
    given_start,
    proposal_mean_angles,
    starts_of,
)
from handopt.optimise.tournament import Tournament
from handopt.optimise.views import CroppedObservation, cropped, labelled_readings, views_of, without_others
from handopt.proposals.predict_pose import PredictedPose
from handopt.proposals.voted_poses import VotedJoints
from handopt.result import Alternative
from handopt.rig import Rig
from handopt.rig.anatomy import MIRROR
from handopt.rig.joints import palm_of
from handopt.typing import Floats, Progress

OTHER_SIZE = 0.2  # logarithm of a scale from which on the second search reads the image anew for it; chosen by hand
# Times as many hypotheses in a second search, in all rounds: with fewer in the last ones as many poses are right, but
# surer than they should be. Chosen by hand.
RETRY_FACTOR = 3
SAME_PLACE_MM = 20.0  # palms nearer than this are asked about once; chosen by hand
# Limb fraction and unexplained fraction above which the second search looks for palms elsewhere; chosen by hand: a hand
# that an arm or a table touches may leave much of that, but little of itself.
SEARCH_ELSEWHERE = 0.35, 0.2
SIDE_MARGIN = 0.05  # limb fraction within which the other side takes part in a second search; chosen by hand


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The best hypothesis of a search, what it leaves unexplained, and the other survivors, best first.

    spread_mm2: (21,) of the joints, see handopt.assess.uncertainty.spread_of. hand_margin: limb fraction of the other
    hand's best, of when it was dropped if it was, minus this one's; None if not tried. voted: joints a network sees
    """

    best: BestHypothesis
    unexplained_fraction: float
    limb_fraction: float
    alternatives: tuple[Alternative, ...]
    spread_mm2: Floats
    hand_margin: float | None = None
    voted: VotedJoints | None = None

    def rescaled(self, factor: float) -> "SearchResult":
        """The same result with the best hypothesis multiplied by the size of its reading; the others are already."""
        if factor == 1.0:
            return self
        return dataclasses.replace(
            self,
            best=self.best.rescaled(factor),
            spread_mm2=self.spread_mm2 * factor**2,
            voted=None if self.voted is None else self.voted.rescaled(factor),
        )


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
        settings: FitSettings,
        timer: StageTimer,
        side: bool | None = None,
        others: Callable[[Sequence[bool]], list[CroppedObservation]] = lambda _: [],
        proposed: dict[int, Proposed],
        predictions: Sequence[PredictedPose] = (),
        progress: Progress | None = None,
    ) -> None:
        """hand: of rig; targets: of the views; start: an argument of handopt.fit; settings: of all images.

        config: for one side; side: of the hand that the user named (whether mirrored), None where that is to be found
        out; others: gives further views for a second search, of the given sides (whether mirrored); proposed: for the
        views, by number, where a search begins with proposals; predictions: of each view where nothing is searched
        """
        self._settings, self._side, self._others = settings, side, others
        self.hand, self.rig, self.views, self.targets = hand, rig, views, targets
        self.config, self._proposed, self._predictions = config, proposed, predictions
        self._start, self._shape, self._timer, self._progress = start, settings.shape, timer, progress
        laplacian = sparse_to_device(rig.laplacian(), hand.device) if self._shape == "vertices" else None
        self._seen: list[OtherPixels] = []  # by the networks of pixel labels, where a second search asked them
        self._voted: dict[int, VotedJoints] = {}  # of each view as it was when it was searched
        self._further_starts: Pose | None = None  # of a second search
        self._larger = dataclasses.replace(config.times(RETRY_FACTOR), proposals=RETRY_FACTOR * config.proposals)
        self._objective = DescentObjective(hand, targets, config.times(len(_sides(views))), laplacian)

    def run(self) -> Search[SearchResult]:
        """Search, choose the best hypothesis, and move the rest vertices where these are free."""
        if self._settings.refine is not None:
            found = [(yield from self._predicted(self._settings.refine))]
        elif self.config.solver == "gradient":
            found = [self._descended()]
        else:
            found = yield from self._tournaments()
        found.sort(key=lambda each: each.penalised_fraction[0])
        best, hand, targets = found[0], self.hand, self.targets
        row = self._row(best)
        fraction = float(best.unexplained_fraction[best.rows == row][0])
        of_limb = float(best.penalised_fraction[best.rows == row][0])
        compared = of_limb - float(best.doubt_penalty[best.rows == row][0])
        others = tuple(other for each in found for other in self._alternatives(each, row if each is best else None))
        winning = best.history.pose.select(to_device([row], hand.device, np.int64))
        with one_cpu_thread():
            spread = spread_of(LeastSquares(hand, targets, self.config), winning, self.config.rounds[-1].lm_settings)
        margin = self._hand_margin(found, compared, targets.mirrored[int(to_numpy(winning.image)[0])])
        self._timer.record("choose")
        if self._shape != "vertices":
            found_best = BestHypothesis.of(best.history, row, targets, hand)
            return SearchResult(found_best, fraction, of_limb, others, spread, margin, self._voted_of(found_best.view))
        refined = BestHypothesis.of(refine_vertices(self._objective, best.history, row, self.config), 0, targets, hand)
        flip = MIRROR if targets.mirrored[refined.view] else np.ones(3)
        fraction = unexplained_fraction(
            (refined.vertices_mm * flip)[None], self.rig.faces, *targets.grids[refined.view]
        )[0]
        self._timer.record("vertices")
        return SearchResult(refined, float(fraction), of_limb, others, spread, margin, self._voted_of(refined.view))

    def _voted_of(self, view: int) -> VotedJoints | None:
        """Where the network sees the joints of a view, as they are in its image."""
        voted = self._voted.get(view)
        return voted.mirrored() if voted is not None and self.targets.mirrored[view] else voted

    def _hand_margin(self, found: list[Ranking], of_limb: float, mirrored: bool) -> float | None:
        """By how much the other hand leaves more unexplained, without doubts of networks; None if it was not tried."""
        fractions = [each.history.dropped[not mirrored] for each in found if (not mirrored) in each.history.dropped]
        for each in found:
            images = to_numpy(each.history.pose.image)[each.rows]
            other = np.array(self.targets.mirrored)[images] != mirrored
            fractions += (each.penalised_fraction - each.doubt_penalty)[other].tolist()
        return min(fractions) - of_limb if fractions else None

    @property
    def _tried(self) -> list[bool]:
        """Which sides a second search looks for: whether they are mirrored."""
        return sorted(_sides(self.views)) if self._side is None else [self._side]

    def _row(self, ranking: Ranking) -> int:
        """The row of the pose to report."""
        if self.config.solver == "auto":
            return int(ranking.rows[0])
        observations = [observation for observation, _, _ in self.views]
        return most_plausible(
            ranking.history, self.hand, observations, self.targets.mirrored, self.rig.faces, self._side
        )

    def _descended(self) -> Ranking:
        """The survivors of gradient descent."""
        pose = starting_poses(self._objective, self._objective.config, self._start)
        self._timer.record("starts")
        history = descend(self._objective, pose, self._objective.config, self._progress)
        found = self._ranked(history)
        self._timer.record("descend")
        return found

    def _predicted(self, steps: int) -> Search[Ranking]:
        """The pose that the network predicts of each view, after some steps of Levenberg-Marquardt."""
        poses = [each.pose for each in self._predictions]
        pose = starts_of(self.hand, self.rig, poses, range(len(poses)))
        if self._shape == "none":
            pose.scale[:] = 1
        found = self._ranked((yield from refined(self.hand, pose, self.config, steps)))
        self._timer.record("refine")
        return found

    def _tournaments(self) -> Search[list[Ranking]]:
        """The survivors of a tournament, and of a larger one where the first leaves too much unexplained.

        The second one is about the hand as the first one's best pose divides it from the forearm, and other readings.
        """
        config, start = self.config, self._start
        if start is not None:
            config = dataclasses.replace(config, rounds=(config.coarse_round, *config.rounds))
        found = [(yield from self._tournament(config, 0))]
        if start is None and config.proposals and found[0].penalised_fraction[0] > config.retry:
            first = len(self.views)
            self._seen = self._other_pixels(found[0])
            labelled = labelled_readings([each for each, _, _ in self.views], self._seen)
            if any(each.evidence is not None for each in self._seen):
                self.views[:] = without_others(self.views, self._seen)
                self.targets = self.targets.seen_as(self.views)
            if self._seen:
                found[0] = self._ranked(found[0].history)
            yield self._further(found[0], labelled)
            found.append((yield from self._tournament(self._larger, first)))
        return found

    def _tournament(self, config: Config, first: int) -> Search[Ranking]:
        """The survivors of a tournament of the views from the given one on."""
        with one_cpu_thread():
            pose, expected = self._starts(config, first)
        self._timer.record("starts")
        tournament = Tournament(self.hand, self.targets, config, self._progress, int(first > 0), self._side)
        history = yield from tournament.search(pose, expected)
        found = self._ranked(history)
        self._timer.record("tournament")
        return found

    def _ranked(self, history: SearchHistory) -> Ranking:
        observations, palms = [each for each, _, _ in self.views], [each.reading for each in self._seen]
        return ranked(history, self.hand, self.targets, observations, self._side, self._voted, palms)

    def _other_pixels(self, ranking: Ranking) -> list[OtherPixels]:
        """What is not the hand's around the palm of the best pose, and around those of all readings."""
        pose = ranking.history.pose.select(to_device([ranking.rows[0]], self.hand.device, np.int64))
        observation, palm = self._seen_palm(pose)
        if observation.limb is None:
            return []
        palms = [palm]
        of_limb, of_hand = float(ranking.penalised_fraction[0]), float(ranking.unexplained_fraction[0])
        poor = of_limb > SEARCH_ELSEWHERE[0] and of_hand > SEARCH_ELSEWHERE[1]
        elsewhere = observation.palms_mm if poor else ()
        for other in (*(each.center_mm for each, _, _ in self.views), *elsewhere):
            if not any(np.linalg.norm(other - each) < SAME_PLACE_MM for each in palms):
                palms.append(other)
        anywhere = of_hand > SEARCH_ELSEWHERE[1] and len(observation.palms_mm) > 0  # no centre was given
        frame, model = observation.limb.frame, self._settings.proposals
        return read_twice(frame, np.stack(palms), self._tried, model, anywhere=anywhere)

    def _seen_palm(self, pose: Pose) -> tuple[Observation, Floats]:
        """What one pose is fitted to, and the middle (3,) mm of its palm there."""
        observation, _, mirrored = self.views[int(to_numpy(pose.image)[0])]
        joints = to_numpy(self.hand.joints(self.hand.transforms(pose), self.hand.keypoints_of(pose)))[0]
        return observation, palm_of(joints.astype(np.float64)) * (MIRROR if mirrored else 1)

    def _further(self, ranking: Ranking, labelled: list[Observation]) -> Extension:
        """Views of the hand, divided from its forearm by the best pose, and other readings of the image.

        Of each side that may be the right one. labelled: further readings
        """
        pose, targets = ranking.history.pose, self.targets
        rows: dict[bool, int] = {}
        for row, fraction in zip(ranking.rows, ranking.penalised_fraction, strict=True):
            mirrored = targets.mirrored[int(to_numpy(pose.image)[row])]
            if fraction <= ranking.penalised_fraction[0] + SIDE_MARGIN:
                rows.setdefault(mirrored, int(row))
        views = [self._divided_view(pose.select(to_device([row], self.hand.device, np.int64))) for row in rows.values()]
        views += without_others(self._others(self._tried), self._seen) + views_of(labelled, self._tried, self.config)
        rng = np.random.default_rng(self._settings.seed)
        first, count = len(self.views), self._larger.proposals
        self._further_starts = self._starts_of(looked_at(views, count, self._settings.proposals), first)
        # With votes for some views alone their costs would not compare
        known = any(observation.labels is not None for observation, _, _ in views)
        voted = {number - first: each for number, each in self._voted.items() if known and number >= first}
        added = build_targets(views, self.rig.vertex_spacing_mm, self.config, rng, self.hand.device, voted=voted)
        self.views.extend(views)
        self.targets = FitTargets.joined([targets, added])
        self._timer.record("observe")
        return Extension(added)

    def _alternatives(self, ranking: Ranking, row: int | None) -> tuple[Alternative, ...]:
        """All survivors of a search but the given one, best first."""
        pose, hand = ranking.history.pose, self.hand
        joints = to_numpy(hand.joints(hand.transforms(pose), hand.keypoints_of(pose))).astype(np.float64)
        images = to_numpy(pose.image)
        found = []
        for other, fraction, limb in zip(
            ranking.rows, ranking.unexplained_fraction, ranking.penalised_fraction, strict=True
        ):
            if other != row:
                observation, _, mirrored = self.views[images[other]]
                side, flip = ("left", MIRROR) if mirrored else ("right", np.ones(3))
                here = joints[other] * flip * observation.size
                found.append(Alternative(side, float(fraction), here, float(limb)))
        return tuple(found)

    def _divided_view(self, pose: Pose) -> CroppedObservation:
        """The view of one pose, whose hand and forearm are those that the pose sees."""
        observation, crop, mirrored = self.views[int(to_numpy(pose.image)[0])]
        hand, limb = self.hand, self.targets.limbs[int(to_numpy(pose.image)[0])]
        if limb is None:
            return observation, crop, mirrored
        transforms = hand.transforms(pose)
        joints = to_numpy(hand.joints(transforms, hand.keypoints_of(pose)))[0].astype(np.float64)
        covered = seen_in_limb(hand.vertices(transforms, hand.rest_of(pose)), hand.faces, limb)[0] > 0
        if mirrored:
            joints, covered = joints * MIRROR, flipped(covered)
        divided = observation.divided(joints, covered)
        if len(divided.points_mm) == 0:
            return observation, crop, mirrored
        scale = float(to_numpy(pose.scale)[0])
        if abs(np.log(scale)) > OTHER_SIZE:
            divided = divided.rescaled(1 / scale)
        return cropped(divided, mirrored, self.config)

    def _starts_of(self, proposed: dict[int, Proposed], first: int) -> Pose:
        """Proposals for views, whose joints are remembered. first: number of the first view"""
        self._voted |= {first + number: each.voted for number, each in proposed.items()}
        images = [first + number for number in proposed]
        return starts_of(self.hand, self.rig, [each.proposals for each in proposed.values()], images)

    def _starts(self, config: Config, first: int) -> tuple[Pose, Array]:
        """Where the tournament begins, within the limits, and the angles (B, 15, 3) that the pose prior expects.

        first: number of the first view that takes part
        """
        hand = self.hand
        if self._start is not None:
            pose = around(given_start(hand, self.targets, self._start), hand)
            expected = pose.angles
        elif config.proposals:
            pose = self._further_starts or self._starts_of(self._proposed, first)
            expected = to_device(proposal_mean_angles(pose), hand.device, hand.rest.dtype)
        else:
            pose = fixed_starts(hand, self.targets)
            expected = self._objective.prior.relaxed(len(pose))
        if self._start is None and self._shape == "none":
            pose.scale[:] = 1
        pose.angles = pose.angles.clip(hand.lower, hand.upper)
        return pose, expected


def _sides(views: list[CroppedObservation]) -> set[bool]:
    """Which sides views are of: whether they are mirrored."""
    return {mirrored for _, _, mirrored in views}
