"""Render, compare with a depth image and differentiate in one call, which keeps each image in the cache."""

import numpy as np

from handopt.backend import Arguments, Array, cpu_threads, launch, schedule
from handopt.errors import ShapeError
from handopt.ops.image_losses import depth_loss, depth_loss_backward
from handopt.ops.splat import render_depth, render_depth_backward


def splat_loss(
    grad_loss: Array,
    points: Array,
    target: Array,
    image_index: Array,
    radius: float,
    delta: float = 0.0,
    weight: Array | None = None,
) -> tuple[Array, Array]:
    """Compare rendered points with target images: the loss and its gradient by the points at once.

    grad_loss: (B,), by which each gradient is multiplied; points: (B, V, 3), radius: as in render_depth
    target, image_index, delta, weight: as in depth_loss; the image's side is the target's
    Returns loss (B,) as depth_loss does, and grad_points (B, V, 3). Raises ShapeError.

    The same as render_depth, depth_loss and their backwards (paper, Eq. 9 to 13), which it calls on a GPU; on the CPU
    one kernel does an image at a time and keeps its pixels in the cache.
    """
    call = Arguments()
    call.real("grad_loss", grad_loss, ("B",))
    call.real("points", points, ("B", "V", 3))
    call.real("target", target, ("I", "S", "S"))
    call.whole("image_index", image_index, ("B",), below="I")
    if weight is not None:
        call.real("weight", weight, ("I", "S", "S"))
    if not 0 < radius < np.inf:
        raise ShapeError(f"radius: expected a positive number of pixels, got {radius!r}")
    if not 0 <= delta < np.inf:
        raise ShapeError(f"delta: expected 0 or a positive number, got {delta!r}")
    if schedule(points) == "grid":
        image, winners = render_depth(points, radius, call.size["S"])
        compare = (image, target, image_index, delta, weight)
        grad_image = depth_loss_backward(grad_loss, *compare)
        return depth_loss(*compare), render_depth_backward(grad_image, points, winners, radius)
    b, v, s = (call.size[name] for name in "BVS")
    threads = max(1, cpu_threads())
    loss, grad_points = call.empty(b), call.empty(b, v, 3)
    scratch = call.empty(threads, s, s), call.empty(threads, s, s, dtype=np.int32), call.empty(threads, v, 4)
    weights = target if weight is None else weight
    launch(
        "splat_loss", b, grad_loss, points, target, weights, image_index, *scratch, loss, grad_points, radius, delta,
        b, v, s, int(weight is not None),
    )  # fmt: skip
    return loss, grad_points
