"""Levenberg-Marquardt: damped Gauss-Newton on closest points in both directions, for a batch of hypotheses."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handopt.backend import Array, namespace, namespace_of, to_device, to_numpy
from handopt.config import Config, LMSettings
from handopt.hand_model import Hand, Pose, exponential
from handopt.objective.energy import LENGTH_UNIT_MM, SIZE_SIGMA
from handopt.objective.pose_prior import PosePrior
from handopt.objective.targets import FitTargets
from handopt.ops.closest_points import closest_points, closest_points_normal_equations
from handopt.ops.collision import collision, collision_normal_equations
from handopt.ops.free_space import free_space_loss, free_space_normal_equations
from handopt.ops.joint_limits import joint_limits
from handopt.ops.normal_equations import RIGID, normal_equations, pose_axes, solve_damped
from handopt.optimise.solvers import MAX_SCALE, MIN_SCALE

PROPORTION_SIGMA = 0.05
MAX_TURN_RAD, MAX_SHIFT_MM, MAX_RELATIVE = 0.5, 30.0, 0.1
MAX_PROPORTION = 0.5
FIRST_DAMPING, LOWEST_DAMPING, HIGHEST_DAMPING = 1e-2, 1e-6, 1e3
ACCEPTED, REFUSED = 0.3, 5.0
TERMS = ("points", "silhouette", "collision", "limits", "prior", "size")

Floats = NDArray[np.float64]


@dataclass
class System:
    """A cost's terms (B,) and its Gauss-Newton normal equations.

    hessian: (B, P, P), only the lower triangle; gradient: (B, P), half the cost's derivative
    """

    terms: dict[str, Array]
    hessian: Array
    gradient: Array

    @property
    def cost(self) -> Array:
        """Sum of the weighted terms."""
        return sum(self.terms.values())

    def take(self, better: Array, other: "System") -> None:
        """Take over the rows of another system; only its terms where it has no derivatives."""
        xp = namespace_of(better)
        for name, term in self.terms.items():
            self.terms[name] = xp.where(better, other.terms[name], term)
        if not other.hessian.size:
            return
        self.hessian = xp.where(better[:, None, None], other.hessian, self.hessian)
        self.gradient = xp.where(better[:, None], other.gradient, self.gradient)


class LeastSquares:
    """Residuals of B poses against I observed hands, and how they move with each pose.

    Observed points to the model's surface (closest_points), the model to the observed silhouette and depth (outline),
    collisions, joint limits, a pose prior, and a prior of size and proportions.
    """

    def __init__(self, hand: Hand, targets: FitTargets, config: Config) -> None:
        """hand: all vertices that are compared, see Hand.coarse for fewer."""
        self.hand, self.targets, self.config = hand, targets, config
        self._xp = namespace(hand.device)
        self._prior = PosePrior(hand.device, hand.rest.dtype)
        free = to_numpy(hand.free).ravel() > 0
        self._angles = to_device(np.flatnonzero(free), hand.device, np.int64)
        self._curvature = to_device(self._prior.curvature[np.ix_(free, free)], hand.device, hand.rest.dtype)
        self._count = RIGID + int(free.sum())

    def cost(self, pose: Pose, lm_settings: LMSettings, expected: Array | None = None) -> Array:
        """The cost of poses (B,) without its derivatives."""
        return self.system(pose, lm_settings, expected, derivatives=False).cost

    def system(
        self, pose: Pose, lm_settings: LMSettings, expected: Array | None = None, *, derivatives: bool = True
    ) -> System:
        """Evaluate poses and linearise their residuals. expected: (B, 15, 3) rad, the pose prior's means."""
        return self._evaluate(pose, lm_settings, expected, derivatives=derivatives)

    def _evaluate(self, pose: Pose, lm_settings: LMSettings, expected: Array | None, *, derivatives: bool) -> System:
        hand, targets, weights, xp = self.hand, self.targets, self.config.weights, self._xp
        count, shapes = len(pose), pose.proportions.shape[1]
        rest, bind = hand.rest_of(pose), hand.bind_of(pose)
        transforms, keypoints = hand.transforms(pose, bind), hand.keypoints_of(pose, bind)
        posed, normals = hand.vertices(transforms, rest), hand.vertex_normals(transforms)
        joints = hand.joints(transforms, keypoints)
        points = self._full(count, weights.points / lm_settings.sigma_mm**2)
        silhouette = self._full(count, weights.silhouette / LENGTH_UNIT_MM**2)
        contact = self._full(count, weights.collision / LENGTH_UNIT_MM**2)

        observed = xp.ascontiguousarray(targets.points[:, : lm_settings.points])
        match = (observed, pose.image, posed, normals)
        view = (
            *(posed, pose.image, targets.coefficients, targets.field, targets.nearest_depth, targets.mm_per_px),
            *(lm_settings.free_space_mm, weights.front, self.config.front_margin_mm),
        )
        loss, nearest = closest_points(*match, lm_settings.sigma_mm, lm_settings.plane)
        overlap = contact * collision(joints, hand.bones, self.config.collision_radius_mm)
        # The ops ignore points that are no numbers; a pose that has left the numbers must not pass for one.
        finite = xp.isfinite(joints).all(axis=(1, 2))
        terms = {
            "points": points * loss,
            "silhouette": silhouette * free_space_loss(*view),
            "collision": xp.where(finite, overlap, self._full(count, np.nan)),
        }
        if not derivatives:
            nothing = xp.zeros(0, hand.rest.dtype)
            system = System(terms, nothing, nothing)
            self._add_priors(pose, lm_settings, expected, system, derivatives=False)
            return system
        vertex_normal_equations = closest_points_normal_equations(
            points, *match, nearest, lm_settings.sigma_mm, lm_settings.plane
        )
        free_space_normal_equations(silhouette, *view, out=vertex_normal_equations)
        moving = pose_axes(
            pose.angles, transforms, pose.scale, hand.parents, hand.articulated, bind, hand.joint_basis[:shapes]
        )
        chain = (hand.ancestry, hand.columns, moving.axes, moving.joint_positions)
        skin = (transforms, pose.translation, rest, hand.indices, hand.weights)
        basis = hand.vertex_basis[:shapes]
        system = System(
            terms, *normal_equations(vertex_normal_equations, posed, *skin, *chain, basis, moving.bind_jacobian)
        )
        if (terms["collision"] > 0).any():
            vertex_normal_equations = collision_normal_equations(
                contact, joints, hand.bones, self.config.collision_radius_mm
            )
            skin = (transforms, pose.translation, keypoints, hand.keypoint_joints, hand.ones)
            basis = xp.ascontiguousarray(hand.joint_basis[:shapes, hand.keypoint_joints[:, 0]])
            hessian, gradient = normal_equations(
                vertex_normal_equations, joints, *skin, *chain, basis, moving.bind_jacobian
            )
            system.hessian += hessian
            system.gradient += gradient
        self._add_priors(pose, lm_settings, expected, system, derivatives=True)
        return system

    def _add_priors(
        self, pose: Pose, lm_settings: LMSettings, expected: Array | None, system: System, *, derivatives: bool
    ) -> None:
        """Limits, the pose prior, and the prior of size and proportions: all of them quadratic in the parameters."""
        hand, weights, xp = self.hand, self.config.weights, self._xp
        count, angles, weight = len(pose), slice(RIGID, self._count), weights.prior * lm_settings.prior
        log_scale, relative = xp.log(pose.scale) / SIZE_SIGMA, pose.proportions / PROPORTION_SIGMA
        prior, slope = self._prior(pose.angles, expected)
        system.terms["limits"] = weights.limits * joint_limits(pose.angles, hand.lower, hand.upper)
        system.terms["prior"] = weight * prior
        system.terms["size"] = weights.size * log_scale**2 + weights.proportions * (relative**2).sum(axis=1)
        if not derivatives:
            return
        gradient, hessian = system.gradient, system.hessian
        diagonal = hessian.reshape(count, -1)[:, :: hessian.shape[1] + 1]  # a view
        over = xp.maximum(pose.angles - hand.upper, 0) - xp.maximum(hand.lower - pose.angles, 0)
        over = over.reshape(count, -1)[:, self._angles]
        gradient[:, angles] += weights.limits * over
        diagonal[:, angles] += weights.limits * (over != 0)
        gradient[:, angles] += 0.5 * weight * slope.reshape(count, -1)[:, self._angles]
        hessian[:, angles, angles] += weight * self._curvature
        gradient[:, RIGID - 1] += weights.size * log_scale / SIZE_SIGMA
        diagonal[:, RIGID - 1] += weights.size / SIZE_SIGMA**2
        gradient[:, self._count :] += weights.proportions * relative / PROPORTION_SIGMA
        diagonal[:, self._count :] += weights.proportions / PROPORTION_SIGMA**2

    def moved(self, pose: Pose, step: Array) -> Pose:
        """Poses after a step (B, P), limited to what the linear model can foresee."""
        xp = self._xp
        turn = _at_most(step[:, :3], MAX_TURN_RAD)
        angles = pose.angles.reshape(len(pose), -1).copy()
        angles[:, self._angles] += step[:, RIGID : self._count].clip(-MAX_TURN_RAD, MAX_TURN_RAD)
        scale = pose.scale * xp.exp(step[:, RIGID - 1].clip(-MAX_RELATIVE, MAX_RELATIVE))
        return Pose(
            angles=angles.reshape(pose.angles.shape),
            rotation=xp.ascontiguousarray(exponential(turn) @ pose.rotation),
            translation=pose.translation + _at_most(step[:, 3:6], MAX_SHIFT_MM),
            scale=scale.clip(MIN_SCALE, MAX_SCALE),
            image=pose.image,
            proportions=(pose.proportions + step[:, self._count :].clip(-MAX_RELATIVE, MAX_RELATIVE)).clip(
                -MAX_PROPORTION, MAX_PROPORTION
            ),
        )

    def free(self, pose: Pose, lm_settings: LMSettings) -> Array:
        """Which parameters may move, (P,) of 0 and 1."""
        free = np.ones(self._count + pose.proportions.shape[1])
        free[RIGID - 1] = lm_settings.scale
        free[self._count :] = lm_settings.proportions
        return to_device(free, self.hand.device, self.hand.rest.dtype)

    def _full(self, count: int, value: float) -> Array:
        return self._xp.full(count, value, self.hand.rest.dtype)


