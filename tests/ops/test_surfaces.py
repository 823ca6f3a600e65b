"""Passes over the pixels of a depth image, against SciPy and against slow twins written pixel by pixel."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, label, maximum_filter, minimum_filter, uniform_filter

from handopt.errors import ShapeError
from handopt.ops.surfaces import (
    distance_inside,
    drop_flying_pixels,
    extreme_filter,
    fill_regions,
    hand_creases,
    label_components,
    label_regions,
    mirror_columns,
    nearest_outside,
    pixels_going_with,
    pixels_on_plane,
    resample_cells,
    squares_by_label,
)

SHAPES = ((1, 1), (1, 9), (7, 1), (2, 3), (17, 31), (40, 23))


def steps_of(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Smooth surfaces with jumps of more than 1, and pixels without a measurement."""
    steps = np.cumsum(rng.choice([-0.6, 0.2, 0.5, 1.7], shape, p=[0.4, 0.3, 0.28, 0.02]), axis=1)
    steps[rng.random(shape) < 0.15] = np.nan
    return steps.astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_flying_pixels_and_speckle(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        steps, depth = steps_of(shape, rng), rng.uniform(1, 2, shape).astype(np.float32)
        flat = np.pad(steps, 1, constant_values=np.nan)
        expected = np.zeros(shape, bool)
        for y, x in np.ndindex(shape):
            around = flat[y : y + 3, x : x + 3] - flat[y + 1, x + 1]
            support = np.count_nonzero(np.abs(around) <= 1) - np.count_nonzero(around[1, 1] == 0)
            across, along = (around[1, 0], around[1, 2]), (around[0, 1], around[2, 1])
            flies = any((a < -1 and b > 1) or (a > 1 and b < -1) for a, b in (across, along))
            expected[y, x] = flies or support < 3
        clean, marked = depth.copy(), steps.copy()
        drop_flying_pixels(clean, marked, 3)
        np.testing.assert_array_equal(clean, np.where(expected, 0, depth))
        np.testing.assert_array_equal(marked, np.where(expected, np.nan, steps))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("max_gap", [0, 2])
def test_components_are_numbered_by_their_first_pixels(shape: tuple[int, int], max_gap: int) -> None:
    steps = steps_of(shape, np.random.default_rng(2))
    expected, count = np.zeros(shape, int), 1
    for start in np.ndindex(shape):
        if expected[start] or np.isnan(steps[start]):
            continue
        count += 1
        expected[start], found = count, [start]
        while found:
            y, x = found.pop()
            for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                for reach in range(1, max_gap + 2):
                    v, u = y + reach * down, x + reach * right
                    if not (0 <= v < shape[0] and 0 <= u < shape[1]):
                        break
                    if not np.isnan(steps[v, u]):
                        if abs(steps[v, u] - steps[y, x]) <= 1 and not expected[v, u]:
                            expected[v, u] = count
                            found.append((v, u))
                        break
    np.testing.assert_array_equal(label_components(steps, max_gap), expected)


def test_squares_are_added_up_by_label() -> None:
    rng = np.random.default_rng(3)
    depth, labels = rng.uniform(0, 900, (20, 30)).astype(np.float32), rng.integers(0, 5, (20, 30)).astype(np.int32)
    expected = [sum(float(z) ** 2 for z in depth[labels == label]) for label in range(5)]
    found = squares_by_label(depth, labels, 6)
    assert found[0] == 0
    np.testing.assert_allclose(found[1:], [*expected[1:], 0], rtol=1e-6)  # squares are of float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes_and_distances_are_those_of_scipy(dtype: type) -> None:
    rng = np.random.default_rng(4)
    for shape in SHAPES:
        image: np.ndarray = rng.normal(size=shape).astype(dtype)
        for size in (1, 3, 5, 9, 17):
            np.testing.assert_array_equal(extreme_filter(image, size, largest=True), maximum_filter(image, size))
            np.testing.assert_array_equal(extreme_filter(image, size, largest=False), minimum_filter(image, size))
        for share in (0.3, 0.9):
            mask = rng.random(shape) < share
            mask.flat[-1] = False
            np.testing.assert_array_equal(distance_inside(mask), distance_transform_edt(mask))
            for inside in (mask, np.ones(shape, bool)):
                bordered = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
                np.testing.assert_array_equal(distance_inside(inside, border=True), bordered)
        np.testing.assert_array_equal(mirror_columns(image), image[:, ::-1])
        np.testing.assert_array_equal(mirror_columns(mask), mask[:, ::-1])
    assert np.isinf(distance_inside(np.ones((3, 4), bool))).all()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.62, 0.9])
