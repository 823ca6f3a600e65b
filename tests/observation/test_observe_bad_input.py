"""Depth images without a hand, and arguments that make no sense: every one is refused with what to change."""

from typing import Any

import numpy as np
import pytest
from support.scenes import BODY, CAMERA, WALL, Scene, open_hand

from handopt.errors import CameraError, DepthError, HandoptError, ObservationError, ShapeError
from handopt.input.camera import Camera
from handopt.observation.observe import observe

FORWARD = np.array([0.0, 0.0, 1.0])


def with_wall(scene: Scene, distance: float) -> Scene:
    scene.plane(FORWARD, distance, WALL)
    return scene


def body_only() -> Any:
    scene = Scene()
    scene.capsule(np.array([0.0, 120.0, 800.0]), np.array([0.0, 500.0, 800.0]), 160.0, BODY)
    scene.capsule(np.array([0.0, -180.0, 800.0]), np.array([0.0, -140.0, 800.0]), 90.0, BODY)
    return with_wall(scene, 1500.0).photograph()


def slanted() -> Any:
    scene = Scene()
    scene.plane(np.array([0.3, 0.5, 0.8]), 500.0, WALL)
    return scene.photograph()


NOISE = np.random.default_rng(3).uniform(300.0, 1500.0, (480, 640))
EMPTY_OF_HANDS = {
    "flat wall": with_wall(Scene(), 800.0).photograph(),
    "slanted wall": slanted(),
    "person": body_only(),
    "noise": NOISE,
    "sparse noise": np.where(NOISE < 400.0, NOISE, 0.0),
    "small blobs": np.where((np.indices((480, 640)) // 16).sum(axis=0) % 2, 600.0, 0.0),
}


@pytest.mark.parametrize("name", EMPTY_OF_HANDS)
def test_no_hand_in_view(name: str) -> None:
    with pytest.raises(ObservationError) as caught:
        observe(EMPTY_OF_HANDS[name], CAMERA)
    assert "depth_mm=" in str(caught.value)
    assert "box=" in str(caught.value)


@pytest.mark.parametrize("factor", [10.0, 8.0, 0.1, 1000.0, 0.001])
def test_a_wrong_unit_is_recognised(factor: float) -> None:
    scene = Scene()
    scene.hand()
    with pytest.raises(ObservationError, match="check depth_mm=") as caught:
        observe(scene.photograph() * factor, CAMERA)
    assert "120 mm to 3 m" in str(caught.value)


def test_the_distance_seen_is_said() -> None:
    scene = Scene()
    scene.hand((0.0, 0.0, 1000.0))
    with pytest.raises(ObservationError, match=r"nearest surface is 9\.\d+ m away"):
        observe(scene.photograph() * 10.0, CAMERA)
    with pytest.raises(ObservationError, match=r"nearest surface is 9\.\d+ mm away"):
        observe(scene.photograph() * 0.01, CAMERA)


DEPTH = open_hand()[1]
BAD_INPUT: dict[str, tuple[Any, dict[str, Any], type[HandoptError], str]] = {
    "no array of numbers": (DEPTH.astype(str), {}, ShapeError, "depth_mm"),
    "complex": (DEPTH.astype(complex), {}, ShapeError, "depth_mm"),
    "bool": (DEPTH > 0, {}, ShapeError, "depth_mm"),
    "three channels": (np.stack([DEPTH] * 3, -1), {}, ShapeError, "depth_mm"),
    "another size": (DEPTH[:240], {}, CameraError, "camera="),
    "negative": (DEPTH - 600.0, {}, DepthError, "depth_mm="),
    "all zero": (DEPTH * 0, {}, ObservationError, "nothing is measured"),
    "all NaN": (DEPTH * np.nan, {}, ObservationError, "nothing is measured"),
    "absurd": (DEPTH * 1e300, {}, ObservationError, "nothing is measured"),
    "mask of another size": (DEPTH, {"mask": np.ones((4, 4), bool)}, ShapeError, "mask="),
    "mask of floats": (DEPTH, {"mask": np.ones((480, 640))}, ShapeError, "mask="),
    "empty mask": (DEPTH, {"mask": np.zeros((480, 640), bool)}, ObservationError, "mask="),
    "tiny mask": (DEPTH, {"mask": np.indices((480, 640)).sum(axis=0) < 20}, ObservationError, "mask="),
    "mask of everything": (DEPTH, {"mask": np.ones((480, 640), bool)}, ObservationError, "mask="),
    "box of three": (DEPTH, {"box": (1, 2, 3)}, ShapeError, "box="),
    "box of NaN": (DEPTH, {"box": (1, 2, np.nan, 4)}, ShapeError, "box="),
    "empty box": (DEPTH, {"box": (300, 200, 300, 400)}, ObservationError, "box="),
    "box outside": (DEPTH, {"box": (700, 0, 800, 480)}, ObservationError, "box="),
    "box on the wall": (DEPTH, {"box": (560, 20, 580, 40)}, ObservationError, "box="),
    "center of one": (DEPTH, {"center": (1.0,)}, ShapeError, "center="),
    "center of infinity": (DEPTH, {"center": (1.0, np.inf)}, ShapeError, "center="),
    "center behind": (DEPTH, {"center": (0.0, 0.0, -500.0)}, ObservationError, "center="),
    "center in empty space": (DEPTH, {"center": (0.0, 0.0, 250.0)}, ObservationError, "center="),
    "center outside": (DEPTH, {"center": (2000.0, 240.0)}, ObservationError, "lies outside of the"),
    "center outside of the mask": (
        DEPTH,
        {"center": (20.0, 20.0), "mask": np.indices((480, 640))[1] // 60 == 5},
        ObservationError,
        "center=",
    ),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input(name: str) -> None:
    depth, arguments, error, message = BAD_INPUT[name]
    with pytest.raises(error) as caught:
        observe(depth, CAMERA, **arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 2), (3, 50)])
def test_tiny_images(shape: tuple[int, int]) -> None:
    with pytest.raises(ObservationError):
        observe(np.full(shape, 500.0), Camera(475.0, 475.0, 1.0, 1.0, shape[1], shape[0]))


def test_a_mask_of_scattered_pixels_is_refused() -> None:
    scene = Scene()
    scene.hand()
    depth = scene.photograph()
    mask = np.zeros(depth.shape, np.bool_)
    steps = np.arange(8)
    mask[150 + 16 * steps, 400 - 16 * steps] = True  # the corner of their box is far from all of them
    with pytest.raises(ObservationError, match=r"the mask covers .* which is no hand; check mask="):
        observe(with_wall(scene, 900.0).photograph(), CAMERA, mask=mask)
