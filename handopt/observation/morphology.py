"""Masks filled, opened and grown."""

import math

import numpy as np

from handopt.ops.surfaces import distance_inside, fill_regions, label_regions
from handopt.typing import BoolImage


def fill_holes(mask: BoolImage, max_px: float) -> BoolImage:
    """Fill the holes of a mask (H, W) that have at most max_px pixels. The largest region outside is never a hole."""
    return fill_regions(mask, int(min(max_px, mask.size)))


def without_holes(mask: BoolImage) -> BoolImage:
    """A mask (H, W) with every hole filled: what is outside of it and does not reach the border of the image."""
    regions, count = label_regions(~mask)
    reaching = np.zeros(count + 1, np.bool_)
    for side in (regions[0], regions[-1], regions[:, 0], regions[:, -1]):
        reaching[side] = True
    reaching[0] = False  # the mask's own pixels
    return np.asarray(~reaching[regions])


def opened(mask: BoolImage, radius_px: float) -> BoolImage:
    """Open a mask (H, W) with a disc: what is left is as wide as the disc everywhere."""
    eroded = distance_inside(mask, border=True) > radius_px
    if not eroded.any():
        return np.asarray(eroded)
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
