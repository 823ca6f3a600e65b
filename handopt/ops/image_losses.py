"""Image losses: the difference of closeness images, and the distance of projected points to the silhouette."""

from handopt.backend import Arguments, Array, launch
from handopt.errors import ShapeError


def depth_loss(
    image: Array, target: Array, image_index: Array, delta: float = 0.0, weight: Array | None = None
) -> Array:
    """Mean robust difference of closeness images: 1/S^2 sum_ij w_ij rho(f_ij - t_ij).

    image: (B, S, S); target: (I, S, S); image_index: (B,) int32, the target of each image; weight: (I, S, S) or None
    delta: where rho (Huber's, scaled to slope 1) turns from e^2 / (2 delta) to |e| - delta/2; 0 is the absolute value
    Returns (B,). Raises ShapeError.
    """
    call = _check_images(image, target, image_index, delta, weight)
    b, s = call.size["B"], call.size["S"]
    loss = call.zeros(b)
    weights = target if weight is None else weight
    launch(
        "depth_loss_forward", b * s, image, target, weights, image_index, loss, delta, b, s, int(weight is not None)
    )  # fmt: skip
    return loss


def depth_loss_backward(
    grad_loss: Array,
    image: Array,
    target: Array,
    image_index: Array,
    delta: float = 0.0,
    weight: Array | None = None,
) -> Array:
    """Gradient of depth_loss, given grad_loss (B,); the other arguments as there.

    Returns grad_image (B, S, S); it is 0 where the difference is 0. Raises ShapeError.
    """
    call = _check_images(image, target, image_index, delta, weight)
    call.real("grad_loss", grad_loss, ("B",))
    b, s = call.size["B"], call.size["S"]
    grad_image = call.empty(b, s, s)
    weights = target if weight is None else weight
    launch(
        "depth_loss_backward", b * s, grad_loss, image, target, weights, image_index, grad_image, delta, b, s,
        int(weight is not None),
    )  # fmt: skip
    return grad_image


def silhouette_loss(points: Array, field: Array, image_index: Array, mm_per_px: Array) -> Array:
    """Mean squared distance of projected points to the allowed region: 1/V sum_v d(x_v, y_v)^2, in mm^2.

    points: (B, V, 3) crop coordinates; field: (I, S, S) mm, the distance of each pixel to the region, read bilinearly
    image_index: (B,) int32; mm_per_px: (I,), by which the distance grows outside the grid
    Returns (B,). Raises ShapeError.
    """
    call = _check_field(points, field, image_index, mm_per_px)
    b, v, s = (call.size[name] for name in "BVS")
    loss = call.zeros(b)
    launch("silhouette_forward", b * v, points, field, image_index, mm_per_px, loss, b, v, s)
    return loss


def silhouette_loss_backward(
    grad_loss: Array, points: Array, field: Array, image_index: Array, mm_per_px: Array
) -> Array:
    """Gradient of silhouette_loss, given grad_loss (B,); the other arguments as there.

    Returns grad_points (B, V, 3), whose depth part is 0. Raises ShapeError.
    """
    call = _check_field(points, field, image_index, mm_per_px)
    call.real("grad_loss", grad_loss, ("B",))
    b, v, s = (call.size[name] for name in "BVS")
    grad_points = call.empty(b, v, 3)
    launch(
        "silhouette_backward", b * v, grad_loss, points, field, image_index, mm_per_px, grad_points, b, v, s
    )  # fmt: skip
    return grad_points


def _check_images(image: Array, target: Array, image_index: Array, delta: float, weight: Array | None) -> Arguments:
    call = Arguments()
    call.real("image", image, ("B", "S", "S"))
    call.real("target", target, ("I", "S", "S"))
    call.whole("image_index", image_index, ("B",), below="I")
    if weight is not None:
        call.real("weight", weight, ("I", "S", "S"))
    if not 0 <= delta < float("inf"):
        raise ShapeError(f"delta: expected 0 or a positive number, got {delta!r}")
    return call


def _check_field(points: Array, field: Array, image_index: Array, mm_per_px: Array) -> Arguments:
    call = Arguments()
    call.real("points", points, ("B", "V", 3))
    call.real("field", field, ("I", "S", "S"))
    call.whole("image_index", image_index, ("B",), below="I")
    call.real("mm_per_px", mm_per_px, ("I",))
    return call
