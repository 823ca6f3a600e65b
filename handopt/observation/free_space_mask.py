"""Where a depth image proves that the hand is not, on the grid of a crop."""

import numpy as np

from handopt.observation.morphology import grown
from handopt.observation.settings import DEFAULT, FreeSpaceConfig
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
    from scipy.ndimage import distance_transform_edt, label, maximum

    hand = hand_mm > 0
    if not hand.any():
        return np.asarray(~arm & ~unknown)
    measured = np.isfinite(other_mm)
    to_hand, nearest = distance_transform_edt(~hand, return_indices=True)
    beside = hand_mm[tuple(nearest)]
    if symmetric:  # where two cells of the hand are nearest, the farther one, on whichever side it is
        nearest = distance_transform_edt(~hand[:, ::-1], return_distances=False, return_indices=True)
        beside = np.maximum(beside, hand_mm[:, ::-1][tuple(nearest)][:, ::-1])
    behind = measured & (other_mm >= beside - config.occluder_mm)
    edge_px = config.edge_px * max(1.0, pixel_ratio)
    holes, _ = label(~measured & ~hand)
    small = np.bincount(holes.ravel()) * mm_per_px**2 <= config.max_hole_mm2
    in_hole = small[holes] & (to_hand <= max(config.hole_reach_px, edge_px))
    wide = distance_transform_edt(~measured & ~hand & ~unknown) * mm_per_px >= config.open_width_mm
    reach = maximum(np.where(wide, to_hand, 0), holes, np.arange(len(small))) * mm_per_px
    open_ = (np.asarray(reach) >= config.open_mm)[holes]
    rim_px = np.where(open_, config.open_edge_px * max(1.0, pixel_ratio), edge_px)
    empty = ~measured & (to_hand > rim_px) & ~grown(arm, edge_px) & ~in_hole
    return np.asarray((behind | empty) & ~hand & ~arm & ~unknown)
