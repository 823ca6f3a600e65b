"""Evidence: what the objective compares poses with."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from support import reference
from support.compare import assert_close, assert_same_bits
from support.observation_factory import CPU, gather, mirrored, small_observation
from support.op_check import Place

from handopt.backend import device_of
from handopt.config import Config
from handopt.objective import targets as targets_module
from handopt.objective.targets import LEAST_RADIUS_MM, FitTargets, build_targets
from handopt.observation.observation import Observation
from handopt.ops.splat import render_depth
from handopt.proposals.voted_poses import VotedJoints
from handopt.rig.anatomy import MIRROR

Floats = NDArray[np.float64]

CONFIG = Config(crop_px=48, points=200, crop_half_mm=120.0, free_weight=0.25)
SPACING_MM = 5.0
ROUNDING = "a few roundings of float64 coordinates"


@pytest.fixture(scope="module")
def observation() -> Observation:
    return small_observation()


@pytest.fixture(scope="module")
def targets(observation: Observation) -> FitTargets:
    return gather(CONFIG, [(observation, False)], spacing_mm=SPACING_MM)


def every_ninth(observation: Observation) -> Observation:
    """The observation with every ninth pixel of its mask."""
    mask = np.zeros_like(observation.mask)
    mask.ravel()[np.flatnonzero(observation.mask)[::9]] = True
    return replace(observation, mask=mask, points_mm=observation.points_mm[::9])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes_and_devices(dtype: type, observation: Observation, device: Place) -> None:
    half = every_ninth(observation)
    views = [(observation, False), (half, True), (observation, True)]
    found = gather(CONFIG, views, device=device.device, dtype=dtype, spacing_mm=SPACING_MM)
    shapes = {
        "points": (3, 200, 3), "coefficients": (3, 6), "centre": (3, 3), "field": (3, 48, 48), "mm_per_px": (3,),
        "weight": (3, 48, 48), "nearest_depth": (3, 48, 48), "splats": (3, found.splats.shape[1], 3),
        "votes": (3, 21, 4),
    }  # fmt: skip
    for name, shape in shapes.items():
        array = getattr(found, name)
        assert device_of(array) == device.device
        assert (array.shape, array.dtype) == (shape, dtype), name
        assert array.flags.c_contiguous
    assert found.size == 48
    assert found.mirrored == (False, True, True)
    target = device.fetch(found.target(3.0))
    assert target.shape == (3, 48, 48)
    fewer = device.fetch(found.splats)[1]
    assert (fewer[-1] == 2).all(), "the shorter list is padded"
    alone = gather(CONFIG, [(half, True)], device=device.device, dtype=dtype, spacing_mm=SPACING_MM)
    assert alone.splats.shape[1] < found.splats.shape[1]


def test_votes_count_by_how_far_off_they_may_be(observation: Observation, rng: np.random.Generator) -> None:
    places, radius = rng.normal(size=(21, 3)), rng.uniform(0.1, 20.0, 21)
    views = [(each, each.crop(48), False) for each in (observation, every_ninth(observation))]
    config = replace(CONFIG, crop_px=48)
    voted = {1: VotedJoints(places, radius)}
    found = build_targets(views, SPACING_MM, config, rng, CPU, np.float64, voted=voted)
    assert not found.votes[0].any(), "the network was not asked"
    assert np.array_equal(found.votes[1, :, :3], places)
    assert_close(found.votes[1, :, 3] ** -0.5, np.maximum(radius, LEAST_RADIUS_MM), rtol=1e-12, reason="a root")
    assert not build_targets(views, SPACING_MM, config, rng, CPU).votes.any()


def test_padding_renders_nothing(observation: Observation) -> None:
    half = every_ninth(observation)
    config = replace(CONFIG, points=50)
    both = gather(config, [(half, False), (observation, False)], spacing_mm=SPACING_MM)
    alone = gather(config, [(half, False)], spacing_mm=SPACING_MM)
    assert_same_bits(both.target(3.0)[0], alone.target(3.0)[0], "target")


def test_points_are_measured_ones(targets: FitTargets, observation: Observation) -> None:
    distance, index = cKDTree(observation.points_mm).query(targets.points[0])
    assert distance.max() == 0
    assert len(np.unique(index)) == CONFIG.points, "none is drawn twice while there are others"
    spread = targets.points[0].std(axis=0) / observation.points_mm.std(axis=0)
    assert_close(spread, np.ones(3), atol=0.15, reason="200 of 3000 points, drawn from all over the hand")


def test_few_points_are_drawn_repeatedly(observation: Observation) -> None:
    few = replace(observation, points_mm=observation.points_mm[::300])
    points = gather(CONFIG, [(few, False)]).points[0]
    assert len(points) == CONFIG.points
    assert cKDTree(few.points_mm).query(points)[0].max() == 0


@pytest.mark.parametrize("spacing", [3.0, 5.0, 9.0])
def test_splats_are_spaced_as_the_models_vertices(spacing: float, observation: Observation) -> None:
    targets = gather(CONFIG, [(observation, False)], spacing_mm=spacing)
    projected = reference.project(observation.points_mm[None].astype(float), targets.coefficients)[0]
    distance, index = cKDTree(projected).query(targets.splats[0])
    assert distance.max() < spacing * targets.coefficients[0, 0] / 300, "each splat lies among measured points"
    assert len(np.unique(index)) > 0.9 * len(index)
    drawn = observation.points_mm[index].astype(float)
    pixel_mm2 = (observation.depth_mm[observation.mask] / observation.camera.fx) ** 2
    per_point = pixel_mm2.sum() / len(drawn)
    assert 0.4 * spacing**2 < per_point < 1.3 * spacing**2, "about one of each square of the surface"
    gaps = cKDTree(drawn).query(observation.points_mm)[0]
    assert gaps.max() <= np.sqrt(3) * spacing, "no gap is wider than a cell's diagonal"


def test_both_sides_of_an_observation_have_the_grids_of_each_alone(observation: Observation) -> None:
    evidence = np.random.default_rng(0).random(observation.mask.shape).astype(np.float32)
    for seen in (observation, replace(observation, evidence=evidence)):
        views = [(seen, True), (seen, False), (every_ninth(observation), True)]
        for (_, grid), view in zip(gather(CONFIG, views, spacing_mm=SPACING_MM).grids, views, strict=True):
            ((_, alone),) = gather(CONFIG, [view], spacing_mm=SPACING_MM).grids
            for name in ("depth_mm", "hand", "free"):
                np.testing.assert_array_equal(getattr(grid, name), getattr(alone, name))
            assert (grid.evidence is None) == (seen.evidence is None or view[0] is not seen)
            if grid.evidence is not None:
                np.testing.assert_array_equal(grid.evidence, alone.evidence)


def test_points_are_thinned_to_the_mean_of_each_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).uniform(-40, 40, (500, 3))
    cells: dict[tuple[float, ...], list[Floats]] = {}
    for point in points:
        cells.setdefault(tuple(np.floor(point / 10.0)), []).append(point)
    expected = np.array([np.mean(cells[key], axis=0) for key in sorted(cells)])
    for most in (targets_module.MOST_CELLS, 0):  # counted one by one, and where a lattice is nearly empty
        monkeypatch.setattr(targets_module, "MOST_CELLS", most)
        assert_close(targets_module._subsampled(points, 10.0), expected, atol=1e-12, reason=ROUNDING)


def test_the_target_is_splatted_with_the_renderers_falloff(targets: FitTargets) -> None:
    for radius in (2.5, 6.0):
        expected, _ = reference.render_depth(targets.splats, radius, 48)
        assert_close(targets.target(radius), expected, atol=1e-14, reason=ROUNDING)
    assert (targets.target(6.0) >= targets.target(2.5)).all(), "wider splats are brighter everywhere"


def test_the_target_shows_the_hand_where_it_is(targets: FitTargets, observation: Observation) -> None:
    grid = observation.grid(observation.crop(48, 120.0))
    lit = targets.target(2.0)[0] > 0
    assert (lit & grid.hand).sum() > 0.98 * grid.hand.sum()
    closeness = 1 - (targets.coefficients[0, 4] * grid.depth_mm + targets.coefficients[0, 5])
    full = render_depth(gather(CONFIG, [(observation, False)], spacing_mm=0.5).splats, 2.0, 48)[0][0]
    error = np.abs(full - closeness)[grid.hand]
    assert np.median(error) < 0.03, "as close as the depth says, at most a little dimmer between points"


def test_the_field_is_the_distance_to_where_the_hand_may_be(targets: FitTargets, observation: Observation) -> None:
    crop = observation.crop(48, 120.0)
    free = observation.grid(crop).free
    rows, columns = np.nonzero(~free)
    allowed = np.stack([rows, columns], axis=1)
    expected = cKDTree(allowed).query(np.argwhere(np.ones_like(free)))[0].reshape(48, 48) * crop.mm_per_px
    assert_close(targets.field[0], expected, rtol=1e-12, reason=ROUNDING)
    assert targets.mm_per_px[0] == crop.mm_per_px
    assert (targets.field[0] > 0).any()


def test_nearest_depth_is_the_smallest_around_a_pixel(targets: FitTargets, observation: Observation) -> None:
    grid = observation.grid(observation.crop(48, 120.0))
    assert targets.nearest_depth[0].any()
    for row, column in np.ndindex(48, 48):
        found = targets.nearest_depth[0, row, column]
        if not grid.hand[row, column]:
            assert found == 0, "off the hand it says nothing"
            continue
        window = slice(max(0, row - 2), row + 3), slice(max(0, column - 2), column + 3)
        assert found == grid.depth_mm[window][grid.hand[window]].min()


def test_weights_of_the_depth_term(targets: FitTargets, observation: Observation) -> None:
    grid = observation.grid(observation.crop(48, 120.0))
    weight = targets.weight[0]
    assert_close(weight[grid.hand].sum() / 48**2, 1.0, rtol=1e-12, reason="a mean over the hand's pixels")
    assert len(np.unique(weight[grid.hand])) == 1
    expected = np.full(grid.free.sum(), 0.25 * weight[grid.hand][0])
    assert_close(weight[grid.free], expected, rtol=1e-12, reason="free_weight of a hand's pixel")
    neither = ~grid.hand & ~grid.free
    assert neither.any()
    assert (weight[neither] == 0).all(), "the forearm and holes say nothing"


def test_the_crop_and_the_palm_are_those_of_the_observation(targets: FitTargets, observation: Observation) -> None:
    assert_same_bits(targets.coefficients[0], observation.crop(48, 120.0).coefficients, "coefficients")
    assert_same_bits(targets.centre[0], observation.center_mm, "centre")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_left_hand_is_the_mirror_image_of_a_right_one(dtype: type, observation: Observation) -> None:
    right = gather(CONFIG, [(observation, False)], dtype=dtype)
    left = gather(CONFIG, [(mirrored(observation), True)], dtype=dtype)
    assert (right.mirrored, left.mirrored) == ((False,), (True,))
    tolerance = 200 * float(np.finfo(dtype).eps)
    for name in ("points", "coefficients", "centre", "splats", "field", "nearest_depth", "mm_per_px", "weight"):
        reason = "column S - 1 - x, rounded once more"
        assert_close(getattr(left, name), getattr(right, name), atol=tolerance, reason=reason)
    assert_close(left.target(3.0), right.target(3.0), atol=tolerance, reason="closeness of rounded columns")


def test_mirroring_turns_points_and_images_over(observation: Observation) -> None:
    plain, turned = (gather(CONFIG, [(observation, mirror)]) for mirror in (False, True))
    assert_same_bits(turned.field[0], plain.field[0][:, ::-1].copy(), "field")
    assert_same_bits(turned.nearest_depth[0], plain.nearest_depth[0][:, ::-1].copy(), "nearest_depth")
    assert_same_bits(turned.weight[0], plain.weight[0][:, ::-1].copy(), "weight")
    assert cKDTree(observation.points_mm * MIRROR).query(turned.points[0])[0].max() == 0
    projected = reference.project(turned.points, turned.coefficients)[0]
    back = reference.project(turned.points * MIRROR, plain.coefficients)[0]
    assert_close(projected[:, 0], 47 - back[:, 0], atol=1e-12, reason=ROUNDING)
    assert_close(projected[:, 1:], back[:, 1:], atol=1e-12, reason=ROUNDING)


def test_the_seed_decides_which_points_are_drawn(observation: Observation) -> None:
    first, again, other = (gather(CONFIG, [(observation, False)], seed=seed, device=CPU) for seed in (1, 1, 2))
    for name in ("points", "splats"):
        assert_same_bits(getattr(first, name), getattr(again, name), name)
    assert np.abs(first.points - other.points).max() > 0
