"""Titles, scales and captions of videos."""

import numpy as np
import pytest
from PIL import Image

from handopt.draw import colour
from handopt.draw.layout import Layout


def written(layout: Layout, parts: tuple[str, ...]) -> np.ndarray:
    canvas = Image.new("RGB", (layout.width, layout.height), colour.PAPER)
    layout.caption(canvas, parts)
    return np.asarray(canvas)


@pytest.mark.parametrize(("size", "count"), [(80, 1), (120, 5), (301, 2), (1080, 4)])
def test_everything_has_room_and_sizes_are_even(size: int, count: int) -> None:
    layout = Layout(size, count)
    corners = [layout.corner(number) for number in range(count)]
    assert layout.width % 2 == layout.height % 2 == 0
    assert all(left - before >= size for (left, _), (before, _) in zip(corners[1:], corners, strict=False))
    assert corners[0][0] > 0
    assert corners[-1][0] + size < layout.width
    assert corners[0][1] + size < layout.height - 40


def test_text_grows_with_large_panels_only() -> None:
    heights = []
    for size in (80, 300, 600):
        rows = np.flatnonzero((written(Layout(size, 4), ("hand",)) != colour.PAPER).any(axis=(1, 2)))
        heights.append(int(np.ptp(rows)))
    assert heights[0] == heights[1] < heights[2]


def test_a_caption_that_is_too_long_loses_its_name_first() -> None:
    layout = Layout(120, 1)
    shown = written(layout, ("a_very_long_name_of_a_file.npy", "frame 7", "unexplained 12% of the whole hand"))
    np.testing.assert_array_equal(shown, written(layout, ("frame 7",)))
    wide = Layout(120, 6)
    assert not np.array_equal(written(wide, ("name", "frame 7")), written(wide, ("frame 7",)))


def test_the_longest_title_that_fits_is_taken() -> None:
    def titled(choices: tuple[str, ...]) -> np.ndarray:
        canvas = Image.new("RGB", (layout.width, layout.height), colour.PAPER)
        layout.title(canvas, 0, choices)
        return np.asarray(canvas)

    layout = Layout(100, 2)
    short = ("far too long for a panel of this size", "residual", "r")
    np.testing.assert_array_equal(titled(short), titled(("residual",)))


def test_a_scale_shows_all_its_colours_and_three_numbers() -> None:
    layout = Layout(300, 1)
    canvas = Image.new("RGB", (layout.width, layout.height), colour.PAPER)
    layout.bar(canvas, 0, colour.DEPTH)
    left, top = layout.corner(0)
    row = np.asarray(canvas)[top + 300 + 8, left : left + 266]
    np.testing.assert_array_equal(row[[0, -1]], colour.DEPTH[[0, -1]])
    before = np.asarray(canvas)
    layout.ticks(canvas, 0, ("600", "500", "400"))
    columns = np.flatnonzero((np.asarray(canvas) != before).any(axis=(0, 2)))
    assert (np.diff(columns) > 50).sum() == 2
