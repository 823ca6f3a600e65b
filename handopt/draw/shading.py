"""A surface in daylight, from its depth image alone."""

import numpy as np

from handopt.draw import colour
from handopt.typing import Bools, Bytes, Reals

SKIN = np.array([228.0, 178.0, 150.0], np.float32)
LIGHT = np.array([-0.4, -0.5, -0.77]) / np.linalg.norm([-0.4, -0.5, -0.77])
DARKEST = 0.3
STEEPEST = 6.0
"""Slopes beyond this are edges between two surfaces, not the slope of one."""
SMOOTHED = 1 / 120
"""Over which part of the picture."""
_SHADES = np.rint(np.arange(-1, 255)[:, None] / 254 * SKIN).clip(0, 255).astype(np.uint8)
_SHADES[0] = colour.EMPTY


def lit(depth: Reals, mm_per_px: float) -> Bytes:
    """A surface (H, W) in mm, 0 where there is none, under one light (H, W, 3).

    Normals are slopes of the depth, averaged a little so that the mesh's facets do not show; where one surface
    lies before another the edge stays dark.
    """
    rows = np.zeros(depth.shape, np.uint8)
    surface = depth > 0
    down, across = np.flatnonzero(surface.any(axis=1)), np.flatnonzero(surface.any(axis=0))
    if len(down) == 0:
        return _SHADES.take(rows, axis=0)
    box = slice(down[0], down[-1] + 1), slice(across[0], across[-1] + 1)
    surface, part = surface[box], depth[box].astype(np.float32)
    smoothed = max(3, round(SMOOTHED * len(depth)) | 1)
    rows[box] = np.where(surface, 1 + 254 * _light(part, surface, mm_per_px, smoothed), 0)
    return _SHADES.take(rows, axis=0)


def _light(depth: Reals, surface: Bools, mm_per_px: float, smoothed: int) -> Reals:
    """Light (H, W) from DARKEST to 1."""
    from scipy.ndimage import uniform_filter

    inside = np.zeros_like(surface)  # with a neighbour on each side
    inside[1:-1, 1:-1] = surface[1:-1, 1:-1] & surface[:-2, 1:-1] & surface[2:, 1:-1]
    inside[1:-1, 1:-1] &= surface[1:-1, :-2] & surface[1:-1, 2:]
    slopes = np.zeros((2, *depth.shape), np.float32)
    np.subtract(depth[2:], depth[:-2], out=slopes[0, 1:-1])
    np.subtract(depth[:, 2:], depth[:, :-2], out=slopes[1, :, 1:-1])
    slopes *= np.float32(0.5 / mm_per_px)
    good = inside & (np.abs(slopes).max(axis=0) < STEEPEST)
    slopes *= good
    share = np.maximum(uniform_filter(good.astype(np.float32), smoothed, mode="constant"), 1e-6)
    down, right = (uniform_filter(slope, smoothed, mode="constant") / share for slope in slopes)
    x, y, z = (float(value) for value in LIGHT)
    facing = (right * x + down * y - z) / np.sqrt(right**2 + down**2 + 1)
    light = DARKEST + (1 - DARKEST) * np.clip(facing, 0, 1)
    edge = inside & ~good
    return np.asarray(np.where(edge, DARKEST + 0.35 * (light - DARKEST), light))
