"""The shader: lights, contour, crevices."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from handopt.draw import colour
from handopt.draw.shading import REACH_SIGMAS, _blurred, shade, tones, vertex_normals

SIZE, MIDDLE = 60, 30
CAMERA = (600.0, 600.0, 29.5, 29.5, SIZE, SIZE)
FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def square(normal: tuple[float, float, float], depth: float = 500.0, half: float = 15.0) -> np.ndarray:
    """Corners (4, 3) of a square about the optical axis with a normal that points to the camera."""
    z = -np.asarray(normal) / np.linalg.norm(normal)
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x)
    y = np.cross(z, x)
    corners = np.array([-half * x - half * y, half * x - half * y, half * x + half * y, -half * x + half * y])
    return np.add(corners, (0.0, 0.0, depth))


def lit(normal: tuple[float, float, float]) -> np.ndarray:
    """Colour in the middle of a square, as floats."""
    unit = np.asarray(normal) / np.linalg.norm(normal)
    return shade(square(normal), np.tile(unit, (4, 1)), FACES, CAMERA)[MIDDLE, MIDDLE].astype(float)


def test_a_plane_is_lighter_the_more_it_faces_the_light_from_above_on_the_left() -> None:
    towards, frontal, away = lit((-0.5, -0.6, -0.6)), lit((0.0, 0.0, -1.0)), lit((0.3, 0.8, -0.6))
    assert (towards > frontal + 5).all()
    assert (frontal > away + 40).all()


def test_the_colour_is_that_of_skin_and_where_nothing_is_stays_empty() -> None:
    picture = shade(square((0, 0, -1.0)), np.tile([0.0, 0.0, -1.0], (4, 1)), FACES, CAMERA)
    red, green, blue = picture[MIDDLE, MIDDLE].astype(int)
    assert red > green + 20
    assert green > blue + 10
    np.testing.assert_array_equal(picture[0, 0], colour.EMPTY)
    nothing = shade(np.zeros((4, 3)), np.zeros((4, 3)), FACES, CAMERA)
    assert (nothing == colour.EMPTY).all()


def test_a_contour_is_brighter_than_the_same_surface_in_the_shade() -> None:
    """The normal decides, not the geometry: the same square with a normal almost across the view."""
    rim = shade(square((0, 0, -1.0)), np.tile([0.2, 0.97, -0.1], (4, 1)), FACES, CAMERA)[MIDDLE, MIDDLE]
    shadow = shade(square((0, 0, -1.0)), np.tile([0.1, 0.8, -0.6], (4, 1)), FACES, CAMERA)[MIDDLE, MIDDLE]
    assert (rim.astype(int) > shadow.astype(int) + 5).any()


def test_what_lies_behind_its_surroundings_is_darker() -> None:
    flat, deep = np.tile([0.0, 0.0, -1.0], (8, 1)), np.concatenate([FACES, FACES + 4])
    near = np.add(square((0, 0, -1.0), 500.0), (14.0, 0.0, 0.0))
    behind = square((0, 0, -1.0), 520.0) - [14.0, 0.0, 0.0]
    alone = shade(behind, flat[:4], FACES, CAMERA)[MIDDLE, MIDDLE - 2].astype(int)
    beside = shade(np.concatenate([behind, near]), flat, deep, CAMERA)[MIDDLE, MIDDLE - 2].astype(int)
    assert (beside < alone - 10).all()


@pytest.mark.parametrize("sigma", [0.4, 2.5, 9.0])  # the last reaches beyond the opposite border
def test_blurring_is_that_of_scipy(rng: np.random.Generator, sigma: float) -> None:
    image = (500 * rng.random((23, 40))).astype(np.float32)
    np.testing.assert_array_equal(_blurred(image, sigma), gaussian_filter(image, sigma, truncate=REACH_SIGMAS))


def test_shading_follows_the_normals_smoothly() -> None:
    points = square((0.0, 0.0, -1.0))
    normals = np.array([[-0.5, 0, -1.0], [0.5, 0, -1.0], [0.5, 0, -1.0], [-0.5, 0, -1.0]])
    row = shade(points, normals / np.linalg.norm(normals, axis=1)[:, None], FACES, CAMERA)[MIDDLE, 14:46, 0].astype(int)
    assert np.ptp(row) > 15
    assert np.abs(np.diff(row)).max() < np.ptp(row) / 4


def test_any_size_can_be_shaded() -> None:
    for width, height in ((61, 33), (2, 3), (1, 1)):
        picture = shade(square((0, 0, -1.0)), np.tile([0.0, 0, -1], (4, 1)), FACES, (600, 600, 0.0, 0.0, width, height))
        assert picture.shape == (height, width, 3)


def test_tones_run_from_dark_to_light_skin() -> None:
    table = tones(10).astype(int)
    assert (np.diff(table, axis=0) >= 0).all()
    assert table[-1, 0] - table[0, 0] > 100


def test_vertex_normals_are_unit_length() -> None:
    normals = vertex_normals(square((0.3, 0.2, -0.9)), FACES)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
