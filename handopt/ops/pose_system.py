"""The terms of poses and their normal equations in one launch, on the CPU.

It joins forward_kinematics, skin, skin_normals, closest_points, free_space_loss, collision, joint_limits, pose_axes and
normal_equations; results are those of these ops to the bit, whatever the number of threads. A GPU runs them one by one.
"""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from handopt.backend import Arguments, Array, launch, threads_for_poses
from handopt.errors import ShapeError
from handopt.ops.kinematics import MAX_JOINTS
from handopt.ops.normal_equations import MAX_PARAMETERS, MAX_ROWS, RIGID


@dataclass(frozen=True, eq=False)
class PoseModel:
    """What the kernel compares poses with, as NumPy arrays of one real type: a hand and I observed images.

    Of the hand: parents (J,), articulated (A,), rest_normals (V, 3), indices and weights (V, K), keypoint_joints and
    ones (M, 1), bones (N, 2), lower and upper (A, 3), joint_basis (S, J, 3), vertex_basis (S, V, 3), keypoint_basis
    (S, M, 3), ancestry (J, D) and columns (A, 3). Of the images: observed (I, O, 3), coefficients (I, 6), field and
    nearest_depth (I, W, W), mm_per_px (I,). All as in the ops of the same arguments. Raises ShapeError.
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
    observed: Array
    coefficients: Array
    field: Array
    nearest_depth: Array
    mm_per_px: Array
    joint_basis: Array
    vertex_basis: Array
    keypoint_basis: Array
    ancestry: Array
    columns: Array

    def __post_init__(self) -> None:
        """Check every array once, for all calls."""
        if self.sizes["J"] > MAX_JOINTS or self.sizes["A"] > MAX_ROWS or self.parameters > MAX_PARAMETERS:
            raise ShapeError(
                f"expected at most {MAX_JOINTS} joints, {MAX_ROWS} of them articulated, and {MAX_PARAMETERS} "
                f"parameters, got {self.sizes['J']}, {self.sizes['A']} and {self.parameters}"
            )

    @cached_property
    def arrays(self) -> tuple[Array, ...]:
        """All arrays, in the order of the kernel."""
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
        call.real("observed", self.observed, ("I", "O", 3))
        call.real("coefficients", self.coefficients, ("I", 6))
        call.real("field", self.field, ("I", "W", "W"))
        call.real("nearest_depth", self.nearest_depth, ("I", "W", "W"))
        call.real("mm_per_px", self.mm_per_px, ("I",))
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


@dataclass(frozen=True)
class PoseSystem:
    """Weighted terms (B,) each, and the normal equations (B, P, P) and (B, P) of the first three; empty if not asked.

    collision: NaN where joints are not finite.
    """

    points: Array
    silhouette: Array
    collision: Array
    limits: Array
    hessian: Array
    gradient: Array


def pose_system(
    model: PoseModel,
    angles: Array,
    rotation: Array,
    translation: Array,
    scale: Array,
    image_index: Array,
    bind: Array,
    rest: Array,
    keypoints: Array,
    weights: TermWeights,
    *,
    derivatives: bool = True,
) -> PoseSystem:
    """Evaluate B poses, and linearise their residuals if derivatives are asked for.

    angles: (B, A, 3) rad; rotation: (B, 3, 3); translation: (B, 3) mm; scale: (B,); image_index: (B,) int32
    bind: (J, 3, 4) or (B, J, 3, 4); rest: (V, 3) or (B, V, 3) mm; keypoints: (M, 3) or (B, M, 3) mm
    Raises ShapeError.
    """
    n = model.sizes
    call = Arguments({name: n[name] for name in "AJVMI"}, model.rest_normals.dtype)
    poses = (angles, rotation, translation, scale)
    for name, array, shape in zip(_POSES, poses, _SHAPES, strict=True):
        call.real(name, array, shape)
    call.whole("image_index", image_index, ("B",), below="I")
    shared = {"bind": (bind, ("J", 3, 4)), "rest": (rest, ("V", 3)), "keypoints": (keypoints, ("M", 3))}
    strides = []
    for name, (array, shape) in shared.items():
        own = array.ndim > len(shape)
        call.real(name, array, ("B", *shape) if own else shape)
        strides.append(array[0].size if own and len(array) else 0)
    b, p = call.size["B"], model.parameters
    points, silhouette, collision, limits = (call.empty(b) for _ in range(4))
    count = b if derivatives else 0
    hessian, gradient = call.empty(count, p, p), call.empty(count, p)
    threads = max(1, min(threads_for_poses(), b))
    reals, numbers = _scratch_sizes(model), n["V"] + n["O"]
    launch(
        *("pose_system", b, *poses, image_index, bind, rest, keypoints, *model.arrays),
        *(points, silhouette, collision, limits, hessian, gradient),
        *(call.empty(threads, reals), call.empty(threads, numbers, dtype=np.int32)),
        *(weights.points, weights.sigma, weights.plane, weights.silhouette, weights.free_space, weights.front),
        *(weights.margin, weights.collision, weights.radius, weights.limits, int(derivatives), *strides),
        *(threads, reals, numbers, b, *(n[name] for name in "JVKAMNOWDS"), p),
    )
    return PoseSystem(points, silhouette, collision, limits, hessian, gradient)


_POSES = ("angles", "rotation", "translation", "scale")
_SHAPES: tuple[tuple[int | str, ...], ...] = (("B", "A", 3), ("B", 3, 3), ("B", 3), ("B",))


def _scratch_sizes(model: PoseModel) -> int:
    """How many reals a thread needs: pose_memory of kernels/pose_system.cpp, to a multiple of a cache line."""
    n, p = model.sizes, model.parameters
    own = 12 * n["J"] + 18 * n["V"] + 12 * n["M"] + MAX_PARAMETERS**2 + 12 * n["A"] + 3 * n["J"] * n["S"] + p * (p + 1)
    return -(-own // 32) * 32
