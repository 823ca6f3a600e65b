"""The filters of PNG files, undone on the CPU."""

import numpy as np
from numpy.typing import NDArray

from handopt.backend import launch
from handopt.errors import ShapeError

_REAL = np.empty(0, np.float32)  # no argument of the kernel is real


def undo_png_filters(stored: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """The bytes (H, W) of pixels with 2 bytes each; None where a row has a filter that PNG does not.

    stored: (H, 1 + W), each row behind the number of its filter, as they are once decompressed. Raises ShapeError.
    """
    if stored.ndim != 2 or stored.dtype != np.uint8 or stored.shape[1] < 1 or not stored.flags.c_contiguous:
        raise ShapeError(f"stored: expected C-contiguous uint8 (H, 1 + W), got {stored.dtype} {stored.shape}")
    height, width = stored.shape[0], stored.shape[1] - 1
    rows, unknown = np.empty((height, width), np.uint8), np.empty(1, np.uint8)
    launch("undo_png_filters", 1, _REAL, stored, rows, unknown, height, width)
    return None if unknown[0] else rows
