"""Forward kinematics as an operator, with the gradients that handopt.ops leaves out: by the matrix and by the bind."""

from typing import Any

import torch

from handopt.backend import Array, namespace_of
from handopt.errors import ShapeError
from handopt.ops import kinematics
from handopt.torch.arrays import Tensor
from handopt.torch.registration import operator
from handopt.torch.rotations import SMALL, axis_angle_to_matrix

TINY = 1e-24  # rad^2, so that nothing is divided by 0


def forward_kinematics(
    angles: Tensor,
    rotation: Tensor,
    translation: Tensor,
    scale: Tensor,
    parents: Tensor,
    articulated: Tensor,
    bind: Tensor,
    side: int = 1,
) -> Tensor:
    """Joint transforms (B, J, 3, 4) mm of poses; handopt.forward_kinematics says what each argument is.

    rotation: (B, 3, 3), whose gradient is a cotangent of the matrix, or (B, 3) an axis-angle, whose gradient is by its
    numbers. bind: (J, 3, 4) or (B, J, 3, 4), has a gradient too. Gradients take rotation and bind to be rotations, as
    they must be. Raises ShapeError.
    """
    return _forward(angles, rotation, translation, scale, parents, articulated, bind, side)


def _shape(angles: Tensor, rotation: Tensor, translation: Tensor, scale: Tensor, parents: Tensor, *_: Any) -> Tensor:
    return angles.new_empty(angles.shape[0], parents.shape[0], 3, 4)


def _transforms(angles: Array, rotation: Array, *others: Any) -> Array:
    """Joint transforms of arrays; rotation: (B, 3, 3) or (B, 3)."""
    if rotation.ndim == 2:
        rotation = rotations_of(rotation)
    return kinematics.forward_kinematics(angles, rotation, *others)


def _gradients(
    grad_transforms: Array, transforms: Array, angles: Array, rotation: Array, translation: Array, *others: Any
) -> tuple[Array, ...]:
    """Gradients of angles, rotation (in its own form), translation and scale, as arrays."""
    vectors = rotation if rotation.ndim == 2 else None
    matrices = rotation if vectors is None else rotations_of(vectors)
    grad_angles, tangent, grad_translation, grad_scale = kinematics.forward_kinematics_backward(
        grad_transforms, angles, matrices, translation, *others
    )
    if vectors is not None:
        return grad_angles, of_axis_angle(tangent, vectors), grad_translation, grad_scale
    # M = R [s G | s (g - w)] + [0 | t], so that sum_j grad_M (M - [0 | t])^T R is the gradient by each element of R
    xp, (b, j) = namespace_of(angles), transforms.shape[:2]
    moved = transforms.copy()
    moved[..., 3] -= translation[:, None]
    across, moved = (each.transpose(0, 2, 1, 3).reshape(b, 3, 4 * j) for each in (grad_transforms, moved))
    grad_rotation = xp.matmul(xp.matmul(across, moved.transpose(0, 2, 1)), matrices)
    return grad_angles, grad_rotation, grad_translation, grad_scale


def rotations_of(vectors: Array) -> Array:
    """Rotations (B, 3, 3) of axis-angles (B, 3), as arrays (Rodrigues). Raises ShapeError."""
    if vectors.shape[1:] != (3,):
        raise ShapeError(f"rotation: expected shape (B, 3, 3) or (B, 3), got {tuple(vectors.shape)}")
    xp = namespace_of(vectors)
    square = (vectors * vectors).sum(axis=1)
    angle = xp.sqrt(xp.maximum(square, TINY))
    half = xp.sin(angle / 2) / angle
    second = 2 * half * half
    found = (second[:, None] * vectors)[:, :, None] * vectors[:, None]
    found[:, (0, 1, 2), (0, 1, 2)] += (1 - second * square)[:, None]
    turn = (xp.sin(angle) / angle)[:, None] * vectors
    found[:, (2, 0, 1), (1, 2, 0)] += turn
    found[:, (1, 2, 0), (2, 0, 1)] -= turn
    return found


def of_axis_angle(tangent: Array, vectors: Array) -> Array:
    """J^T of a tangent (B, 3), with exp([w + d]x) = exp([J d]x) exp([w]x), J = I + a [w]x + b [w]x^2."""
    xp = namespace_of(vectors)
    square = (vectors**2).sum(axis=1, keepdims=True)
    small = square < SMALL
    angle = xp.sqrt(xp.where(small, 1, square))
    first = xp.where(small, 0.5 - square / 24, 2 * (xp.sin(angle / 2) / angle) ** 2)
    second = xp.where(small, 1 / 6 - square / 120, (angle - xp.sin(angle)) / angle**3)
    across = _cross(vectors, tangent)
    return (tangent - first * across + second * _cross(vectors, across)).astype(vectors.dtype)


