"""The renderer's grid and the resampling of depth images onto it."""

from typing import Any

import numpy as np
import pytest

from handopt.errors import ShapeError
from handopt.input.camera import Camera
from handopt.observation.crop import Crop, Grid, resample

CAMERA = Camera(480.0, 500.0, 320.0, 240.0, 640, 480)
CENTER = (30.0, -20.0, 500.0)
FAR_MM = 900.0


def crop(**changes: Any) -> Crop:
    return Crop(**{"center_mm": CENTER, "half_mm": 125.0, "size": 100, "camera": CAMERA, **changes})


def to_grid(which: Crop, points: Any) -> Any:
    ax, bx, ay, by, az, bz = which.coefficients
    x, y, z = np.moveaxis(np.asarray(points, float), -1, 0)
    return np.stack([ax * x / z + bx, ay * y / z + by, az * z + bz], axis=-1)


def square(which: Crop, half_mm: float, z_mm: float = CENTER[2]) -> tuple[slice, slice]:
    """Image pixels of a square around the crop's centre."""
    u, v = which.camera.project(np.array(which.center_mm))
    du, dv = which.camera.fx * half_mm / z_mm, which.camera.fy * half_mm / z_mm
    return slice(round(v - dv), round(v + dv)), slice(round(u - du), round(u + du))


def scene(which: Crop, background: float = FAR_MM) -> tuple[Any, Any, Any]:
    """A 100 mm square hand before a background: depth, mask, arm."""
    depth = np.full((480, 640), background, np.float32)
    mask = np.zeros((480, 640), bool)
    mask[square(which, 50.0)] = True
    depth[mask] = CENTER[2]
    return depth, mask, np.zeros((480, 640), bool)


def at(which: Crop, grid_image: Any, x_mm: float, y_mm: float) -> Any:
    """Value of the grid at a point beside the centre."""
    x, y, z = which.center_mm
    column, row, _ = to_grid(which, [x + x_mm, y + y_mm, z])
    return grid_image[round(row), round(column)]


def test_coefficients_put_the_cube_into_the_grid() -> None:
    which = crop()
    assert which.coefficients.dtype == np.float64
    x, y, z = CENTER
    half = which.half_mm
    np.testing.assert_allclose(to_grid(which, CENTER), [49.5, 49.5, 0.5], atol=1e-12)
    np.testing.assert_allclose(to_grid(which, [x - half, y - half, z])[:2], [-0.5, -0.5], atol=1e-9)
    np.testing.assert_allclose(to_grid(which, [x + half, y + half, z])[:2], [99.5, 99.5], atol=1e-9)
    ray = np.array(CENTER) / z
    np.testing.assert_allclose(to_grid(which, ray * (z - half)), [49.5, 49.5, 0.0], atol=1e-9)
    np.testing.assert_allclose(to_grid(which, ray * (z + half)), [49.5, 49.5, 1.0], atol=1e-9)


def test_a_step_of_the_grid_is_mm_per_px_at_the_centre() -> None:
    which = crop()
    assert which.mm_per_px == pytest.approx(2.5)
    step = to_grid(which, np.add(CENTER, [which.mm_per_px, 2 * which.mm_per_px, 0.0])) - to_grid(which, CENTER)
    np.testing.assert_allclose(step, [1.0, 2.0, 0.0], atol=1e-9)


def test_image_coordinates_agree_with_projection(rng: np.random.Generator) -> None:
    which = crop()
    rows, columns = which.image_coordinates()
    assert rows.shape == columns.shape == (100,)
    points = np.array(CENTER) + rng.uniform(-100, 100, (50, 3))
    pixels = CAMERA.project(points)
    grid = to_grid(which, points)
    np.testing.assert_allclose(np.interp(grid[:, 0], np.arange(100), columns), pixels[:, 0], atol=1e-9)
    np.testing.assert_allclose(np.interp(grid[:, 1], np.arange(100), rows), pixels[:, 1], atol=1e-9)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"center_mm": (0.0, 0.0, 0.0)}, "center_mm"),
        ({"center_mm": (0.0, 0.0, -500.0)}, "center_mm"),
        ({"center_mm": (0.0, np.nan, 500.0)}, "center_mm"),
        ({"center_mm": (0.0, 500.0)}, "center_mm"),
        ({"half_mm": 0.0}, "half_mm"),
        ({"half_mm": np.inf}, "half_mm"),
        ({"size": 0}, "size"),
        ({"size": 120.5}, "size"),
        ({"size": 10**6}, "size"),
        ({"size": np.nan}, "size"),
    ],
)
def test_nonsense_is_refused_by_name(change: dict[str, Any], name: str) -> None:
    with pytest.raises(ShapeError, match=name):
        crop(**change)


