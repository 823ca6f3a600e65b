"""Fitting one frame of a sequence: cut the hand out, propose poses, choose one, and measure it."""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from handopt.assess.config import ASSESS
from handopt.assess.visibility import visible_joints
from handopt.backend import Device, to_numpy
from handopt.config import Config
from handopt.hand_model import Pose
from handopt.input.camera import Camera
from handopt.objective.descent_objective import MAX_POINTS
from handopt.objective.least_squares import System
from handopt.objective.unexplained import fraction_of_depths, unexplained_fraction
from handopt.ops.normal_equations import RIGID
from handopt.rig import Rig
from handopt.rig.joints import KNUCKLES
from handopt.tracking.config import TrackingConfig
from handopt.tracking.finger_proposals import FingerProposer, unexplained_patches
from handopt.tracking.frame_residuals import ShapeEstimate, Temporal, learn
from handopt.tracking.pose_estimate import Placed, PoseEstimate
from handopt.tracking.roi import CutOut, RoiObservation, Wrist, crop_around, cut_out, observe_roi
from handopt.tracking.tracking_model import TrackingModel
from handopt.typing import FloatImage, Floats

PALM_LENGTH: Final = "palm_length"
NO_PATCHES = np.zeros((0, 3))


@dataclass(frozen=True)
class FrameFit:
    """A fitted frame, and what the next frame looks at beside it.

    competitors: other poses of the frame. patches: (N, 3) mm in the wrist's frame, see `unexplained_patches`.
    """

    estimate: PoseEstimate
    competitors: tuple[Placed, ...] = ()
    patches: Floats = field(default_factory=lambda: NO_PATCHES)


