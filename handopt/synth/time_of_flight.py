"""What light does to a sensor that measures how long it is on its way: mixed pixels and multipath."""

import numpy as np

from handopt.synth.config import SYNTH
from handopt.typing import BoolImage, FloatImage


def mixed(
    measured: FloatImage, surface: FloatImage, edge: BoolImage, share: float, rng: np.random.Generator
) -> FloatImage:
    """Let a share of the pixels at edges see two surfaces, (H, W) mm.

    surface: (H, W) clean depth, 0 where there is nothing. edge: (H, W) pixels beside a step. A pixel of which a part u
    shows the near surface returns the mean of both depths, weighted by the light that comes back: u / near^2 and
    (1 - u) / far^2. That holds while the two ways differ by little of a wavelength; the sensors' are 3 m and more.
    A surface before nothing stays alone.
    """
    rows, columns = np.nonzero(edge)
    chosen = rng.random(len(rows)) < share
    rows, columns = rows[chosen], columns[chosen]
    height, width = surface.shape
    window = np.stack(
        [
            surface[np.clip(rows + i, 0, height - 1), np.clip(columns + j, 0, width - 1)]
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
        ]
    )
    near = np.where(window > 0, window, np.inf).min(axis=0, initial=np.inf)
    far = window.max(axis=0, initial=0)
    part = rng.random(len(rows))
    both = far > near
    rows, columns, near, far, part = (each[both] for each in (rows, columns, near, far, part))
    result = measured.copy()
    result[rows, columns] = (part / near + (1 - part) / far) / (part / near**2 + (1 - part) / far**2)
    return result


def with_multipath(measured: FloatImage, share: float, radius_px: float) -> FloatImage:
    """Lengthen the way of light by what is beside and farther away, (H, W) mm.

    share: of the light that comes by such a way. radius_px: of what is beside. The mean depth there stands for the
    length of that way, up to a limit beyond which next to no light comes back.
    """
    from scipy.ndimage import uniform_filter

    size = 2 * round(radius_px) + 1
    seen = measured > 0
    count = uniform_filter(seen.astype(np.float32), size, mode="nearest")
    around = uniform_filter(measured, size, mode="nearest") / np.maximum(count, np.float32(1e-6))
    longer = np.clip(around - measured, 0, SYNTH.noise.multipath_mm)
    return np.asarray(np.where(seen, measured + np.float32(share) * longer, 0), np.float32)