def test_regions_are_labelled_as_scipy_does_and_small_ones_filled(share: float) -> None:
    rng = np.random.default_rng(8)
    for shape in SHAPES:
        mask = rng.random(shape) < share
        labels, count = label_regions(mask)
        expected, number = label(mask)
        np.testing.assert_array_equal(labels, expected)
        assert count == number
        outside, regions = label(~mask)
        for most in (0, 2, 10, mask.size):
            small = (np.bincount(outside.ravel()) <= most) & (np.arange(regions + 1) > 0)
            np.testing.assert_array_equal(fill_regions(mask, most), mask | small[outside] if regions > 1 else mask)


@pytest.mark.parametrize(("step", "aslant"), [(1, 1), (3, 2), (5, 4)])
def test_creases_are_deeper_than_what_lies_on_both_sides(step: int, aslant: int) -> None:
    rng = np.random.default_rng(9)
    for shape in SHAPES:
        hand, depth = rng.random(shape) < 0.9, rng.normal(500, 3, shape).astype(np.float32)
        weight = uniform_filter(hand.astype(np.float32), 3)
        smooth = uniform_filter(np.where(hand, depth, np.float32(0)), 3) / np.maximum(weight, np.float32(1e-3))
        expected = np.zeros(shape, bool)
        for y, x in np.ndindex(shape):
            if not (step <= y < shape[0] - step and step <= x < shape[1] - step):
                continue
            for down, right in ((step, 0), (0, step), (aslant, aslant), (aslant, -aslant)):
                one, other = (y + down, x + right), (y - down, x - right)
                deeper = smooth[y, x] - np.float32(0.5) * (smooth[one] + smooth[other]) > np.float32(0.7)
                expected[y, x] |= deeper and hand[y, x] and hand[one] and hand[other]
        np.testing.assert_array_equal(hand_creases(depth, hand, 0.7, step, aslant), expected)
        assert expected.any() or min(shape) < 17


def test_the_nearest_pixel_is_the_leftmost_and_there_the_upper_one() -> None:
    rng = np.random.default_rng(6)
    for shape in SHAPES:
        for share in (0.3, 0.9, 0.97):
            mask = rng.random(shape) < share
            mask.flat[rng.integers(mask.size)] = False
            distance, nearest = nearest_outside(mask)
            expected, (rows, columns) = distance_transform_edt(mask, return_indices=True)
            np.testing.assert_array_equal(distance, expected)
            np.testing.assert_array_equal(nearest, rows * shape[1] + columns)
    row = np.array([[False, True, False]])
    assert nearest_outside(row)[1].tolist() == [[0, 0, 2]]
    assert nearest_outside(row.T)[1].ravel().tolist() == [0, 0, 2]


