"""Slow float64 twins of the Gauss-Newton ops: quadratic models by vertex, normal equations, damped steps.

A model of loss(x + d) = loss(x) + 2 b.d + d^T A d is stored as A's xx, xy, xz, yy, yz, zz, then b.
"""

from collections.abc import Callable

import numpy as np

from support import reference
from support.reference import Floats, Ints

UPPER = np.triu_indices(3)


def matrices(vertex_normal_equations: Floats) -> tuple[Floats, Floats]:
    """A (..., 3, 3) and b (..., 3) of stored models (..., 9)."""
    a = np.zeros((*vertex_normal_equations.shape[:-1], 3, 3))
    a[..., UPPER[0], UPPER[1]] = vertex_normal_equations[..., :6]
    a[..., UPPER[1], UPPER[0]] = vertex_normal_equations[..., :6]
    return a, vertex_normal_equations[..., 6:]


def add(model: Floats, weight: float, gradients: Floats, residuals: Floats) -> None:
    """Add squared residuals (n,) with gradients (n, 3) to a stored model (9,)."""
    model[:6] += (weight * gradients.T @ gradients)[UPPER]
    model[6:] += weight * gradients.T @ residuals


def slope(error: float, sigma: float) -> float:
    """Derivative of the robust function by the squared residual."""
    return (sigma**2 / (sigma**2 + error)) ** 2


def closest_points_normal_equations(
    grad_loss: Floats,
    observed: Floats,
    image_index: Ints,
    posed: Floats,
    normals: Floats,
    nearest: Ints,
    sigma: float,
    plane: float = 0.5,
) -> Floats:
    """Models (B, V, 9): of each point the residuals sqrt(plane) n.(o - x) and sqrt(1 - plane) (o - x), reweighted."""
    out = np.zeros((*posed.shape[:2], 9))
    for b, t in enumerate(image_index):
        for point, v in zip(observed[t], nearest[b], strict=True):
            if v < 0:
                continue
            away, normal = point - posed[b, v], normals[b, v]
            gradients = -np.vstack([np.sqrt(plane) * normal, np.sqrt(1 - plane) * np.eye(3)])
            residuals = np.append(np.sqrt(plane) * normal @ away, np.sqrt(1 - plane) * away)
            weight = grad_loss[b] / observed.shape[1] * slope(float(residuals @ residuals), sigma)
            add(out[b, v], weight, gradients, residuals)
    return out


def bilinear_gradient(field: Floats, x: float, y: float) -> Floats:
    """Derivatives of a bilinear field by column and row, within the grid."""
    j, i = int(x), int(y)
    right, below = min(j + 1, field.shape[1] - 1), min(i + 1, field.shape[0] - 1)
    u, v = x - j, y - i
    along = (1 - v) * (field[i, right] - field[i, j]) + v * (field[below, right] - field[below, j])
    down = (1 - u) * (field[below, j] - field[i, j]) + u * (field[below, right] - field[i, right])
    return np.array([along, down])


def free_space_normal_equations(
    grad_loss: Floats,
    posed: Floats,
    image_index: Ints,
    coefficients: Floats,
    field: Floats,
    nearest_depth: Floats,
    mm_per_px: Floats,
    sigma: float,
    front: float = 1.0,
    margin: float = 0.0,
) -> Floats:
    """Models (B, V, 9) of the distance beside the hand, and of the depth before its surface along z."""
    out = np.zeros((*posed.shape[:2], 9))
    last = field.shape[1] - 1
    for b, t in enumerate(image_index):
        ax, bx, ay, by = coefficients[t][:4]
        for i, (x, y, z) in enumerate(posed[b]):
            if not z > 0:
                continue
            at = np.array([ax * x / z + bx, ay * y / z + by])
            inside = np.clip(at, 0, last)
            beyond = float(np.linalg.norm(at - inside))
            beside = reference.bilinear(field[t], *inside) + mm_per_px[t] * beyond
            by_pixel = bilinear_gradient(field[t], *inside) * (at == inside)
            if beyond > 0:
                by_pixel = by_pixel + mm_per_px[t] * (at - inside) / beyond
            projection = np.array([[ax / z, 0, -ax * x / z**2], [0, ay / z, -ay * y / z**2]])
            weight = grad_loss[b] / posed.shape[1]
            add(out[b, i], weight * slope(beside**2, sigma), (by_pixel @ projection)[None], np.array([beside]))
            depth = reference.nearest_distance(nearest_depth[t], *at)
            if depth > 0 and depth - margin > z:
                before = depth - margin - z
                along = np.array([[0.0, 0.0, -1.0]])
                add(out[b, i], weight * front * slope(before**2, sigma), along, np.array([before]))
    return out


