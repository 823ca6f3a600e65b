"""Projection of camera-frame points into the renderer's crop."""

from handopt.backend import Arguments, Array, launch


def project(points: Array, coefficients: Array, perspective: bool = True) -> Array:
    """Project points into a crop: x = ax X/Z + bx, y = ay Y/Z + by, z = az Z + bz.

    points: (B, V, 3) mm; coefficients: (B, 6): ax, bx, ay, by, az, bz (see Crop.coefficients)
    perspective: False leaves out the division by Z
    Returns (B, V, 3): column and row in pixels, and depth, 1 at the far face. Points with Z <= 0 get depth 2, which
    renders nothing. Raises ShapeError.
    """
    call = _check(points, coefficients)
    b, v = call.size["B"], call.size["V"]
    projected = call.empty(b, v, 3)
    launch("project_forward", b * v, points, coefficients, projected, int(perspective), b, v)
    return projected


def project_backward(grad_projected: Array, points: Array, coefficients: Array, perspective: bool = True) -> Array:
    """Gradient of project, given grad_projected (B, V, 3); the other arguments as there. Returns (B, V, 3)."""
    call = _check(points, coefficients)
    call.real("grad_projected", grad_projected, ("B", "V", 3))
    b, v = call.size["B"], call.size["V"]
    grad_points = call.empty(b, v, 3)
    launch("project_backward", b * v, grad_projected, points, coefficients, grad_points, int(perspective), b, v)
    return grad_points


def _check(points: Array, coefficients: Array) -> Arguments:
    call = Arguments()
    call.real("points", points, ("B", "V", 3))
    call.real("coefficients", coefficients, ("B", 6))
    return call
