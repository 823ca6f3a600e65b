"""Tests of the sensor model."""

from dataclasses import replace

import numpy as np
import pytest

from handopt.errors import ConfigError
from handopt.input.camera import Camera
from handopt.synth.noise import sense
from handopt.synth.noise_models import NOISE, NoiseModel, noise_model

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
    with pytest.raises(ConfigError, match="none, low, sr305, kinect, senz3d, kinect2, azure, d400, truedepth"):
        noise_model("loud")


# ------------------------------------------------------------------------- sensors with published numbers

KINECT2 = Camera(365.456, 365.456, 319.5, 239.5, 640, 480)
D435 = Camera(384.0, 384.0, 319.5, 239.5, 640, 480)


@pytest.mark.parametrize(
    ("name", "z", "expected"),
    [
        ("senz3d", 400.0, 1.14),  # measured on frames of a Senz3D: 1.0, 1.7, 2.0 and 2.3
        ("senz3d", 620.0, 1.49),
        ("senz3d", 850.0, 1.86),
        ("senz3d", 1200.0, 2.42),
        ("kinect2", 500.0, 1.33),  # Fankhauser et al.: 1.5 - 0.5 z + 0.3 z^2
        ("kinect2", 800.0, 1.29),
        ("kinect2", 2000.0, 1.7),
        ("azure", 800.0, 0.61),  # Toelgyessy et al.
        ("d400", 500.0, 1.04),  # Intel: z^2 0.08 px / (384 px 50 mm)
        ("d400", 1000.0, 4.17),
        ("truedepth", 300.0, 0.53),
    ],
)
def test_the_deviation_is_the_published_one(name: str, z: float, expected: float) -> None:
    camera = D435 if name == "d400" else KINECT2
    seen = sense(flat(z), camera, NOISE[name], rng())
    errors = seen[seen > 0] - z
    step = z * z * NOISE[name].disparity_px / (camera.fx * NOISE[name].baseline_mm) if NOISE[name].baseline_mm else 0.0
    assert errors.std() == pytest.approx(np.hypot(expected, step / np.sqrt(12)), rel=0.05)
    assert abs(errors.mean()) < 0.1 * expected


def test_surfaces_at_an_angle_are_noisier() -> None:
    x = (np.arange(640) - KINECT2.cx) / KINECT2.fx
    slope = np.tan(np.radians(70))
    depth = np.where(np.abs(x) < 0.05, 800 / (1 - slope * x), 0)
    clean = np.broadcast_to(depth, SHAPE).astype(np.float32)
    seen = sense(clean, KINECT2, NoiseModel(floor_mm=1.5, per_m_mm=-0.5, per_m2_mm=0.3, angle_mm=0.1), rng())
    middle = np.s_[50:-50, 312:328]
    tilt = np.radians(70)
    expected = 1.5 - 0.4 + 0.192 + 0.1 * 0.8**1.5 * tilt**2 / (np.pi / 2 - tilt) ** 2
    assert (seen - clean)[middle].std() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("name", ["senz3d", "kinect2", "azure"])
def test_mixed_pixels_of_time_of_flight_lie_at_edges_only(name: str) -> None:
    depth, inside = disc()
    seen = sense(depth, KINECT2, replace(NOISE[name], multipath=0.0), rng())
    between = (seen > 430) & (seen < 860)
    assert between.sum() > 50
    assert np.abs(inside[between]).max() < 2.5


def test_a_mixed_pixel_is_nearer_to_the_surface_that_sends_more_light() -> None:
    depth, _ = disc()
    seen = sense(depth, KINECT2, NoiseModel(mixed=1.0), rng())
    between = (seen > 405) & (seen < 895)
    # With u uniform, half of the pixels lie below (1/400 + 1/900) / (1/400^2 + 1/900^2) = 482 mm, not below 650 mm.
    assert np.median(seen[between]) == pytest.approx(482, abs=15)
    alone = sense(disc(far=0.0)[0], KINECT2, NoiseModel(mixed=1.0), rng())
    assert set(np.unique(alone)) == {0, 400}


def test_multipath_lengthens_the_way_beside_what_is_farther() -> None:
    depth, inside = disc(near=400.0, far=480.0)
    seen = sense(depth, KINECT2, NoiseModel(multipath=0.05, multipath_px=16.0), rng())
    assert (seen >= depth).all()
    rim, middle = (inside > 1) & (inside < 3), inside > 40
    assert 0.3 * 4 < (seen - depth)[rim].mean() < 0.05 * 80
    np.testing.assert_allclose(seen[middle], 400)
    wall = inside < -40
    np.testing.assert_allclose(seen[wall], 480)


def test_stereo_measures_steps_of_a_32nd_of_a_pixel() -> None:
    seen = sense(flat(1000.0), D435, NOISE["d400"], rng())
    steps = 384 * 50 * 32 / seen[seen > 0]
    assert np.abs(steps - np.rint(steps)).max() < 0.01
    values = np.unique(seen[seen > 0])
    assert np.diff(values).min() == pytest.approx(1000**2 / (32 * 384 * 50), rel=0.05)  # 1.6 mm


def test_the_second_view_misses_a_band_at_the_left_and_the_left_of_near_surfaces() -> None:
    depth, _ = disc()
    lost = sense(depth, D435, NoiseModel(baseline_mm=50.0, shadow=True, second_view=True), rng())[240] == 0
    band, shadow = D435.fx * 50 / 900, D435.fx * 50 * (1 / 400 - 1 / 900)
    assert np.flatnonzero(~lost).min() == pytest.approx(band, abs=1.5)
    behind = np.flatnonzero(lost[30:]) + 30
    assert behind.max() == pytest.approx(200, abs=2)
    assert len(behind) == pytest.approx(shadow, abs=2)
    turned = sense(depth, D435, NOISE["d400"], rng(), mirrored=True)[240] == 0
    assert turned[-int(band) :].all()


def test_grain_makes_neighbours_alike_and_keeps_the_deviation() -> None:
    for grain, alike in ((0.0, 0.0), (2.0, np.exp(-1 / 16))):
        errors = sense(flat(500.0), CAMERA, NoiseModel(floor_mm=1.0, grain_px=grain), rng()) - 500
        assert errors.std() == pytest.approx(1.0, rel=0.05)
        assert np.corrcoef(errors[:, 1:].ravel(), errors[:, :-1].ravel())[0, 1] == pytest.approx(alike, abs=0.02)


def test_the_lateral_noise_is_a_length_at_the_surface() -> None:
    for z, expected in ((500.0, 1.17), (1000.0, 0.58)):  # 1.6 mm of 365 px at these distances, px
        depth, inside = disc(near=z, far=z + 400)
        seen = sense(depth, KINECT2, NoiseModel(edge_jitter_mm=1.6), rng())
        moved = (seen != depth) & (np.abs(inside) < 1)
        assert moved.any()
        swapped = (seen[np.abs(inside) < 0.7] != depth[np.abs(inside) < 0.7]).mean()
        assert swapped == pytest.approx({500.0: 0.36, 1000.0: 0.22}[z], abs=0.1), expected
