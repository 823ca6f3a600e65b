"""Free-space loss: vertices must not lie where the image shows that there is no hand."""

import numpy as np

from handopt.backend import Arguments, Array, launch
from handopt.errors import ShapeError


def free_space_loss(
    posed: Array,
    image_index: Array,
    coefficients: Array,
    field: Array,
    nearest_depth: Array,
    mm_per_px: Array,
    sigma: float,
    front: float = 1.0,
    margin: float = 0.0,
) -> Array:
    """Mean robust distance of vertices from where the hand may be: 1/V sum_v rho(d_v^2) + front rho(g_v^2), in mm^2.

    d_v: distance in mm of the projected vertex to the pixels where the hand may be; g_v: mm by which the vertex lies in
    front of the depths measured around its pixel, less the margin; rho(e) = sigma^2 e / (sigma^2 + e)
    posed: (B, V, 3) camera frame, mm; image_index: (B,) int32, the observation of each image
    coefficients: (I, 6) of each crop, as in project; field: (I, S, S) mm, as in silhouette_loss
    nearest_depth: (I, S, S) mm, the smallest depth around each pixel, 0 where there is none; mm_per_px: (I,)
    sigma: mm; front: weight of g_v against d_v; margin: mm. Vertices that are not in front of the camera do not count.
    Returns (B,). Raises ShapeError. Geman and McClure (1985) for the robust function.
    """
    call = _check(posed, image_index, coefficients, field, nearest_depth, mm_per_px, sigma, front, margin)
    b, v, s = (call.size[name] for name in "BVS")
    loss = call.zeros(b)
    launch(
        "free_space_forward", b * v, posed, image_index, coefficients, field, nearest_depth, mm_per_px, loss, sigma,
        front, margin, b, v, s,
    )  # fmt: skip
    return loss


def free_space_normal_equations(
    grad_loss: Array,
    posed: Array,
    image_index: Array,
    coefficients: Array,
    field: Array,
    nearest_depth: Array,
    mm_per_px: Array,
    sigma: float,
    front: float = 1.0,
    margin: float = 0.0,
    *,
    out: Array | None = None,
) -> Array:
    """Gauss-Newton equations of free_space_loss by vertex; residuals are weighted by the robust function's slope.

    grad_loss: (B,), a factor for each image; the other arguments as in free_space_loss; out: (B, V, 9), to which the
    equations are added. A vertex in front of the surface is pushed back along z; the surface's slope is ignored.
    Returns (B, V, 9): xx, xy, xz, yy, yz, zz of A, then b of loss(x + d) = loss(x) + 2 b.d + d.A d. Raises ShapeError.
    """
    call = _check(posed, image_index, coefficients, field, nearest_depth, mm_per_px, sigma, front, margin)
    call.real("grad_loss", grad_loss, ("B",))
    b, v, s = (call.size[name] for name in "BVS")
    vertex_normal_equations = call.zeros(b, v, 9) if out is None else call.output("out", out, ("B", "V", 9))
    launch(
        "free_space_normal_equations", b * v, grad_loss, posed, image_index, coefficients, field, nearest_depth,
        mm_per_px, vertex_normal_equations, sigma, front, margin, b, v, s,
    )  # fmt: skip
    return vertex_normal_equations


def _check(
    posed: Array,
    image_index: Array,
    coefficients: Array,
    field: Array,
    nearest_depth: Array,
    mm_per_px: Array,
    sigma: float,
    front: float,
    margin: float,
) -> Arguments:
    call = Arguments()
    call.real("posed", posed, ("B", "V", 3))
    call.real("coefficients", coefficients, ("I", 6))
    call.whole("image_index", image_index, ("B",), below="I")
    call.real("field", field, ("I", "S", "S"))
    call.real("nearest_depth", nearest_depth, ("I", "S", "S"))
    call.real("mm_per_px", mm_per_px, ("I",))
    if not 0 < sigma < np.inf:
        raise ShapeError(f"sigma: expected a positive distance in mm, got {sigma!r}")
    for name, value in (("front", front), ("margin", margin)):
        if not 0 <= value < np.inf:
            raise ShapeError(f"{name}: expected a number of at least 0, got {value!r}")
    return call
