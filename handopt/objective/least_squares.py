"""The sum of squares that Levenberg-Marquardt minimises: closest points in both directions, contacts and priors."""

from dataclasses import dataclass

import numpy as np

from handopt.backend import Array, namespace, namespace_of, to_device, to_numpy
from handopt.config import Config, LMSchedule, LMSettings
from handopt.hand_model import Hand, Pose
from handopt.objective.corrective_motion import chained
from handopt.objective.one_call import OneCall
from handopt.objective.pose_parameters import PoseParameters
from handopt.objective.pose_prior import FOLLOW_PRECISION, FOLLOWERS, PosePrior
from handopt.objective.targets import FitTargets
from handopt.objective.terms import SCALES
from handopt.objective.votes import votes_loss, votes_normal_equations
from handopt.ops.closest_points import closest_points, closest_points_normal_equations
from handopt.ops.collision import collision, collision_backward, collision_normal_equations
from handopt.ops.free_space import free_space_loss, free_space_normal_equations
from handopt.ops.joint_limits import joint_limits
from handopt.ops.minimise_poses import TERMS, PoseMinimum, PosePriors
from handopt.ops.normal_equations import RIGID, pose_axes
from handopt.rig.anatomy import DIP_OF_PIP


@dataclass
class System:
    """A cost's terms (B,) and its Gauss-Newton normal equations.

    hessian: (B, P, P), only the lower triangle; gradient: (B, P), half the cost's derivative. Both are empty where only
    costs were asked for.
    """

    terms: dict[str, Array]
    hessian: Array
    gradient: Array

    @property
    def cost(self) -> Array:
        """Sum of the weighted terms."""
        return sum(self.terms.values())

    def updated(self, rows: Array, other: "System") -> "System":
        """This system with some rows (B,) of another one; only their terms where the other has no derivatives."""
        xp = namespace_of(rows)
        terms = {name: xp.where(rows, other.terms[name], term) for name, term in self.terms.items()}
        if not other.hessian.size:
            return System(terms, self.hessian, self.gradient)
        return System(
            terms,
            xp.where(rows[:, None, None], other.hessian, self.hessian),
            xp.where(rows[:, None], other.gradient, self.gradient),
        )


@dataclass(frozen=True)
class _PosedHand:
    """B poses of a hand: transforms (B, J, 3, 4), vertices and normals (B, V, 3), joints (B, 21, 3), and their rest."""

    rest: Array
    bind: Array
    keypoints: Array
    transforms: Array
    vertices: Array
    normals: Array
    joints: Array

    @classmethod
    def of(cls, hand: Hand, pose: Pose) -> "_PosedHand":
        rest, bind = hand.rest_of(pose), hand.bind_of(pose)
        transforms, keypoints = hand.transforms(pose, bind), hand.keypoints_of(pose, bind)
        vertices, normals = hand.vertices(transforms, rest), hand.vertex_normals(transforms)
        return cls(rest, bind, keypoints, transforms, vertices, normals, hand.joints(transforms, keypoints))


class _SurfaceTerms:
    """The data terms: observed points to the model's surface, and the model's vertices to free space."""

    def __init__(
        self, targets: FitTargets, config: Config, pose: Pose, posed: _PosedHand, lm_settings: LMSettings
    ) -> None:
        xp, weights, dtype = namespace_of(pose.scale), config.weights, posed.vertices.dtype
        self._points_weight = xp.full(len(pose), weights.points / lm_settings.sigma_mm**2, dtype)
        self._silhouette_weight = xp.full(len(pose), weights.silhouette / SCALES.length_unit_mm**2, dtype)
        observed = xp.ascontiguousarray(targets.points[:, : lm_settings.points])
        self._match = (observed, pose.image, posed.vertices, posed.normals)
        self._robust = (lm_settings.sigma_mm, lm_settings.plane)
        self._free_space = (
            *(posed.vertices, pose.image, targets.coefficients, targets.field, targets.nearest_depth),
            *(targets.mm_per_px, lm_settings.free_space_mm, weights.front, config.front_margin_mm),
        )
        self._loss, self._nearest = closest_points(*self._match, *self._robust)

    def values(self) -> dict[str, Array]:
        """The weighted terms (B,)."""
        return {
            "points": self._points_weight * self._loss,
            "silhouette": self._silhouette_weight * free_space_loss(*self._free_space),
        }

    def vertex_normal_equations(self) -> Array:
        """Their Gauss-Newton model by the posed vertices, (B, V, 9)."""
        found = closest_points_normal_equations(self._points_weight, *self._match, self._nearest, *self._robust)
        return free_space_normal_equations(self._silhouette_weight, *self._free_space, out=found)