def test_numpy_numbers_become_python_numbers() -> None:
    which = crop(center_mm=np.array(CENTER), half_mm=np.float32(125.0), size=np.int64(100))
    assert (type(which.center_mm), type(which.half_mm), type(which.size)) == (tuple, float, int)
    assert which == crop()


def test_hand_and_background_are_told_apart() -> None:
    which = crop()
    grid = resample(which, *scene(which))
    assert (grid.depth_mm.dtype, grid.hand.dtype, grid.free.dtype) == (np.float32, np.bool_, np.bool_)
    assert grid.depth_mm.shape == grid.hand.shape == grid.free.shape == (100, 100)
    assert abs(np.count_nonzero(grid.hand) * which.mm_per_px**2 - 100.0**2) < 400.0  # a row of pixels along the edge
    assert set(np.unique(grid.depth_mm)) == {0.0, 500.0}
    np.testing.assert_array_equal(grid.depth_mm > 0, grid.hand)
    assert not (grid.hand & grid.free).any()
    assert np.count_nonzero(~grid.hand & ~grid.free) < 200  # pixels across the edge belong to neither
    assert at(which, grid.free, 60.0, 0.0)


@pytest.mark.parametrize("z_mm", [150.0, 300.0, 600.0, 1500.0])
def test_no_value_is_invented_at_any_distance(z_mm: float, rng: np.random.Generator) -> None:
    which = crop(center_mm=(0.0, 0.0, z_mm), half_mm=100.0)
    depth = np.round(z_mm + rng.uniform(-50, 50, (480, 640))).astype(np.float32)
    mask = np.zeros((480, 640), bool)
    mask[square(which, 40.0, z_mm)] = True
    grid = resample(which, depth, mask, np.zeros_like(mask))
    assert grid.hand.any()
    assert np.isin(grid.depth_mm[grid.hand], depth[mask]).all()


def test_an_edge_inside_the_hand_is_not_mixed() -> None:
    which = crop(center_mm=(0.0, 0.0, 200.0), half_mm=90.0)  # 4 image pixels per grid pixel
    depth = np.full((480, 640), 230.0, np.float32)
    depth[:, 321:] = 180.0
    grid = resample(which, depth, np.ones((480, 640), bool), np.zeros((480, 640), bool))
    assert grid.hand.all()
    assert set(np.unique(grid.depth_mm)) == {180.0, 230.0}


def test_the_median_outvotes_a_single_wrong_pixel() -> None:
    which = crop(center_mm=(0.0, 0.0, 200.0), half_mm=90.0)
    depth = np.full((480, 640), 200.0, np.float32)
    depth[::4, ::4] = 190.0
    grid = resample(which, depth, np.ones((480, 640), bool), np.zeros((480, 640), bool))
    assert (grid.depth_mm == 200.0).all()


def test_what_is_out_of_the_cube_is_neither_hand_nor_free() -> None:
    which = crop()
    depth, mask, arm = scene(which)
    depth[square(which, 20.0)] = CENTER[2] + 130.0
    grid = resample(which, depth, mask, arm)
    assert not at(which, grid.hand, 0.0, 0.0)
    assert not at(which, grid.free, 0.0, 0.0)
    assert at(which, grid.hand, 40.0, 0.0)


def free(depth: Any, mask: Any, arm: Any, which: Crop) -> Any:
    return resample(which, depth, mask, arm).free


def test_an_occluder_is_not_free_and_what_is_behind_is() -> None:
    which = crop()
    depth, mask, arm = scene(which)
    right = square(which, 40.0)
    columns = slice(right[1].stop + 30, right[1].stop + 60)
    depth[right[0], columns] = 400.0
    before = free(depth, mask, arm, which)
    depth[right[0], columns] = 520.0
    behind = free(depth, mask, arm, which)
    x_mm = (columns.start + 15 - CAMERA.project(np.array(CENTER))[0]) * CENTER[2] / CAMERA.fx
    assert not at(which, before, x_mm, 0.0)
    assert at(which, behind, x_mm, 0.0)


def test_the_arm_is_not_free() -> None:
    which = crop()
    depth, mask, arm = scene(which)
    rows, columns = square(which, 50.0)
    arm[rows.stop : rows.stop + 60, columns] = True
    depth[arm] = 500.0
    field = free(depth, mask, arm, which)
    assert not at(which, field, 0.0, 80.0)
    assert at(which, field, 0.0, -80.0)


def test_a_hole_in_the_hand_is_not_free() -> None:
    which = crop()
    depth, mask, arm = scene(which)
    hole = square(which, 5.0)
    depth[hole], mask[hole] = 0.0, False
    field = resample(which, depth, mask, arm)
    assert not at(which, field.hand, 0.0, 0.0)
    assert not at(which, field.free, 0.0, 0.0)


def test_dropouts_at_the_edge_are_not_free_but_emptiness_is() -> None:
    which = crop()
    depth, mask, arm = scene(which, background=0.0)
    field = free(depth, mask, arm, which)
    assert not at(which, field, 51.0, 0.0)  # in the grid pixel beside the hand
    assert at(which, field, 62.0, 0.0)
    assert at(which, field, -100.0, -100.0)


