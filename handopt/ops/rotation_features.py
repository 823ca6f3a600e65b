"""The entries of a pose's local rotations, which pose correctives multiply, and their derivatives by the angles.

L = R_y(side abd) R_x(-flex) R_z(side twist), as in forward_kinematics; a feature is an entry of L less that of the
identity, row by row (Loper et al., SMPL, 2015, Eq. 9).
"""

from handopt.backend import Arguments, Array, namespace_of


def rotation_features(angles: Array, side: int = 1) -> Array:
    """Features (B, 9 A) of joint angles (B, A, 3) rad: twist, abduction, flexion. Raises ShapeError."""
    xp = namespace_of(angles)
    y, x, z = _factors(angles, side)
    features = xp.matmul(y[0], xp.matmul(x[0], z[0])) - xp.eye(3, dtype=angles.dtype)
    return xp.ascontiguousarray(features.reshape(len(angles), -1))


def rotation_features_jacobian(angles: Array, side: int = 1) -> Array:
    """Derivatives (B, A, 3 angles, 9) of each joint's own features by its angles. Raises ShapeError."""
    xp = namespace_of(angles)
    y, x, z = _factors(angles, side)
    parts = (
        side * xp.matmul(y[0], xp.matmul(x[0], z[1])),
        side * xp.matmul(y[1], xp.matmul(x[0], z[0])),
        -xp.matmul(y[0], xp.matmul(x[1], z[0])),
    )
    return xp.stack([part.reshape(*part.shape[:2], 9) for part in parts], axis=2)


def rotation_features_backward(grad_features: Array, angles: Array, side: int = 1) -> Array:
    """Gradient (B, A, 3) of the angles, given that of the features (B, 9 A). Raises ShapeError."""
    jacobian = rotation_features_jacobian(angles, side)
    return (jacobian * grad_features.reshape(*angles.shape[:2], 1, 9)).sum(axis=3)


def _factors(angles: Array, side: int) -> tuple[tuple[Array, Array], ...]:
    """The rotations (B, A, 3, 3) about y, x and z, each with its derivative by its own angle."""
    Arguments().real("angles", angles, ("B", "A", 3))
    return (
        _about(1, side * angles[..., 1]),
        _about(0, -angles[..., 2]),
        _about(2, side * angles[..., 0]),
    )


def _about(axis: int, angle: Array) -> tuple[Array, Array]:
    """Rotations (B, A, 3, 3) about an axis of the frame, and their derivatives by the angle."""
    xp = namespace_of(angle)
    cosine, sine = xp.cos(angle), xp.sin(angle)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turn = xp.zeros((*angle.shape, 3, 3), angle.dtype)
    slope = xp.zeros((*angle.shape, 3, 3), angle.dtype)
    turn[..., axis, axis] = 1
    for row in (first, second):
        turn[..., row, row], slope[..., row, row] = cosine, -sine
    turn[..., second, first], turn[..., first, second] = sine, -sine
    slope[..., second, first], slope[..., first, second] = cosine, -cosine
    return turn, slope
