"""Gauss-Newton normal equations of a pose, from those of a loss by the positions of vertices."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handopt.backend import Arguments, Array, cpu_threads, launch, schedule
from handopt.errors import ShapeError

RIGID = 7
"""Parameters of every hand: rotation (3), translation (3), logarithm of the scale."""
MAX_PARAMETERS = 80
MAX_ROWS = 16
"""The most articulated joints that normal_equations supports."""
PANEL = 16
"""Columns that are solved at a time on a GPU: SIDE in solve_damped.cu."""


@dataclass(frozen=True)
class PoseAxes:
    """The derivatives of a posed hand by its angles and proportions, in the camera frame.

    axes: (B, A, 3 angles, 3) unit, of twist, abduction and flexion of each articulated joint; joint_positions:
    (B, A, 3) mm, where these joints are; bind_jacobian: (B, J, 3, S) mm per unit, the derivative of the offset of each
    joint's transform by each proportion.
    """

    axes: Array
    joint_positions: Array
    bind_jacobian: Array


def pose_axes(
    angles: Array,
    transforms: Array,
    scale: Array,
    parents: Array,
    articulated: Array,
    bind: Array,
    joint_basis: Array,
    side: int = 1,
) -> PoseAxes:
    """Derive the axes of posed joints from their transforms.

    transforms: (B, J, 3, 4) that forward_kinematics gave for the other arguments; angles: (B, A, 3) rad; scale: (B,)
    parents: (J,), articulated: (A,), bind: (J, 3, 4) or (B, J, 3, 4), side: as there
    joint_basis: (S, J, 3) mm, the derivative of the bind positions by each proportion; the wrist may move as well
    Raises ShapeError.
    """
    own = getattr(bind, "ndim", 3) == 4
    call = Arguments()
    call.real("angles", angles, ("B", "A", 3))
    call.real("transforms", transforms, ("B", "J", 3, 4))
    call.real("scale", scale, ("B",))
    call.whole("parents", parents, ("J",), below="J", lowest=-1)
    call.whole("articulated", articulated, ("A",), below="J")
    call.real("bind", bind, ("B", "J", 3, 4) if own else ("J", 3, 4))
    call.real("joint_basis", joint_basis, ("S", "J", 3))
    if side not in (1, -1):
        raise ShapeError(f"side: expected 1 (right) or -1 (left), got {side!r}")
    if isinstance(parents, np.ndarray) and (parents >= np.arange(len(parents))).any():
        raise ShapeError("parents: expected every parent before its children")
    if isinstance(articulated, np.ndarray) and (parents[articulated] < 0).any():
        raise ShapeError("articulated: expected no root")
    b, j, a, s = (call.size[name] for name in "BJAS")
    found = PoseAxes(call.empty(b, a, 3, 3), call.empty(b, a, 3), call.empty(b, j, 3, s))
    launch(
        "pose_axes", b * (a + s), angles, transforms, scale, parents, articulated, bind, joint_basis, found.axes,
        found.joint_positions, found.bind_jacobian, side, 12 * j * own, b, j, a, s,
    )  # fmt: skip
    return found


def normal_equations(
    vertex_normal_equations: Array,
    posed: Array,
    transforms: Array,
    translation: Array,
    rest: Array,
    indices: Array,
    weights: Array,
    ancestry: Array,
    columns: Array,
    axes: Array,
    joint_positions: Array,
    vertex_basis: Array,
    bind_jacobian: Array,
) -> tuple[Array, Array]:
    """Chain normal equations by vertex to the parameters of each pose: H = sum X^T A X and g = sum X^T b.

    vertex_normal_equations: (B, V, 9), as closest_points_normal_equations returns them; posed: (B, V, 3) mm
    transforms: (B, J, 3, 4); translation: (B, 3) mm, where the wrist is; rest: (V, 3) or (B, V, 3) mm
    indices, weights: (V, K), as in skin
    ancestry: (J, D) int32, the rows of the angles that move each joint, -1 behind the last; at most 16 rows in all
    columns: (A, 3) int32, the parameter of each angle, from 7 on and each number once, -1 where it may not move
    axes, joint_positions, bind_jacobian: as in PoseAxes; vertex_basis: (S, V, 3) mm, the derivative of the rest
    vertices by each proportion
    Parameters: rotation tangent (3, rad), translation (3, mm), log scale, the angles that may move, S proportions.
    Returns H (B, P, P), 0 above its diagonal, and g (B, P), half the gradient of the loss. Raises ShapeError.
    Vertices move as in Eq. 1 of the paper.
    """
    own = getattr(rest, "ndim", 2) == 3
    inputs = (
        vertex_normal_equations, posed, transforms, translation, rest, indices, weights, ancestry, columns, axes,
        joint_positions, vertex_basis, bind_jacobian,
    )  # fmt: skip
    call = _check_vertices(*inputs[:7], own=own)
    call.real("axes", axes, ("B", "A", 3, 3))
    call.real("joint_positions", joint_positions, ("B", "A", 3))
    call.whole("ancestry", ancestry, ("J", "D"), below="A", lowest=-1)
    call.real("vertex_basis", vertex_basis, ("S", "V", 3))
    call.real("bind_jacobian", bind_jacobian, ("B", "J", 3, "S"))
    p = _count_parameters(call, columns)
    b, v = call.size["B"], call.size["V"]
    sizes = (3 * v * own, *(call.size[name] for name in "BJVKDAS"), p)
    if schedule(vertex_normal_equations) == "grid":
        hessian, gradient = call.zeros(b, p, p), call.zeros(b, p)
        launch("normal_equations_grid", b * v, *inputs, hessian, gradient, *sizes)
        return hessian, gradient
    hessian, gradient = call.empty(b, p, p), call.empty(b, p)
    scratch = call.empty(max(1, cpu_threads()), MAX_PARAMETERS, MAX_PARAMETERS)
    launch("normal_equations", b, *inputs, scratch, hessian, gradient, *sizes)
    return hessian, gradient


def _check_vertices(
    vertex_normal_equations: Array,
    posed: Array,
    transforms: Array,
    translation: Array,
    rest: Array,
    indices: Array,
    weights: Array,
    own: bool,
) -> Arguments:
    call = Arguments()
    call.real("vertex_normal_equations", vertex_normal_equations, ("B", "V", 9))
    call.real("posed", posed, ("B", "V", 3))
    call.real("transforms", transforms, ("B", "J", 3, 4))
    call.real("translation", translation, ("B", 3))
    call.real("rest", rest, ("B", "V", 3) if own else ("V", 3))
    call.whole("indices", indices, ("V", "K"), below="J")
    call.real("weights", weights, ("V", "K"))
    return call


def _count_parameters(call: Arguments, columns: Array) -> int:
    """Check the parameter of each angle (A, 3), and return the number P of all parameters."""
    call.whole("columns", columns, ("A", 3))
    if call.size["A"] > MAX_ROWS:
        raise ShapeError(f"axes: expected at most {MAX_ROWS} articulated joints, got {call.size['A']}")
    moving = int((columns >= 0).sum())
    count = RIGID + moving + call.size["S"]
    if count > MAX_PARAMETERS:
        raise ShapeError(f"columns: expected at most {MAX_PARAMETERS} parameters, got {count}")
    if call.scans(columns):
        used = np.sort(columns, axis=None)[columns.size - moving :]
        if (columns < -1).any() or (used != np.arange(RIGID, RIGID + moving)).any():
            raise ShapeError(f"columns: expected -1, and each number from {RIGID} to {RIGID + moving - 1} once")
    return count


def angle_columns(free: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The parameter of each angle (A, 3) that may move, counted from RIGID, and -1 for the others."""
    return np.where(free, RIGID - 1 + np.cumsum(free.ravel()).reshape(free.shape), -1).astype(np.int32)