def collision_normal_equations(grad_loss: Floats, joints: Floats, bones: Ints, radius: float) -> Floats:
    """Models (B, M, 9): Gauss-Newton on sqrt(f) of each contact, three times each joint's own part, lengths constant.

    In the curvature f is at least (radius / 3)^2, and 2 b is the gradient of f.
    """
    out = np.zeros((*joints.shape[:2], 9))
    for b in range(len(joints)):
        weight = grad_loss[b] / joints.shape[1]
        for i, j in bones:
            for k in range(joints.shape[1]):
                if k in (i, j):
                    continue
                depth, gradients = contact(joints[b, i], joints[b, j], joints[b, k], radius)
                for joint, gradient in zip((i, j, k), gradients, strict=True):
                    curvature = 3 * np.outer(gradient, gradient) / (4 * max(depth, (radius / 3) ** 2))
                    out[b, joint, :6] += weight * curvature[UPPER]
                    out[b, joint, 6:] += weight * gradient / 2
    return out


def contact(a: Floats, b: Floats, p: Floats, radius: float) -> tuple[float, Floats]:
    """f of one bone a-b and one joint p, and its gradients by a, b, p (3, 3): 0 where they are apart (Eq. 20-22)."""
    f1, f2 = reference.segment_terms(a, b, p, radius)
    if min(f1, f2) <= 0:
        return 0.0, np.zeros((3, 3))
    length, middle = float(np.linalg.norm(b - a)), (a + b) / 2
    along = float((b - a) @ (p - middle)) / length
    by_height = 2 / length * along * np.array([a - p, p - b, b - a])
    by_radius = np.array([middle - p, middle - p, 2 * (p - middle)]) - by_height
    return min(f1, f2), -by_height if f1 < f2 else -by_radius


def pose_axes(
    angles: Floats,
    transforms: Floats,
    scale: Floats,
    parents: Ints,
    articulated: Ints,
    bind: Floats,
    joint_basis: Floats,
    side: int,
    offsets: Callable[[Floats], Floats],
) -> tuple[Floats, Floats, Floats]:
    """Axes (B, A, 3, 3), pivots (B, A, 3), shifts (B, J, 3, S).

    offsets: transforms' last columns (B, J, 3) for bind positions that are moved by (J, 3). They are linear in them.
    """
    count, rows = len(angles), len(articulated)
    axes, joint_positions = np.zeros((count, rows, 3, 3)), np.zeros((count, rows, 3))
    for b in range(count):
        own = bind[b] if bind.ndim == 4 else bind
        for a, j in enumerate(articulated):
            _twist, abduction, flexion = angles[b, a]
            frame = transforms[b, parents[j], :, :3] / scale[b] @ own[j, :, :3]
            abducted = reference.rotation_about(1, side * abduction)
            flexed = abducted @ reference.rotation_about(0, -flexion)
            axes[b, a] = [frame @ flexed @ [0, 0, side], frame @ [0, side, 0], frame @ abducted @ [-1, 0, 0]]
            joint_positions[b, a] = transforms[b, j] @ np.append(own[j, :, 3], 1)
    here = offsets(np.zeros(joint_basis.shape[1:]))
    bind_jacobian = [offsets(moved) - here for moved in joint_basis]
    return axes, joint_positions, np.stack(bind_jacobian, axis=-1) if bind_jacobian else np.zeros((*here.shape, 0))


def jacobian(f: Callable[[Floats], Floats], count: int, step: float) -> Floats:
    """Derivatives at 0 of f: (count,) -> (...), as (..., count), by central differences of sixth order."""
    columns = []
    for number in range(count):
        values = [f(step * k * np.eye(count)[number]) for k in (1, 2, 3, -1, -2, -3)]
        near, middle, far = (values[k] - values[k + 3] for k in range(3))
        columns.append((45 * near - 9 * middle + far) / (60 * step))
    return np.stack(columns, axis=-1)


def normal_equations(vertex_normal_equations: Floats, moves: Floats) -> tuple[Floats, Floats]:
    """H (B, P, P) = sum X^T A X, its lower triangle, and g (B, P) = sum X^T b, with moves X (B, V, 3, P)."""
    a, b = matrices(vertex_normal_equations)
    hessian = np.einsum("bvip,bvij,bvjq->bpq", moves, a, moves, optimize=True)
    return np.tril(hessian), np.einsum("bvip,bvi->bp", moves, b)


def solve_damped(hessian: Floats, gradient: Floats, damping: Floats, free: Floats) -> Floats:
    """Steps (B, P) of (H + damping diag(H)) step = -gradient over what is free and has a curvature, 0 elsewhere."""
    out = np.zeros(gradient.shape)
    for b in range(len(gradient)):
        whole = np.tril(hessian[b]) + np.tril(hessian[b], -1).T
        used = np.flatnonzero((free > 0) & (np.diag(whole) != 0))
        matrix = whole[np.ix_(used, used)]
        matrix = matrix + damping[b] * np.diag(np.diag(matrix))
        if len(used) and np.linalg.eigvalsh(matrix)[0] > 0:
            out[b, used] = np.linalg.solve(matrix, -gradient[b, used])
    return out
