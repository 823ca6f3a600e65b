"""From Euler angles to a skinned hand in one operator, and its gradient in another: kinematics, skin and normals."""

from collections.abc import Sequence
from typing import Any

import torch

from handopt.backend import Array, namespace_of
from handopt.ops import skinning
from handopt.ops.kinematics import forward_kinematics, forward_kinematics_backward
from handopt.torch.arrays import Tensor
from handopt.torch.kinematics import of_axis_angle, rotations_of
from handopt.torch.registration import operator


def posed_hand(
    pose: Tensor, translation: Tensor, scale: Tensor, rest: Tensor, fixed: Sequence[Tensor], side: int
) -> tuple[Tensor, ...]:
    """Vertices (B, V, 3), joints (B, 21, 3), normals (B, V, 3), transforms (B, J, 3, 4) and angles (B, 15, 3).

    pose: (B, 16, 3), an axis-angle and 15 joint angles; translation: (B, 3) mm; scale: (B,); rest: (V, 3) or (B, V, 3)
    mm. These have gradients; normals have none.
    fixed: indices and weights (V, K), rest_normals (V, 3), keypoints (21, 3), keypoint_joints and ones (21, 1), parents
    (J,), articulated (15,), bind (J, 3, 4), and free (15, 3), by which the gradient of the angles is multiplied
    """
    moving = (pose, translation, scale, rest)
    if torch.is_grad_enabled() and any(each.requires_grad for each in moving):
        found: tuple[Tensor, ...] = _Posed.apply(*moving, [*fixed], side)
        return found
    return tuple(_forward([*moving], [*fixed], side))


class _Posed(torch.autograd.Function):  # type: ignore[misc]  # torch has no types here
    @staticmethod
    def forward(
        ctx: Any, pose: Tensor, translation: Tensor, scale: Tensor, rest: Tensor, fixed: list[Tensor], side: int
    ) -> tuple[Tensor, ...]:
        """Keep what the gradient needs."""
        moving = [each.detach() for each in (pose, translation, scale, rest)]
        found = _forward(moving, fixed, side)
        ctx.mark_non_differentiable(found[2])
        ctx.save_for_backward(*moving, *found[3:], *fixed)
        ctx.side = side
        return tuple(found)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]  # torch has no types here
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        """Gradients of pose, translation, scale and rest."""
        saved = [*ctx.saved_tensors]
        of_rest = bool(ctx.needs_input_grad[3])
        given = [grads[0], grads[1], grads[3], grads[4]]
        *found, grad_rest = _backward(given, saved[:6], saved[6:], ctx.side, of_rest)
        return *found, grad_rest if of_rest else None, None, None


def _posed(moving: list[Array], fixed: list[Array], side: int) -> tuple[Array, ...]:
    pose, translation, scale, rest = moving
    indices, weights, rest_normals, keypoints, keypoint_joints, ones, parents, articulated, bind, _ = fixed
    chain = (parents, articulated, bind)
    angles = pose[:, 1:].copy()
    transforms = forward_kinematics(angles, rotations_of(pose[:, 0]), translation, scale, *chain, side)
    vertices = skinning.skin(transforms, rest, indices, weights)
    joints = skinning.skin(transforms, keypoints, keypoint_joints, ones)
    normals = skinning.skin_normals(transforms, rest_normals, indices, weights)
    return vertices, joints, normals, transforms, angles


def _shapes(moving: list[Tensor], fixed: list[Tensor], side: int) -> tuple[Tensor, ...]:
    pose, _, _, rest = moving
    count, v = pose.shape[0], rest.shape[-2]
    shapes = ((v, 3), (len(fixed[3]), 3), (v, 3), (len(fixed[6]), 3, 4), (pose.shape[1] - 1, 3))
    return tuple(pose.new_empty(count, *each) for each in shapes)


def _gradients(
    grads: list[Array], saved: list[Array], fixed: list[Array], side: int, of_rest: bool
) -> tuple[Array, ...]:
    grad_vertices, grad_joints, grad_transforms, grad_angles = grads
    pose, translation, scale, rest, transforms, angles = saved
    indices, weights, _, keypoints, keypoint_joints, ones, parents, articulated, bind, free = fixed
    chain = (parents, articulated, bind)
    whole, grad_rest = _of_vertices(grad_vertices, transforms, rest, indices, weights, of_rest)
    whole += skinning.skin_backward(grad_joints, transforms, keypoints, keypoint_joints, ones, rest_gradient=False)[0]
    whole += grad_transforms
    rotation = transforms[:, 0, :, :3] / scale[:, None, None]  # the root's turn is that of the hand
    turned, tangent, grad_translation, grad_scale = forward_kinematics_backward(
        whole, angles, rotation, translation, scale, *chain, side
    )
    grad_pose = namespace_of(pose).empty_like(pose)
    grad_pose[:, 0] = of_axis_angle(tangent, pose[:, 0])
    grad_pose[:, 1:] = (turned + grad_angles) * free
    return grad_pose, grad_translation, grad_scale, grad_rest


def _of_vertices(
    grad: Array, transforms: Array, rest: Array, indices: Array, weights: Array, of_rest: bool
) -> tuple[Array, Array]:
    """Gradients of transforms and rest, an empty one where it was not asked for."""
    if of_rest and rest.ndim == 3:
        return skinning.skin_backward_by_image(grad, transforms, rest, indices, weights)
    found, grad_rest = skinning.skin_backward(grad, transforms, rest, indices, weights, rest_gradient=of_rest)
    return found, rest[:0].copy() if grad_rest is None else grad_rest


def _gradient_shapes(
    grads: list[Tensor], saved: list[Tensor], fixed: list[Tensor], side: int, of_rest: bool
) -> tuple[Tensor, ...]:
    rest = saved[3]
    grad_rest = rest.new_empty(rest.shape if of_rest else (0, *rest.shape[1:]))
    return *(each.new_empty(each.shape) for each in saved[:3]), grad_rest


_backward = operator(
    "posed_hand_backward",
    "(Tensor[] grads, Tensor[] saved, Tensor[] fixed, int side, bool of_rest) -> (Tensor, Tensor, Tensor, Tensor)",
    _gradients,
    _gradient_shapes,
    vouched=True,
)
_forward = operator(
    "posed_hand",
    "(Tensor[] moving, Tensor[] fixed, int side) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _posed,
    _shapes,
    vouched=True,
)
