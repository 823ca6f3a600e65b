"""Flying pixels, depth-connected components, windows."""

from collections import deque
from typing import Any

import numpy as np
import pytest
from support.scenes import CAMERA, open_hand

from handopt.input.camera import Camera
from handopt.input.subsample import subsampled, subsampled_camera
from handopt.observation.surfaces import (
    bounding_box,
    coarse_stride,
    drop_flying,
    flipped,
    label_surfaces,
    open_window,
    segment_surfaces,
    surface_steps,
    window_around,
)

FOCAL = 475.0


def neighbours(depth: Any, place: tuple[int, int]) -> list[tuple[int, int]]:
    """The nearest measured pixel in each of 4 directions, at most 3 away."""
    found = []
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        for far in (1, 2, 3):
            row, column = place[0] + far * down, place[1] + far * right
            if not (0 <= row < depth.shape[0] and 0 <= column < depth.shape[1]):
                break
            if depth[row, column] > 0:
                found.append((row, column))
                break
    return found


def flooded(depth: Any, focal: float) -> Any:
    """Slow twin of label_surfaces: a flood fill, pixel by pixel."""
    steps, labels, count = surface_steps(depth, focal).astype(float), np.zeros(depth.shape, int), 0
    for start in zip(*np.nonzero(depth > 0), strict=True):
        if labels[start]:
            continue
        count += 1
        labels[start], queue = count, deque([start])
        while queue:
            here = queue.popleft()
            for place in neighbours(depth, here):
                if not labels[place] and abs(steps[place] - steps[here]) <= 1:
                    labels[place] = count
                    queue.append(place)
    return labels


