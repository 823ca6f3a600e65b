"""Robust distance from observed points to the nearest visible vertex of the model."""

import numpy as np

from handopt.backend import Arguments, Array, cpu_threads, launch, schedule
from handopt.errors import ShapeError


def closest_points(
    observed: Array, image_index: Array, posed: Array, normals: Array, sigma: float, plane: float = 0.5
) -> tuple[Array, Array]:
    """Mean robust distance from observed points to the model: 1/N sum_n sigma^2 e_n / (sigma^2 + e_n), in mm^2.

    e_n = plane (n.(o - x))^2 + (1 - plane) |o - x|^2 with x, n the nearest vertex that faces the camera and its normal.
    observed: (I, N, 3) mm; image_index: (B,) int32, the observation of each image; posed: (B, V, 3) mm
    normals: (B, V, 3) unit; sigma: mm, beyond which a point counts as an outlier; plane: 0..1
    Returns loss (B,) and nearest (B, N) int32, -1 where no vertex faces the camera (such points count sigma^2).
    Raises ShapeError. Geman and McClure (1985) for the robust function.
    """
    call = _check(observed, image_index, posed, normals, sigma, plane)
    b, n, v = (call.size[name] for name in "BNV")
    nearest = call.empty(b, n, dtype=np.int32)
    if schedule(posed) == "grid":
        launch("closest_points_search_grid", b * n, observed, image_index, posed, normals, nearest, b, n, v)
    else:
        threads = max(1, cpu_threads())
        scratch = call.empty(threads, 3, v), call.empty(threads, v, dtype=np.int32)
        launch("closest_points_search", b, observed, image_index, posed, normals, *scratch, nearest, b, n, v)
    loss = call.zeros(b)
    launch(
        "closest_points_forward", b * n, observed, image_index, posed, normals, nearest, loss, sigma, plane, b, n, v
    )  # fmt: skip
    return loss, nearest


def closest_points_backward(
    grad_loss: Array,
    observed: Array,
    image_index: Array,
    posed: Array,
    normals: Array,
    nearest: Array,
    sigma: float,
    plane: float = 0.5,
) -> Array:
    """Gradient of closest_points, with normals and nearest held constant.

    grad_loss: (B,); nearest: (B, N) int32 that closest_points returned; the other arguments as there.
    Returns grad_posed (B, V, 3). Raises ShapeError.
    """
    call = _check(observed, image_index, posed, normals, sigma, plane)
    call.real("grad_loss", grad_loss, ("B",))
    call.whole("nearest", nearest, ("B", "N"))
    b, n, v = (call.size[name] for name in "BNV")
    grad_posed = call.zeros(b, v, 3)
    launch(
        "closest_points_backward", b * n, grad_loss, observed, image_index, posed, normals, nearest, grad_posed, sigma,
        plane, b, n, v,
    )  # fmt: skip
    return grad_posed


def closest_points_normal_equations(
    grad_loss: Array,
    observed: Array,
    image_index: Array,
    posed: Array,
    normals: Array,
    nearest: Array,
    sigma: float,
    plane: float = 0.5,
    *,
    out: Array | None = None,
) -> Array:
    """Gauss-Newton equations of closest_points by vertex; each point is weighted by the robust function's slope.

    grad_loss: (B,), a factor for each image; nearest: (B, N) int32 that closest_points returned; the other arguments
    as there; out: (B, V, 9), to which the equations are added
    Returns (B, V, 9): xx, xy, xz, yy, yz, zz of A, then b of loss(x + d) = loss(x) + 2 b.d + d.A d. Raises ShapeError.
    """
    call = _check(observed, image_index, posed, normals, sigma, plane)
    call.real("grad_loss", grad_loss, ("B",))
    call.whole("nearest", nearest, ("B", "N"))
    b, n, v = (call.size[name] for name in "BNV")
    vertex_normal_equations = call.zeros(b, v, 9) if out is None else call.output("out", out, ("B", "V", 9))
    launch(
        "closest_points_normal_equations", b * n, grad_loss, observed, image_index, posed, normals, nearest,
        vertex_normal_equations, sigma, plane, b, n, v,
    )  # fmt: skip
    return vertex_normal_equations


def _check(observed: Array, image_index: Array, posed: Array, normals: Array, sigma: float, plane: float) -> Arguments:
    call = Arguments()
    call.real("observed", observed, ("I", "N", 3))
    call.whole("image_index", image_index, ("B",), below="I")
    call.real("posed", posed, ("B", "V", 3))
    call.real("normals", normals, ("B", "V", 3))
    if not sigma > 0:
        raise ShapeError(f"sigma: expected a positive distance in mm, got {sigma!r}")
    if not 0 <= plane <= 1:
        raise ShapeError(f"plane: expected a number from 0 to 1, got {plane!r}")
    return call
