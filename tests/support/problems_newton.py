"""Random problems for the ops of Gauss-Newton: quadratic models by vertex, normal equations, damped steps."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.ops.closest_points import closest_points, closest_points_normal_equations
from handopt.ops.collision import collision_normal_equations
from handopt.ops.free_space import free_space_loss, free_space_normal_equations
from handopt.ops.normal_equations import (
    RIGID,
    PoseAxes,
    angle_ancestry,
    angle_columns,
    normal_equations,
    pose_axes,
    solve_damped,
)
from support import reference, reference_newton
from support.op_check import Arrays, Floats, Problem
from support.problems_hand import collision_problem, random_rotations
from support.problems_image import closest_problem

COLLISION_RADIUS = 18.0
CLOSEST_SIGMA = 20.0
OUTLINE = {"sigma": 12.0, "front": 0.7, "margin": 4.0}
JACOBIAN_STEP = 0.01


def closest_quadratic_problem(plane: float = 0.8, batch: int = 3) -> Problem:
    """The points of closest_problem with their nearest vertices; some have none."""
    arrays = closest_problem(plane, batch).arrays
    nearest = closest_points(**arrays, sigma=CLOSEST_SIGMA)[1]
    nearest[:, ::7] = -1
    arrays |= {"nearest": nearest, "grad_loss": np.random.default_rng(20).uniform(0.5, 2, batch)}
    return Problem(
        arrays=arrays,
        forward=lambda a: closest_points_normal_equations(**a, sigma=CLOSEST_SIGMA, plane=plane),
        twin=lambda a: reference_newton.closest_points_normal_equations(**a, sigma=CLOSEST_SIGMA, plane=plane),
        batched=("grad_loss", "image_index", "posed", "normals", "nearest"),
    )


def collision_quadratic_problem(batch: int = 3) -> Problem:
    """A crumpled hand."""
    arrays = {**collision_problem(batch).arrays, "grad_loss": np.random.default_rng(21).uniform(0.5, 2, batch)}
    return Problem(
        arrays=arrays,
        forward=lambda a: collision_normal_equations(**a, radius=COLLISION_RADIUS),
        twin=lambda a: reference_newton.collision_normal_equations(**a, radius=COLLISION_RADIUS),
        batched=("grad_loss", "joints"),
    )


def outline_arrays(batch: int) -> Arrays:
    """Vertices in and around two crops, before and behind what was measured there; one is behind the camera."""
    rng = np.random.default_rng(22)
    posed = rng.uniform([-75, -75, 420], [75, 75, 480], (batch, 40, 3))
    posed[:, 5, 2] = -5.0
    depths = rng.uniform(420, 490, (2, 16, 16)) * (rng.random((2, 16, 16)) < 0.7)
    return {
        "posed": posed,
        "image_index": np.arange(batch, dtype=np.int32) % 2,
        "coefficients": np.array([60.0, 7.6, 62.0, 7.4, 0.004, -1.3]) * rng.uniform(0.97, 1.03, (2, 6)),
        "field": rng.uniform(0, 15, (2, 16, 16)) * (rng.random((2, 16, 16)) < 0.8),
        "nearest_depth": depths,
        "mm_per_px": np.array([2.1, 1.7]),
    }


def outline_places(a: Arrays) -> NDArray[np.int64]:
    """For every vertex: the cells in which field and depth are looked up, and whether it is before the surface."""
    x, y, z = np.moveaxis(a["posed"], 2, 0)
    ax, bx, ay, by = a["coefficients"][a["image_index"]].T[:4, :, None]
    at = np.stack([ax * x / z + bx, ay * y / z + by])
    depth = np.zeros(x.shape)
    for b, i in np.ndindex(*x.shape):
        depth[b, i] = reference.nearest_distance(a["nearest_depth"][a["image_index"][b]], at[0, b, i], at[1, b, i])
    cells = np.stack(
        [*np.clip(np.floor(at), -1, 15), *np.clip(np.floor(at + 0.5), -1, 16), depth - OUTLINE["margin"] > z, z > 0]
    )
    return cells.astype(np.int64)


def outline_problem(batch: int = 3) -> Problem:
    """Its gradient is 2 b of the quadratic model: exact, as a pixel's nearest depth is one number."""
    return Problem(
        arrays=outline_arrays(batch),
        forward=lambda a: free_space_loss(**a, **OUTLINE),
        backward=lambda g, a: {"posed": (2 * free_space_normal_equations(g, **a, **OUTLINE)[..., 6:]).copy()},
        twin=lambda a: reference.free_space_loss(**a, **OUTLINE),
        batched=("posed", "image_index"),
        branches=outline_places,
    )


