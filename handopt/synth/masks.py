"""Which label a pixel has once a sensor has measured it."""

import numpy as np

from handopt.input.pixel_labels import BACKGROUND
from handopt.synth.wild_config import CONFIG
from handopt.typing import BoolImage, FloatImage, Mask


def measured_mask(surface: FloatImage, mask: Mask, measured: FloatImage) -> Mask:
    """Labels (H, W) of the pixels of a measured image, from those of the clean one.

    surface, measured: (H, W) mm, 0 where there is nothing. A pixel keeps its label where its depth is that of its
    surface. Where labels meet, a sensor mixes neighbours up: there a pixel takes the label of the surface within two
    pixels that is nearest in depth, and what lies between two surfaces is background, as is what is not measured.
    """
    result = np.where(measured > 0, mask, np.uint8(BACKGROUND))
    rows, columns = np.nonzero(_borders(mask) & (measured > 0) & (np.abs(measured - surface) > CONFIG.same_mm))
    if not len(rows):
        return result
    height, width = surface.shape
    depth = measured[rows, columns]
    best, label = np.full(len(rows), np.inf, np.float32), np.zeros(len(rows), np.uint8)
    for down in (0, -1, 1, -2, 2):
        for right in (0, -1, 1, -2, 2):
            i, j = np.clip(rows + down, 0, height - 1), np.clip(columns + right, 0, width - 1)
            away = np.where(surface[i, j] > 0, np.abs(surface[i, j] - depth), np.inf)
            nearer = away < best
            best[nearer], label[nearer] = away[nearer], mask[i, j][nearer]
    result[rows, columns] = np.where(best <= CONFIG.same_mm, label, np.uint8(BACKGROUND))
    return result


def _borders(mask: Mask) -> BoolImage:
    """Pixels (H, W) with another label within two pixels."""
    near = np.zeros(mask.shape, bool)
    down, right = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    near[1:] |= down
    near[:-1] |= down
    near[:, 1:] |= right
    near[:, :-1] |= right
    wide = near.copy()
    wide[1:] |= near[:-1]
    wide[:-1] |= near[1:]
    wide[:, 1:] |= wide[:, :-1].copy()
    wide[:, :-1] |= wide[:, 1:].copy()
    return wide