class FrameFitter:
    """Fits a right hand to single frames. It holds what is the same for all frames, and remembers none."""

    def __init__(self, rig: Rig, camera: Camera, config: Config, tracking: TrackingConfig, place: Device) -> None:
        """rig: a right hand; camera: of all frames."""
        self.camera, self._rig, self._config, self._place = camera, rig, config, place
        self._settings, self._roi = tracking.tracker, tracking.roi
        levels = (self._settings.expect, self._settings.reach, self._settings.settle, self._settings.finish)
        self.model = TrackingModel(rig, config, place, {each.vertices for each in levels})
        self._patches = tracking.finger_proposals
        self._fingers = FingerProposer(self.model, tracking.finger_proposals)
        self.prior = ShapeEstimate.unknown(config, len(rig.shape_names), self._settings.shape_prior)
        local = (rig.rest_mm - rig.bind[0, :, 3]) @ rig.bind[0, :, :3]
        self._skin_end_mm = float(local[:, 2].max())
        self._palm_length = rig.shape_names.index(PALM_LENGTH) if PALM_LENGTH in rig.shape_names else None
        self._palm_mm = float(np.linalg.norm(rig.keypoints_mm[list(KNUCKLES)].mean(axis=0) - rig.keypoints_mm[0]))

    def fit(
        self,
        depth_mm: FloatImage,
        starts: list[Placed],
        shape: ShapeEstimate,
        rng: np.random.Generator,
        *,
        last: FrameFit | None = None,
        temporal: Temporal | None = None,
        learns: bool = True,
    ) -> FrameFit | None:
        """Fit a frame (H, W), mm, from some starts, the first of which says where the hand is expected.

        last: fit whose unexplained patches fingers reach for, and whose competitors stay where there is one start.
        temporal: what is expected; None for a single start. learns: whether the shape is updated.
        None where too little is seen near the first start, or the fit is not finite.
        """
        roi = self.observe(depth_mm, starts[0], shape, rng)
        if roi is None:
            return None
        model, settings = self.model, self._settings
        shaped, pose = model.shaped(shape), model.poses(starts, shape)
        if temporal is not None:
            patches = NO_PATCHES if last is None else last.patches
            drawn = self._fingers.finger_proposals(roi, settings.expect, shaped, pose, temporal, patches)
            pose = pose.joined(drawn)
        pose, system = model.descend(roi, shaped, pose, settings.reach, temporal)
        best = np.argsort(to_numpy(system.cost), kind="stable")[: settings.top_k]
        pose, system = model.descend(roi, shaped, pose.select(model.rows(best)), settings.settle, temporal)
        competitors = () if last is None else last.competitors
        row, margin = 0, ASSESS.max_margin
        if not np.isfinite(to_numpy(system.cost)).any():
            return None
        if len(pose) > 1:
            row, margin, competitors = self._choose(roi, pose, system, shape, None if temporal is None else starts[0])
        pose, system = model.finish(roi, pose.select(model.rows([row])), shape, settings.finish, temporal)
        if not np.isfinite(to_numpy(system.cost)).all():
            return None
        estimate, patches = self._measure(roi, pose, system, shape, learns=learns)
        return FrameFit(replace(estimate, runner_up_margin=margin), competitors, patches)

    def observe(
        self, depth_mm: FloatImage, expected: Placed, shape: ShapeEstimate, rng: np.random.Generator
    ) -> RoiObservation | None:
        """What is near an expected hand, to be fitted to; None where too little is seen there."""
        cut = self.cut_out(depth_mm, expected, shape)
        return None if cut is None else observe_roi(cut, min(self._config.points, MAX_POINTS), rng, self._place)

    def cut_out(
        self, depth_mm: FloatImage, expected: Placed, shape: ShapeEstimate, vertices: FloatImage | None = None
    ) -> CutOut | None:
        """Cut out what is near an expected hand; None where too little is seen there.

        vertices: (V, 3) mm of the expected hand, where they are known already
        """
        vertices = self.model.vertices(expected, shape) if vertices is None else vertices
        if not vertices[:, 2].min() > 0:
            return None
        crop = crop_around(vertices, self.camera, self._roi)
        end_mm = shape.scale * self._skin_end_mm - self._settings.skin_margin_mm
        if self._palm_length is not None:
            # Where a palm of usual length would end: else a palm that is too long keeps what of the arm made it so
            longer = max(0.0, float(shape.proportions[self._palm_length]))
            end_mm = max(0.0, end_mm - shape.scale * self._palm_mm * longer)
        wrist = Wrist(expected.translation_mm, expected.rotation @ self._rig.bind[0][:, 2], end_mm)
        return cut_out(depth_mm, crop, self.model.depth(vertices, crop), wrist, self._roi)

    def prefers(
        self,
        depth_mm: FloatImage,
        one: PoseEstimate,
        other: PoseEstimate,
        shape: ShapeEstimate,
        rng: np.random.Generator,
    ) -> bool:
        """Whether one pose explains a frame better than another, in what each of the two takes for the hand."""
        meshes = np.stack([self.model.vertices(each.placed, each.shape) for each in (one, other)])
        left = np.zeros(2)
        for each in (one, other):
            roi = self.observe(depth_mm, each.placed, shape, rng)
            if roi is not None:
                left += unexplained_fraction(meshes, self._rig.faces, roi.crop, roi.grid)
        return bool(left[0] < left[1])

    def _choose(
        self, roi: RoiObservation, pose: Pose, system: System, shape: ShapeEstimate, predicted: Placed | None
    ) -> tuple[int, float, tuple[Placed, ...]]:
        """The row of the pose that explains a frame best, its margin over the runner-up, and its competitors.

        predicted: a pose with a finger elsewhere must explain the frame better by a margin.
        """
        settings = self._settings
        costs = to_numpy(system.cost).astype(np.float64)
        costs = np.where(np.isfinite(costs), costs, np.inf)
        vertices, joints = self.model.meshes(pose, shape)
        left = np.maximum(unexplained_fraction(vertices, self._rig.faces, roi.crop, roi.grid), 1e-3)
        angles, rotation, translation = (
            to_numpy(each).astype(np.float64) for each in (pose.angles, pose.rotation, pose.translation)
        )
        score = left / left.min() + settings.cost_weight * costs / costs.min()
        if predicted is not None:
            turned = np.abs(angles - predicted.angles_rad).max(axis=(1, 2))
            score += settings.mutation_margin * (turned > settings.distinct_rad)
        order = np.argsort(score, kind="stable")
        kept, margin = [int(order[0])], ASSESS.max_margin
        for row in order[1:].tolist():
            if np.linalg.norm(joints[row] - joints[kept[0]], axis=1).max() > ASSESS.distinct_mm:
                margin = min(margin, float(np.log(left[row] / left[kept[0]])))
            if min(np.abs(angles[row] - angles[each]).max() for each in kept) > settings.distinct_rad:
                kept.append(row)
        others = kept[1 : 1 + settings.competitors]
        competitors = tuple(Placed(rotation[row], translation[row], angles[row]) for row in others)
        return kept[0], max(margin, -ASSESS.max_margin), competitors

    def _measure(
        self, roi: RoiObservation, pose: Pose, system: System, shape: ShapeEstimate, *, learns: bool
    ) -> tuple[PoseEstimate, Floats]:
        """Measure a fitted pose, and update the hand's shape where the fit is good; and what it does not explain."""
        scale, proportions = float(to_numpy(pose.scale)[0]), to_numpy(pose.proportions)[0].astype(np.float64)
        solution = np.concatenate([[np.log(scale)], proportions])
        vertices, every = self.model.meshes(pose, ShapeEstimate(solution, shape.precision))
        joints = every[0]
        surface = self.model.depth(vertices[0], roi.crop)
        fraction = float(fraction_of_depths(surface[None], roi.grid)[0])
        visible = visible_joints(joints, surface, roi.crop.as_camera(), scale)
        placed = Placed(
            *(to_numpy(each)[0].astype(np.float64) for each in (pose.rotation, pose.translation, pose.angles))
        )
        patches = unexplained_patches(surface, roi.grid, roi.crop, placed, scale, self._patches)
        lower = np.tril(to_numpy(system.hessian)[0].astype(np.float64))
        hessian = lower + np.tril(lower, -1).T
        if learns:
            if fraction < self._settings.learns_below:
                count = RIGID + len(self.model.free)
                shape = learn(shape, hessian, solution, count, self._settings.shape_memory, self.prior)
            else:
                shape = ShapeEstimate(solution, shape.precision)
        covariance = self.model.covariance(hessian).astype(np.float32)
        return PoseEstimate(placed, shape, joints, visible, fraction, False, covariance), patches
