"""How well posed meshes explain an observation: a z-buffer against the observed depth, on the crop's grid."""

import numpy as np
from numpy.typing import NDArray

from handopt.backend import Array, device_of, namespace_of, to_device, to_numpy
from handopt.observation.crop import Crop, Grid
from handopt.ops.comparisons import unexplained_pixels
from handopt.ops.rasterise import rasterise

WRONG_MM = 20.0
"""A depth that is off by this much, or hand where there is none or none where there is, counts as wholly wrong."""


def unexplained_fraction(
    vertices_mm: Array, faces: Array, crop: Crop, grid: Grid, step: int = 1
) -> NDArray[np.float64]:
    """The share of an observation that each of K meshes leaves unexplained, (K,), from 0; 1 is as if none were there.

    vertices_mm: (K, V, 3) in the camera frame; faces: (F, 3); grid: the observation, resampled to the crop; step: look
    at every step-th of its rows and columns only

    Where both are, the absolute difference of depth counts up to 20 mm; a pixel of the hand without the mesh, and a
    pixel of the mesh where the hand is proven not to be, count in full. Where nothing is known (holes, the forearm,
    what is in front) the mesh may be. All this is multiplied by the evidence that the pixel is the hand's, but for
    pixels where the mesh is nearer than what is measured.
    """
    return fraction_of_depths(nearest_depths(vertices_mm, faces, crop, grid, step), grid, step)


def nearest_depths(vertices_mm: Array, faces: Array, crop: Crop, grid: Grid, step: int = 1) -> Array:
    """The z-buffers (K, h, w) mm of K meshes on every step-th row and column of a crop, 0 where there is no mesh."""
    ax, bx, ay, by = crop.coefficients[:4]
    height, width = (-(-size // step) for size in grid.hand.shape)
    camera = (ax / step, ay / step, bx / step, by / step, width, height)
    return rasterise(namespace_of(vertices_mm).ascontiguousarray(vertices_mm, np.float32), faces, camera)


def fraction_of_depths(depth: Array, grid: Grid, step: int = 1, behind: Array | None = None) -> NDArray[np.float64]:
    """The same fraction (K,) of z-buffers (K, h, w) mm, as nearest_depths gives them.

    behind: (h, w) mm, of what all of the meshes have besides, 0 = none
    """
    device, xp = device_of(depth), namespace_of(depth)
    if device.kind == "cpu":
        wrong_px, whole = unexplained_pixels(
            *(depth, grid.depth_mm, grid.hand, grid.free, grid.evidence), wrong_mm=WRONG_MM, step=step, behind=behind
        )
        return np.asarray(wrong_px / max(1.0, whole))
    if behind is not None:
        depth = xp.where((depth == 0) | (behind > 0) & (behind < depth), behind, depth)
    every = (slice(None, None, step), slice(None, None, step))
    observed, hand, free = (
        to_device(each[every], device, each.dtype) for each in (grid.depth_mm, grid.hand, grid.free)
    )
    covered = depth > 0
    off = xp.minimum(xp.abs(depth - observed), WRONG_MM) / WRONG_MM
    wrong = xp.where(hand, xp.where(covered, off, 1.0), covered & free)
    whole = float(hand.sum())
    if grid.evidence is not None:
        evidence = xp.where(hand, to_device(grid.evidence[every], device, grid.evidence.dtype), 1.0)
        whole = float(evidence[hand].sum())
        wrong = xp.where(covered & (depth < observed), wrong, wrong * evidence)
    return np.asarray(to_numpy(wrong.sum(axis=(1, 2), dtype=np.float64)) / max(1.0, whole))
