"""Surfaces in a depth image: which neighbours lie on one surface, flying pixels, depth-connected components."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]
BoolImage = NDArray[np.bool_]
LabelImage = NDArray[np.int32]

STEP_MM = 8.0
STEP_PER_PX = 4.0
MIN_SUPPORT = 3


def linked(a: NDArray[Any], b: NDArray[Any], focal: float) -> BoolImage:
    """Tell whether neighbouring measurements lie on one surface: a step of at most 8 mm plus 4 pixel widths.

    a, b: depths in mm, equal shapes, 0 = none. focal: pixels. The step grows with distance as a pixel does: 11 mm at 300 mm,
    13 mm at 600 mm and 16 mm at 1 m for a focal length of 475 px. A surface seen at 75 degrees still holds together.
    """
    near = np.minimum(a, b)
    step = np.abs(a - b)
    return np.asarray((step <= STEP_MM + (STEP_PER_PX / focal) * near) & (near > 0))


def drop_flying(depth_mm: FloatImage, focal: float) -> FloatImage:
    """Return the depth image without flying pixels and speckle (set to 0).

    depth_mm: (H, W) mm, 0 = none. A flying pixel lies strictly between its left and right, or upper and lower,
    neighbours and is linked to neither: the sensor mixed two surfaces. A speckle is linked to fewer than 3 of its 8 neighbours.
    """
    across, down = linked(depth_mm[:, :-1], depth_mm[:, 1:], focal), linked(depth_mm[:-1], depth_mm[1:], focal)
    falling = linked(depth_mm[:-1, :-1], depth_mm[1:, 1:], focal)
    rising = linked(depth_mm[1:, :-1], depth_mm[:-1, 1:], focal)
    support = np.zeros(depth_mm.shape, np.uint8)
    for link, one, other in (
        (across, np.s_[:, :-1], np.s_[:, 1:]),
        (down, np.s_[:-1], np.s_[1:]),
        (falling, np.s_[:-1, :-1], np.s_[1:, 1:]),
        (rising, np.s_[1:, :-1], np.s_[:-1, 1:]),
    ):
        support[one] += link
        support[other] += link
    drop = support < MIN_SUPPORT
    drop[:, 1:-1] |= _in_between(depth_mm[:, :-2], depth_mm[:, 1:-1], depth_mm[:, 2:]) & ~across[:, 1:] & ~across[:, :-1]
    drop[1:-1] |= _in_between(depth_mm[:-2], depth_mm[1:-1], depth_mm[2:]) & ~down[1:] & ~down[:-1]
    return np.where(drop, np.float32(0), depth_mm)


def label_surfaces(depth_mm: FloatImage, focal: float) -> LabelImage:
    """Label the depth-connected components of an image: (H, W) int32 from 1, 0 where there is no measurement.

    Pixels are joined along rows into runs first, so the graph has thousands of nodes and not hundreds of thousands.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    valid = depth_mm > 0
    starts = valid.copy()
    starts[:, 1:] &= ~linked(depth_mm[:, :-1], depth_mm[:, 1:], focal)
    runs = np.cumsum(starts.ravel(), dtype=np.int32).reshape(depth_mm.shape)
    touches = linked(depth_mm[:-1], depth_mm[1:], focal)
    upper, lower = runs[:-1], runs[1:]
    repeated = touches[:, 1:] & touches[:, :-1] & ~starts[:-1, 1:] & ~starts[1:, 1:]
    touches[:, 1:] &= ~repeated
    count = int(runs[-1, -1]) + 1
    pairs = (upper[touches], lower[touches])
    graph = coo_array((np.ones(len(pairs[0]), np.bool_), pairs), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    labels = component.astype(np.int32)[runs]
    labels += 1
    labels[~valid] = 0
    return np.asarray(labels)


def _in_between(before: FloatImage, middle: FloatImage, after: FloatImage) -> BoolImage:
    """Tell where middle lies strictly between two measurements."""
    return np.asarray(((after - middle) * (middle - before) > 0) & (before > 0) & (after > 0))