def outline_quadratic_problem(batch: int = 3) -> Problem:
    """The model of the same vertices."""
    arrays = {**outline_arrays(batch), "grad_loss": np.random.default_rng(23).uniform(0.5, 2, batch)}
    return Problem(
        arrays=arrays,
        forward=lambda a: free_space_normal_equations(**a, **OUTLINE),
        twin=lambda a: reference_newton.free_space_normal_equations(**a, **OUTLINE),
        batched=("grad_loss", "posed", "image_index"),
    )


class SmallHand:
    """Random poses of a random rig with 10 joints, 5 of them articulated, 19 vertices and 3 proportions.

    own: each image has rest points and bind matrices of its own. Every proportion moves the wrist as well.
    """

    def __init__(self, side: int, batch: int, own: bool) -> None:
        rng = np.random.default_rng([24, batch])
        self.side, self.batch = side, batch
        self.parents = np.array([-1, 0, 1, 2, 3, 0, 5, 6, 7, 0], np.int32)
        self.articulated = np.array([2, 3, 5, 6, 7], np.int32)
        self.free = rng.random((5, 3)) < 0.7
        self.angles = rng.normal(size=(batch, 5, 3)) * 0.6
        self.rotation = random_rotations(rng, batch)
        self.translation = rng.normal(size=(batch, 3)) * 30 + np.array([0, 0, 400])
        self.scale = rng.uniform(0.8, 1.2, batch)
        bind = np.concatenate([random_rotations(rng, 10), rng.normal(size=(10, 3, 1)) * 40], axis=2)
        rest = rng.normal(size=(19, 3)) * 50
        self.joint_basis = rng.normal(size=(3, 10, 3)) * 20
        self.vertex_basis = rng.normal(size=(3, 19, 3)) * 20 * (rng.random((3, 19, 1)) < 0.6)
        if own:
            rest = rest + rng.normal(size=(batch, 19, 3)) * 5
            bind = bind + rng.normal(size=(batch, 10, 3, 1)) * np.eye(4)[3] * 5
        self.bind, self.rest = bind, rest
        weights = rng.uniform(0.05, 1.0, (19, 3)) * (np.arange(3) < rng.integers(1, 4, (19, 1)))
        self.weights = -np.sort(-weights / weights.sum(1, keepdims=True), axis=1)
        self.indices = (rng.integers(0, 10, (19, 3)) * (self.weights > 0)).astype(np.int32)
        self.count = RIGID + int(self.free.sum()) + 3
        self.transforms = self.transformed(np.zeros(self.count))

    def transformed(self, step: Floats, moved: Floats | None = None) -> Floats:
        """Joint transforms after a step of the parameters (P,), the same in every image. moved: bind positions."""
        angles = self.angles.copy()
        angles[:, self.free] += step[RIGID : self.count - 3]
        offsets = np.tensordot(step[self.count - 3 :], self.joint_basis, 1) if moved is None else moved
        bind = self.bind.copy()
        bind[..., 3] += offsets
        rotation = reference.exponential(step[:3]) @ self.rotation
        scale = self.scale * np.exp(step[6])
        return reference.forward_kinematics(
            angles, rotation, self.translation + step[3:6], scale, self.parents, self.articulated, bind, self.side
        )

    def posed(self, step: Floats) -> Floats:
        """Vertices (B, V, 3) after a step of the parameters (P,)."""
        rest = self.rest + np.tensordot(step[self.count - 3 :], self.vertex_basis, 1)
        return reference.skin(self.transformed(step), rest, self.indices, self.weights)

    def axes(self) -> tuple[Floats, Floats, Floats]:
        """What the twin of pose_axes says."""
        zero = np.zeros(self.count)
        return reference_newton.pose_axes(
            self.angles, self.transforms, self.scale, self.parents, self.articulated, self.bind, self.joint_basis,
            self.side, lambda moved: self.transformed(zero, moved)[..., 3],
        )  # fmt: skip


@cache
def small_hand(side: int, batch: int, own: bool) -> SmallHand:
    """The hand, made once."""
    return SmallHand(side, batch, own)