@pytest.mark.parametrize("step_mm", [5.0, 12.0, 20.0])
@pytest.mark.parametrize("shape", [(30, 40), (1, 50), (50, 1), (2, 2)])
def test_components_are_those_of_a_flood_fill(shape: tuple[int, int], step_mm: float, rng: np.random.Generator) -> None:
    depth = (600 + step_mm * rng.standard_normal(shape)).astype(np.float32)
    depth[rng.random(shape) < 0.3] = 0
    labels, twin = label_surfaces(depth, FOCAL), flooded(depth, FOCAL)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels == 0, depth == 0)
    pairs = {(int(a), int(b)) for a, b in zip(labels.ravel(), twin.ravel(), strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@pytest.mark.parametrize(("z_mm", "step_mm"), [(300.0, 10.5), (600.0, 13.1), (1000.0, 16.4)])
def test_the_step_grows_with_distance(z_mm: float, step_mm: float) -> None:
    for share, surfaces in ((0.95, 1), (1.05, 2)):
        depth = np.full((20, 20), z_mm, np.float32)
        depth[:, 10:] += share * step_mm
        assert len(np.unique(label_surfaces(depth, FOCAL))) == surfaces


def test_a_steep_surface_holds_together_and_an_edge_does_not() -> None:
    u = np.arange(200, dtype=np.float32)
    slope = np.broadcast_to(500.0 + u * np.tan(np.deg2rad(70.0)) * 500.0 / FOCAL, (50, 200)).astype(np.float32)
    assert len(np.unique(label_surfaces(slope, FOCAL))) == 1
    edge = np.where(u < 100, 500.0, 540.0).astype(np.float32) * np.ones((50, 1), np.float32)
    assert len(np.unique(label_surfaces(edge, FOCAL))) == 2


@pytest.mark.parametrize(("gap_px", "surfaces"), [(0, 1), (1, 1), (2, 1), (3, 2)])
@pytest.mark.parametrize("across", [True, False])
def test_narrow_gaps_do_not_part_a_surface(gap_px: int, surfaces: int, across: bool) -> None:
    depth = np.full((20, 20), 500.0, np.float32)
    depth[:, 8 : 8 + gap_px] = 0.0
    labels = label_surfaces(depth if across else depth.T.copy(), FOCAL)
    assert len(np.unique(labels[labels > 0])) == surfaces


@pytest.mark.parametrize("across", [True, False])
def test_flying_pixels_are_dropped(across: bool) -> None:
    depth = np.full((40, 40), 900.0, np.float32)
    depth[:, :20] = 500.0
    depth[:, 20] = 700.0
    depth[:, 21] = 800.0
    clean = drop_flying(depth if across else depth.T.copy(), FOCAL)
    clean = clean if across else clean.T
    assert not clean[:, 20:22].any()
    np.testing.assert_array_equal(clean[1:-1, 1:20], depth[1:-1, 1:20])
    np.testing.assert_array_equal(clean[1:-1, 22:-1], depth[1:-1, 22:-1])


def test_speckle_is_dropped_and_the_argument_is_kept() -> None:
    depth = np.zeros((40, 40), np.float32)
    depth[10, 10] = 400.0
    depth[20, 20:22] = 400.0
    depth[30:33, 30:33] = 400.0
    given = depth.copy()
    clean = drop_flying(depth, FOCAL)
    assert clean[:25].sum() == 0
    assert (clean[30:33, 30:33] > 0).all()
    np.testing.assert_array_equal(depth, given)


def test_thin_fingers_survive() -> None:
    depth = np.full((60, 60), 900.0, np.float32)
    depth[10:50, 30:33] = 500.0
    assert (drop_flying(depth, FOCAL)[11:49, 30:33] == 500.0).all()


def test_area_is_that_of_the_plane_at_its_depth() -> None:
    depth = np.zeros((480, 640), np.float32)
    depth[100:200, 100:300] = 500.0
    frame = segment_surfaces(depth, CAMERA)
    label = frame.labels[150, 150]
    assert frame.area_cm2[label] == pytest.approx(100 * 200 * (500.0 / 475.0) ** 2 / 100.0, rel=1e-3)
    assert frame.area_cm2[0] == 0.0


def test_allowed_restricts_labels_but_not_surfaces() -> None:
    depth = np.full((480, 640), 500.0, np.float32)
    allowed = np.zeros((480, 640), bool)
    allowed[:100] = True
    frame = segment_surfaces(depth, CAMERA, allowed, planes=False)
    assert (frame.surfaces > 0).all()
    np.testing.assert_array_equal(frame.labels > 0, allowed)
    assert len(frame.area_cm2) > frame.surfaces.max()


def test_planes_have_a_label_of_their_own_and_no_area() -> None:
    depth = np.full((480, 640), 900.0, np.float32)
    depth[200:280, 300:380] = 600.0
    frame = segment_surfaces(depth, CAMERA)
    wall, hand = frame.labels[20, 20], frame.labels[240, 340]
    assert wall not in (0, hand)
    assert frame.area_cm2[wall] == 0.0
    assert frame.area_cm2[hand] > 50.0
    assert (frame.depth_mm[frame.labels == wall] == 900.0).all()


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_the_camera_of_a_subsampled_image_sees_the_same_points(step: int) -> None:
    depth = open_hand()[1].astype(np.float32)
    small, camera = subsampled(depth, step), subsampled_camera(CAMERA, step)
    assert small.shape == (camera.height, camera.width)
    first = (step - 1) // 2
    expected = CAMERA.backproject(depth)[first::step, first::step]
    np.testing.assert_allclose(camera.backproject(small), expected, atol=1e-3)  # float32 at 1 m


def test_a_part_of_a_window_is_a_window() -> None:
    frame = segment_surfaces(open_hand()[1].astype(np.float32), CAMERA)
    window = open_window(frame, (100.0, 400.0), (200.0, 500.0), 3)
    part = window.part((slice(10, 60), slice(5, 90)))
    np.testing.assert_array_equal(frame.depth_mm[part.rows, part.columns], part.depth_mm)
    np.testing.assert_array_equal(part.depth_mm, window.depth_mm[10:60, 5:90])
    np.testing.assert_array_equal(part.points_mm, window.points_mm[10:60, 5:90])
    np.testing.assert_array_equal(part.border, window.border[10:60, 5:90])


def test_the_bounding_box() -> None:
    mask = np.zeros((20, 30), bool)
    mask[4, 7] = mask[9, 21] = True
    assert bounding_box(mask, 0) == (slice(4, 10), slice(7, 22))
    assert bounding_box(mask, 5) == (slice(0, 15), slice(2, 27))
    np.testing.assert_array_equal(flipped(mask)[:, ::-1], mask)


def test_windows_agree_with_the_frame() -> None:
    frame = segment_surfaces(open_hand()[1].astype(np.float32), CAMERA)
    window = open_window(frame, (-20.0, 100.0), (600.0, 700.0), 3)
    assert (window.rows.start, window.columns.stop) == (0, 640)
    np.testing.assert_array_equal(window.depth_mm, frame.depth_mm[window.rows, window.columns])
    points = CAMERA.backproject(frame.depth_mm)[window.rows, window.columns]
    np.testing.assert_allclose(window.points_mm, points, atol=1e-3)  # float32 at 1 m
    assert window.border[0].all()
    assert not window.border[2:, :2].any()
    assert window.pixel_mm(475.0) == pytest.approx(3.0)
    np.testing.assert_allclose(window.pixel_cm2, (3 * window.depth_mm / 475.0) ** 2 / 100.0, rtol=1e-5)


def test_a_window_around_a_point_shows_all_around_it(rng: np.random.Generator) -> None:
    frame = segment_surfaces(np.full((480, 640), 500.0, np.float32), CAMERA)
    center = np.array([20.0, -10.0, 500.0])
    window = window_around(frame, center, 100.0)
    assert window.stride == coarse_stride(CAMERA, 500.0) == 3
    around = center + 100.0 * rng.uniform(-1, 1, (200, 3)) / np.sqrt(3)
    u, v = CAMERA.project(around).T
    assert u.min() >= window.columns.start
    assert u.max() <= window.columns.stop
    assert v.min() >= window.rows.start
    assert v.max() <= window.rows.stop


def test_a_coarse_pixel_is_never_finer_than_the_image() -> None:
    assert coarse_stride(Camera(200.0, 200.0, 10.0, 10.0, 20, 20), 2000.0) == 1
