"""The filters of PNG files against a slow twin that knows the specification."""

import numpy as np
import pytest
from numpy.typing import NDArray

from handopt.errors import ShapeError
from handopt.ops.png_filters import undo_png_filters


def filtered(rows: NDArray[np.uint8], filters: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows (H, W) of pixels with 2 bytes as a PNG file stores them, each behind the number of its filter."""
    out = np.zeros((len(rows), rows.shape[1] + 1), np.uint8)
    for y, kind in enumerate(filters):
        out[y, 0] = kind
        for x, value in enumerate(rows[y].tolist()):
            left = int(rows[y, x - 2]) if x > 1 else 0
            up = int(rows[y - 1, x]) if y else 0
            corner = int(rows[y - 1, x - 2]) if y and x > 1 else 0
            near = min((left, up, corner), key=lambda each: abs(each - (left + up - corner)))
            out[y, 1 + x] = (value - (0, left, up, (left + up) // 2, near)[kind]) % 256
    return out


def test_every_filter_is_undone(rng: np.random.Generator) -> None:
    rows = rng.integers(0, 256, (40, 26), np.uint8)
    rows[20:] = np.cumsum(rng.integers(0, 3, (20, 26), np.uint8), axis=1)  # smooth rows tie where noise does not
    filters = np.r_[np.arange(5), rng.integers(0, 5, 35)].astype(np.uint8)
    for order in (filters, filters[::-1]):
        found = undo_png_filters(filtered(rows, order))
        np.testing.assert_array_equal(found, rows)


def test_other_filters_and_shapes_are_refused(rng: np.random.Generator) -> None:
    stored = filtered(rng.integers(0, 256, (3, 6), np.uint8), np.array([1, 2, 0], np.uint8))
    stored[1, 0] = 5
    assert undo_png_filters(stored) is None
    with pytest.raises(ShapeError, match="stored: expected"):
        undo_png_filters(stored.astype(np.int32))
    with pytest.raises(ShapeError, match="C-contiguous"):
        undo_png_filters(stored[:, ::2])