class LeastSquares:
    """Residuals of B poses against I observed hands, and how they move with each pose.

    Observed points to the model's surface (closest_points), the model to the observed silhouette and depth
    (free_space), collisions, joint limits, a pose prior, a prior of size and proportions, and votes for joints.
    """

    def __init__(self, hand: Hand, targets: FitTargets, config: Config) -> None:
        """hand: all vertices that are compared, see Hand.coarse for fewer; its `parameters` move poses."""
        self.hand, self.targets, self.config = hand, targets, config
        self.parameters = PoseParameters(hand)
        self._xp = namespace(hand.device)
        self._one_call = OneCall() if OneCall.suits(hand) else None
        self._prior = PosePrior(hand.device, hand.rest.dtype)
        self._followers = to_device(FOLLOWERS, hand.device, np.int32)
        self._angles, self._count = self.parameters.angles, self.parameters.count
        free = to_numpy(hand.free).ravel() > 0
        self._curvature = to_device(self._prior.curvature[np.ix_(free, free)], hand.device, hand.rest.dtype)

    def cost(self, pose: Pose, lm_settings: LMSettings, expected: Array | None = None) -> Array:
        """The cost of poses (B,) without its derivatives."""
        return self.system(pose, lm_settings, expected, derivatives=False).cost

    def system(
        self, pose: Pose, lm_settings: LMSettings, expected: Array | None = None, *, derivatives: bool = True
    ) -> System:
        """Evaluate poses and linearise their residuals. expected: (B, 15, 3) rad, the pose prior's means."""
        if self.in_one_call:
            found = self.minimum(pose, lm_settings, LMSchedule(), expected, derivatives=derivatives)
            return self.system_of(found)
        system = self._by_ops(pose, lm_settings, derivatives)
        self._add_priors(pose, lm_settings, expected, system, derivatives=derivatives)
        return system

    @property
    def in_one_call(self) -> bool:
        """Whether `minimum` can be asked for: for most hands."""
        return self._one_call is not None

    def minimum(
        self,
        pose: Pose,
        lm_settings: LMSettings,
        schedule: LMSchedule,
        expected: Array | None = None,
        *,
        derivatives: bool = True,
        every: bool = False,
    ) -> PoseMinimum:
        """Take all steps of a schedule from B poses; derivatives, every: as in minimise_poses.

        expected: (B, 15, 3) rad, the pose prior's means. A schedule's tolerance does not count: all iterations are run.
        """
        assert self._one_call is not None
        return self._one_call.minimise(
            *(self.hand, self.targets, self.config, pose, lm_settings, self.priors(pose, lm_settings, expected)),
            self.parameters.steps(pose, lm_settings, schedule),
            derivatives=derivatives,
            every=every,
        )

    def system_of(self, found: PoseMinimum, iteration: int = -1) -> System:
        """The terms of what `minimum` found after an iteration, and the normal equations of the last."""
        terms = dict(zip(TERMS, found.terms[iteration], strict=True))
        if not self._has_temporal:
            del terms["temporal"]
        return System(terms, found.hessian, found.gradient)

    @property
    def _has_temporal(self) -> bool:
        """Whether a pose is expected."""
        return False

    def priors(self, pose: Pose, lm_settings: LMSettings, expected: Array | None) -> PosePriors:
        """What is expected of poses, as _add_priors has it."""
        weights = self.config.weights
        return PosePriors(
            expected=self._prior.relaxed(len(pose)) if expected is None else expected,
            precision=self._prior.precision,
            weight=weights.prior * lm_settings.prior,
            followers=self._followers,
            follow_share=DIP_OF_PIP,
            follow_precision=FOLLOW_PRECISION,
            size=weights.size / SCALES.size_sigma**2,
            proportions=weights.proportions / SCALES.proportion_sigma**2,
        )

    def _by_ops(self, pose: Pose, lm_settings: LMSettings, derivatives: bool) -> System:
        """The terms but the priors, and their normal equations, by one op after the other."""
        hand, xp, shapes = self.hand, self._xp, pose.proportions.shape[1]
        posed = _PosedHand.of(hand, pose)
        surface = _SurfaceTerms(self.targets, self.config, pose, posed, lm_settings)
        terms = {**surface.values(), "collision": self._collision(posed.joints)}
        terms["limits"] = self.config.weights.limits * joint_limits(pose.angles, hand.lower, hand.upper)
        votes = self.targets.votes[pose.image]
        terms["votes"] = self.config.weights.votes * votes_loss(posed.joints, votes)
        if not derivatives:
            nothing = xp.zeros(0, hand.rest.dtype)
            return System(terms, nothing, nothing)
        moving = pose_axes(
            pose.angles, posed.transforms, pose.scale, hand.parents, hand.articulated, posed.bind,
            hand.joint_basis[:shapes],
        )  # fmt: skip
        chain = (hand.ancestry, hand.columns, moving.axes, moving.joint_positions)
        skin = (posed.transforms, pose.translation, posed.rest, hand.indices, hand.weights)
        basis = (hand.vertex_basis[:shapes], moving.bind_jacobian)
        system = System(
            terms,
            *chained(
                pose.angles, hand.vertex_correctives,
                surface.vertex_normal_equations(), posed.vertices, *skin, *chain, *basis,
            ),
        )  # fmt: skip
        if (terms["collision"] > 0).any() or (terms["votes"] > 0).any():
            contacts = collision_normal_equations(self._contact_weight(len(pose)), *self._contacts(posed.joints))
            contacts += self.config.weights.votes * votes_normal_equations(posed.joints, votes)
            skin = (posed.transforms, pose.translation, posed.keypoints, hand.keypoint_joints, hand.ones)
            joint_basis = xp.ascontiguousarray(hand.joint_basis[:shapes, hand.keypoint_joints[:, 0]])
            hessian, gradient = chained(
                pose.angles, hand.keypoint_correctives,
                contacts, posed.joints, *skin, *chain, joint_basis, moving.bind_jacobian,
            )  # fmt: skip
            system.hessian += hessian
            system.gradient += gradient
        return system

    def vertex_normal_equations(self, pose: Pose, lm_settings: LMSettings) -> Array:
        """Gauss-Newton model of the data terms by the posed vertices, (B, V, 9), those of handopt.ops.closest_points.

        xx, xy, xz, yy, yz, zz of A, then b of cost(x + d) = cost(x) + 2 b.d + d.A d.
        """
        posed = _PosedHand.of(self.hand, pose)
        return _SurfaceTerms(self.targets, self.config, pose, posed, lm_settings).vertex_normal_equations()

    def collision_gradient(self, pose: Pose, *, fixed_length: bool = True) -> Array:
        """Gradient of the collision term by the joints, (B, 21, 3) per mm.

        fixed_length: hold bone lengths constant, as the normal equations do; False differentiates them too.
        """
        bind = self.hand.bind_of(pose)
        joints = self.hand.joints(self.hand.transforms(pose, bind), self.hand.keypoints_of(pose, bind))
        contacts = self._contacts(joints)
        return collision_backward(self._contact_weight(len(pose)), *contacts, fixed_length=fixed_length)

    def _collision(self, joints: Array) -> Array:
        """The weighted collision term (B,), NaN where joints are not finite."""
        overlap = self._contact_weight(len(joints)) * collision(*self._contacts(joints))
        # The ops ignore non-finite points; a pose with such points must not look like one that fits.
        finite = self._xp.isfinite(joints).all(axis=(1, 2))
        return self._xp.where(finite, overlap, self._full(len(joints), np.nan))

    def _contacts(self, joints: Array) -> tuple[Array, Array, float]:
        return joints, self.hand.bones, self.config.collision_radius_mm

    def _contact_weight(self, count: int) -> Array:
        return self._full(count, self.config.weights.collision / SCALES.length_unit_mm**2)

    def _add_priors(
        self, pose: Pose, lm_settings: LMSettings, expected: Array | None, system: System, *, derivatives: bool
    ) -> None:
        """The pose prior, that of size and proportions, and the limits' derivatives: quadratic in the parameters."""
        hand, weights, xp = self.hand, self.config.weights, self._xp
        count, angles, weight = len(pose), slice(RIGID, self._count), weights.prior * lm_settings.prior
        log_scale, relative = xp.log(pose.scale) / SCALES.size_sigma, pose.proportions / SCALES.proportion_sigma
        prior, slope = self._prior(pose.angles, expected)
        system.terms["prior"] = weight * prior
        system.terms["size"] = weights.size * log_scale**2 + weights.proportions * (relative**2).sum(axis=1)
        system.terms["votes"] = system.terms.pop("votes")  # in the order of TERMS
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
        gradient[:, RIGID - 1] += weights.size * log_scale / SCALES.size_sigma
        diagonal[:, RIGID - 1] += weights.size / SCALES.size_sigma**2
        gradient[:, self._count :] += weights.proportions * relative / SCALES.proportion_sigma
        diagonal[:, self._count :] += weights.proportions / SCALES.proportion_sigma**2

    def _full(self, count: int, value: float) -> Array:
        return self._xp.full(count, value, self.hand.rest.dtype)