def test_a_gap_that_opens_to_the_background_is_free_in_its_middle() -> None:
    which = crop()
    depth, mask, arm = scene(which, background=0.0)
    rows, columns = square(which, 15.0)
    gap = np.s_[: rows.stop, columns]
    depth[gap], mask[gap] = 0.0, False
    assert at(which, free(depth, mask, arm, which), 0.0, -30.0)


def test_outside_of_the_image_is_not_free() -> None:
    which = crop(center_mm=(-320.0, 0.0, 500.0))
    depth = np.full((480, 640), FAR_MM, np.float32)
    mask = np.zeros((480, 640), bool)
    mask[200:280, 20:60] = True
    depth[mask] = 500.0
    field = resample(which, depth, mask, np.zeros_like(mask))
    _, columns = which.image_coordinates()
    assert not field.free[:, columns < -1].any()
    assert not field.hand[:, columns < -1].any()
    assert field.free[0, columns > 80].all()


def test_without_a_hand_all_that_is_in_the_image_is_free() -> None:
    which = crop()
    nothing = np.zeros((480, 640), bool)
    grid = resample(which, np.full((480, 640), FAR_MM, np.float32), nothing, nothing)
    assert isinstance(grid, Grid)
    assert not grid.hand.any()
    assert grid.free.all()


@pytest.mark.parametrize("z_mm", [180.0, 240.0, 480.0, 480.25, 900.0])
@pytest.mark.parametrize("width", [640, 639])
def test_the_mirror_image_gives_the_mirrored_grid(z_mm: float, width: int, rng: np.random.Generator) -> None:
    """To the bit, with edges through grid pixels, and with centres that put samples between two pixels."""
    camera = Camera(480.0, 480.0, 300.5, 239.5, width, 480)
    for x_mm in (0.0, 10.0, -z_mm * 0.1):
        which = Crop((x_mm, -20.0, z_mm), 120.0, 120, camera)
        depth = np.round(z_mm + rng.uniform(-40, 90, (480, width))).astype(np.float32)
        mask, arm = (rng.random((60, -(-width // 8))) < 0.5).repeat(8, 0).repeat(8, 1)[:, :width], depth > z_mm + 80
        depth[rng.random((480, width)) < 0.2] = 0.0
        grid = resample(which, depth, mask, arm & ~mask)
        turned = resample(which.mirrored(), depth[:, ::-1], mask[:, ::-1], (arm & ~mask)[:, ::-1]).mirrored()
        for name in ("depth_mm", "hand", "free"):
            np.testing.assert_array_equal(getattr(turned, name), getattr(grid, name), err_msg=name)
        assert which.mirrored().mirrored() == which


def test_half_covered_pixels_neither_grow_nor_shrink_a_silhouette() -> None:
    which = crop(center_mm=(0.0, 0.0, 240.0), half_mm=120.0, size=120)
    depth = np.full((480, 640), 240.0, np.float32)
    for across in (True, False):
        mask = np.zeros((480, 640), bool)
        mask[np.s_[:, 318:322] if across else np.s_[238:242]] = True
        shifted = np.roll(mask, 1, axis=1 if across else 0)
        counts = [np.count_nonzero(resample(which, depth, one, ~one).hand) for one in (mask, shifted)]
        assert abs(counts[0] - counts[1]) <= 120


def test_depth_is_looked_up_at_the_nearest_pixels() -> None:
    camera = Camera(100.0, 100.0, 15.5, 11.5, 32, 24, "test")
    crop = Crop((0.0, 0.0, 500.0), 50.0, 20, camera)
    depth = np.full((24, 32), 500.0, np.float32)
    depth[11, 15], depth[12, 16], depth[11, 16] = 400.0, 900.0, 510.0
    v, u, found = crop.look_up(depth)
    assert set(np.unique(found)) == {0.0, 500.0, 510.0, 600.0}, "nearer is nothing, farther is cut"
    for row in range(20):
        for column in range(20):
            inside = 0 <= v[row] < 24 and 0 <= u[column] < 32
            expected = depth[v[row], u[column]] if inside else 0.0
            assert found[row, column] == (0.0 if expected < 450 else min(expected, 600.0))
    far = Crop((200.0, 0.0, 500.0), 50.0, 20, camera).look_up(depth)[2]
    assert (far == 0).all(), "beside the image"
    seen = crop.as_camera()
    points = np.array([[0.0, 0.0, 500.0], [49.0, -49.0, 480.0]])
    ax, bx, ay, by = crop.coefficients[:4]
    expected = np.stack([ax * points[:, 0] / points[:, 2] + bx, ay * points[:, 1] / points[:, 2] + by], axis=1)
    assert np.allclose(seen.project(points), expected)
