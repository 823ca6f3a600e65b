"""The differentiable point-splat depth renderer (paper, Eq. 9 to 13)."""

import numpy as np

from handopt.backend import Arguments, Array, launch, schedule
from handopt.errors import ShapeError

MAX_POINTS_DOUBLE = 1 << 20


def render_depth(points: Array, radius: float, size: int = 120) -> tuple[Array, Array]:
    """Render closeness images: f_ij = max_k (1 - z_k) phi_ij(p_k) (paper, Eq. 9 to 11).

    points: (B, V, 3) crop coordinates: column, row in pixels, depth z, 1 at the far face; points with z >= 1 or outside
    the image render nothing; radius: of a splat, in pixels; size: S, the side of the image
    Returns image (B, S, S), closeness 1 - z, 0 where nothing is hit, and winners (B, S, S) int32, the index of the
    point that each pixel shows, -1 where nothing is hit; the lowest index wins a tie. Raises ShapeError.
    """
    call = _check(points, radius)
    if not size > 0:
        raise ShapeError(f"size: expected a positive number of pixels, got {size!r}")
    b, v = call.size["B"], call.size["V"]
    image, winners = call.empty(b, size, size), call.empty(b, size, size, dtype=np.int32)
    if schedule(points) == "image":
        launch("splat_forward", b, points, image, winners, radius, b, v, size)
        return image, winners
    if points.dtype == np.float64 and v > MAX_POINTS_DOUBLE:
        raise ShapeError(f"points: expected at most {MAX_POINTS_DOUBLE} points in float64 on a GPU, got {v}")
    keys = call.zeros(b, size, size, dtype=np.uint64)
    launch("splat_scatter", b * v, points, keys, radius, b, v, size)
    launch("splat_resolve", b * size * size, points, keys, image, winners, radius, b, v, size)
    return image, winners


def render_depth_backward(grad_image: Array, points: Array, winners: Array, radius: float) -> Array:
    """Gradient of render_depth (paper, Eq. 12 and 13): each pixel passes its gradient to its winner.

    grad_image: (B, S, S); points: (B, V, 3), radius: as in render_depth; winners: (B, S, S) int32 that it returned
    Returns grad_points (B, V, 3) in crop coordinates. Raises ShapeError.
    """
    call = _check(points, radius)
    call.real("grad_image", grad_image, ("B", "S", "S"))
    call.whole("winners", winners, ("B", "S", "S"))
    b, v, s = call.size["B"], call.size["V"], call.size["S"]
    grad_points = call.zeros(b, v, 3)
    launch("splat_backward", b * s * s, grad_image, points, winners, grad_points, radius, b, v, s)
    return grad_points


def _check(points: Array, radius: float) -> Arguments:
    call = Arguments()
    call.real("points", points, ("B", "V", 3))
    if not 0 < radius < np.inf:
        raise ShapeError(f"radius: expected a positive number of pixels, got {radius!r}")
    return call
