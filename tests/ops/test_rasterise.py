"""The triangle z-buffer, and its twin, which also renders what the recovery test fits."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from support import reference
from support.compare import assert_close, assert_same_bits
from support.op_check import Floats, Place, Problem, check_arguments, check_batch, check_mixed_devices, check_op
from support.problems_image import CAMERA, rasterise_faces_problem, rasterise_problem

from handopt.errors import ShapeError
from handopt.ops.rasterise import rasterise, rasterise_faces

SINGLE = "some ten roundings of float32, amplified where a triangle is seen from the side"
EXACT = "float64: another formula for the same plane"
WIDE = (180.0, 170.0, 40.2, 29.7, 81, 60)


def rays(camera: tuple[float, ...]) -> Floats:
    """Directions (H, W, 3) with z = 1 through the pixel centres."""
    fx, fy, cx, cy, width, height = camera
    column, row = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([(column - cx) / fx, (row - cy) / fy, np.ones(column.shape)], axis=2)


def sphere(levels: int) -> tuple[Floats, NDArray[np.int32]]:
    """Points (V, 3) of a unit icosphere and its faces (F, 3)."""
    golden = (1 + np.sqrt(5)) / 2
    corners = [(0, s, t * golden) for s in (1, -1) for t in (1, -1)]
    points = [np.roll(c, k) / np.linalg.norm(c) for k in range(3) for c in corners]
    edge = min(np.linalg.norm(points[0] - p) for p in points[1:]) * 1.01
    near = [[np.linalg.norm(a - b) < edge for b in points] for a in points]
    faces = [
        (i, j, k) for i in range(12) for j in range(i) for k in range(j) if near[i][j] and near[j][k] and near[i][k]
    ]
    for _ in range(levels):
        middles: dict[tuple[int, int], int] = {}

        def middle(a: int, b: int, middles: dict[tuple[int, int], int] = middles) -> int:
            key = (min(a, b), max(a, b))
            if key not in middles:
                middles[key] = len(points)
                points.append((points[a] + points[b]) / np.linalg.norm(points[a] + points[b]))
            return middles[key]

        split = []
        for a, b, c in faces:
            ab, bc, ca = middle(a, b), middle(b, c), middle(c, a)
            split += [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
        faces = split
    return np.array(points), np.array(faces, np.int32)


def both(device: Place, points: Floats, faces: NDArray[np.int32], camera: tuple[float, ...]) -> list[Floats]:
    """Depth (H, W) by the op and by its twin."""
    sent = device.send({"points": points[None], "faces": faces})
    return [
        device.fetch(rasterise(sent["points"], sent["faces"], camera))[0],
        reference.rasterise(points, faces, camera),
    ]


def test_twin_and_devices(device: Place) -> None:
    check_op(rasterise_problem(), device, 1e-5, SINGLE)


def test_faces_twin_and_devices(device: Place) -> None:
    check_op(rasterise_faces_problem(), device, 1e-5, SINGLE)


@pytest.mark.parametrize("problem", [rasterise_problem, rasterise_faces_problem])
def test_batch(problem: Callable[[], Problem]) -> None:
    check_batch(problem())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_faces_and_their_coordinates_say_where_the_surface_is(dtype: type, device: Place) -> None:
    unit, faces = sphere(3)
    points: Floats = (50 * unit + [8.0, -6.0, 400.0]).astype(dtype)
    sent = device.send({"points": points[None], "faces": faces})
    surface = rasterise_faces(sent["points"], sent["faces"], WIDE)
    depth, face, weights = (device.fetch(each)[0] for each in surface)
    assert_same_bits(depth, device.fetch(rasterise(sent["points"], sent["faces"], WIDE))[0], "depth")
    assert face.dtype == np.int32
    assert np.array_equal(face >= 0, depth > 0), "every pixel of the surface has a face, and no other"
    assert np.count_nonzero(depth) > 1000
    assert not weights[face < 0].any()
    seen = face >= 0
    assert (weights[seen] >= 0).all()
    corners = points.astype(np.float64)[faces[face[seen]]]
    found = np.einsum("nk,nkc->nc", weights[seen].astype(np.float64), corners)
    expected = (rays(WIDE) * depth[..., None])[seen]
    tolerance = 1e-2 if dtype == np.float32 else 1e-10
    assert_close(found, expected, atol=tolerance, reason="roundings at 400 mm, amplified where a face is seen sideways")


def test_of_equally_near_faces_the_first_counts(device: Place) -> None:
    points = np.array([[2.0, 2, 100], [8, 2, 100], [8, 8, 100], [2, 8, 100]])
    camera = (100.0, 100.0, 0.0, 0.0, 12, 12)
    for order, on_the_edge in (([[0, 1, 2], [0, 2, 3]], 0), ([[0, 2, 3], [0, 1, 2], [0, 2, 3]], 0)):
        sent = device.send({"points": points[None], "faces": np.array(order, np.int32)})
        face = device.fetch(rasterise_faces(sent["points"], sent["faces"], camera).face)[0]
        assert face[5, 5] == on_the_edge, "the diagonal belongs to two triangles"
        assert face[0, 0] == -1
        assert face.max() == 1, "the third triangle lies where the first one does"


def test_faces_of_nothing() -> None:
    surface = rasterise_faces(np.zeros((2, 5, 3)), np.zeros((0, 3), np.int32), CAMERA)
    assert (surface.face == -1).all()
    assert surface.face.shape == (2, 31, 40)
    assert not surface.depth.any()
    assert not surface.weights.any()


def test_arguments() -> None:
    check_arguments(rasterise_problem())
    arrays = rasterise_problem().arrays
    for value in (-1, 30):
        with pytest.raises(ShapeError, match="faces"):
            rasterise(arrays["points"], np.array([[0, 1, value]], np.int32), CAMERA)


@pytest.mark.parametrize("camera", [(0.0, *CAMERA[1:]), (np.nan, *CAMERA[1:]), (*CAMERA[:4], 0, 31), (*CAMERA[:5], -1)])
def test_a_camera_that_makes_no_sense_is_refused(camera: tuple[float, ...]) -> None:
    with pytest.raises(ShapeError, match="camera"):
        rasterise(**rasterise_problem().arrays, camera=camera)


def test_mixed_devices(device: Place) -> None:
    check_mixed_devices(rasterise_problem(), device)


def test_a_tilted_plane_is_perspective_correct(device: Place) -> None:
    points = np.array([[-400.0, -300, 300], [400, -300, 520], [400, 300, 900], [-400, 300, 680]])
    faces = np.array([[0, 1, 2], [2, 3, 0]], np.int32)
    normal = np.cross(points[1] - points[0], points[2] - points[0])
    assert_close((points[3] - points[0]) @ normal, 0.0, atol=1e-6, reason="the corners lie in one plane")
    camera = (90.0, 85.0, 125.2, 92.7, 240, 180)
    expected = (normal @ points[0]) / (rays(camera) @ normal)
    for depth in both(device, points, faces, camera):
        assert np.count_nonzero(depth) > 10000
        assert_close(depth[depth > 0], expected[depth > 0], rtol=1e-12, reason=EXACT)
        # the middle of the first triangle's image: the harmonic mean of its corners, not the mean of 573 mm
        assert depth[58, 122] == pytest.approx(3 / (1 / 300 + 1 / 520 + 1 / 900), rel=0.01)


def test_a_sphere(device: Place) -> None:
    radius, centre = 50.0, np.array([8.0, -6.0, 400.0])
    unit, faces = sphere(4)
    sagitta = 1 - min(np.linalg.norm(unit[f].mean(0)) for f in faces)
    assert sagitta < 2e-3
    ray = rays(WIDE)
    along, squared = ray @ centre, np.sum(ray * ray, axis=2)
    root = along**2 - squared * (centre @ centre - radius**2)
    expected = np.where(root > 0, (along - np.sqrt(np.maximum(root, 0))) / squared, 0.0)
    steep = root < 0.15 * along**2 * (radius / 400) ** 2  # near the contour the surface is seen from the side
    for depth in both(device, radius * unit + centre, faces, WIDE):
        assert np.array_equal(depth[~steep] > 0, expected[~steep] > 0)
        assert np.all(expected[depth > 0] > 0), "an inscribed polyhedron lies within the sphere"
        assert np.count_nonzero(depth) > 0.97 * np.count_nonzero(expected)
        assert_close(depth[~steep], expected[~steep], atol=4 * radius * sagitta, reason="sagitta over the cosine")


def test_neighbouring_triangles_leave_no_gap(device: Place) -> None:
    unit, faces = sphere(2)
    # the sphere is symmetric about the middle pixel, so that edges run through pixel centres
    for depth in both(device, 50 * unit + [0.0, 0.0, 400.0], faces, (170.0, 170.0, 40.0, 30.0, 81, 61)):
        hit = depth > 0
        for line in (*hit, *hit.T):
            inside = np.flatnonzero(line)
            assert len(inside) == 0 or len(inside) == inside[-1] - inside[0] + 1


def test_pixel_centres_on_edges_and_corners_are_covered(device: Place) -> None:
    # at depth 100 with f = 100, columns and rows are x and y in mm
    points = np.array([[2.0, 2, 100], [8, 2, 100], [8, 8, 100], [2, 8, 100]])
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    for depth in both(device, points, faces, (100.0, 100.0, 0.0, 0.0, 12, 12)):
        expected = np.zeros((12, 12))
        expected[2:9, 2:9] = 100
        assert_close(depth, expected, rtol=1e-14, reason=EXACT)


def test_the_nearest_surface_wins_whatever_the_order_and_winding(device: Place) -> None:
    near = np.array([[-20.0, -20, 300], [20, -20, 300], [0, 25, 300]])
    far = np.array([[-91.0, -90, 400], [93, -88, 400], [1, 121, 400]])
    points = np.concatenate([near, far])
    images = []
    for order in ([[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]], [[2, 1, 0], [5, 4, 3]]):
        images += both(device, points, np.array(order, np.int32), WIDE)
    assert set(np.round(np.unique(images[0]), 6)) == {0.0, 300.0, 400.0}
    for image in images[1:]:
        assert_close(image, images[0], rtol=1e-14, reason=EXACT)


@pytest.mark.parametrize(
    "corner", [[0.0, 0.0, 0.5], [0.0, 0.0, -100.0], [0.0, 0.0, 0.0], [np.nan, 0, 300], [0, 0, np.nan], [np.inf, 0, 300]]
)
def test_triangles_that_cannot_be_seen_whole_are_left_out(corner: list[float], device: Place) -> None:
    points = np.array([[-20.0, -20, 300], [20, -20, 300], corner, [5.0, 25, 310]])
    faces = np.array([[0, 1, 2], [0, 1, 3]], np.int32)
    found, expected = both(device, points, faces, WIDE)
    alone, _ = both(device, points, faces[1:], WIDE)
    assert np.count_nonzero(alone) > 50
    assert_same_bits(found, alone, "depth")
    assert_close(expected, alone, rtol=1e-13, reason=EXACT)


def test_triangles_without_an_area_and_outside_of_the_image_leave_no_trace(device: Place) -> None:
    points = np.array([[0.0, 0, 300], [10, 0, 300], [20, 0, 300], [1e6, 0, 300], [1e6, 5, 300], [1e12, 9, 1.5]])
    faces = np.array([[0, 1, 2], [0, 0, 1], [3, 4, 5]], np.int32)
    camera = (100.0, 100.0, 10.5, 10.5, 21, 21)
    for depth in both(device, points, faces, camera):
        assert not depth.any()


def test_a_triangle_larger_than_the_image_fills_it(device: Place) -> None:
    points = np.array([[-1e5, -1e5, 200.0], [1e5, -1e5, 200.0], [0.0, 1e6, 200.0]])
    for depth in both(device, points, np.array([[0, 1, 2]], np.int32), WIDE):
        assert_close(depth, np.full((60, 81), 200.0), rtol=1e-10, reason="corners a thousand images away")


def test_empty(device: Place) -> None:
    none = device.send({"points": np.zeros((2, 5, 3)), "faces": np.zeros((0, 3), np.int32)})
    assert_close(device.fetch(rasterise(**none, camera=CAMERA)), np.zeros((2, 31, 40)), reason="no triangles")
    assert rasterise(np.zeros((0, 5, 3)), np.zeros((1, 3), np.int32), CAMERA).shape == (0, 31, 40)
