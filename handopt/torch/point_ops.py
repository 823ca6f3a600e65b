"""Closest points as an operator: from observed points to the nearest vertex that faces the camera."""

from typing import Any

import torch

from handopt.ops import closest_points as matching
from handopt.torch.arrays import Tensor
from handopt.torch.registration import operator


def closest_points(
    observed: Tensor, image_index: Tensor, posed: Tensor, normals: Tensor, sigma: float, plane: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Mean robust distance from observed points to the model, (B,) mm^2, and the nearest vertices (B, N) int32.

    The gradient is by posed, with normals and nearest held constant; handopt.closest_points says what each argument is.
    Raises ShapeError.
    """
    loss, nearest = _closest(observed, image_index, posed, normals, sigma, plane)
    return loss, nearest


def _shapes(observed: Tensor, image_index: Tensor, posed: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    count = posed.shape[0]
    return posed.new_empty(count), posed.new_empty((count, observed.shape[1]), dtype=torch.int32)


_backward = operator(
    "closest_points_backward",
    "(Tensor grad_loss, Tensor observed, Tensor image_index, Tensor posed, Tensor normals, Tensor nearest, "
    "float sigma, float plane) -> Tensor",
    matching.closest_points_backward,
    lambda grad, observed, image_index, posed, *_: posed.new_empty(posed.shape),
)


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*inputs[:4], output[1])
    ctx.settings = inputs[4:]


def _backward_of(ctx: Any, grad_loss: Tensor, _: Any) -> tuple[Any, ...]:
    return None, None, _backward(grad_loss, *ctx.saved_tensors, *ctx.settings), None, None, None


_closest = operator(
    "closest_points",
    "(Tensor observed, Tensor image_index, Tensor posed, Tensor normals, float sigma, float plane) -> (Tensor, Tensor)",
    matching.closest_points,
    _shapes,
    gradients=("posed",),
    keep=_keep,
    backward=_backward_of,
)
