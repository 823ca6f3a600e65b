"""Clouds of depth images that were turned: their pixels are found again, whatever the turn."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.fitted import EXAMPLES

from handopt.input.camera import Camera
from handopt.input.point_cloud import cloud_image
from handopt.input.point_rays import on_lattice, turn_to_pixels
from handopt.input.reader import read_image
from handopt.typing import FloatImage, Floats


def seen(name: str) -> tuple[FloatImage, Camera]:
    image = read_image(EXAMPLES / f"{name}.png")
    return image.depth_mm, image.camera


def cropped(image: FloatImage) -> FloatImage:
    rows, columns = np.nonzero(image)
    return image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def is_turned_by_quarters(image: FloatImage, other: FloatImage) -> bool:
    """Whether two images hold the same depth, up to 0.001 mm, perhaps turned by quarters."""
    ways = [np.rot90(cropped(image), quarters) for quarters in range(4)]
    same = [each for each in ways if each.shape == cropped(other).shape]
    return any(np.abs(each - cropped(other)).max() < 1e-3 for each in same)


@pytest.mark.parametrize(("name", "seed"), [("open", 4), ("pinch", 0), ("pinch", 2), ("back", 1), ("left", 3)])
def test_a_turned_cloud_gives_the_pixels_it_was_made_of(name: str, seed: int, tmp_path: Path) -> None:
    depth, camera = seen(name)
    turn = Rotation.random(random_state=np.random.default_rng([seed, len(name)])).as_matrix()
    points = camera.backproject(depth)[depth > 0]
    np.random.default_rng(1).shuffle(points)
    np.save(tmp_path / "turned.npy", (points @ turn.T).astype(np.float32))
    image, found, notes = cloud_image(tmp_path / "turned.npy", 1.0, None)
    assert is_turned_by_quarters(image, depth)
    assert (found.fx, found.fy) == pytest.approx((camera.fx, camera.fy), rel=1e-4)
    assert any("on the rays of a depth camera's pixels" in note for note in notes)


def test_pixels_that_are_no_squares_are_found(tmp_path: Path) -> None:
    camera = Camera(400.0, 520.0, 81.3, 57.9, 160, 120)
    rows, columns = np.mgrid[:120, :160]
    depth = (600 + 40 * np.sin(columns / 20) + 30 * np.cos(rows / 15)).astype(np.float32)
    turn = Rotation.from_rotvec([0.1, -0.2, 0.4]).as_matrix()
    np.save(tmp_path / "turned.npy", camera.backproject(depth).reshape(-1, 3) @ turn.T)
    image, found, _ = cloud_image(tmp_path / "turned.npy", 1.0, None)
    assert is_turned_by_quarters(image, depth)
    assert sorted([found.fx, found.fy]) == pytest.approx([400.0, 520.0], rel=1e-4)


def scattered() -> Floats:
    """Points of a plane that no camera's pixels made."""
    places = np.random.default_rng(3).uniform(-0.2, 0.2, (20_000, 2))
    return np.column_stack([500 * places, np.full(len(places), 500.0)])


def test_points_on_no_pixels_rays_stay_as_they_are() -> None:
    points = scattered()
    assert not on_lattice(points)
    assert turn_to_pixels(points) is None
    assert turn_to_pixels(points[:40]) is None
    assert turn_to_pixels(np.repeat(points[:1], 500, axis=0)) is None, "one place alone has no rows"


def test_depth_with_noise_along_the_rays_is_found_and_other_noise_is_not(tmp_path: Path) -> None:
    depth, camera = seen("pinch")
    rng, points = np.random.default_rng(2), camera.backproject(depth)[depth > 0]
    turn = Rotation.from_rotvec([0.0, 0.1, 1.0]).as_matrix()
    along = points * (1 + 0.01 * rng.normal(size=(len(points), 1)))
    assert turn_to_pixels(along @ turn.T) is not None
    assert turn_to_pixels((points + rng.normal(size=points.shape)) @ turn.T) is None
