"""The tracked hand: its least squares at each resolution, in its estimated proportions."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.backend import Array, Device, to_device, to_numpy
from handopt.config import Config, LMSettings
from handopt.hand_model import MAX_SCALE, MIN_SCALE, Hand, Pose
from handopt.objective.least_squares import System
from handopt.observation.crop import Crop
from handopt.ops.normal_equations import RIGID
from handopt.ops.rasterise import rasterise
from handopt.optimise.pose_fit import fit_poses
from handopt.rig import Rig
from handopt.tracking.frame_residuals import FrameResiduals, ShapeEstimate, Temporal, without_sizes
from handopt.tracking.pose_estimate import Placed
from handopt.tracking.roi import RoiObservation
from handopt.typing import FloatImage, Floats


@dataclass(frozen=True)
class ShapedHand:
    """Arrays of a hand in given proportions: rest (V, 3) mm, bind (J, 3, 4), keypoints (21, 3) mm."""

    rest: Array
    bind: Array
    keypoints: Array


class TrackingModel:
    """A right hand on a device, and how poses are fitted to what a frame shows."""

    def __init__(self, rig: Rig, config: Config, place: Device, vertices: set[int]) -> None:
        """vertices: the numbers of vertices that LMSettings ask for; 0 are all."""
        self.rig, self.place = rig, place
        self.hand = Hand.of(rig, place)
        self.free = np.flatnonzero(np.asarray(rig.limits.free).ravel())
        self._problems = {}
        row_of = {
            vertex: row for row, vertex in reversed(list(enumerate(map(tuple, to_numpy(self.hand.rest).tolist()))))
        }
        for count in vertices:
            hand = self.hand.coarse(count) if count else self.hand
            rows = np.array([row_of[tuple(vertex)] for vertex in to_numpy(hand.rest).tolist()])
            self._problems[count] = FrameResiduals(hand, without_sizes(config)), hand, rows

    def problem(
        self, roi: RoiObservation, lm_settings: LMSettings, shaped: ShapedHand, temporal: Temporal | None
    ) -> FrameResiduals:
        """The least squares of a frame, the hand in its estimated proportions."""
        problem, thin, rows = self._problems[lm_settings.vertices]
        hand = replace(thin, rest=shaped.rest[self.rows(rows)], bind=shaped.bind, keypoints=shaped.keypoints)
        return problem.at(hand, roi.targets, None, temporal)

    def descend(
        self, roi: RoiObservation, shaped: ShapedHand, pose: Pose, lm_settings: LMSettings, temporal: Temporal | None
    ) -> tuple[Pose, System]:
        """Fit poses to a frame. The system tells their costs alone."""
        problem = self.problem(roi, lm_settings, shaped, temporal)
        found = fit_poses(problem, pose, lm_settings, linearised=False)
        return found.state, found.model

    def finish(
        self, roi: RoiObservation, pose: Pose, shape: ShapeEstimate, lm_settings: LMSettings, temporal: Temporal | None
    ) -> tuple[Pose, System]:
        """Fit a pose with the hand's shape."""
        problem, thin, _ = self._problems[lm_settings.vertices]
        problem = problem.at(thin, roi.targets, shape, temporal)
        pose = replace(pose, proportions=self.array(shape.proportions[None]), scale=self.array([shape.scale]))
        found = fit_poses(problem, pose, lm_settings)
        return found.state, found.model

    def shaped(self, shape: ShapeEstimate) -> ShapedHand:
        """The hand in the proportions of a shape."""
        pose = self.poses([Placed(np.eye(3), np.zeros(3), np.zeros((15, 3)))], shape)
        pose = replace(pose, proportions=self.array(shape.proportions[None]))
        hand = self.hand
        rest, keypoints = hand.shaped_rest_of(pose), hand.shaped_keypoints_of(pose)
        return ShapedHand(rest[0].copy(), hand.bind_of(pose)[0].copy(), keypoints[0].copy())

    def poses(self, placed: list[Placed], shape: ShapeEstimate) -> Pose:
        """Poses of the hand in a shape's scale, within the limits."""
        return Pose(
            angles=self.array([self.within(each.angles_rad) for each in placed]),
            rotation=self.array([each.rotation for each in placed]),
            translation=self.array([each.translation_mm for each in placed]),
            scale=self.array([min(max(shape.scale, MIN_SCALE), MAX_SCALE)] * len(placed)),
            image=to_device(np.zeros(len(placed)), self.place, np.int32),
            proportions=self.array(np.zeros((len(placed), 0))),
        )

    def redrawn(self, pose: Pose, angles: Floats) -> Pose:
        """The first of some poses, with other angles (N, 15, 3)."""
        drawn = pose.select(self.rows(np.zeros(len(angles))))
        drawn.angles = self.array(angles)
        return drawn

    def meshes(self, pose: Pose, shape: ShapeEstimate) -> tuple[FloatImage, Floats]:
        """Vertices (N, V, 3) and keypoints (N, 21, 3) of poses in a shape's proportions."""
        shaped = replace(pose, proportions=self.array(np.repeat(shape.proportions[None], len(pose), axis=0)))
        transforms = self.hand.transforms(shaped)
        joints = to_numpy(self.hand.joints(transforms, self.hand.keypoints_of(shaped)))
        return np.asarray(to_numpy(self.hand.vertices(transforms, self.hand.rest_of(shaped)))), joints.astype(
            np.float64
        )

    def vertices(self, placed: Placed, shape: ShapeEstimate) -> FloatImage:
        """Vertices (V, 3) of a hand."""
        return np.asarray(self.meshes(self.poses([placed], shape), shape)[0][0])

    def depth(self, vertices: NDArray[Any], crop: Crop) -> FloatImage:
        """The z-buffer (S, S) of vertices (V, 3) on a crop's grid."""
        ax, bx, ay, by = crop.coefficients[:4]
        points = np.ascontiguousarray(vertices[None], np.float32)
        return np.asarray(rasterise(points, self.rig.faces, (ax, ay, bx, by, crop.size, crop.size))[0])

    def covariance(self, hessian: Floats) -> Floats:
        """Covariance of rotation, translation and free angles (6 + A, 6 + A) at given scale and proportions."""
        rows = np.r_[0:6, RIGID : RIGID + len(self.free)]
        own = hessian[np.ix_(rows, rows)]
        return np.asarray(np.linalg.inv(own + 1e-6 * np.diag(np.diag(own)) + 1e-9 * np.eye(len(own))))

    def within(self, angles: Floats) -> Floats:
        """Angles (15, 3) within the limits."""
        return np.clip(angles, self.rig.limits.lower, self.rig.limits.upper)

    def rows(self, rows: Any) -> Array:
        """Row numbers on the device."""
        return to_device(rows, self.place, np.int64)

    def array(self, values: Any) -> Any:
        """Numbers on the device."""
        return to_device(values, self.place, np.float32)
