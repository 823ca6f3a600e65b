"""The skeleton over a picture."""

import numpy as np
from PIL import Image

from handopt.draw import colour
from handopt.draw.skeleton import draw_skeleton

BONES = np.array([(0, 1), (1, 2)])


def drawn(points: list[tuple[float, float]], size: float = 1.0) -> np.ndarray:
    canvas = Image.new("RGB", (90, 70), (9, 9, 9))
    draw_skeleton(canvas, np.array(points), BONES, size)
    return np.asarray(canvas)


def test_marks_and_bones_stand_where_they_should() -> None:
    picture = drawn([(20, 20), (60, 20), (60, 50)])
    np.testing.assert_array_equal(picture[20, 20], colour.OUTLINE)
    np.testing.assert_array_equal(picture[20, 40], colour.FINGERS[0])
    np.testing.assert_array_equal(picture[50, 60], colour.OUTLINE)
    assert (picture[45, 20] == 9).all(), "elsewhere the picture is what it was"
    assert (picture[0] == 9).all()


def test_strokes_scale() -> None:
    thin, thick = ((drawn([(20, 20), (60, 20), (60, 50)], size) != 9).any(axis=-1).sum() for size in (0.5, 1.5))
    assert thick > 1.8 * thin


def test_what_is_outside_is_cut_off_and_what_is_far_or_unknown_left_out() -> None:
    assert (drawn([(-20, 20), (60, 20), (60, 95)]) != 9).any()
    alone = drawn([(20, 20), (1e6, 20), (np.nan, 50)])
    assert (alone != 9).any(axis=-1).sum() < 130, "one mark and no bone"
    assert (drawn([(-200, -20), (-260, 20), (-260, 50)]) == 9).all()
    assert (drawn([(np.nan, 20), (np.inf, 20), (1e9, 50)]) == 9).all()


def test_hidden_joints_are_hollow() -> None:
    canvas = Image.new("RGB", (60, 60), colour.EMPTY)
    points = np.full((21, 2), np.nan)
    points[0], points[5] = (15.0, 30.0), (45.0, 30.0)
    draw_skeleton(canvas, points, BONES, 2.0, visible=np.arange(21) == 0)
    picture = np.asarray(canvas)
    np.testing.assert_allclose(picture[30, 15], colour.OUTLINE, atol=12)
    np.testing.assert_allclose(picture[30, 45], colour.PAPER, atol=12)
    np.testing.assert_allclose(picture[30, 52], colour.FINGERS[1], atol=12)  # 3.5 px from the middle, in both units
