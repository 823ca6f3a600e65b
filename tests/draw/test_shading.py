"""A surface in daylight."""

import numpy as np

from handopt.draw import colour
from handopt.draw.shading import DARKEST, LIGHT, SKIN, lit


def plane(down: float, right: float, size: int = 40) -> np.ndarray:
    """Depth of a tilted plane, 1 mm a pixel, with an empty border."""
    depth = np.zeros((size, size))
    rows, columns = np.mgrid[5 : size - 5, 5 : size - 5]
    depth[5:-5, 5:-5] = 500 + down * rows + right * columns
    return depth


def test_planes_are_as_light_as_they_face_the_light() -> None:
    for down, right in ((0.0, 0.0), (0.5, 0.4), (-0.8, 0.1), (-1.0, -3.0)):
        normal = np.array([right, down, -1.0]) / np.linalg.norm([right, down, 1.0])
        light = DARKEST + (1 - DARKEST) * max(0.0, normal @ LIGHT)
        picture = lit(plane(down, right), 1.0)
        np.testing.assert_allclose(picture[20, 20], SKIN * light, atol=2)
        np.testing.assert_array_equal(picture[2, 2], colour.EMPTY)
        np.testing.assert_allclose(picture[5, 5], SKIN * light, atol=2, err_msg="the rim is lit like the rest")


def test_an_edge_between_two_surfaces_is_dark_and_both_are_light() -> None:
    depth = plane(0.0, 0.0)
    depth[5:-5, 20:-5] += 60
    picture = lit(depth, 1.0).astype(int).sum(axis=-1)
    assert picture[20, 19:21].min() < 0.75 * picture[20, 10]
    assert picture[20, 16] == picture[20, 10] == picture[20, 28]


def test_nothing_is_empty() -> None:
    assert (lit(np.zeros((6, 8)), 1.0) == colour.EMPTY).all()
