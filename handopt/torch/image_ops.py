"""Operators between points and images: projection, splats and losses of them (paper, Eq. 9 to 13), and a z-buffer."""

from typing import Any

import torch

from handopt.ops import image_losses, projection, splat
from handopt.ops import rasterise as rasterisation
from handopt.ops import splat_loss as fused
from handopt.torch.arrays import Tensor
from handopt.torch.registration import like_first, like_second, one_each, operator

Intrinsics = tuple[float, float, float, float, int, int]


def project(points: Tensor, coefficients: Tensor, perspective: bool = True) -> Tensor:
    """Points in a crop, (B, V, 3), with a gradient by points; handopt.project says what each argument is."""
    return _project(points, coefficients, perspective)


def render_depth(points: Tensor, radius: float, size: int = 120) -> tuple[Tensor, Tensor]:
    """Closeness images (B, S, S), with a gradient by points, and winners (B, S, S) int32; as handopt.render_depth."""
    image, winners = _render(points, radius, size)
    return image, winners


def depth_loss(
    image: Tensor, target: Tensor, image_index: Tensor, delta: float = 0.0, weight: Tensor | None = None
) -> Tensor:
    """Mean robust difference of closeness images, (B,), with a gradient by image; arguments as handopt.depth_loss."""
    return _depth_loss(image, target, image_index, delta, weight)


def splat_loss(
    points: Tensor,
    target: Tensor,
    image_index: Tensor,
    radius: float,
    delta: float = 0.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Points rendered and compared with target images, (B,): depth_loss of render_depth, in less time.

    points: (B, V, 3), which have a gradient; radius: as in render_depth; the others as in depth_loss
    Raises ShapeError.
    """
    if points.requires_grad and torch.is_grad_enabled():
        return _splat_loss(points, target, image_index, radius, delta, weight)[0]
    return depth_loss(render_depth(points, radius, target.shape[-1])[0], target, image_index, delta, weight)


def silhouette_loss(points: Tensor, field: Tensor, image_index: Tensor, mm_per_px: Tensor) -> Tensor:
    """Mean squared distance of projected points to a region, (B,) mm^2, with a gradient by points.

    Arguments as in handopt.silhouette_loss. Raises ShapeError.
    """
    return _silhouette(points, field, image_index, mm_per_px)


def rasterise(points: Tensor, faces: Tensor, camera: Intrinsics) -> Tensor:
    """Depth (B, height, width) mm of the nearest surface, without a gradient; arguments as in handopt.rasterise."""
    return _rasterise(points, faces, *camera)


_project_backward = operator(
    "project_backward",
    "(Tensor grad_projected, Tensor points, Tensor coefficients, bool perspective) -> Tensor",
    projection.project_backward,
    like_second,
)


def _keep_project(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*inputs[:2])
    ctx.perspective = inputs[2]


_project = operator(
    "project",
    "(Tensor points, Tensor coefficients, bool perspective) -> Tensor",
    projection.project,
    like_first,
    gradients=("points",),
    keep=_keep_project,
    backward=lambda ctx, grad: (_project_backward(grad, *ctx.saved_tensors, ctx.perspective), None, None),
)


def _image_shapes(points: Tensor, radius: float, size: int) -> tuple[Tensor, Tensor]:
    shape = points.shape[0], size, size
    return points.new_empty(shape), points.new_empty(shape, dtype=torch.int32)


_render_backward = operator(
    "render_depth_backward",
    "(Tensor grad_image, Tensor points, Tensor winners, float radius) -> Tensor",
    splat.render_depth_backward,
    like_second,
)


def _keep_render(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(inputs[0], output[1])
    ctx.radius = inputs[1]


_render = operator(
    "render_depth",
    "(Tensor points, float radius, int size) -> (Tensor, Tensor)",
    splat.render_depth,
    _image_shapes,
    gradients=("points",),
    keep=_keep_render,
    backward=lambda ctx, grad, _: (_render_backward(grad, *ctx.saved_tensors, ctx.radius), None, None),
)

_depth_loss_backward = operator(
    "depth_loss_backward",
    "(Tensor grad_loss, Tensor image, Tensor target, Tensor image_index, float delta, Tensor? weight) -> Tensor",
    image_losses.depth_loss_backward,
    like_second,
)


def _keep_depth_loss(ctx: Any, inputs: Any, output: Any) -> None:
    image, target, image_index, ctx.delta, weight = inputs
    ctx.save_for_backward(image, target, image_index, weight)


def _backward_of_depth_loss(ctx: Any, grad_loss: Tensor) -> tuple[Any, ...]:
    *images, weight = ctx.saved_tensors
    return _depth_loss_backward(grad_loss, *images, ctx.delta, weight), None, None, None, None


_depth_loss = operator(
    "depth_loss",
    "(Tensor image, Tensor target, Tensor image_index, float delta, Tensor? weight) -> Tensor",
    image_losses.depth_loss,
    one_each,
    gradients=("image",),
    keep=_keep_depth_loss,
    backward=_backward_of_depth_loss,
)


def _loss_and_gradient(points: Any, target: Any, image_index: Any, radius: float, delta: float, weight: Any) -> Any:
    """The loss and its gradient by points, which the kernel makes at once."""
    ones = points[:, 0, 0] * 0 + 1
    return fused.splat_loss(ones, points, target, image_index, radius, delta, weight)


def _keep_splat_loss(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1])


_splat_loss = operator(
    "splat_loss",
    "(Tensor points, Tensor target, Tensor image_index, float radius, float delta, Tensor? weight) -> (Tensor, Tensor)",
    _loss_and_gradient,
    lambda points, *_: (points.new_empty(points.shape[0]), points.new_empty(points.shape)),
    gradients=("points",),
    keep=_keep_splat_loss,
    backward=lambda ctx, grad, _: (ctx.saved_tensors[0] * grad[:, None, None], *(None,) * 5),
)

_silhouette_backward = operator(
    "silhouette_loss_backward",
    "(Tensor grad_loss, Tensor points, Tensor field, Tensor image_index, Tensor mm_per_px) -> Tensor",
    image_losses.silhouette_loss_backward,
    like_second,
)
_silhouette = operator(
    "silhouette_loss",
    "(Tensor points, Tensor field, Tensor image_index, Tensor mm_per_px) -> Tensor",
    image_losses.silhouette_loss,
    one_each,
    gradients=("points",),
    keep=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
    backward=lambda ctx, grad: (_silhouette_backward(grad, *ctx.saved_tensors), None, None, None),
)


def _depth_image(points: Tensor, faces: Tensor, *camera: Any) -> Tensor:
    return points.new_empty(points.shape[0], camera[5], camera[4])


_rasterise = operator(
    "rasterise",
    "(Tensor points, Tensor faces, float fx, float fy, float cx, float cy, int width, int height) -> Tensor",
    lambda points, faces, *camera: rasterisation.rasterise(points, faces, camera),
    _depth_image,
)
