"""An objective for gradient descent with every term at work, and poses to evaluate it at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handopt.config import Config, Weights
from handopt.hand_model import Pose
from handopt.objective.descent_objective import CoarseToFineLevel, DescentObjective
from handopt.observation.observation import Observation
from handopt.ops.closest_points import closest_points
from handopt.ops.projection import project
from handopt.ops.splat import render_depth
from handopt.rig import default_rig
from support.observation_factory import make_objective, mirrored, near_poses
from support.problems_hand import collision_branches

Floats = NDArray[np.float64]


WEIGHTS = Weights(
    depth=3.0, silhouette=2.0, points=1.5, collision=0.7, limits=0.9, prior=0.01, size=0.02, shape=0.8
)  # fmt: skip


CONFIG = Config(
    weights=WEIGHTS, crop_px=48, points=60, crop_half_mm=120.0, plane=0.6, collision_radius_mm=14.0, huber=0.02,
    free_weight=0.3,
)  # fmt: skip


RADIUS_PX, SIGMA_MM = 3.5, 20.0


GROUPS = ("angles", "rotation", "translation", "scale", "rest")


@dataclass(frozen=True)
class Case:
    """An objective over a right hand and a mirrored left one, four poses (one crumpled), and moved rest vertices."""

    objective: DescentObjective
    level: CoarseToFineLevel
    pose: Pose
    rest: Floats

    def branches(self, pose: Pose, rest: Floats, with_bones: bool) -> NDArray[np.int64]:
        """Which side of every kink the poses are on; with_bones: those of the collision term as well."""
        hand, targets = self.objective.hand, self.objective.targets
        transforms = hand.transforms(pose)
        vertices = hand.vertices(transforms, rest)
        projected = project(vertices, targets.coefficients[pose.image])
        winners = render_depth(projected, self.level.radius_px, targets.size)[1]
        normals = hand.vertex_normals(transforms)
        nearest = closest_points(targets.points, pose.image, vertices, normals, self.level.sigma_mm)[1]
        cells = np.floor(projected[..., :2]).clip(-1, targets.size - 1)
        parts = [winners, nearest, cells]
        if with_bones:
            parts.append(self.overlaps(pose))
        return np.concatenate([np.ravel(part).astype(np.int64) for part in parts])

    def overlaps(self, pose: Pose) -> NDArray[np.int32]:
        """Which joints are inside of which bones, and what limits them."""
        joints = self.objective.hand.joints(self.objective.hand.transforms(pose))
        return collision_branches(joints, self.objective.hand.bones, self.objective.config.collision_radius_mm)

    def totals(self, pose: Pose, rest: Floats) -> Floats:
        """(B,) the objective of each hypothesis."""
        return np.sum(list(self.objective.terms(pose, self.level, rest).values()), axis=0)


def make_case(config: Config, observations: list[Observation], dtype: type = np.float64) -> Case:
    objective = make_objective(config, [(observations[0], False), (mirrored(observations[1]), True)], dtype=dtype)
    pose = near_poses((0.4, 1.0, 0.6, 2.6), (0, 1, 1, 0), dtype=dtype)
    smooth = 0.8 * np.sin(default_rig("right").rest_mm / 17)
    return Case(objective, objective.level(RADIUS_PX, SIGMA_MM), pose, objective.hand.rest + smooth.astype(dtype))
