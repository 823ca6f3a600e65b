"""Linear blend skinning (paper, Eq. 1 to 8)."""

from handopt.backend import Arguments, Array, launch
from handopt.errors import ShapeError


def skin(transforms: Array, rest: Array, indices: Array, weights: Array) -> Array:
    """Pose rest points by linear blend skinning: f_bi = sum_k w_ik M_b,j(i,k) p_i (paper, Eq. 1 and 6).

    transforms: (B, J, 3, 4), rest space -> camera space, mm; rest: (V, 3) mm, or (B, V, 3) where each image has its own
    indices: (V, K) int32 joints and weights: (V, K) of each point, zero weights last
    Returns (B, V, 3) mm. Raises ShapeError.
    """
    own = getattr(rest, "ndim", 2) == 3
    call = _check(transforms, rest, indices, weights, own=own)
    b, j, v, k = (call.size[name] for name in "BJVK")
    posed = call.empty(b, v, 3)
    launch("skin_forward", b * v, transforms, rest, indices, weights, posed, 3 * v * own, b, j, v, k)
    return posed


def skin_backward(
    grad_posed: Array, transforms: Array, rest: Array, indices: Array, weights: Array, *, rest_gradient: bool = True
) -> tuple[Array, Array | None]:
    """Gradients of skin (paper, Eq. 5 and 8), given grad_posed (B, V, 3); the other arguments as there.

    Returns grad_transforms (B, J, 3, 4) and grad_rest (V, 3), which sums over the batch, or None in its place if
    rest_gradient is False. Raises ShapeError.
    """
    if getattr(rest, "ndim", 2) == 3 and rest_gradient:
        raise ShapeError(
            "rest: expected shape (V, 3), shared by all images, for its gradient; or pass rest_gradient=False"
        )
    call, grad_transforms, grad_rest_images = _backward(grad_posed, transforms, rest, indices, weights, rest_gradient)
    if grad_rest_images is None:
        return grad_transforms, None
    b, v = call.size["B"], call.size["V"]
    grad_rest = call.empty(v, 3)
    launch("sum_over_batch", v * 3, grad_rest_images, grad_rest, b, v * 3)
    return grad_transforms, grad_rest


def skin_backward_by_image(
    grad_posed: Array, transforms: Array, rest: Array, indices: Array, weights: Array
) -> tuple[Array, Array]:
    """Gradients of skin where each image has rest points of its own, rest (B, V, 3); the other arguments as there.

    Returns grad_transforms (B, J, 3, 4) and grad_rest (B, V, 3). Raises ShapeError.
    """
    if getattr(rest, "ndim", 3) != 3:
        raise ShapeError(f"rest: expected shape (B, V, 3), of each image its own, got {tuple(rest.shape)}")
    _, grad_transforms, grad_rest_images = _backward(grad_posed, transforms, rest, indices, weights, True)
    return grad_transforms, grad_rest_images


def _backward(
    grad_posed: Array, transforms: Array, rest: Array, indices: Array, weights: Array, rest_gradient: bool
) -> tuple[Arguments, Array, Array | None]:
    """The checked arguments, grad_transforms, and if asked for the gradient of each image's rest points (B, V, 3)."""
    own = getattr(rest, "ndim", 2) == 3
    call = _check(transforms, rest, indices, weights, own=own)
    call.real("grad_posed", grad_posed, ("B", "V", 3))
    b, j, v, k = (call.size[name] for name in "BJVK")
    grad_transforms = call.zeros(b, j, 3, 4)
    grad_rest_images = call.empty(b, v, 3) if rest_gradient else grad_posed
    launch(
        "skin_backward", b * v, grad_posed, transforms, rest, indices, weights, grad_transforms, grad_rest_images,
        int(rest_gradient), 3 * v * own, b, j, v, k,
    )  # fmt: skip
    return call, grad_transforms, grad_rest_images if rest_gradient else None


def skin_normals(transforms: Array, rest_normals: Array, indices: Array, weights: Array) -> Array:
    """Turn rest normals (V, 3) with the skin and scale them to unit length; the other arguments as in skin.

    Returns (B, V, 3). Raises ShapeError.
    """
    call = _check(transforms, rest_normals, indices, weights, rest_name="rest_normals")
    b, j, v, k = (call.size[name] for name in "BJVK")
    normals = call.empty(b, v, 3)
    launch("skin_normals", b * v, transforms, rest_normals, indices, weights, normals, b, j, v, k)
    return normals


def blend_shapes(base: Array, basis: Array, coefficients: Array) -> Array:
    """Move points linearly with coefficients: out_bn = base_n + sum_s coefficients_bs basis_sn.

    base: (N, 3) mm; basis: (S, N, 3) mm per unit; coefficients: (B, S). Returns (B, N, 3) mm. Raises ShapeError.
    """
    call = Arguments()
    call.real("base", base, ("N", 3))
    call.real("basis", basis, ("S", "N", 3))
    call.real("coefficients", coefficients, ("B", "S"))
    b, s, n = (call.size[name] for name in "BSN")
    out = call.empty(b, n, 3)
    launch("blend_shapes", b * n * 3, base, basis, coefficients, out, b, s, 3 * n)
    return out


def _check(
    transforms: Array, rest: Array, indices: Array, weights: Array, rest_name: str = "rest", own: bool = False
) -> Arguments:
    call = Arguments()
    call.real("transforms", transforms, ("B", "J", 3, 4))
    call.real(rest_name, rest, ("B", "V", 3) if own else ("V", 3))
    call.whole("indices", indices, ("V", "K"), below="J")
    call.real("weights", weights, ("V", "K"))
    return call
