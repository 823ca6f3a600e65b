"""A triangle z-buffer: the exact depth image of a mesh, forward only."""

import numpy as np

from handopt.backend import Arguments, Array, device_of, launch, namespace_of, using
from handopt.errors import ShapeError


def rasterise(points: Array, faces: Array, camera: tuple[float, float, float, float, int, int]) -> Array:
    """Depth of the nearest surface at every pixel centre.

    points: (B, V, 3) camera frame, mm; faces: (F, 3) int32, either winding; camera: fx, fy, cx, cy, width, height
    Returns (B, height, width) mm, 0 where there is no surface. Triangles with a corner nearer than 1 mm are left out.
    Raises ShapeError.
    """
    call = Arguments()
    call.real("points", points, ("B", "V", 3))
    call.whole("faces", faces, ("F", 3), below="V")
    fx, fy, cx, cy, width, height = camera
    if not (np.isfinite((fx, fy, cx, cy)).all() and fx > 0 and fy > 0 and width > 0 and height > 0):
        raise ShapeError(f"camera: expected positive fx, fy, width and height and finite cx, cy, got {camera!r}")
    b, v, f = call.size["B"], call.size["V"], call.size["F"]
    depth = call.empty(b, int(height), int(width))
    with using(device_of(points)):
        depth.fill(np.inf)
        launch("rasterise_forward", b * f, points, faces, depth, fx, fy, cx, cy, b, v, f, int(width), int(height))
        depth[namespace_of(points).isinf(depth)] = 0
    return depth
