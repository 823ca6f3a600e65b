"""Tests of the sensor model."""

import numpy as np
import pytest

from handopt.errors import ConfigError
from handopt.input.camera import Camera
from handopt.synth.noise import NOISE, NoiseModel, noise_model, sense

CAMERA = Camera(475.0, 475.0, 319.5, 239.5, 640, 480)
SHAPE = (480, 640)
COLUMN, ROW = np.meshgrid(np.arange(640), np.arange(480))


def flat(depth_mm: float) -> np.ndarray:
    return np.full(SHAPE, depth_mm, np.float32)


def disc(near: float = 400.0, far: float = 900.0) -> tuple[np.ndarray, np.ndarray]:
    """A disc before a wall, or before nothing where far is 0; the image, and each pixel's distance inside the disc."""
    inside = 120.0 - np.hypot(ROW - 240, COLUMN - 320)
    return np.where(inside > 0, near, far).astype(np.float32), inside


def rng() -> np.random.Generator:
    return np.random.default_rng(42)


def test_no_noise_is_no_noise() -> None:
    depth, _ = disc()
    np.testing.assert_array_equal(sense(depth, CAMERA, NOISE["none"], rng()), depth)


@pytest.mark.parametrize("name", ["low", "sr305", "kinect"])
def test_the_deviation_grows_with_the_square_of_the_distance(name: str) -> None:
    model = NOISE[name]
    for z in (300.0, 600.0, 1200.0):
        seen = sense(flat(z), CAMERA, model, rng())
        errors = seen[seen > 0] - z
        step = z * z * model.disparity_px / (CAMERA.fx * model.baseline_mm) if model.baseline_mm else 0.0
        expected = np.hypot(model.floor_mm + model.per_m2_mm * (z / 1000) ** 2, step / np.sqrt(12))
        assert errors.std() == pytest.approx(expected, rel=0.03)
        assert abs(errors.mean()) < 0.1 * expected


def test_the_usual_noise_is_about_a_millimetre_at_half_a_metre() -> None:
    assert NOISE["low"].floor_mm + NOISE["low"].per_m2_mm / 4 == pytest.approx(0.4, abs=0.1)
    assert NOISE["sr305"].floor_mm + NOISE["sr305"].per_m2_mm / 4 == pytest.approx(1.1, abs=0.1)
    assert NOISE["kinect"].floor_mm + NOISE["kinect"].per_m2_mm / 4 == pytest.approx(1.5, abs=0.1)


def test_edges_lose_pixels_and_are_frayed_and_the_inside_is_whole() -> None:
    depth, inside = disc()
    seen = sense(depth, CAMERA, NOISE["sr305"], rng())
    rings = [(inside > k) & (inside <= k + 1) for k in range(4)]
    lost = [float((seen[ring] == 0).mean()) for ring in rings]
    assert 0.25 < lost[0] < 0.5
    assert lost[0] > lost[1] > lost[3]
    assert (seen[inside > 5] == 0).mean() < 0.006
    frayed = (seen > 0) & (np.abs(seen - 400) < 20) & (inside < 0)
    assert frayed.sum() > 100
    assert inside[frayed].min() > -5


def test_nothing_is_measured_where_there_is_nothing() -> None:
    depth, inside = disc(far=0.0)
    seen = sense(depth, CAMERA, NOISE["kinect"], rng())
    assert (seen[inside < -8] == 0).all()
    assert (sense(flat(0.0), CAMERA, NOISE["sr305"], rng()) == 0).all()


def test_flying_pixels_lie_between_the_surfaces_at_the_edge() -> None:
    depth, inside = disc()
    seen = sense(depth, CAMERA, NoiseModel(flying=0.3), rng())
    flying = (seen > 405) & (seen < 895)
    assert np.abs(inside[flying]).max() < 3
    near_edge = np.abs(inside) < 0.7
    assert flying[near_edge].mean() == pytest.approx(0.3, abs=0.06)
    assert (seen[~flying] == depth[~flying]).mean() > 0.999


def test_grazing_surfaces_drop_out() -> None:
    model = NoiseModel(grazing_cosine=0.35, grazing_dropout=0.5)
    for slope, expected in ((1.0, 0.0), (4.0, 0.5)):  # mm of depth per mm to the right: a cosine of 0.7 and of 0.24
        x = (np.arange(640) - CAMERA.cx) / CAMERA.fx
        depth = np.where(np.abs(x) < 0.1, 500 / (1 - slope * x), 0)  # the plane z = 500 + slope x
        seen = sense(np.broadcast_to(depth, SHAPE).astype(np.float32), CAMERA, model, rng())
        middle = np.s_[100:-100, 300:340]
        assert (seen[middle] == 0).mean() == pytest.approx(expected, abs=0.03)


def test_holes_and_dropouts_have_their_rates() -> None:
    dropped = sense(flat(500.0), CAMERA, NoiseModel(dropout=0.01), rng())
    assert (dropped == 0).mean() == pytest.approx(0.01, abs=0.001)
    holed = sense(flat(500.0), CAMERA, NoiseModel(holes=20.0), rng())
    mean_area = np.pi * np.mean(np.linspace(1, 3, 100) ** 2)
    assert (holed == 0).sum() == pytest.approx(20 * holed.size / 1e5 * mean_area, rel=0.35)


def test_the_projectors_shadow_falls_to_the_left_of_the_near_surface() -> None:
    depth, _ = disc()
    model = NoiseModel(baseline_mm=75.0, shadow=True)
    lost = sense(depth, CAMERA, model, rng())[240] == 0
    width = CAMERA.fx * 75 * (1 / 400 - 1 / 900)
    assert lost.sum() == pytest.approx(width, abs=2)
    assert np.flatnonzero(lost).max() == pytest.approx(200, abs=2)
    assert np.flatnonzero(lost).min() == pytest.approx(200 - width, abs=3)
    turned = sense(depth, CAMERA, model, rng(), mirrored=True)[240] == 0
    assert np.flatnonzero(turned).min() == pytest.approx(440, abs=2)


def test_kinect_measures_whole_steps_of_disparity() -> None:
    seen = sense(flat(1000.0), CAMERA, NOISE["kinect"], rng())
    steps = CAMERA.fx * 75 / 0.125 / seen[seen > 0]
    assert np.abs(steps - np.rint(steps)).max() < 0.01


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="none, low, sr305, kinect"):
        noise_model("loud")
