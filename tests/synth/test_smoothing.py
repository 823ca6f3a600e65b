"""Tests of the filter of cameras: surfaces stay, noise falls, gaps close, and what stands alone goes."""

import numpy as np

from handopt.synth.smoothing import grained, smoothed


def plane(height: int = 40, width: int = 60) -> np.ndarray:
    return (500.0 + 0.5 * np.arange(width) + np.zeros((height, 1))).astype(np.float32)


def test_no_pass_changes_nothing() -> None:
    image = plane()
    np.testing.assert_array_equal(smoothed(image, 0), image)


def test_a_slope_stays_and_its_noise_falls() -> None:
    image = plane()
    inner = (slice(3, -3), slice(3, -3))
    np.testing.assert_allclose(smoothed(image, 2)[inner], image[inner], atol=0.01)
    noise = np.random.default_rng(0).normal(0.0, 2.0, image.shape).astype(np.float32)
    left = (smoothed(image + noise, 1) - image)[inner]
    assert left.std() < 0.5 * 2.0  # a binomial kernel leaves (6 / 16) of white noise


def test_small_gaps_close_and_lone_pixels_go() -> None:
    image = plane()
    image[20, 30] = 0
    assert abs(smoothed(image, 1)[20, 30] - 515.0) < 0.5
    alone = np.zeros((20, 20), np.float32)
    alone[10, 10] = 400
    assert (smoothed(alone, 1) == 0).all()


def test_two_surfaces_do_not_mix() -> None:
    image = plane()
    image[:, 30:] = 900
    result = smoothed(image, 3)
    assert ((result == 0) | (result < 520) | (result > 890)).all()


def test_grain_has_its_rms_is_alike_in_neighbours_and_leaves_gaps_alone() -> None:
    image = np.full((200, 200), 1000.0, np.float32)
    image[:, :20] = 0
    noise = grained(image, 1.5, np.random.default_rng(1)) - image
    assert (noise[:, :20] == 0).all()
    assert abs(noise[:, 20:].std() - 3.0) < 0.1  # twice that at half a metre
    assert 0.6 < np.corrcoef(noise[:, 20:-1].ravel(), noise[:, 21:].ravel())[0, 1] < 0.73  # (1, 2, 1) gives 2 / 3
