"""Masks filled, opened and grown, against loops over pixels."""

import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes

from handopt.observation.morphology import fill_holes, grown, opened, without_holes
from handopt.typing import BoolImage


def distances(mask: BoolImage) -> np.ndarray:
    """(H, W) distance of each pixel to the nearest pixel of a mask, inf if it is empty."""
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    away = np.hypot(np.arange(height)[:, None, None] - rows, np.arange(width)[:, None] - columns)
    return np.asarray(away.min(axis=-1, initial=np.inf))


def test_small_holes_are_filled() -> None:
    mask = np.ones((30, 30), bool)
    mask[5:7, 5:7] = False
    mask[10:20, 10:20] = False
    filled = fill_holes(mask, 4)
    assert filled[:8].all()
    assert not filled[10:20, 10:20].any()
    full = np.ones((5, 5), bool)
    np.testing.assert_array_equal(fill_holes(full, 4), full)


@pytest.mark.parametrize("share", [0.0, 0.4, 0.6, 1.0])
def test_holes_of_any_size_are_filled_as_scipy_does(rng: np.random.Generator, share: float) -> None:
    mask = rng.random((25, 34)) < share
    np.testing.assert_array_equal(without_holes(mask), binary_fill_holes(mask))


def test_what_is_around_a_mask_lies_within_two_cells() -> None:
    mask = np.zeros((9, 9), np.bool_)
    mask[4, 4] = mask[0, 8] = True
    near = grown(mask, 2.0)
    rows, columns = np.nonzero(near)
    away = np.minimum(np.hypot(rows - 4, columns - 4), np.hypot(rows, columns - 8))
    assert away.max() <= 2.0
    assert near.sum() == 13 + 6


@pytest.mark.parametrize("radius_px", [0.5, 1.0, 2.0, 2.9, 5.0])
def test_growing_takes_all_pixels_within_the_radius(rng: np.random.Generator, radius_px: float) -> None:
    mask = rng.random((20, 31)) < 0.03
    np.testing.assert_array_equal(grown(mask, radius_px), distances(mask) <= radius_px)
    assert not grown(np.zeros((4, 5), bool), radius_px).any()


def test_opening_keeps_what_is_as_wide_as_the_disc(rng: np.random.Generator) -> None:
    mask = np.zeros((40, 40), bool)
    mask[5:25, 5:25] = True  # wide
    mask[12:15, 25:38] = True  # narrow
    wide = opened(mask, 3.0)
    kept = distances(~np.pad(mask, 1))[1:-1, 1:-1] > 3.0  # outside of the image nothing is
    np.testing.assert_array_equal(wide, distances(kept) <= 3.0)
    assert wide[6:24, 12:18].all()
    assert not wide[:, 29:].any()
    assert not opened(mask, 30.0).any()
