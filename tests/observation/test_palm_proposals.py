"""Where palms are proposed."""

from typing import Any

import numpy as np
import pytest
from support.scenes import CAMERA, OTHER, WALL, Scene, open_hand

from handopt.observation.palm_proposals import inscribed_palm, proposals_at, propose_palms
from handopt.observation.surfaces import segment_surfaces


def photographed(scene: Scene) -> Any:
    return segment_surfaces(scene.photograph().astype(np.float32), CAMERA)


def test_an_open_hand_has_a_palm_at_its_largest_disc() -> None:
    proposals = propose_palms(segment_surfaces(open_hand()[1].astype(np.float32), CAMERA))
    off = [np.linalg.norm(palm.center_mm - [0.0, 0.0, 488.0]) for palm in proposals]
    nearest = proposals[int(np.argmin(off))]
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
    (by_pixel,) = proposals_at(frame, np.array([319.5, 239.5]))
    (by_point,) = proposals_at(frame, np.array([0.0, 0.0, 520.0]))
    assert by_pixel.label == by_point.label
    assert np.linalg.norm(by_pixel.center_mm - [0.0, 0.0, 488.0]) < 5.0
    assert proposals_at(frame, np.array([0.0, 0.0, 300.0])) == []