@cache
def moves_of(side: int, batch: int, own: bool) -> Floats:
    """How the vertices of the hand move with its parameters (B, V, 3, P)."""
    hand = small_hand(side, batch, own)
    return reference_newton.jacobian(hand.posed, hand.count, JACOBIAN_STEP)


def pose_axes_problem(part: str = "axes", side: int = 1, own: bool = False, batch: int = 3) -> Problem:
    """part: which of axes, pivots and shifts is looked at."""
    hand = small_hand(side, batch, own)
    names = ("angles", "transforms", "scale", "parents", "articulated", "bind", "joint_basis")
    number = list(PoseAxes.__dataclass_fields__).index(part)
    return Problem(
        arrays={name: getattr(hand, name).copy() for name in names},
        forward=lambda a: getattr(pose_axes(*(*a.values(), side)), part),
        twin=lambda _: hand.axes()[number],
        batched=("angles", "transforms", "scale", *(["bind"] if own else [])),
    )


def random_models(rng: np.random.Generator, *shape: int) -> Floats:
    """Positive semidefinite models (*shape, 9), a quarter of them zero."""
    out = np.zeros((*shape, 9))
    for at in np.ndindex(*shape):
        if rng.random() < 0.75:
            reference_newton.add(out[at], rng.uniform(0.1, 1), rng.normal(size=(2, 3)), rng.normal(size=2) * 5)
    return out


def normal_equations_problem(part: str = "hessian", side: int = 1, own: bool = False, batch: int = 3) -> Problem:
    """part: hessian or gradient."""
    hand = small_hand(side, batch, own)
    axes, joint_positions, bind_jacobian = hand.axes()
    arrays: dict[str, Any] = {
        "vertex_normal_equations": random_models(np.random.default_rng(25), batch, 19),
        "posed": hand.posed(np.zeros(hand.count)),
        **{name: getattr(hand, name).copy() for name in ("transforms", "translation", "rest", "indices", "weights")},
        "ancestry": angle_ancestry(hand.parents, hand.articulated),
        "columns": angle_columns(hand.free),
        "axes": axes,
        "joint_positions": joint_positions,
        "vertex_basis": hand.vertex_basis.copy(),
        "bind_jacobian": bind_jacobian,
    }
    number = ("hessian", "gradient").index(part)
    batched = (
        "vertex_normal_equations",
        "posed",
        "transforms",
        "translation",
        "axes",
        "joint_positions",
        "bind_jacobian",
    )
    return Problem(
        arrays=arrays,
        forward=lambda a: normal_equations(*a.values())[number],
        twin=lambda a: reference_newton.normal_equations(a["vertex_normal_equations"], moves_of(side, batch, own))[
            number
        ],
        batched=(*batched, *(["rest"] if own else [])),
    )


def solve_damped_problem(size: int = 11, batch: int = 3) -> Problem:
    """Positive definite systems; two parameters are frozen, and one has no curvature."""
    rng = np.random.default_rng(26)
    roots = rng.normal(size=(batch, 2 * size, size)) * rng.uniform(0.5, 3, size)
    roots[:, :, 4] = 0
    free = np.ones(size)
    free[[1, size - 2]] = 0
    arrays = {
        "hessian": np.tril(np.einsum("bni,bnj->bij", roots, roots)),
        "gradient": rng.normal(size=(batch, size)),
        "damping": rng.uniform(0, 1, batch),
        "free": free,
    }
    return Problem(
        arrays=arrays,
        forward=lambda a: solve_damped(*a.values()),
        twin=lambda a: reference_newton.solve_damped(*a.values()),
        batched=("hessian", "gradient", "damping"),
    )


NEWTON_PROBLEMS: dict[str, Callable[..., Problem]] = {
    "free_space_loss": outline_problem,
    "free_space_normal_equations": outline_quadratic_problem,
    "closest_points_normal_equations": closest_quadratic_problem,
    "collision_normal_equations": collision_quadratic_problem,
    **{f"pose_axes, {part}": partial(pose_axes_problem, part) for part in PoseAxes.__dataclass_fields__},
    **{f"normal_equations, {part}": partial(normal_equations_problem, part) for part in ("hessian", "gradient")},
    "normal_equations, own rest": partial(normal_equations_problem, own=True),
    "solve_damped": solve_damped_problem,
    "solve_damped, panels": partial(solve_damped_problem, 42),
}
