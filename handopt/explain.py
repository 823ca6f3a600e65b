"""How well posed meshes explain an observation: a z-buffer against the observed depth, on the crop's grid."""

import numpy as np
from numpy.typing import NDArray

from handopt.camera import Camera
from handopt.crop import Crop, Grid
from handopt.raster import rasterise

Floats = NDArray[np.floating]

VISIBLE_MM = 22.0
"""A joint counts as visible where the surface on its ray is nearer by less than this, times the hand's scale."""
WRONG_MM = 20.0
"""A depth that is off by this much, or hand where there is none or none where there is, counts as wholly wrong."""


def explain(vertices_mm: Floats, faces: NDArray[np.int32], crop: Crop, grid: Grid) -> NDArray[np.float64]:
    """The share of an observation that each of K meshes leaves unexplained, (K,), from 0; 1 is as if none were there.

    vertices_mm: (K, V, 3) in the camera frame; faces: (F, 3); grid: the observation, resampled to the crop

    Where both are, the absolute difference of depth counts up to 20 mm; a pixel of the hand without the mesh, and a
    pixel of the mesh where the hand is proven not to be, count in full. Where nothing is known (holes, the forearm,
    what is in front) the mesh may be.
    """
    ax, bx, ay, by = crop.coefficients[:4]
    camera = (ax, ay, bx, by, crop.size, crop.size)
    depth = rasterise(np.ascontiguousarray(vertices_mm, np.float32), np.ascontiguousarray(faces, np.int32), camera)
    covered = depth > 0
    off = np.minimum(np.abs(depth - grid.depth_mm), WRONG_MM) / WRONG_MM
    wrong = np.where(grid.hand, np.where(covered, off, 1.0), covered & grid.free)
    return np.asarray(wrong.sum(axis=(1, 2), dtype=np.float64) / max(1, int(grid.hand.sum())))


def visible_joints(joints_mm: Floats, depth_mm: Floats, camera: Camera, scale: float) -> NDArray[np.bool_]:
    """Which joints (21, 3) are seen, (21,): those with no more than their own flesh in front of them.

    depth_mm: (H, W) z-buffer, 0 where there is nothing; scale: of the hand
    """
    pixels = np.rint(camera.project(joints_mm)).astype(int)
    columns, rows = np.clip(pixels[:, 0], 0, camera.width - 1), np.clip(pixels[:, 1], 0, camera.height - 1)
    inside = (pixels[:, 0] == columns) & (pixels[:, 1] == rows)
    surface = depth_mm[rows, columns]
    return np.asarray(inside & (surface > 0) & (joints_mm[:, 2] - surface < VISIBLE_MM * scale))
