"""Levenberg-Marquardt for poses in one launch, on the CPU: all iterations, with every term and its derivatives.

It joins forward_kinematics, skin, skin_normals, closest_points, free_space_loss, collision, joint_limits, pose_axes,
normal_equations and solve_damped, and adds the priors; results do not depend on the number of threads. On a GPU,
minimise_poses_grid does the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Final

import numpy as np

from handopt.backend import Arguments, Array, launch, threads_for_poses
from handopt.errors import ShapeError
from handopt.ops.kinematics import MAX_JOINTS
from handopt.ops.normal_equations import MAX_PARAMETERS, MAX_ROWS, RIGID

BEFORE_IMAGES: Final = 10
"""Arrays of the hand that come before those of the images."""


@dataclass(frozen=True, eq=False)
class PosedHand:
    """The hand that the kernel poses, as NumPy arrays of one real type.

    parents (J,), articulated (A,), rest_normals (V, 3), indices and weights (V, K), keypoint_joints and ones (M, 1),
    bones (N, 2), lower and upper (A, 3), joint_basis (S, J, 3), vertex_basis (S, V, 3), keypoint_basis (S, M, 3),
    ancestry (J, D) and columns (A, 3), as in the ops of the same arguments. Raises ShapeError.
    """

    parents: Array
    articulated: Array
    rest_normals: Array
    indices: Array
    weights: Array
    keypoint_joints: Array
    ones: Array
    bones: Array
    lower: Array
    upper: Array
    joint_basis: Array
    vertex_basis: Array
    keypoint_basis: Array
    ancestry: Array
    columns: Array

    def __post_init__(self) -> None:
        """Check every array once, for all images and calls."""
        if self.sizes["J"] > MAX_JOINTS or self.sizes["A"] > MAX_ROWS or self.parameters > MAX_PARAMETERS:
            raise ShapeError(
                f"expected at most {MAX_JOINTS} joints, {MAX_ROWS} of them articulated, and {MAX_PARAMETERS} "
                f"parameters, got {self.sizes['J']}, {self.sizes['A']} and {self.parameters}"
            )

    @cached_property
    def arrays(self) -> tuple[Array, ...]:
        """All arrays, in the order of the kernel, which has those of images after BEFORE_IMAGES of them."""
        return tuple(getattr(self, each.name) for each in fields(self))

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The sizes of the arrays by letter."""
        call = Arguments()
        call.real("rest_normals", self.rest_normals, ("V", 3))
        call.whole("parents", self.parents, ("J",), below="J", lowest=-1)
        call.whole("articulated", self.articulated, ("A",), below="J")
        call.whole("indices", self.indices, ("V", "K"), below="J")
        call.real("weights", self.weights, ("V", "K"))
        call.whole("keypoint_joints", self.keypoint_joints, ("M", 1), below="J")
        call.real("ones", self.ones, ("M", 1))
        call.whole("bones", self.bones, ("N", 2), below="M")
        call.real("lower", self.lower, ("A", 3))
        call.real("upper", self.upper, ("A", 3))
        call.real("joint_basis", self.joint_basis, ("S", "J", 3))
        call.real("vertex_basis", self.vertex_basis, ("S", "V", 3))
        call.real("keypoint_basis", self.keypoint_basis, ("S", "M", 3))
        call.whole("ancestry", self.ancestry, ("J", "D"), below="A", lowest=-1)
        call.whole("columns", self.columns, ("A", 3))
        if (self.parents >= np.arange(len(self.parents))).any():
            raise ShapeError("parents: expected every parent before its children")
        moving = np.sort(self.columns, axis=None)
        moving = moving[moving >= 0]
        if (self.columns < -1).any() or (moving != np.arange(RIGID, RIGID + len(moving))).any():
            raise ShapeError(f"columns: expected -1, and each number from {RIGID} on once")
        return call.size

    @cached_property
    def parameters(self) -> int:
        """How many parameters the normal equations have."""
        return RIGID + int((self.columns >= 0).sum()) + self.sizes["S"]


