"""The objective of gradient descent: weighted terms that compare poses with the targets, and their gradient."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.backend import Array, namespace, to_numpy
from handopt.config import Config
from handopt.errors import NumericalError
from handopt.hand_model import Hand, Pose
from handopt.objective.pose_prior import PosePrior
from handopt.objective.targets import FitTargets
from handopt.objective.terms import GRADIENT_TERMS, SCALES
from handopt.ops.closest_points import closest_points, closest_points_backward
from handopt.ops.collision import collision, collision_backward
from handopt.ops.image_losses import depth_loss, silhouette_loss, silhouette_loss_backward
from handopt.ops.joint_limits import joint_limits, joint_limits_backward
from handopt.ops.projection import project, project_backward
from handopt.ops.splat import render_depth
from handopt.ops.splat_loss import splat_loss

MAX_POINTS = 1000  # observed points that are compared at a time; chosen by hand, for speed


@dataclass
class Gradient:
    """Gradient of each hypothesis' total: angles (B, 15, 3), rotation (B, 3) tangent, translation (B, 3), scale (B,).

    rest: (V, 3), summed over the batch (paper, Eq. 8); None unless it was asked for.
    """

    angles: Array
    rotation: Array
    translation: Array
    scale: Array
    rest: Array | None = None


@dataclass(frozen=True)
class CoarseToFineLevel:
    """How closely the objective looks: splat radius, its target, and where a point becomes an outlier."""

    radius_px: float
    sigma_mm: float
    target: Array
    depth: float = 1.0  # factor of the depth term


def total_of(terms: dict[str, Array]) -> NDArray[np.float64]:
    """Sum of the weighted terms of each hypothesis, on the host, infinite where it is not a number.

    Raises NumericalError if it is finite for no hypothesis.
    """
    total = np.sum([to_numpy(term).astype(np.float64) for term in terms.values()], axis=0)
    if not np.isfinite(total).any():
        raise NumericalError("the objective is not finite for any pose; check depth_mm=, camera= and the weights")
    return np.where(np.isfinite(total), total, np.inf)


class DescentObjective:
    """Terms of B poses against I observed hands."""

    def __init__(self, hand: Hand, targets: FitTargets, config: Config, laplacian: Any = None) -> None:
        """laplacian: (V, V) sparse, only needed where rest vertices are freed."""
        self.hand, self.targets, self.config = hand, targets, config
        self.prior = PosePrior(hand.device, hand.rest.dtype)
        self._laplacian = laplacian
        self._namespace = namespace(hand.device)
        self._points = self._namespace.ascontiguousarray(targets.points[:, :MAX_POINTS])

    def level(self, radius_px: float, sigma_mm: float, depth: float = 1.0) -> CoarseToFineLevel:
        """Prepare the observed side for a splat radius."""
        return CoarseToFineLevel(radius_px, sigma_mm, self.targets.target(radius_px), depth)

    def terms(self, pose: Pose, level: CoarseToFineLevel, rest: Array | None = None) -> dict[str, Array]:
        """Weighted terms, (B,) each, by name."""
        return self._evaluate(pose, level, rest, backward=False)[0]

    def terms_and_gradient(
        self, pose: Pose, level: CoarseToFineLevel, rest: Array | None = None
    ) -> tuple[dict[str, Array], Gradient]:
        """Weighted terms, (B,) each, and the gradient of their sum; by rest as well if it is given."""
        terms, gradient = self._evaluate(pose, level, rest, backward=True)
        assert gradient is not None
        return terms, gradient

    def _evaluate(
        self, pose: Pose, level: CoarseToFineLevel, rest: Array | None, backward: bool
    ) -> tuple[dict[str, Array], Gradient | None]:
        hand, weights = self.hand, self.config.weights
        transforms = hand.transforms(pose)
        shape, keypoints = hand.rest_of(pose) if rest is None else rest, hand.keypoints_of(pose)
        vertices = hand.vertices(transforms, shape)
        joints = hand.joints(transforms, keypoints)
        upstream = {name: self._upstream(len(pose), getattr(weights, name)) for name in ("collision", "limits")}
        terms: dict[str, Array] = {}
        grad_vertices = self._image_terms(pose, level, vertices, terms, backward)
        grad_points = self._points_term(pose, level, transforms, vertices, terms, backward)

        radius = self.config.collision_radius_mm
        collision_scale = 1 / SCALES.length_unit_mm**2
        overlap = upstream["collision"] * collision_scale * collision(joints, hand.bones, radius)
        # The image terms ignore non-finite points; a pose with such points must not look like one that fits.
        finite = self._namespace.isfinite(joints).all(axis=(1, 2))
        terms["collision"] = self._namespace.where(finite, overlap, self._upstream(len(pose), np.nan))
        terms["limits"] = upstream["limits"] * joint_limits(pose.angles, hand.lower, hand.upper)
        prior, grad_prior = self.prior(pose.angles)
        terms["prior"] = weights.prior * prior
        log_scale = self._namespace.log(pose.scale)
        terms["size"] = weights.size * (log_scale / SCALES.size_sigma) ** 2
        terms["shape"], grad_shape = self._shape_term(rest, pose)
        terms = {name: terms[name] for name in GRADIENT_TERMS}
        if not backward:
            return terms, None

        grad_vertices += grad_points
        grad_transforms, grad_rest = hand.vertices_backward(
            grad_vertices, transforms, shape, rest_gradient=rest is not None
        )
        grad_joints = collision_backward(upstream["collision"] * collision_scale, joints, hand.bones, radius)
        grad_transforms += hand.joints_backward(grad_joints, transforms, keypoints)
        gradient = Gradient(*hand.transforms_backward(grad_transforms, pose))
        if hand.has_correctives and rest is None:
            gradient.angles += hand.correctives_backward(grad_vertices, grad_joints, transforms, shape, keypoints, pose)
        gradient.angles += joint_limits_backward(upstream["limits"], pose.angles, hand.lower, hand.upper)
        gradient.angles += weights.prior * grad_prior
        gradient.angles *= hand.free
        gradient.scale += weights.size * 2 * log_scale / (SCALES.size_sigma**2 * pose.scale)
        if rest is not None:
            gradient.rest = grad_rest + grad_shape
        return terms, gradient

    def _image_terms(
        self, pose: Pose, level: CoarseToFineLevel, vertices: Array, terms: dict[str, Array], backward: bool
    ) -> Any:
        """Depth and silhouette: through the projection into the crop."""
        targets, config = self.targets, self.config
        depth = self._upstream(len(pose), config.weights.depth * level.depth)
        silhouette = self._upstream(len(pose), config.weights.silhouette / SCALES.length_unit_mm**2)
        coefficients = targets.coefficients[pose.image]
        projected = project(vertices, coefficients)
        outside = (projected, targets.field, pose.image, targets.mm_per_px)
        terms["silhouette"] = silhouette * silhouette_loss(*outside)
        if not backward:
            image, _ = render_depth(projected, level.radius_px, targets.size)
            terms["depth"] = depth * depth_loss(image, level.target, pose.image, config.huber, targets.weight)
            return None
        loss, grad_projected = splat_loss(
            depth, projected, level.target, pose.image, level.radius_px, config.huber, targets.weight
        )
        terms["depth"] = depth * loss
        grad_projected += silhouette_loss_backward(silhouette, *outside)
        return project_backward(grad_projected, vertices, coefficients)

    def _points_term(
        self,
        pose: Pose,
        level: CoarseToFineLevel,
        transforms: Array,
        vertices: Array,
        terms: dict[str, Array],
        backward: bool,
    ) -> Any:
        sigma, plane = level.sigma_mm, self.config.plane
        upstream = self._upstream(len(pose), self.config.weights.points / sigma**2)
        normals = self.hand.vertex_normals(transforms)
        match = (self._points, pose.image, vertices, normals)
        loss, nearest = closest_points(*match, sigma, plane)
        terms["points"] = upstream * loss
        return closest_points_backward(upstream, *match, nearest, sigma, plane) if backward else None

    def _shape_term(self, rest: Array | None, pose: Pose) -> tuple[Array, Any]:
        """Mean squared Laplacian of the vertex offsets: smooth bumps are cheap, spikes are not."""
        count = len(pose)
        zero = self._upstream(count, 0.0)
        if rest is None:
            return zero, 0
        weight = self.config.weights.shape / len(rest)
        unmoved = self.hand.rest_of(pose)
        bending = self._laplacian @ (rest - (unmoved[0] if unmoved.ndim == 3 else unmoved))
        return zero + weight * (bending**2).sum(), 2 * count * weight * (self._laplacian.T @ bending)

    def _upstream(self, count: int, weight: float) -> Array:
        return self._namespace.full(count, weight, self.hand.rest.dtype)
