"""The mirror image gives the mirrored observation, to the bit."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.observation_factory import gather
from support.scenes import BODY, CAMERA, HAND, OTHER, WALL, Scene, turn

from handopt.config import Config
from handopt.errors import ObservationError
from handopt.input.camera import Camera
from handopt.input.depth import read_depth
from handopt.observation.observation import Observation
from handopt.observation.observe import observe

FORWARD = np.array([0.0, 0.0, 1.0])


def check(depth: Any, camera: Camera, hints: dict[str, Any] | None = None, turned: dict[str, Any] | None = None) -> int:
    """Compare what is observed in an image and in its mirror image; returns the number of candidates."""
    depth = np.asarray(depth, np.float32)
    found = observe(depth, camera, **(hints or {}))
    mirrored = observe(np.ascontiguousarray(depth[:, ::-1]), camera.mirrored(), **(turned or {}))
    assert len(found) == len(mirrored)
    for one, other in zip(found, mirrored, strict=True):
        same(one, other)
    return len(found)


def same(one: Observation, other: Observation) -> None:
    back = other.mirrored()
    assert back.camera == one.camera
    for name in ("depth_mm", "mask", "arm", "center_mm", "points_mm"):
        np.testing.assert_array_equal(getattr(back, name), getattr(one, name), err_msg=name)
    assert (one.arm_direction is None) == (other.arm_direction is None)
    if one.arm_direction is not None:
        np.testing.assert_array_equal(back.arm_direction, one.arm_direction)
    for name in (
        "score",
        "touches_border",
        "notes",
        "competitors",
        "score_margin",
        "hand_probability",
        "border_share",
        "area_cm2",
    ):
        assert getattr(other, name) == getattr(one, name), name
    crop = one.crop(96, 120.0)
    assert other.crop(96, 120.0) == crop.mirrored()
    grid, turned = one.grid(crop), other.grid(other.crop(96, 120.0)).mirrored()
    for name in ("depth_mm", "hand", "free"):
        np.testing.assert_array_equal(getattr(turned, name), getattr(grid, name), err_msg=name)


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_synthetic_images(shared_data: Path, level: str) -> None:
    paths = sorted((shared_data / "synthetic" / level).glob("*.png"))
    assert paths
    for path in paths:
        label = json.loads(path.with_suffix(".json").read_text())
        check(read_depth(path, unit=label["unit_mm"]).depth_mm, Camera(**label["camera"]))


def test_real_frames(shared_data: Path) -> None:
    setup = json.loads((shared_data / "sr305" / "camera.json").read_text())
    for path in sorted((shared_data / "sr305").glob("*.png")):
        check(read_depth(path, unit=setup["unit_mm"]).depth_mm, Camera(**setup["camera"]))
    (path,) = (shared_data / "nyu").glob("*.png")
    check(read_depth(path, unit=1.0).depth_mm, Camera(**json.loads(path.with_suffix(".json").read_text())["camera"]))


def alone() -> Scene:
    scene = Scene(replace(CAMERA, cx=311.137, cy=243.5))
    scene.hand((20.0, -10.0, 480.0), turn("z", 0.4) @ turn("x", 0.3))
    return scene


def before_a_body() -> Scene:
    scene = Scene()
    scene.hand((-30.0, -40.0, 600.0), turn("z", -0.5) @ turn("x", 0.7), bends=(0.1, 0.5, 0.2, 0.6, 0.1))
    scene.person((90.0, 180.0, 800.0))
    scene.plane(FORWARD, 1400.0, WALL)
    return scene


def two() -> Scene:
    scene = Scene()
    scene.hand((-140.0, 0.0, 500.0), turn("z", 0.3))
    scene.hand((140.0, 10.0, 520.0), bends=(0.1, 0.6, 0.6, 0.6, 0.6))
    scene.plane(FORWARD, 1000.0, WALL)
    return scene


def on_a_desk() -> Scene:
    scene = Scene()
    scene.hand((10.0, 0.0, 550.0), turn("z", 1.0), bends=(0.0,) * 5)
    scene.plane(np.array([0.05, 0.1, 1.0]), 585.0, OTHER)
    return scene


def at_the_border() -> Scene:
    scene = Scene()
    scene.hand((-265.0, 0.0, 450.0), turn("z", 0.3))
    scene.plane(FORWARD, 900.0, WALL)
    return scene


def odd_width() -> Scene:
    scene = Scene(replace(CAMERA, cx=310.0, width=621))
    scene.hand((0.0, 0.0, 500.0))
    scene.capsule(np.array([60.0, 0.0, 600.0]), np.array([60.0, 60.0, 600.0]), 70.0, BODY)
    return scene


def finer() -> Scene:
    scene = Scene(Camera(960.0, 950.0, 500.25, 380.0, 1000, 760))
    scene.hand((0.0, 0.0, 600.0))
    return scene


@pytest.mark.parametrize("make", [alone, before_a_body, two, on_a_desk, at_the_border, odd_width, finer])
@pytest.mark.parametrize("seed", [0, 1])
def test_scenes(make: Callable[[], Scene], seed: int) -> None:
    scene = make()
    check(scene.photograph(seed), scene.camera)


def test_hints_are_mirrored_along() -> None:
    scene = two()
    depth = scene.photograph()
    x, y, z = 140.0, 10.0, 520.0
    u, v = CAMERA.project(np.array([x, y, z]))
    mask = (scene.labels == HAND) & (np.arange(640) > 320)
    assert check(depth, CAMERA, {"center": (u, v)}, {"center": (639 - u, v)}) == 1
    assert check(depth, CAMERA, {"center": (x, y, z)}, {"center": (-x, y, z)}) == 1
    assert check(depth, CAMERA, {"box": (320, 20, 640, 470)}, {"box": (0, 20, 320, 470)}) == 1
    assert check(depth, CAMERA, {"mask": mask}, {"mask": mask[:, ::-1]}) == 1


def test_no_hand_is_said_alike() -> None:
    scene = Scene()
    scene.capsule(np.array([90.0, 120.0, 800.0]), np.array([60.0, 500.0, 800.0]), 160.0, BODY)
    depth = scene.photograph()
    with pytest.raises(ObservationError) as one:
        observe(depth, CAMERA)
    with pytest.raises(ObservationError) as other:
        observe(depth[:, ::-1], CAMERA.mirrored())
    assert str(one.value) == str(other.value)


def test_mirroring_twice_changes_nothing() -> None:
    scene = alone()
    observation = observe(scene.photograph(), scene.camera)[0]
    same(observation, observation.mirrored())
    points = observation.mirrored().mirrored().points_mm
    np.testing.assert_array_equal(points, observation.points_mm)
    assert observation.camera == scene.camera


@pytest.mark.parametrize("make", [alone, before_a_body, odd_width])
def test_the_targets_of_a_left_hand_are_those_of_a_right_one_in_the_mirror(make: Callable[[], Scene]) -> None:
    """To the bit, splats and drawn points among it: a left hand's observation is mirrored before anything else."""
    scene = make()
    depth = scene.photograph().astype(np.float32)
    left = observe(depth, scene.camera)[0]
    right = observe(np.ascontiguousarray(depth[:, ::-1]), scene.camera.mirrored())[0]
    config = Config(crop_px=64, points=200)
    one, other = (gather(config, [view], spacing_mm=5.0) for view in ((left, True), (right, False)))
    for name in ("points", "coefficients", "centre", "splats", "field", "mm_per_px", "weight"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
