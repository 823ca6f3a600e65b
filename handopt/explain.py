"""How well posed meshes explain an observation: a z-buffer against the observed depth, on the crop's grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handopt.crop import Crop, Grid
from handopt.raster import rasterise

Floats = NDArray[np.floating]

WRONG_MM = 20.0
"""A depth that is off by this much, or hand where there is none or none where there is, counts as wholly wrong."""


@dataclass(frozen=True)
class Explanation:
    """How K meshes explain one observation.

    unexplained: (K,) from 0; 1 is as if nothing of the hand were explained. Pixels that are off in depth, missed or
    invented count, in pixels of the observed hand. depth_mm: (K, S, S) z-buffers on the crop's grid, 0 = no mesh
    """

    unexplained: NDArray[np.float64]
    depth_mm: Floats


def explain(vertices_mm: Floats, faces: NDArray[np.int32], crop: Crop, grid: Grid) -> Explanation:
    """Compare meshes (K, V, 3) in the camera frame with an observation resampled to its crop.

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
    return Explanation(wrong.sum(axis=(1, 2), dtype=np.float64) / max(1, int(grid.hand.sum())), depth)
