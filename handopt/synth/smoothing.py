"""The filter that many cameras run before they hand an image out: it smooths surfaces and closes gaps."""

import numpy as np

from handopt.synth.wild_config import CONFIG
from handopt.typing import FloatImage

_KERNEL = np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]).astype(np.float32) / 16
_CONFIG = CONFIG.filter
_HALF_METRE_MM = 500.0


def smoothed(measured_mm: FloatImage, passes: int) -> FloatImage:
    """Smooth a measured image (H, W) in mm, 0 = none, in one or more passes; returns (H, W) mm.

    Each pixel becomes the mean of its neighbours of about its own depth, by a binomial kernel. A pixel without a
    measurement takes that of the nearest surface around it if there is enough of it; one that stands alone is removed.
    Noise is correlated afterwards, silhouettes are round and wider, and gaps between fingers fill, as in frames of a
    Senz3D.
    """
    image = np.array(measured_mm, np.float32)
    rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
    if not passes or not len(rows):
        return image
    # Only where there is something, and as far around it as silhouettes may grow.
    part = (
        slice(max(rows[0] - passes, 0), rows[-1] + passes + 1),
        slice(max(columns[0] - passes, 0), columns[-1] + passes + 1),
    )
    for _ in range(passes):
        image[part] = _pass(image[part])
    return image


def grained(measured_mm: FloatImage, rms_mm: float, rng: np.random.Generator) -> FloatImage:
    """Add noise whose neighbours are alike, as what a filter leaves of it: (H, W) mm, 0 = none.

    rms_mm: its root mean square at half a metre; it grows with the distance
    """
    height, width = measured_mm.shape
    white = rng.standard_normal((height + 2, width + 2), dtype=np.float32)
    tall = white[:-2] + 2 * white[1:-1] + white[2:]
    grain = tall[:, :-2] + 2 * tall[:, 1:-1] + tall[:, 2:]
    # Each of the two sums has a variance of 1 + 4 + 1.
    return np.asarray(measured_mm + measured_mm * grain * np.float32(rms_mm / (6.0 * _HALF_METRE_MM)))


def _pass(image: FloatImage) -> FloatImage:
    height, width = image.shape
    padded = np.pad(image, 1)
    windows = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    seen = image > 0
    reference = image.copy()
    beside = seen.copy()
    beside[1:] |= seen[:-1]
    beside[:-1] |= seen[1:]
    beside[:, 1:] |= beside[:, :-1].copy()
    beside[:, :-1] |= beside[:, 1:].copy()
    rows, columns = np.nonzero(beside & ~seen)
    around = np.stack([window[rows, columns] for window in windows])
    reference[rows, columns] = np.where(around > 0, around, np.float32(np.inf)).min(axis=0)
    total, weight = np.zeros_like(image), np.zeros_like(image)
    counted = np.empty_like(image)
    for window, share in zip(windows, _KERNEL.ravel(), strict=True):
        # Where there is no measurement the difference is that from 0, which is out of reach.
        np.subtract(window, reference, out=counted)
        np.abs(counted, out=counted)
        np.multiply(counted < _CONFIG.reach_mm, share, out=counted)
        weight += counted
        counted *= window
        total += counted
    enough = np.where(seen, weight > _CONFIG.least_support, weight > _CONFIG.least_fill)
    total /= np.maximum(weight, np.float32(1e-6), out=weight)
    return np.where(enough, total, np.float32(0.0))
