"""Rotations as axis-angle, six numbers, matrices and joint angles, all of them differentiable."""

from typing import Any

import torch

from handopt.errors import ShapeError
from handopt.torch.arrays import Tensor

SMALL = 1e-6  # rad^2 or, of a squared cosine, below which a series or a constant takes the place of a quotient


def axis_angle_to_matrix(vectors: Tensor) -> Tensor:
    """Rotations exp([w]x) of vectors w (..., 3) rad, as (..., 3, 3) (Rodrigues' formula); smooth at 0, too."""
    if vectors.shape[-1:] != (3,):
        raise ShapeError(f"vectors: expected shape (..., 3), got {tuple(vectors.shape)}")
    square = (vectors * vectors).sum(-1)
    small = square < SMALL
    angle = torch.where(small, 1.0, square).sqrt()
    first = torch.where(small, 1 - square / 6 * (1 - square / 20), torch.sin(angle) / angle)
    half = torch.sin(angle / 2) / angle
    second = torch.where(small, 0.5 - square / 24 * (1 - square / 30), 2 * half * half)
    x, y, z = (first[..., None] * vectors).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    outer = second[..., None, None] * (vectors[..., :, None] * vectors[..., None, :])
    # exp([w]x) = I + first [w]x + second (w w^T - |w|^2 I)
    return cross + outer + torch.diag_embed((1 - second * square)[..., None].expand(vectors.shape))


def six_numbers_to_matrix(columns: Tensor) -> Tensor:
    """Rotations (..., 3, 3) whose first two columns are the six numbers (..., 6), made orthonormal.

    Zhou, Barnes, Lu, Yang and Li, "On the Continuity of Rotation Representations in Neural Networks" (CVPR 2019).
    """
    if columns.shape[-1:] != (6,):
        raise ShapeError(f"columns: expected shape (..., 6), got {tuple(columns.shape)}")
    first = torch.nn.functional.normalize(columns[..., :3], dim=-1)
    second = columns[..., 3:]
    second = torch.nn.functional.normalize(second - (first * second).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


def matrix_to_six_numbers(matrices: Tensor) -> Tensor:
    """The first two columns of rotations (..., 3, 3), as (..., 6)."""
    return matrices[..., :2].transpose(-1, -2).flatten(-2)


def matrix_to_axis_angle(matrices: Any) -> Any:
    """Vectors (..., 3) rad of rotations (..., 3, 3), as arrays on the host; not differentiable."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_rotvec().reshape(matrices.shape[:-1])


def angles_to_matrix(angles: Tensor, side: int) -> Tensor:
    """Local rotations R_abd R_flex R_twist (..., 3, 3), in a joint's own axes, of angles (..., 3): see Rig."""
    twist, abduction, flexion = angles.unbind(-1)
    zero, one = torch.zeros_like(twist), torch.ones_like(twist)

    def turn(angle: Tensor, layout: str) -> Tensor:
        parts = {"c": torch.cos(angle), "s": torch.sin(angle), "n": -torch.sin(angle), "0": zero, "1": one}
        return torch.stack([parts[each] for each in layout], dim=-1).unflatten(-1, (3, 3))

    return turn(side * abduction, "c0s010n0c") @ turn(-flexion, "1000cn0sc") @ turn(side * twist, "cn0sc0001")


def matrix_to_angles(local: Tensor, side: int) -> Tensor:
    """Twist, abduction and flexion (..., 3) rad of local rotations (..., 3, 3), twist and abduction within 90 degrees.

    Where flexion is 90 degrees twist and abduction are the same motion; there they have no gradient.
    """
    sine = -local[..., 1, 2]  # of a turn by -flexion about x
    down, right = local[..., 2, 2], local[..., 0, 2]
    up, left = local[..., 1, 1], local[..., 1, 0]
    beyond = torch.where(down + up < 0, -1.0, 1.0).to(local.dtype)  # flexed beyond 90 degrees
    square = down * down + right * right
    locked = square < SMALL
    cosine = beyond * torch.where(locked, SMALL, square).sqrt()
    down, up = (torch.where(locked, 1.0, beyond * each) for each in (down, up))
    right, left = (torch.where(locked, 0.0, beyond * each) for each in (right, left))
    flexion = -torch.atan2(sine, cosine)
    return torch.stack([side * torch.atan2(left, up), side * torch.atan2(right, down), flexion], dim=-1)
