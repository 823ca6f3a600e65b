"""Linear blend skinning as an operator (paper, Eq. 1 to 8), and the normals that turn with the skin."""

from typing import Any

from handopt.backend import Array
from handopt.ops import skinning
from handopt.torch.arrays import Tensor
from handopt.torch.registration import operator


def skin(transforms: Tensor, rest: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Posed points (B, V, 3) mm; handopt.skin says what each argument is.

    Gradients by transforms and by rest, also where each image has rest points of its own (B, V, 3). Raises ShapeError.
    """
    return _skin(transforms, rest, indices, weights)


def skin_normals(transforms: Tensor, rest_normals: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Unit normals (B, V, 3) that turn with the skin; arguments as in handopt.skin_normals. They have no gradient."""
    return _normals(transforms.detach(), rest_normals, indices, weights)


def _posed_shape(transforms: Tensor, rest: Tensor, *_: Any) -> Tensor:
    return transforms.new_empty(transforms.shape[0], rest.shape[-2], 3)


def _gradients(
    grad_posed: Array, transforms: Array, rest: Array, indices: Array, weights: Array, of_rest: bool
) -> tuple[Array, Array]:
    """Gradients of transforms and of rest, an empty one where it was not asked for."""
    if of_rest and rest.ndim == 3:
        return skinning.skin_backward_by_image(grad_posed, transforms, rest, indices, weights)
    grad_transforms, grad_rest = skinning.skin_backward(
        grad_posed, transforms, rest, indices, weights, rest_gradient=of_rest
    )
    return grad_transforms, transforms[:0].copy() if grad_rest is None else grad_rest


def _gradient_shapes(
    grad: Tensor, transforms: Tensor, rest: Tensor, indices: Tensor, weights: Tensor, of_rest: bool
) -> tuple[Tensor, Tensor]:
    shape = rest.shape if of_rest else (0, *transforms.shape[1:])
    return transforms.new_empty(transforms.shape), rest.new_empty(shape)


_backward = operator(
    "skin_backward",
    "(Tensor grad_posed, Tensor transforms, Tensor rest, Tensor indices, Tensor weights, bool of_rest) "
    "-> (Tensor, Tensor)",
    _gradients,
    _gradient_shapes,
)


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _backward_of(ctx: Any, grad_posed: Tensor) -> tuple[Any, ...]:
    of_rest = ctx.needs_input_grad[1]
    grad_transforms, grad_rest = _backward(grad_posed, *ctx.saved_tensors, of_rest)
    return grad_transforms, grad_rest if of_rest else None, None, None


_skin = operator(
    "skin",
    "(Tensor transforms, Tensor rest, Tensor indices, Tensor weights) -> Tensor",
    skinning.skin,
    _posed_shape,
    gradients=("transforms", "rest"),
    keep=_keep,
    backward=_backward_of,
)
_normals = operator(
    "skin_normals",
    "(Tensor transforms, Tensor rest_normals, Tensor indices, Tensor weights) -> Tensor",
    skinning.skin_normals,
    _posed_shape,
)
