"""The window around a guessed palm that the network of pixel labels sees."""

import numpy as np
import pytest
from support.compare import assert_close

from handopt.errors import ShapeError
from handopt.input.camera import Camera
from handopt.observation.pixel_window import SIZE, network_input, pixel_window, to_camera

CAMERA = Camera(240.0, 260.0, 158.3, 121.9, 320, 240)
PALM = (30.0, -20.0, 500.0)


def test_a_window_shows_each_pixel_where_it_is() -> None:
    columns, rows = np.meshgrid(np.arange(320), np.arange(240))
    depth = (400 + 0.5 * columns + 0.25 * rows).astype(np.float32)
    window = pixel_window(depth, CAMERA, PALM)
    assert window.offset_mm.shape == (SIZE, SIZE)
    for row, column in ((0, 0), (20, 120), (80, 79), (159, 159)):
        # 2.25 mm between pixels, the guess between the four in the middle
        x, y = PALM[0] + 2.25 * (column - 79.5), PALM[1] + 2.25 * (row - 79.5)
        u, v = round(240.0 * x / 500.0 + 158.3), round(260.0 * y / 500.0 + 121.9)
        assert (window.rows[row], window.columns[column]) == (v, u)
        assert window.offset_mm[row, column] == pytest.approx(400 + 0.5 * u + 0.25 * v - 500)


def test_what_is_not_measured_or_outside_is_unknown() -> None:
    depth = np.full((240, 320), 480.0, np.float32)
    depth[100:120] = 0
    window = pixel_window(depth, CAMERA, (-330.0, 0.0, 500.0))
    outside = (window.columns < 0) | (window.columns >= 320)
    missing = (window.rows >= 100) & (window.rows < 120)
    assert outside.any()
    assert missing.any()
    assert np.isnan(window.offset_mm[:, outside]).all()
    assert np.isnan(window.offset_mm[missing]).all()
    assert (window.offset_mm[np.ix_(~missing, ~outside)] == -20.0).all()


def test_the_network_sees_what_is_measured_and_limited_offsets() -> None:
    seen = network_input(np.array([[np.nan, 0.0], [50.0, -900.0]], np.float32))
    assert seen.dtype == np.float32
    assert seen.tolist() == [[[0.0, 0.0], [1.0, 0.0]], [[1.0, 0.5], [1.0, -2.0]]]


def test_points_of_a_window_go_back_to_the_camera() -> None:
    point = np.array([55.0, -61.0, 463.0])
    at_palm = point[:2] / 463.0 * 500.0
    window = pixel_window(np.ones((240, 320), np.float32), CAMERA, PALM)
    found = to_camera(window, np.array([*(at_palm - PALM[:2]), -37.0]))
    assert_close(found, point, atol=1e-9, reason="a projection and its inverse in float64")


def test_a_world_of_another_size_has_the_same_window() -> None:
    depth = np.random.default_rng(1).uniform(300, 700, (240, 320)).astype(np.float32)
    one = pixel_window(depth, CAMERA, PALM)
    other = pixel_window(1.25 * depth, CAMERA, 1.25 * np.array(PALM), size=1.25)
    assert np.array_equal(one.rows, other.rows)
    assert np.array_equal(one.columns, other.columns)
    assert_close(other.offset_mm, one.offset_mm, atol=1e-3, reason="float32 of up to 900 mm")
    points = np.array([[10.0, -40.0, 25.0], [0.0, 0.0, -60.0]])
    assert_close(to_camera(other, points), 1.25 * to_camera(one, points), atol=1e-9, reason="float64")


def test_the_mirror_image_gives_the_mirrored_window(rng: np.random.Generator) -> None:
    depth = rng.uniform(300, 700, (240, 320)).astype(np.float32)
    window = pixel_window(depth, CAMERA, PALM)
    mirrored = pixel_window(np.ascontiguousarray(depth[:, ::-1]), CAMERA.mirrored(), (-30.0, -20.0, 500.0))
    assert np.array_equal(mirrored.offset_mm, window.offset_mm[:, ::-1])


@pytest.mark.parametrize("palm", [(0.0, 0.0), (0.0, 0.0, np.nan), (0.0, 0.0, 0.0), (1.0, 2.0, -500.0)])
def test_a_palm_that_is_none_is_refused(palm: tuple[float, ...]) -> None:
    with pytest.raises(ShapeError, match="palm_mm: expected 3 finite numbers with z > 0, got"):
        pixel_window(np.ones((240, 320), np.float32), CAMERA, palm)
