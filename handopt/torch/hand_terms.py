"""The terms of posed hands against observed ones: each on its own, and all of them with their gradient in one operator.

The sums are those of handopt.objective.descent_objective; kernels/README.md has the equations.
"""

from collections.abc import Sequence
from typing import Any

import torch

from handopt.backend import Array, namespace_of
from handopt.errors import ShapeError
from handopt.ops import closest_points as matching
from handopt.ops import collision as collisions
from handopt.ops import image_losses, projection, splat
from handopt.ops import joint_limits as limits
from handopt.ops import splat_loss as fused
from handopt.torch.arrays import Tensor
from handopt.torch.image_ops import project, silhouette_loss, splat_loss
from handopt.torch.joint_ops import collision, joint_limits
from handopt.torch.point_ops import closest_points
from handopt.torch.registration import operator

TERMS = ("depth", "silhouette", "points", "collision", "limits", "prior", "size")


def hand_terms(
    hands: Sequence[Tensor], observed: Sequence[Tensor], rig: Sequence[Tensor], numbers: Sequence[float]
) -> tuple[Tensor, ...]:
    """The terms of TERMS without their weights, (B,) each, made of the operators of this room.

    hands: vertices (B, V, 3), joints (B, 21, 3), angles (B, 15, 3), scale (B,), normals (B, V, 3)
    observed: image_index (B,) int32, and of I images coefficients, image, field, mm_per_px, weight and points, as in
    DepthTarget; rig: bones (N, 2), lower and upper (15, 3), and whiten (45, 45) and whiten_offset (45,), with which the
    pose prior is |angles whiten + whiten_offset|^2 + least_prior
    numbers: radius_px, huber, sigma_mm, plane, bone_mm and least_prior, see Config. Raises ShapeError.
    """
    vertices, joints, angles, scale, normals = hands
    image_index, coefficients, image, field, mm_per_px, weight, points = observed
    bones, lower, upper, whiten, whiten_offset = rig[:5]
    radius_px, huber, sigma_mm, plane, bone_mm, least_prior = numbers
    projected = project(vertices, coefficients[image_index.long()])
    overlap = collision(joints, bones, bone_mm)
    deviation = torch.addmm(whiten_offset, angles.flatten(1), whiten)
    return (
        splat_loss(projected, image, image_index, radius_px, huber, weight),
        silhouette_loss(projected, field, image_index, mm_per_px),
        closest_points(points, image_index, vertices, normals, sigma_mm, plane)[0],
        torch.where(joints.isfinite().all(2).all(1), overlap, torch.nan),  # what is no number must not look like a fit
        joint_limits(angles, lower, upper),
        deviation.square().sum(1) + least_prior,
        scale.log().square(),
    )


def hand_loss(
    hands: Sequence[Tensor], observed: Sequence[Tensor], rig: Sequence[Tensor], numbers: Sequence[float]
) -> Tensor:
    """The weighted sum (B,) of hand_terms, with gradients by vertices, joints, angles and scale.

    The arguments are those of hand_terms, in four parts; rig: ends with factors (7,), the weights of TERMS.
    """
    moving = hands[:4]
    asked = torch.is_grad_enabled() and any(each.requires_grad for each in moving)
    if any(each.requires_grad for each in (hands[4], *observed, *rig)):
        raise ShapeError("target: the loss has gradients by the hand alone; pass the target's tensors with .detach()")
    loss, *gradients = _loss([each.detach() for each in hands], [*observed], [*rig], [*numbers], asked)
    return _Attached.apply(*moving, loss, *gradients) if asked else loss


class _Attached(torch.autograd.Function):  # type: ignore[misc]  # torch has no types here
    """A loss (B,) of four tensors, with gradients that are known already."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        """given: the four tensors, the loss, and its gradient by each."""
        ctx.save_for_backward(*given[5:])
        return given[4].clone()

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]  # torch has no types here
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Any, ...]:
        """Known gradients times grad_loss (B,)."""
        found = [
            each * grad_loss.view(-1, *(1,) * (each.ndim - 1)) if asked else None
            for each, asked in zip(ctx.saved_tensors, ctx.needs_input_grad, strict=False)
        ]
        return *found, *(None,) * 5


def _loss_and_gradients(
    hands: list[Array], observed: list[Array], rig: list[Array], numbers: list[float], asked: bool
) -> tuple[Array, ...]:
    """The loss and, if asked for, its gradients by vertices, joints, angles and scale; else empty arrays."""
    vertices, joints, angles, scale, normals = hands
    index, coefficients, image, field, mm_per_px, weight, points = observed
    bones, lower, upper, whiten, whiten_offset, factors = rig
    radius_px, huber, sigma_mm, plane, bone_mm, least_prior = numbers
    xp, count = namespace_of(vertices), len(vertices)
    upstream = xp.repeat(factors[:, None], count, axis=1)
    of_depth, of_silhouette, of_points, of_bones, of_limits, of_prior, of_size = upstream
    crops = coefficients[index]
    projected = projection.project(vertices, crops)
    outside = (projected, field, index, mm_per_px)
    match, robust = (points, index, vertices, normals), (sigma_mm, plane)

    terms = xp.empty((len(TERMS), count), vertices.dtype)
    terms[1] = image_losses.silhouette_loss(*outside)
    terms[2], nearest = matching.closest_points(*match, *robust)
    overlap = collisions.collision(joints, bones, bone_mm)
    terms[3] = xp.where(xp.isfinite(joints.sum(axis=(1, 2))), overlap, xp.nan)  # no number must not look like a fit
    terms[4] = limits.joint_limits(angles, lower, upper)
    deviation = angles.reshape(count, -1) @ whiten + whiten_offset
    terms[5] = (deviation * deviation).sum(axis=1) + least_prior
    size = xp.log(scale)
    terms[6] = size * size
    if not asked:
        rendered, _ = splat.render_depth(projected, radius_px, image.shape[-1])
        terms[0] = image_losses.depth_loss(rendered, image, index, huber, weight)
        return factors @ terms, vertices[:0].copy(), joints[:0].copy(), angles[:0].copy(), scale[:0].copy()
    terms[0], grad_projected = fused.splat_loss(of_depth, projected, image, index, radius_px, huber, weight)
    grad_projected += image_losses.silhouette_loss_backward(of_silhouette, *outside)
    grad_vertices = projection.project_backward(grad_projected, vertices, crops)
    grad_vertices += matching.closest_points_backward(of_points, *match, nearest, *robust)
    grad_joints = collisions.collision_backward(of_bones, joints, bones, bone_mm, False)
    grad_angles = limits.joint_limits_backward(of_limits, angles, lower, upper)
    grad_angles += (2 * of_prior[:, None] * (deviation @ whiten.T)).reshape(angles.shape)
    return factors @ terms, grad_vertices, grad_joints, grad_angles, 2 * of_size * size / scale


def _shapes(
    hands: list[Tensor], observed: list[Tensor], rig: list[Tensor], numbers: list[float], asked: bool
) -> tuple[Tensor, ...]:
    loss = hands[0].new_empty(hands[0].shape[0])
    kept = hands[0].shape[0] if asked else 0
    return loss, *(each.new_empty(kept, *each.shape[1:]) for each in hands[:4])


_loss = operator(
    "hand_loss",
    "(Tensor[] hands, Tensor[] observed, Tensor[] rig, float[] numbers, bool asked) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _loss_and_gradients,
    _shapes,
    vouched=True,
)
