"""Walls and desks."""

from typing import Any

import numpy as np
import pytest
from support.scenes import ARM, CAMERA, HAND, OTHER, WALL, Scene, turn

from handopt.input.subsample import subsampled, subsampled_camera
from handopt.observation.planes import large_planes


def planes_of(scene: Scene, noise_mm: float = 1.0) -> tuple[Any, Any]:
    """The pixels in planes, and what each pixel shows."""
    depth = scene.photograph(noise_mm=noise_mm).astype(np.float32)
    flat = large_planes(subsampled(depth, 2), subsampled_camera(CAMERA, 2))
    return flat, np.where(subsampled(depth, 2) > 0, subsampled(scene.labels, 2), 0)


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.3, 0.5, 0.8), (0.0, -0.8, 0.6)])
@pytest.mark.parametrize("distance_mm", [500.0, 1500.0])
def test_a_wall_is_a_plane_and_a_hand_before_it_is_not(normal: tuple[float, ...], distance_mm: float) -> None:
    scene = Scene()
    scene.hand((0.0, 0.0, 400.0))
    scene.plane(np.array(normal), distance_mm, WALL)
    flat, labels = planes_of(scene)
    near = np.abs(subsampled(scene.depth_mm, 2)) < 2500.0
    assert flat[(labels == WALL) & near].mean() > 0.97
    assert flat[(labels == HAND) | (labels == ARM)].mean() < 0.02
    assert not flat[labels == 0].any()


def test_a_hand_on_a_desk_stands_out() -> None:
    scene = Scene()
    scene.hand((0.0, 0.0, 550.0), turn("x", 0.05), bends=(0.0,) * 5)
    scene.plane(np.array([0.0, 0.0, 1.0]), 580.0, OTHER)
    flat, labels = planes_of(scene)
    assert flat[labels == OTHER].mean() > 0.97
    assert flat[labels == HAND].mean() < 0.1


def test_a_corner_is_of_two_planes() -> None:
    scene = Scene()
    scene.plane(np.array([0.0, 0.0, 1.0]), 1200.0, WALL)
    scene.plane(np.array([0.0, 0.9, 0.436]), 600.0, OTHER)
    flat, labels = planes_of(scene)
    assert flat[labels == WALL].mean() > 0.95
    assert flat[labels == OTHER].mean() > 0.95


def test_hands_bodies_and_noise_are_none() -> None:
    scene = Scene()
    scene.hand((-60.0, 0.0, 550.0))
    scene.person((0.0, 200.0, 800.0))
    flat, labels = planes_of(scene)
    assert flat[labels > 0].mean() < 0.2, "a chest is flat in places"
    assert not flat[(labels == HAND) | (labels == ARM)].any()
    noise = np.random.default_rng(3).uniform(300.0, 1500.0, (240, 320)).astype(np.float32)
    assert large_planes(noise, subsampled_camera(CAMERA, 2)).mean() < 0.1


@pytest.mark.parametrize("shape", [(1, 1), (3, 300), (40, 40)])
def test_small_and_empty_images(shape: tuple[int, int]) -> None:
    assert not large_planes(np.zeros(shape, np.float32), subsampled_camera(CAMERA, 2)).any()
    large_planes(np.full(shape, 900.0, np.float32), subsampled_camera(CAMERA, 2))