def _cross(one: Array, other: Array) -> Array:
    a, b, c = one.T
    x, y, z = other.T
    return namespace_of(one).stack([b * z - c * y, c * x - a * z, a * y - b * x], axis=1)


_backward = operator(
    "forward_kinematics_backward",
    "(Tensor grad_transforms, Tensor transforms, Tensor angles, Tensor rotation, Tensor translation, Tensor scale, "
    "Tensor parents, Tensor articulated, Tensor bind, int side) -> (Tensor, Tensor, Tensor, Tensor)",
    _gradients,
    lambda grad, transforms, *inputs: tuple(each.new_empty(each.shape) for each in inputs[:4]),
)


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(output, *inputs[:7])
    ctx.side = inputs[7]


def _backward_of(ctx: Any, grad_transforms: Tensor) -> tuple[Any, ...]:
    transforms, _, rotation, translation, scale, parents, articulated, bind = ctx.saved_tensors
    gradients: tuple[Any, ...] = (None, None, None, None)
    if any(ctx.needs_input_grad[:4]):
        gradients = _backward(grad_transforms, *ctx.saved_tensors, ctx.side)
    grad_bind = None
    if ctx.needs_input_grad[6]:
        with torch.no_grad():
            rotation = axis_angle_to_matrix(rotation) if rotation.ndim == 2 else rotation
            pose = (rotation, translation, scale)
            grad_bind = _bind_gradient(grad_transforms, transforms, *pose, parents, articulated, bind)
    return (*gradients, None, None, grad_bind, None)


def _bind_gradient(
    grad_transforms: Tensor,
    transforms: Tensor,
    rotation: Tensor,
    translation: Tensor,
    scale: Tensor,
    parents: Tensor,
    articulated: Tensor,
    bind: Tensor,
) -> Tensor:
    """Gradient of forward_kinematics by its bind matrices, in the shape of bind.

    With G_j = [Q | g] a joint's motion in the rig and A_j its own cotangent, A_j [G_j; 0 0 0 1]^T adds up along the
    chain: a joint's whole cotangent is the sum over it and all that follow it, times [G_j; 0 0 0 1]^-T.
    """
    to_rig, size = rotation.transpose(1, 2)[:, None], scale[:, None, None, None]
    turns = to_rig @ transforms[..., :3] / size
    places = to_rig @ (transforms[..., 3:] - translation[:, None, :, None]) / size + bind[..., :1, :, 3:]
    own_turns, own_places = size * (to_rig @ grad_transforms[..., :3]), size * (to_rig @ grad_transforms[..., 3:])
    follows = _follows(parents, transforms.dtype)
    moments = torch.einsum("jk,bkrc->bjrc", follows, own_turns @ turns.mT + own_places @ places.mT)
    grad_places = torch.einsum("jk,bkrc->bjrc", follows, own_places)
    grad_turns = (moments - grad_places @ places.mT) @ turns

    above = turns[:, parents.clamp(min=0).long()].mT
    axes, centres = bind[..., :3], bind[..., 3:]
    local = above @ turns  # Q = N L N^T about the bind position c
    grad_centres = above @ grad_places - local.mT @ (above @ grad_places)
    grad_local = above @ grad_turns - above @ grad_places @ centres.mT
    grad_axes = (grad_local @ local.mT + grad_local.mT @ local) @ axes
    moves = torch.zeros(len(parents), dtype=torch.bool, device=parents.device).index_fill(0, articulated.long(), True)
    gradient = torch.cat([grad_axes, grad_centres], dim=3) * moves[:, None, None]
    wrist = torch.cat([torch.zeros_like(own_turns[:, 0]), -own_places.sum(dim=1)], dim=2)
    gradient = torch.cat([wrist[:, None], gradient[:, 1:]], dim=1)
    return gradient if bind.ndim == 4 else gradient.sum(dim=0)


def _follows(parents: Tensor, dtype: Any) -> Tensor:
    """(J, J) 1 where the column's joint is the row's or comes after it in the chain."""
    joints = torch.arange(len(parents), device=parents.device)
    reach = ((parents[None] == joints[:, None]) | (joints[None] == joints[:, None])).to(dtype)
    for _ in range(kinematics.MAX_JOINTS.bit_length()):
        reach = (reach @ reach).clamp(max=1)
    return reach


_forward = operator(
    "forward_kinematics",
    "(Tensor angles, Tensor rotation, Tensor translation, Tensor scale, Tensor parents, Tensor articulated, "
    "Tensor bind, int side) -> Tensor",
    _transforms,
    _shape,
    gradients=("angles", "rotation", "translation", "scale", "bind"),
    keep=_keep,
    backward=_backward_of,
)