@dataclass(frozen=True, eq=False)
class PoseTargets:
    """What the kernel compares: poses of a hand with I observed images, as NumPy arrays of the hand's real type.

    observed (I, O, 3), coefficients (I, 6), field and nearest_depth (I, W, W), mm_per_px (I,), as in the ops of the
    same arguments. votes (I, M, 4): where each keypoint should be, mm, and 1 / (how far off that may be)^2, 0 where
    nothing is known. Raises ShapeError.
    """

    hand: PosedHand
    observed: Array
    coefficients: Array
    field: Array
    nearest_depth: Array
    mm_per_px: Array
    votes: Array

    def __post_init__(self) -> None:
        """Check every array once, for all calls."""
        assert self.sizes

    @cached_property
    def arrays(self) -> tuple[Array, ...]:
        """All arrays, in the order of the kernel."""
        hand = self.hand.arrays
        images = self.observed, self.coefficients, self.field, self.nearest_depth, self.mm_per_px
        return *hand[:BEFORE_IMAGES], *images, *hand[BEFORE_IMAGES:], self.votes

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The sizes of all arrays by letter."""
        call = Arguments(dict(self.hand.sizes), self.hand.rest_normals.dtype)
        call.real("observed", self.observed, ("I", "O", 3))
        call.real("coefficients", self.coefficients, ("I", 6))
        call.real("field", self.field, ("I", "W", "W"))
        call.real("nearest_depth", self.nearest_depth, ("I", "W", "W"))
        call.real("mm_per_px", self.mm_per_px, ("I",))
        call.real("votes", self.votes, ("I", "M", 4))
        return call.size

    @property
    def parameters(self) -> int:
        """How many parameters the normal equations have."""
        return self.hand.parameters


@dataclass(frozen=True)
class TermWeights:
    """Factors of the terms, and the distances of their robust functions, mm; see the ops."""

    points: float
    sigma: float
    plane: float
    silhouette: float
    free_space: float
    front: float
    margin: float
    collision: float
    radius: float
    limits: float
    votes: float


@dataclass(frozen=True, eq=False)
class PosePriors:
    """What is expected of poses, as arrays of the model's device and real type.

    expected: (B, A, 3) rad; precision: (A, 3), of deviations from it; weight: of these and of the followers
    followers: (F, 2) int32, rows of angles: the flexion of the first follows that of the second times follow_share,
    with the precision follow_precision
    size, proportions: weights of the squared logarithm of the scale, and of each squared proportion
    shape_mean: (1 + S,) and shape_precision: (1 + S, 1 + S), of log scale and proportions; None if nothing is known
    temporal_pose: (3 A + 12,), expected angles, rotation and translation; temporal_weight and temporal_width:
    (6 + 3 A,), of rotation, translation and angles; None if none is expected
    """

    expected: Array
    precision: Array
    weight: float
    followers: Array
    follow_share: float
    follow_precision: float
    size: float
    proportions: float
    shape_mean: Array | None = None
    shape_precision: Array | None = None
    temporal_pose: Array | None = None
    temporal_weight: Array | None = None
    temporal_width: Array | None = None


@dataclass(frozen=True)
class Steps:
    """How many steps are tried, how they are damped (see handopt.config.LMSchedule), and how far each may go.

    turn: of rotation and angles, rad; shift: of the translation, mm; relative: of log scale and proportions
    scales: the smallest and the largest; proportion: the largest, either way; free: (P,), 0 where a parameter stays
    """

    iterations: int
    first_damping: float
    lowest_damping: float
    highest_damping: float
    accepted: float
    refused: float
    turn: float
    shift: float
    relative: float
    scales: tuple[float, float]
    proportion: float
    free: Array


@dataclass(frozen=True)
class PoseMinimum:
    """Poses after each of N iterations, or after the last alone (N = 1); those of the start come first.

    angles: (N, B, A, 3); rotation: (N, B, 3, 3); translation: (N, B, 3); scale: (N, B); proportions: (N, B, S)
    terms: (N, 8, B), weighted, in the order of TERMS; collision is NaN where joints are not finite
    improved: (B,) whether any step lowered the cost; hessian: (B, P, P), its lower triangle, and gradient: (B, P) of
    the last poses, empty if not asked for
    """

    angles: Array
    rotation: Array
    translation: Array
    scale: Array
    proportions: Array
    terms: Array
    improved: Array
    hessian: Array
    gradient: Array


def minimise_poses(
    targets: PoseTargets,
    angles: Array,
    rotation: Array,
    translation: Array,
    scale: Array,
    proportions: Array,
    image_index: Array,
    bind: Array,
    rest: Array,
    keypoints: Array,
    weights: TermWeights,
    priors: PosePriors,
    steps: Steps,
    *,
    derivatives: bool = True,
    every: bool = False,
) -> PoseMinimum:
    """Minimise the sum of B poses' terms, each by itself; with no iterations, evaluate them.

    angles: (B, A, 3) rad; rotation: (B, 3, 3); translation: (B, 3) mm; scale: (B,); proportions: (B, S), of the hand
    image_index: (B,) int32; bind: (J, 3, 4); rest: (V, 3) mm
    keypoints: (M, 3) mm, which proportions move with their joints
    derivatives: whether normal equations are wanted at the last poses; every: whether every iteration is kept
    Raises ShapeError.
    """
    n = targets.sizes
    call = Arguments({name: n[name] for name in "AJVMIS"}, targets.hand.rest_normals.dtype)
    rows = 1 + steps.iterations if every else 1
    found = checked_poses(call, (angles, rotation, translation, scale, proportions))
    angles, rotation, translation, scale, proportions = trace = [_trace(array, rows) for array in found]
    call.whole("image_index", image_index, ("B",), below="I")
    call.real("bind", bind, ("J", 3, 4))
    call.real("rest", rest, ("V", 3))
    call.real("keypoints", keypoints, ("M", 3))
    b, p = call.size["B"], targets.parameters
    call.real("free", steps.free, (p,))
    own, given = prior_arrays(call, priors)
    terms, improved = call.empty(rows, len(TERMS), b), call.empty(b, dtype=np.int32)
    count = b if derivatives else 0
    hessian, gradient = call.empty(count, p, p), call.empty(count, p)
    threads = max(1, min(threads_for_poses(), b))
    reals, numbers = _scratch_sizes(targets), n["V"] + n["O"]
    launch(
        *("minimise_poses", b, *trace, terms, image_index, priors.expected, steps.free, bind, rest, keypoints),
        *(*targets.arrays, *own, improved, hessian, gradient),
        *(call.empty(threads, reals), call.empty(threads, numbers, dtype=np.int32)),
        *(weights.points, weights.sigma, weights.plane, weights.silhouette, weights.free_space, weights.front),
        *(weights.margin, weights.collision, weights.radius, weights.limits, weights.votes, priors.weight),
        *(priors.follow_share, priors.follow_precision, priors.size, priors.proportions),
        *(steps.first_damping, steps.lowest_damping),
        *(steps.highest_damping, steps.accepted, steps.refused, steps.turn, steps.shift, steps.relative),
        *(*steps.scales, steps.proportion, *given, steps.iterations, int(derivatives), rows, threads, reals, numbers),
        *(b, *(n[name] for name in "JVKAMNOWDS"), p, len(priors.followers)),
    )
    lowered = improved.astype(bool)
    return PoseMinimum(angles, rotation, translation, scale, proportions, terms, lowered, hessian, gradient)


TERMS = ("points", "silhouette", "collision", "limits", "prior", "size", "votes", "temporal")
POSES = ("angles", "rotation", "translation", "scale", "proportions")
_SHAPES: tuple[tuple[int | str, ...], ...] = (("B", "A", 3), ("B", 3, 3), ("B", 3), ("B",), ("B", "S"))


def checked_poses(call: Arguments, parts: Sequence[Array]) -> list[Array]:
    """The parts of B poses in the order of POSES, as both kernels take them. Raises ShapeError."""
    return [call.real(name, array, shape) for name, array, shape in zip(POSES, parts, _SHAPES, strict=True)]


def _trace(start: Array, rows: int) -> Array:
    """An array (rows, *shape) whose first row is a start."""
    trace = np.empty((rows, *start.shape), start.dtype)
    trace[0] = start
    return trace


def prior_arrays(call: Arguments, priors: PosePriors) -> tuple[list[Array], list[int]]:
    """The arrays of the priors in the kernel's order, after those of the poses, and which of the last are given."""
    size = 1 + call.size["S"]
    parameters = 3 * call.size["A"]
    call.real("expected", priors.expected, ("B", "A", 3))
    own = [
        call.real("precision", priors.precision, ("A", 3)),
        call.whole("followers", priors.followers, ("F", 2), below="A"),
    ]
    given = []
    for group in (
        (("shape_mean", (size,)), ("shape_precision", (size, size))),
        (
            ("temporal_pose", (parameters + 12,)),
            ("temporal_weight", (parameters + 6,)),
            ("temporal_width", (parameters + 6,)),
        ),
    ):
        arrays = [getattr(priors, name) for name, _ in group]
        given.append(int(arrays[0] is not None))
        for (name, shape), array in zip(group, arrays, strict=True):
            own.append(call.empty(0) if arrays[0] is None else call.real(name, array, shape))
    return own, given


def _scratch_sizes(targets: PoseTargets) -> int:
    """How many reals a thread needs: memory_of in kernels/minimise_poses.cpp, to a multiple of a cache line."""
    n, p = targets.sizes, targets.parameters
    own = 30 * n["J"] + 21 * n["V"] + 15 * n["M"] + MAX_PARAMETERS**2 + 18 * n["A"] + 3 * n["J"] * n["S"]
    own += 26 + 2 * n["S"] + 3 * p * (p + 1)
    return -(-own // 32) * 32