@pytest.mark.parametrize("samples", [1, 2, 4])
def test_cells_of_a_grid_are_looked_up_pixel_by_pixel(samples: int) -> None:
    rng = np.random.default_rng(7)
    depth = rng.integers(0, 6, (9, 11)).astype(np.float32)
    hand, arm, ignored = (rng.random(depth.shape) < share for share in (0.5, 0.1, 0.05))
    rows, columns = rng.integers(-2, 11, 5 * samples), rng.integers(-2, 13, 5 * samples)
    cells = resample_cells(depth, hand, arm, ignored, rows, columns, samples)
    assert not resample_cells(depth, hand, arm, None, rows, columns, samples).ignored.any()
    for y, x in np.ndindex(5, 5):
        pixels = [
            (v, u) for v in rows[y * samples : (y + 1) * samples] for u in columns[x * samples : (x + 1) * samples]
        ]
        inside = [(v, u) for v, u in pixels if 0 <= v < 9 and 0 <= u < 11]
        shown = sorted(depth[at] for at in inside if depth[at] > 0 and hand[at])
        assert cells.count[y, x] == len(shown)
        assert cells.median_mm[y, x] == (shown[(len(shown) - 1) // 2] if shown else np.inf)
        assert cells.other_mm[y, x] == min(
            (depth[at] for at in inside if depth[at] > 0 and not hand[at]), default=np.inf
        )
        assert cells.arm[y, x] == any(arm[at] for at in inside)
        assert cells.ignored[y, x] == any(ignored[at] for at in inside)
        assert cells.outside[y, x] == (len(inside) < len(pixels))


def test_pixels_of_a_plane_are_told_from_those_beside_it() -> None:
    v, u = np.mgrid[:30, :40]
    depth = (1 / (1e-6 * u - 2e-6 * v + 1.25e-3)).astype(np.float32)
    off = np.random.default_rng(5).choice([0.0, 4.0, 7.0, -7.0], depth.shape)
    plane, left = np.array([1e-6, -2e-6, 1.25e-3]), u > 5
    inside = pixels_on_plane(depth + off.astype(np.float32), left, plane, 5.0, 0.0)
    np.testing.assert_array_equal(inside, (np.abs(off) < 5) & left)


def test_pixels_go_with_their_nearest_sample() -> None:
    depth = np.array([[0, 500, 540, 500], [500, 505, 700, 498]], np.float32)
    low, high = np.full((1, 2), 490, np.float32), np.full((1, 2), 520, np.float32)
    others = np.array([[-8, 499]], np.float32)
    block, nearest = (slice(0, 2), slice(1, 4)), (np.array([0, 0]), np.array([0, 0, 1]))
    going = pixels_going_with(depth, block, nearest, (low, high, others), 8.0)
    np.testing.assert_array_equal(going, [[False, True, False, False], [False, True, False, False]])


def test_images_that_do_not_fit_are_refused() -> None:
    steps = np.zeros((4, 5), np.float32)
    with pytest.raises(ShapeError, match="depth_mm: expected a C-contiguous image"):
        drop_flying_pixels(np.zeros((5, 4), np.float32), steps, 3)
    with pytest.raises(ShapeError, match=r"steps: expected a C-contiguous image .* not contiguous"):
        label_components(np.zeros((5, 8), np.float32)[:, ::2], 2)
    with pytest.raises(ShapeError, match="labels"):
        squares_by_label(steps, np.zeros((4, 5), np.int64), 3)
    with pytest.raises(ShapeError, match="size: expected an odd number of pixels, got 4"):
        extreme_filter(steps, 4, largest=True)
    with pytest.raises(ShapeError, match="mask"):
        distance_inside(np.zeros((4, 5), np.uint8))
    with pytest.raises(ShapeError, match="left"):
        pixels_on_plane(steps, np.zeros((4, 5), np.uint8), np.zeros(3), 5.0, 0.0)
    with pytest.raises(ShapeError, match="aslant: expected 1 to 2, got 3"):
        hand_creases(steps, steps > 0, 0.5, 2, 3)
    with pytest.raises(ShapeError, match="mask"):
        label_regions(np.zeros((4, 5), np.uint8))
    with pytest.raises(ShapeError, match="a pixel outside"):
        nearest_outside(np.ones((4, 5), np.bool_))
    for samples, rows in ((0, 4), (5, 5), (2, 3)):
        with pytest.raises(ShapeError, match="samples: expected up to 4"):
            resample_cells(steps, steps > 0, steps > 0, None, np.arange(rows), np.arange(rows), samples)
