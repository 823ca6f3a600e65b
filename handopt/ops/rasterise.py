"""A triangle z-buffer: depth, face and barycentric coordinates of the nearest surface, forward only."""

from typing import NamedTuple

import numpy as np

from handopt.backend import Arguments, Array, device_of, launch, namespace_of, using
from handopt.errors import ShapeError

Camera = tuple[float, float, float, float, int, int]


class Surface(NamedTuple):
    """What is seen at every pixel centre.

    depth: (B, height, width) mm, 0 where there is no surface. face: (B, height, width) int32, -1 where there is none.
    weights: (B, height, width, 3) barycentric coordinates of the point in its face, by corner; 0 where there is none.
    """

    depth: Array
    face: Array
    weights: Array


def rasterise(points: Array, faces: Array, camera: Camera) -> Array:
    """Depth of the nearest surface at every pixel centre.

    points: (B, V, 3) camera frame, mm; faces: (F, 3) int32, either winding; camera: fx, fy, cx, cy, width, height
    Returns (B, height, width) mm, 0 where there is no surface. Triangles with a corner nearer than 1 mm are left out.
    Raises ShapeError.
    """
    _, depth = _nearest(points, faces, camera)
    _clear_unseen(depth)
    return depth


def rasterise_faces(points: Array, faces: Array, camera: Camera) -> Surface:
    """Depth, face and place in it of the nearest surface at every pixel centre.

    Takes what rasterise takes, and gives the same depth. Where several faces are equally near, such as at an edge that
    two of them share, the first one counts. Raises ShapeError.
    """
    call, depth = _nearest(points, faces, camera)
    b, v, f = call.size["B"], call.size["V"], call.size["F"]
    fx, fy, cx, cy, width, height = camera
    face = call.empty(b, int(height), int(width), dtype=np.int32)
    weights = call.empty(b, int(height), int(width), 3)
    view = (fx, fy, cx, cy, b, v, f, int(width), int(height))
    with using(device_of(points)):
        face.fill(f)
        launch("rasterise_faces", b * f, points, faces, depth, face, *view)
        launch("rasterise_weights", face.size, points, faces, face, weights, *view)
        face[face == f] = -1
        _clear_unseen(depth)
    return Surface(depth, face, weights)


def _nearest(points: Array, faces: Array, camera: Camera) -> tuple[Arguments, Array]:
    """The checked arguments, and depth (B, height, width) mm, infinity where there is no surface. Raises ShapeError."""
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
    return call, depth


def _clear_unseen(depth: Array) -> None:
    """Set infinity to 0, in place."""
    if isinstance(depth, np.ndarray):
        launch("clear_unseen", 1, depth, depth.size)
    else:
        depth[namespace_of(depth).isinf(depth)] = 0
