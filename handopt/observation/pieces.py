"""Fingers that depth edges cut off from their hand: small surfaces beside a hand that belong to it."""

import numpy as np

from handopt.observation.quantiles import median
from handopt.observation.settings import DEFAULT, PieceConfig
from handopt.ops.surfaces import extreme_filter
from handopt.typing import BoolImage, FloatImage, LabelImage, Vector


def with_pieces(
    depth_mm: FloatImage,
    labels: LabelImage,
    area_cm2: Vector,
    surface: BoolImage,
    own: LabelImage,
    pixel_mm: float,
    config: PieceConfig = DEFAULT.pieces,
) -> tuple[BoolImage, LabelImage]:
    """Add the small surfaces that adjoin a surface in the image: fingers that depth edges cut off from their hand.

    depth_mm, labels: (h, w), pixels of pixel_mm. area_cm2: (labels,). surface: (h, w) with the labels own: (n,). A
    piece is not large and not much nearer where they meet; or it is small, not much farther, and does not continue a
    larger surface behind. Pieces of pieces follow once. Returns the mask and all labels in it.
    """
    for _ in range(2):
        beside = extreme_filter(np.where(surface, depth_mm, np.float32(0)), 5, largest=True)
        ring = (beside > 0) & ~surface & (labels > 0)
        around, gaps = labels[ring], (beside - depth_mm)[ring]
        pieces = []
        farther = []
        for label in np.flatnonzero(np.bincount(around) >= 2).tolist():
            if not config.area_cm2[0] <= area_cm2[label] <= config.area_cm2[1] or label in own:
                continue
            gap = median(gaps[around == label])
            if 0 <= gap < config.gap_mm[1]:
                pieces.append(label)
            elif config.gap_mm[0] < gap < 0 and area_cm2[label] <= config.farther_cm2:
                farther.append(label)
        if farther:
            low, high = _background(depth_mm, labels, area_cm2, own, pixel_mm, config)
            continued = (depth_mm > low) & (depth_mm < high)
            pieces += [label for label in farther if continued[labels == label].mean() <= 0.5]
        if not pieces:
            break
        own = np.append(own, np.array(pieces, np.int32))
        surface = surface | np.isin(labels, pieces)
    return surface, own


def _background(
    depth_mm: FloatImage, labels: LabelImage, area_cm2: Vector, own: LabelImage, pixel_mm: float, config: PieceConfig
) -> tuple[FloatImage, FloatImage]:
    """Return (h, w) the depths between which a pixel continues a surface nearby that is too large for a farther piece.

    Surfaces of infinite area do not count: they are other parts of the hand's own.
    """
    large = (area_cm2 > config.farther_cm2) & np.isfinite(area_cm2)
    large[own] = False
    size = 2 * round(config.background_reach_mm / pixel_mm) + 1
    there = large[labels]
    low = extreme_filter(np.where(there, depth_mm, np.float32(np.inf)), size, largest=False) - np.float32(
        config.background_slack_mm
    )
    high = extreme_filter(np.where(there, depth_mm, np.float32(-np.inf)), size, largest=True) + np.float32(
        config.background_slack_mm
    )
    return low, high
