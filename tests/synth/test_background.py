"""Tests of what stands behind the hand."""

import numpy as np

from handopt.input.camera import Camera
from handopt.synth.background import Background, sample_background
from handopt.synth.scene import render_mesh

CAMERA = Camera(237.5, 237.5, 159.5, 119.5, 320, 240)
HAND = np.random.default_rng(0).uniform([-80, -60, 450], [60, 90, 560], (200, 3))


def test_a_plane_is_where_its_equation_says() -> None:
    normal = np.array([0.3, -0.2, 1.0]) / np.linalg.norm([0.3, -0.2, 1.0])
    around = Background((normal, 900.0), np.zeros((0, 3)), np.zeros((0, 3), np.int32))
    points = CAMERA.backproject(around.plane_depth(CAMERA)).astype(np.float64)
    np.testing.assert_allclose(points @ normal, 900.0, rtol=1e-5)


def test_a_plane_that_runs_to_the_horizon_ends() -> None:
    normal = np.array([0.0, 1.0, 0.05]) / np.linalg.norm([0.0, 1.0, 0.05])
    depth = Background((normal, 200.0), np.zeros((0, 3)), np.zeros((0, 3), np.int32)).plane_depth(CAMERA)
    assert (depth[:60] == 0).all()
    assert depth[-1].min() > 0
    assert depth.max() <= 6000


def test_backgrounds_stay_behind_the_hand_and_are_of_all_kinds() -> None:
    rng = np.random.default_rng(1)
    kinds = set()
    gaps = []
    for _ in range(200):
        around = sample_background(rng, HAND)
        kinds.add((around.plane is not None, len(around.points) > 0))
        if around.plane is not None:
            normal, distance = around.plane
            gaps.append(distance - (HAND @ normal).max())
        if len(around.points):
            gaps.append(around.points[:, 2].min() - HAND[:, 2].max())
    assert kinds == {(True, False), (True, True), (False, True)}
    assert min(gaps) >= 100 - 1e-9
    assert min(gaps) < 150
    assert np.percentile(gaps, 90) > 500


def test_a_body_is_seen() -> None:
    rng = np.random.default_rng(2)
    shares = []
    for _ in range(60):
        around = sample_background(rng, HAND)
        if len(around.points):
            shares.append((render_mesh(around.points, around.faces, CAMERA) > 0).mean())
    assert np.median(shares) > 0.05
    assert min(shares) < 0.5  # partly at the side
