"""Where a depth image proves that the hand is not, on the grid of a crop."""

import numpy as np

from handopt.observation.morphology import grown
from handopt.observation.settings import DEFAULT, FreeSpaceConfig
from handopt.ops.surfaces import distance_inside, label_regions, nearest_outside
from handopt.typing import BoolImage, FloatImage


def free_space_mask(
    hand_mm: FloatImage,
    other_mm: FloatImage,
    arm: BoolImage,
    unknown: BoolImage,
    mm_per_px: float,
    *,
    pixel_ratio: float = 1.0,
    symmetric: bool = True,
    config: FreeSpaceConfig = DEFAULT.free_space,
) -> BoolImage:
    """Tell the cells (S, S) where the hand is proven not to be.

    hand_mm: (S, S) depth of the hand, 0 where it is not. other_mm: (S, S) nearest measurement that is not the hand, inf
    where there is none. arm, unknown: (S, S) cells that are never free. mm_per_px: edge of a cell. pixel_ratio: edge of
    a pixel of the image in cells; rims are as wide in the coarser of the two. symmetric: whether the mirror image gives
    the mirrored mask to the bit, which takes a second distance transform.

    A cell is free where all that is measured lies behind the hand beside it (or a little before it), and where nothing
    is measured beyond a rim around hand and forearm, outside of small holes beside the hand. Where nothing is measured
    far from the hand either, and not only in a strip such as its shadow, that is the background, whose rim is
    narrower.
    """
    hand = hand_mm > 0
    if not hand.any():
        return np.asarray(~arm & ~unknown)
    measured = np.isfinite(other_mm)
    to_hand, nearest = nearest_outside(~hand)
    beside = hand_mm.ravel()[nearest]
    if symmetric:  # where two cells of the hand are nearest, the farther one, on whichever side it is
        _, nearest = nearest_outside(~hand[:, ::-1])
        beside = np.maximum(beside, hand_mm[:, ::-1].ravel()[nearest][:, ::-1])
    behind = measured & (other_mm >= beside - config.occluder_mm)
    edge_px = config.edge_px * max(1.0, pixel_ratio)
    nothing = ~measured & ~hand
    holes, _ = label_regions(nothing)
    small = np.bincount(holes.ravel()) * mm_per_px**2 <= config.max_hole_mm2
    in_hole = small[holes] & (to_hand <= max(config.hole_reach_px, edge_px))
    open_ = np.zeros(len(small), np.bool_)
    far = nothing & ~unknown & (to_hand * mm_per_px >= config.open_mm)
    if far.any():
        open_[holes[far & (distance_inside(nothing & ~unknown) * mm_per_px >= config.open_width_mm)]] = True
    rim_px = np.where(open_[holes], config.open_edge_px * max(1.0, pixel_ratio), edge_px)
    empty = ~measured & (to_hand > rim_px) & ~grown(arm, edge_px) & ~in_hole
    return np.asarray((behind | empty) & ~hand & ~arm & ~unknown)
