"""Masks filled, opened and grown."""

import math

import numpy as np

from handopt.ops.surfaces import distance_inside
from handopt.typing import BoolImage


def fill_holes(mask: BoolImage, max_px: float) -> BoolImage:
    """Fill the holes of a mask (H, W) that have at most max_px pixels. The largest region outside is never a hole."""
    from scipy.ndimage import label

    holes, count = label(~mask)
    if count < 2:
        return mask
    small = np.bincount(holes.ravel()) <= max_px
    small[0] = False
    return np.asarray(mask | small[holes])


def opened(mask: BoolImage, radius_px: float) -> BoolImage:
    """Open a mask (H, W) with a disc: what is left is as wide as the disc everywhere."""
    eroded = np.asarray(distance_inside(np.pad(mask, 1))[1:-1, 1:-1] > radius_px)
    if not eroded.any():
        return eroded
    return np.asarray(distance_inside(~eroded) <= radius_px)


def grown(mask: BoolImage, radius_px: float) -> BoolImage:
    """The pixels (H, W) at most radius_px away from a mask's. Quick for a few pixels, in shifts of the mask."""
    reach = int(radius_px)
    rows, columns = mask.shape
    wide = np.zeros((rows + 2 * reach, columns + 2 * reach), np.bool_)
    near = np.zeros(mask.shape, np.bool_)
    if not mask.any():
        return near
    wide[reach : reach + rows, reach : reach + columns] = mask
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if math.sqrt(down**2 + right**2) <= radius_px:
                near |= wide[reach + down : reach + down + rows, reach + right : reach + right + columns]
    return near