def angle_ancestry(parents: NDArray[np.int32], articulated: NDArray[np.int32]) -> NDArray[np.int32]:
    """The rows of the articulated joints at or above each joint, (J, D), -1 behind the last.

    parents: (J,), parents before their children; articulated: (A,) the joint of each row
    """
    row_of = {int(joint): row for row, joint in enumerate(articulated)}
    above: list[list[int]] = []
    for joint, parent in enumerate(parents):
        own = [row_of[joint]] if joint in row_of else []
        above.append(own + (above[parent] if parent >= 0 else []))
    depth = max(1, *(len(rows) for rows in above))
    return np.array([rows + [-1] * (depth - len(rows)) for rows in above], np.int32)


def solve_damped(hessian: Array, gradient: Array, damping: Array, free: Array) -> Array:
    """A Levenberg-Marquardt step: solve (H + damping diag(H)) step = -gradient for each image, by Cholesky.

    hessian: (B, P, P), its lower triangle; gradient: (B, P); damping: (B,); free: (P,), 0 for parameters that stay
    Parameters without curvature (0 on H's diagonal) stay as well.
    Returns step (B, P), 0 where H is not positive definite. Raises ShapeError.
    """
    call = Arguments()
    call.real("hessian", hessian, ("B", "P", "P"))
    call.real("gradient", gradient, ("B", "P"))
    call.real("damping", damping, ("B",))
    call.real("free", free, ("P",))
    b, p = call.size["B"], call.size["P"]
    step = call.empty(b, p)
    if schedule(hessian) == "image":
        launch("solve_damped", b, hessian, gradient, damping, free, call.empty(b, p, p), step, b, p)
        return step
    columns = panel_columns(p)
    factor = call.empty(b, columns + 1, columns)
    for first in range(0, columns, PANEL):
        launch(
            "solve_panel", b * (columns + 1), hessian, gradient, damping, free, factor, step, first, b, p, columns
        )  # fmt: skip
    return step


def panel_columns(parameters: int) -> int:
    """The columns of the table in which a GPU solves: whole panels."""
    return -(-parameters // PANEL) * PANEL