def _at_most(vectors: Array, length: float) -> Array:
    """Vectors (B, 3), shortened where they are longer."""
    xp = namespace_of(vectors)
    return vectors * xp.minimum(1, length / xp.maximum(xp.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def levenberg_marquardt(
    problem: LeastSquares,
    pose: Pose,
    lm_settings: LMSettings,
    record: Callable[[Pose, dict[str, Array]], None] | None = None,
    expected: Array | None = None,
    *,
    linearised: bool = True,
) -> tuple[Pose, System]:
    """Run an approach's iterations; a step is taken by those hypotheses whose cost it lowers (Marquardt, 1963).

    record: called with the poses and their terms at the start and after every iteration.
    expected: (B, 15, 3) rad, what the pose prior expects of each hypothesis; a relaxed hand if None
    linearised: whether the system is wanted at the last poses; else it is of those before, but for its terms
    Returns the poses and their system.
    """
    xp = namespace_of(pose.scale)
    damping = xp.full(len(pose), FIRST_DAMPING, pose.scale.dtype)
    free = problem.free(pose, lm_settings)
    system = problem.system(pose, lm_settings, expected)
    if record is not None:
        record(pose, dict(system.terms))
    for left in reversed(range(lm_settings.iterations)):
        trial = problem.moved(pose, solve_damped(system.hessian, system.gradient, damping, free))
        found = problem.system(trial, lm_settings, expected, derivatives=linearised or left > 0)
        better = found.cost < system.cost
        for name in ("angles", "rotation", "translation", "scale", "proportions"):
            old, new = getattr(pose, name), getattr(trial, name)
            setattr(trial, name, xp.where(better.reshape(-1, *[1] * (old.ndim - 1)), new, old))
        pose = trial
        system.take(better, found)
        damping = (damping * xp.where(better, ACCEPTED, REFUSED).astype(damping.dtype)).clip(
            LOWEST_DAMPING, HIGHEST_DAMPING
        )
        if record is not None:
            record(pose, dict(system.terms))
    return pose, system
