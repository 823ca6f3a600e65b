"""Colour tables and text helpers."""

import numpy as np
import pytest

from handopt.draw import colour


def luminance(table: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB colours, about."""
    return (table / 255.0) ** 2.2 @ np.array([0.2126, 0.7152, 0.0722])


def test_ramp_hits_its_anchors_and_runs_straight_between() -> None:
    table = colour.ramp([(0, 0, 0), (100, 50, 0), (200, 50, 255)], 5)
    np.testing.assert_array_equal(table, [(0, 0, 0), (50, 25, 0), (100, 50, 0), (150, 50, 128), (200, 50, 255)])


def test_depth_colours_grow_lighter_all_the_way() -> None:
    assert (np.diff(luminance(colour.DEPTH)) > -1e-3).all()
    assert luminance(colour.DEPTH)[-1] - luminance(colour.DEPTH)[0] > 0.7


def test_diverging_colours_are_lightest_and_grey_in_the_middle() -> None:
    middle = colour.DIVERGING[127:129].astype(int)
    assert np.ptp(middle, axis=1).max() <= 8
    assert luminance(colour.DIVERGING).argmax() in (127, 128)
    below, above = colour.DIVERGING[40].astype(int), colour.DIVERGING[215].astype(int)
    assert below[2] > below[0] + 80
    assert above[0] > above[2] + 80


def test_levels_clip_and_survive_what_is_not_finite() -> None:
    values = [-np.inf, -5.0, 0.0, 4.99, 5.0, 10.0, 99.0, np.inf, np.nan]
    np.testing.assert_array_equal(colour.levels(values, 0, 10, 2), [0, 0, 0, 0, 1, 1, 1, 1, 0])


def test_levels_of_an_empty_range_do_not_divide_by_zero() -> None:
    np.testing.assert_array_equal(colour.levels([2.0, 3.5], 2.0, 2.0, 10), [0, 9])


def test_blend_mixes_by_alpha() -> None:
    image = np.full((1, 3, 3), 100, np.uint8)
    mixed = colour.blend(image, (200, 0, 100), [[0.0, 0.5, 1.0]])
    np.testing.assert_array_equal(mixed, [[(100, 100, 100), (150, 50, 100), (200, 0, 100)]])


@pytest.mark.parametrize(
    ("text", "expected"), [("Über_ñ.png", "Uber_n.png"), ("手.png", "?.png"), ("a\nb", "a?b"), ("±2°", "±2°")]
)
def test_printable_keeps_to_what_the_font_has(text: str, expected: str) -> None:
    assert colour.printable(text) == expected


def test_fitting_shortens_only_what_is_too_wide() -> None:
    assert colour.fitting("short", 16, 200) == "short"
    shortened = colour.fitting("a rather long sentence " * 10, 16, 200)
    assert shortened.endswith("…")
    assert 150 < colour.font(16).getlength(shortened) <= 200
    assert colour.fitting("anything", 16, 0) == "…"
