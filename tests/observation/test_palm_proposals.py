"""Where palms are proposed."""

from typing import Any

import numpy as np
import pytest
from support.scenes import CAMERA, OTHER, WALL, Scene, open_hand

from handopt.observation.palm_proposals import fill_holes, inscribed_palm, palms_at, propose_palms, with_pieces
from handopt.observation.surfaces import segment_surfaces


def photographed(scene: Scene) -> Any:
    return segment_surfaces(scene.photograph().astype(np.float32), CAMERA)


def test_an_open_hand_has_a_palm_at_its_largest_disc() -> None:
    palms = propose_palms(segment_surfaces(open_hand()[1].astype(np.float32), CAMERA))
    off = [np.linalg.norm(palm.center_mm - [0.0, 0.0, 488.0]) for palm in palms]
    nearest = palms[int(np.argmin(off))]
    assert min(off) < 25.0
    assert 25.0 < nearest.radius_mm < 45.0
    assert not nearest.at_end


def test_what_is_too_large_too_small_or_too_far_has_no_palm() -> None:
    scene = Scene()
    scene.plane(np.array([0.0, 0.0, 1.0]), 700.0, WALL)
    assert propose_palms(photographed(scene)) == []
    ball = np.array([0.0, 0.0, 600.0])
    scene = Scene()
    scene.capsule(ball, ball, 20.0, OTHER)
    assert propose_palms(photographed(scene)) == []
    scene = Scene()
    scene.hand((0.0, 0.0, 3600.0), size=3.0)
    assert propose_palms(photographed(scene)) == []


def test_the_inscribed_disc_of_a_mask() -> None:
    depth = np.full((480, 640), 500.0, np.float32)
    allowed = np.zeros((480, 640), bool)
    allowed[100:180, 200:280] = True
    allowed[100:140, 280:400] = True
    palm = inscribed_palm(segment_surfaces(depth, CAMERA, allowed))
    assert palm.radius_mm == pytest.approx(40 * 500.0 / 475.0, abs=4.0)  # a coarse pixel is 3 mm
    np.testing.assert_allclose(CAMERA.project(palm.center_mm), [239.5, 139.5], atol=4.0)


def test_a_place_is_found_by_pixel_and_by_point() -> None:
    frame = segment_surfaces(open_hand()[1].astype(np.float32), CAMERA)
    (by_pixel,) = palms_at(frame, np.array([319.5, 239.5]))
    (by_point,) = palms_at(frame, np.array([0.0, 0.0, 520.0]))
    assert by_pixel.label == by_point.label
    assert np.linalg.norm(by_pixel.center_mm - [0.0, 0.0, 488.0]) < 5.0
    assert palms_at(frame, np.array([0.0, 0.0, 300.0])) == []


def test_small_holes_are_filled() -> None:
    mask = np.ones((30, 30), bool)
    mask[5:7, 5:7] = False
    mask[10:20, 10:20] = False
    filled = fill_holes(mask, 4)
    assert filled[:8].all()
    assert not filled[10:20, 10:20].any()
    full = np.ones((5, 5), bool)
    np.testing.assert_array_equal(fill_holes(full, 4), full)


@pytest.mark.parametrize(
    ("gap_mm", "area_cm2", "columns", "joined"),
    [
        (60.0, 3.0, 10, True),
        (-60.0, 3.0, 10, True),
        (150.0, 3.0, 10, False),
        (-150.0, 3.0, 10, False),
        (60.0, 80.0, 10, False),
        (60.0, 45.0, 10, True),
        (-60.0, 45.0, 10, False),
        (60.0, 0.05, 10, False),
        (60.0, 3.0, 16, False),
    ],
)
def test_pieces_are_small_and_near(gap_mm: float, area_cm2: float, columns: int, joined: bool) -> None:
    depth, labels = np.zeros((20, 30), np.float32), np.zeros((20, 30), np.int32)
    depth[:, :10], labels[:, :10] = 600.0, 1
    depth[5:12, columns : columns + 4], labels[5:12, columns : columns + 4] = 600.0 - gap_mm, 2
    area = np.array([0.0, 100.0, area_cm2])
    mask, own = with_pieces(depth, labels, area, labels == 1, np.array([1], np.int32), 3.0)
    assert (set(own.tolist()) == {1, 2}) == joined
    np.testing.assert_array_equal(mask, (labels == 1) | (joined & (labels == 2)))


def test_pieces_of_pieces_are_joined() -> None:
    depth, labels = np.zeros((10, 30), np.float32), np.zeros((10, 30), np.int32)
    for label, z in ((1, 600.0), (2, 560.0), (3, 520.0)):
        columns = slice(5 * label, 5 * label + 5)
        depth[:, columns], labels[:, columns] = z, label
    _, own = with_pieces(depth, labels, np.full(4, 5.0), labels == 1, np.array([1], np.int32), 3.0)
    assert set(own.tolist()) == {1, 2, 3}


@pytest.mark.parametrize(("background_mm", "joined"), [(655.0, False), (700.0, True), (0.0, True)])
def test_what_continues_a_larger_surface_behind_is_no_piece(background_mm: float, joined: bool) -> None:
    depth, labels = np.zeros((20, 40), np.float32), np.zeros((20, 40), np.int32)
    depth[:, 5:10], labels[:, 5:10] = 600.0, 1
    depth[5:12, 10:14], labels[5:12, 10:14] = 650.0, 2
    depth[:, 20:], labels[:, 20:] = background_mm, 3 if background_mm else 0
    area = np.array([0.0, 100.0, 5.0, 400.0])
    _, own = with_pieces(depth, labels, area, labels == 1, np.array([1], np.int32), 3.0)
    assert (2 in own) == joined
