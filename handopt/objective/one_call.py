"""The sum of squares, its normal equations and its minimisation from one call of an op, on any device."""

from handopt.backend import schedule
from handopt.config import Config, LMSettings
from handopt.hand_model import Hand, Pose
from handopt.objective.point_models import PointModels
from handopt.objective.targets import FitTargets
from handopt.objective.terms import SCALES
from handopt.ops.minimise_poses import (
    PosedHand,
    PoseMinimum,
    PosePriors,
    PoseTargets,
    Steps,
    TermWeights,
    minimise_poses,
)
from handopt.ops.minimise_poses_grid import minimise_poses_grid


class OneCall:
    """Evaluates and minimises poses of a hand. On a CPU terms but the priors are those of the ops to the bit."""

    def __init__(self) -> None:
        self._points = PointModels()
        self._hands: dict[int, tuple[Hand, PosedHand]] = {}
        self._targets: dict[tuple[int, int], tuple[Hand, FitTargets, PoseTargets]] = {}

    @staticmethod
    def suits(hand: Hand) -> bool:
        """Whether there is an op for a hand: unless its rest mesh changes with the pose."""
        return not hand.has_correctives

    def minimise(
        self,
        hand: Hand,
        targets: FitTargets,
        config: Config,
        pose: Pose,
        lm_settings: LMSettings,
        priors: PosePriors,
        steps: Steps,
        *,
        derivatives: bool,
        every: bool,
    ) -> PoseMinimum:
        """Minimise the terms of poses, or evaluate them, as minimise_poses does."""
        given = (hand, targets, lm_settings.points, pose.proportions.shape[1])
        poses = (pose.angles, pose.rotation, pose.translation, pose.scale, pose.proportions, pose.image)
        weights = _term_weights(config, lm_settings)
        if schedule(hand.rest) == "grid":
            points = self._points.model(*given)
            return minimise_poses_grid(points, *poses, weights, priors, steps, derivatives=derivatives, every=every)
        return minimise_poses(
            self._pose_targets(*given),
            *(*poses, hand.bind, hand.rest, hand.keypoints, weights, priors, steps),
            derivatives=derivatives,
            every=every,
        )

    def _pose_targets(self, hand: Hand, targets: FitTargets, points: int, shapes: int) -> PoseTargets:
        """The arrays of a hand and of targets, checked when they are first met."""
        known = self._targets.get((points, shapes))
        if known is not None and known[0] is hand and known[1] is targets:
            return known[2]
        found = PoseTargets(
            self._posed_hand(hand, shapes),
            targets.points[:, :points].copy(),
            *(targets.coefficients, targets.field, targets.nearest_depth, targets.mm_per_px, targets.votes),
        )
        self._targets[points, shapes] = hand, targets, found
        return found

    def _posed_hand(self, hand: Hand, shapes: int) -> PosedHand:
        known = self._hands.get(shapes)
        if known is not None and hand.moves_like(known[0]):
            return known[1]
        posed = PosedHand(
            *(hand.parents, hand.articulated, hand.normals, hand.indices, hand.weights, hand.keypoint_joints),
            *(hand.ones, hand.bones, hand.lower, hand.upper, hand.joint_basis[:shapes], hand.vertex_basis[:shapes]),
            hand.joint_basis[:shapes, hand.keypoint_joints[:, 0]].copy(),
            *(hand.ancestry, hand.columns),
        )
        self._hands[shapes] = hand, posed
        return posed


def _term_weights(config: Config, lm_settings: LMSettings) -> TermWeights:
    weights, unit_mm2 = config.weights, SCALES.length_unit_mm**2
    return TermWeights(
        points=weights.points / lm_settings.sigma_mm**2,
        sigma=lm_settings.sigma_mm,
        plane=lm_settings.plane,
        silhouette=weights.silhouette / unit_mm2,
        free_space=lm_settings.free_space_mm,
        front=weights.front,
        margin=config.front_margin_mm,
        collision=weights.collision / unit_mm2,
        radius=config.collision_radius_mm,
        limits=weights.limits,
        votes=weights.votes,
    )
