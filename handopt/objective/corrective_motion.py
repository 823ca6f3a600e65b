"""Normal equations of a pose whose rest mesh changes with its angles, as MANO's pose correctives have it.

A vertex x_v = sum_k w_vk M_k [P_v + sum_f f_f(angles) C_fv, 1] moves with an angle by the angle's own column and, for
the correctives, by sum_k w_vk M_k sum_f df_f/dangle C_fv. The second part is that of one more proportion for each angle
that may move, which each image has for itself; its rows and columns are then added to those of the angle.
"""

from handopt.backend import Array, namespace_of, to_numpy
from handopt.ops.normal_equations import MAX_PARAMETERS, RIGID, normal_equations
from handopt.ops.rotation_features import rotation_features_jacobian


def chained(
    angles: Array,
    correctives: Array,
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
    """H (B, P, P), 0 above its diagonal, and g (B, P), as handopt.ops.normal_equations has them.

    angles: (B, 15, 3) rad; correctives: (135, V, 3) mm, or (0, V, 3) where there are none; the others as in
    normal_equations, rest with correctives already: (B, V, 3) mm of each image.
    """
    given = (ancestry, columns, axes, joint_positions)
    if not len(correctives):
        return normal_equations(
            vertex_normal_equations, posed, transforms, translation, rest, indices, weights, *given, vertex_basis,
            bind_jacobian,
        )  # fmt: skip
    xp = namespace_of(angles)
    moving = to_numpy(columns).ravel() >= 0
    free = [divmod(int(number), 3) for number in moving.nonzero()[0]]
    count, shapes, sizes = len(free), len(vertex_basis), bind_jacobian.shape[:3]
    followed = min(count, MAX_PARAMETERS - RIGID - count - shapes)
    motion = _motion(angles, correctives, free[:followed])
    still = xp.zeros((*sizes, followed), bind_jacobian.dtype)
    parts = []
    for row in range(len(angles)):
        one = slice(row, row + 1)
        parts.append(
            normal_equations(
                vertex_normal_equations[one], posed[one], transforms[one], translation[one], rest[one], indices,
                weights, ancestry, columns, axes[one], joint_positions[one],
                xp.concatenate([motion[row], vertex_basis]),
                xp.ascontiguousarray(xp.concatenate([still[one], bind_jacobian[one]], axis=3)),
            )
        )  # fmt: skip
    hessian, gradient = (xp.concatenate(part) for part in zip(*parts, strict=True))
    return _folded(hessian, gradient, count, followed)


def _motion(angles: Array, correctives: Array, free: list[tuple[int, int]]) -> Array:
    """How rest vertices move with the angles that may move, (B, A, V, 3) mm per rad."""
    xp = namespace_of(angles)
    jacobian = rotation_features_jacobian(angles)
    rows, axes = (xp.asarray([each[part] for each in free], dtype=xp.int64) for part in (0, 1))
    slopes = jacobian[:, rows, axes]  # (B, A, 9)
    by_row = correctives.reshape(-1, 9, *correctives.shape[1:])[rows]  # (A, 9, V, 3)
    motion = slopes[:, :, 0, None, None] * by_row[:, 0]
    for entry in range(1, 9):
        motion += slopes[:, :, entry, None, None] * by_row[:, entry]
    return motion


def _folded(hessian: Array, gradient: Array, count: int, followed: int) -> tuple[Array, Array]:
    """Add the rows and columns of what correctives move to those of the angles, which begin at RIGID."""
    xp = namespace_of(hessian)
    full = hessian + xp.tril(hessian, -1).transpose(0, 2, 1)
    first, behind = RIGID + count, RIGID + count + followed
    angles, extra = slice(RIGID, RIGID + followed), slice(first, behind)
    full[:, angles] += full[:, extra]
    full[:, :, angles] += full[:, :, extra]
    gradient[:, angles] += gradient[:, extra]
    kept = xp.asarray([*range(first), *range(behind, full.shape[1])], dtype=xp.int64)
    return xp.ascontiguousarray(xp.tril(full[:, kept][:, :, kept])), xp.ascontiguousarray(gradient[:, kept])
