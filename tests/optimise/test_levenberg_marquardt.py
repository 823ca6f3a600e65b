"""Levenberg-Marquardt: its linear system by finite differences of its cost, and what its iterations keep to.

As in the objective, normals, matches and bone lengths count as constant in the derivatives: normals are held constant
here as well, finite differences keep clear of new matches, and lengths change with scale and proportions only, which
are checked without the collision term.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import reference
from support.compare import assert_close, assert_same_bits, relative_error
from support.factories import bent
from support.observation_factory import (
    CPU,
    WRIST_MM,
    gather,
    mirrored,
    near_poses,
    on_device,
    small_observation,
    true_rotation,
)
from support.op_check import Place
from support.problems import collision_branches
from support.recovery import pose_rig, rotation_about, unit_vector

from handopt import backend
from handopt.config import Config, LMSettings, Weights
from handopt.fitting import Start
from handopt.hand_model import Hand, Pose
from handopt.ops.closest_points import closest_points
from handopt.ops.normal_equations import RIGID
from handopt.optimise.levenberg_marquardt import (
    MAX_RELATIVE,
    MAX_SHIFT_MM,
    MAX_TURN_RAD,
    LeastSquares,
    levenberg_marquardt,
)
from handopt.rig import PROPORTION_NAMES, default_rig

Floats = NDArray[np.float64]

WEIGHTS = Weights(
    silhouette=2.0, points=1.5, collision=0.7, limits=0.9, prior=0.01, size=0.02, front=0.8, proportions=0.003
)
CONFIG = Config(weights=WEIGHTS, crop_px=48, points=80, crop_half_mm=120.0, collision_radius_mm=14.0)
APPROACH = LMSettings(6, 15.0, points=60, free_space_mm=20.0, plane=0.7, scale=True, proportions=True)
OFF = 1e-100
STEP = 1e-6
SHAPES = len(PROPORTION_NAMES)
GROUPS = {
    "rotation": slice(0, 3),
    "translation": slice(3, 6),
    "scale": slice(6, 7),
    "angles": slice(RIGID, -SHAPES),
    "proportions": slice(-SHAPES, None),
}


def least_squares(
    weights: Weights = WEIGHTS, dtype: type = np.float64, vertices: int = 0, device: backend.Device = CPU
) -> LeastSquares:
    """A right hand and a mirrored left one, against all or some of the model's vertices."""
    views = [(small_observation(0.5), False), (mirrored(small_observation(1.1)), True)]
    config = replace(CONFIG, weights=weights)
    hand = Hand.of(default_rig("right"), device, dtype)
    hand = hand.coarse(vertices) if vertices else hand
    return LeastSquares(hand, gather(config, views, device=device, dtype=dtype), config)


def poses(dtype: type = np.float64, shapes: int = SHAPES) -> Pose:
    """Four poses, one of them crumpled, with proportions of their own."""
    pose = near_poses((0.4, 1.0, 0.6, 2.6), (0, 1, 1, 0), dtype=dtype)
    drawn = 0.04 * np.random.default_rng(9).normal(size=(4, shapes))
    return replace(pose, proportions=drawn.astype(dtype))


@pytest.fixture(scope="module")
def problem() -> LeastSquares:
    return least_squares()


@pytest.fixture
def constant_normals(monkeypatch: pytest.MonkeyPatch, problem: LeastSquares) -> None:
    """The normals of the poses, whatever the poses are."""
    normals = problem.hand.vertex_normals(problem.hand.transforms(poses()))
    monkeypatch.setattr(Hand, "vertex_normals", lambda _self, _transforms: normals)


def branches(problem: LeastSquares, pose: Pose) -> NDArray[np.int64]:
    """Which side of every kink the poses are on."""
    hand, targets, config = problem.hand, problem.targets, problem.config
    transforms = hand.transforms(pose)
    vertices = hand.vertices(transforms, hand.rest_of(pose))
    observed = targets.points[:, : APPROACH.points].copy()
    nearest = closest_points(observed, pose.image, vertices, hand.vertex_normals(transforms), APPROACH.sigma_mm)[1]
    at = reference.project(vertices, targets.coefficients[pose.image])[..., :2]
    cells, pixels = np.floor(at).clip(-1, 47), np.floor(at + 0.5).clip(-1, 48).astype(int)
    padded = np.pad(targets.nearest_depth, ((0, 0), (1, 1), (1, 1)))
    depth = padded[pose.image[:, None], pixels[..., 1] + 1, pixels[..., 0] + 1]
    before = depth - config.front_margin_mm > vertices[..., 2]
    contacts = collision_branches(
        hand.joints(transforms, hand.keypoints_of(pose)), hand.bones, config.collision_radius_mm
    )
    limits = np.sign(pose.angles - hand.lower) + np.sign(pose.angles - hand.upper)
    parts = (nearest, cells, pixels, before, contacts, limits)
    return np.concatenate([np.ravel(part).astype(np.int64) for part in parts])


def clear_steps(problem: LeastSquares, pose: Pose, group: str, shape: tuple[int, ...]) -> Iterator[Floats]:
    """Random steps (B, P) of a group of parameters in which finite differences cross no kink."""
    here = branches(problem, pose)
    for seed in range(40):
        step = np.zeros(shape)
        part = step[:, GROUPS[group]]
        part[:] = STEP * np.random.default_rng([seed, 6]).normal(size=part.shape)
        if all(np.array_equal(branches(problem, problem.moved(pose, sign * step)), here) for sign in (1, -1)):
            yield step


@pytest.mark.usefixtures("constant_normals")
@pytest.mark.parametrize("group", GROUPS)
def test_the_gradient_is_that_of_the_cost(group: str) -> None:
    still = group in ("scale", "proportions")
    problem = least_squares(replace(WEIGHTS, collision=OFF) if still else WEIGHTS)
    pose = poses()
    system = problem.system(pose, APPROACH)
    moves = zip(range(3), clear_steps(problem, pose, group, system.gradient.shape), strict=False)
    found = [step for _, step in moves]
    assert len(found) == 3, "too few directions without a kink"
    for step in found:
        change = problem.cost(problem.moved(pose, step), APPROACH) - problem.cost(problem.moved(pose, -step), APPROACH)
        slopes = 4 * (system.gradient * step).sum(axis=1)
        for row in range(4):
            assert relative_error(float(slopes[row]), float(change[row])) <= 2e-6, f"hypothesis {row}"


@pytest.mark.usefixtures("constant_normals")
def test_every_term_is_part_of_the_problem(problem: LeastSquares) -> None:
    terms = problem.system(poses(), APPROACH).terms
    assert set(terms) == {"points", "silhouette", "collision", "limits", "prior", "size"}
    for name, term in terms.items():
        assert term.shape == (4,)
        assert (term >= 0).all()
        assert term.any(), f"{name} is never active: the gradient's test does not test it"


def test_the_cost_is_the_sum_of_the_systems_terms(problem: LeastSquares) -> None:
    system = problem.system(poses(), APPROACH)
    assert_same_bits(problem.cost(poses(), APPROACH), system.cost)
    assert_close(system.cost, sum(system.terms.values()), rtol=1e-15, reason="a sum")


def test_the_hessian_is_positive_definite_and_bounds_the_priors(problem: LeastSquares) -> None:
    lower = problem.system(poses(), APPROACH).hessian
    hessian = np.tril(lower) + np.tril(lower, -1).transpose(0, 2, 1)
    assert (np.linalg.eigvalsh(hessian)[:, 0] > 0).all()
    priors = least_squares(replace(WEIGHTS, points=OFF, silhouette=OFF, collision=OFF)).system(poses(), APPROACH)
    rest = hessian - np.tril(priors.hessian) - np.tril(priors.hessian, -1).transpose(0, 2, 1)
    assert np.linalg.eigvalsh(rest).min() > -1e-9 * np.abs(hessian).max()


@pytest.mark.usefixtures("constant_normals")
@pytest.mark.parametrize("told", [False, True], ids=["relaxed", "told"])
def test_the_priors_are_quadratic_and_exact(told: bool, rng: np.random.Generator) -> None:
    expected = 0.5 * rng.normal(size=(4, 15, 3)) if told else None
    problem = least_squares(replace(WEIGHTS, points=OFF, silhouette=OFF, collision=OFF))
    pose = poses()
    system = problem.system(pose, APPROACH, expected)
    hessian = np.tril(system.hessian) + np.tril(system.hessian, -1).transpose(0, 2, 1)
    step = 1e-3 * rng.normal(size=system.gradient.shape)
    over = np.sign(pose.angles - problem.hand.lower) + np.sign(pose.angles - problem.hand.upper)
    moved = problem.moved(pose, step)
    same = over == np.sign(moved.angles - problem.hand.lower) + np.sign(moved.angles - problem.hand.upper)
    predicted = 2 * (system.gradient * step).sum(1) + np.einsum("bi,bij,bj->b", step, hessian, step)
    clear = same.all(axis=(1, 2))
    assert clear.sum() >= 2
    change = problem.cost(moved, APPROACH, expected) - problem.cost(pose, APPROACH, expected)
    assert_close(change[clear], predicted[clear], rtol=1e-9, reason="squares, as long as no limit is crossed")


@pytest.mark.parametrize("shapes", [0, SHAPES])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_iteration_raises_the_cost(shapes: int, dtype: type) -> None:
    problem, seen = least_squares(dtype=dtype, vertices=300), []
    pose, system = levenberg_marquardt(
        problem, poses(dtype, shapes), APPROACH, lambda at, terms: seen.append((at, terms))
    )
    costs = np.array([sum(terms.values()) for _, terms in seen])
    assert len(costs) == APPROACH.iterations + 1
    assert (np.diff(costs, axis=0) <= 0).all()
    assert (costs[-1] < 0.8 * costs[0]).all()
    for at, terms in seen:
        assert_same_bits(problem.cost(at, APPROACH), sum(terms.values()), "a recorded cost")
    again = problem.system(pose, APPROACH)
    assert_same_bits(system.cost, again.cost, "cost")
    assert_same_bits(system.hessian, again.hessian, "hessian")
    assert_same_bits(system.gradient, again.gradient, "gradient")
    for name, array in vars(pose).items():
        assert array.dtype == (np.int32 if name == "image" else dtype), name


def test_costs_at_the_end_need_no_derivatives() -> None:
    problem = least_squares()
    pose, system = levenberg_marquardt(problem, poses(), APPROACH)
    other, costs = levenberg_marquardt(problem, poses(), APPROACH, linearised=False)
    assert_same_bits(other.angles, pose.angles, "angles")
    assert_same_bits(costs.cost, system.cost, "costs")


def test_poses_are_left_as_they_were(problem: LeastSquares) -> None:
    pose = poses()
    levenberg_marquardt(problem, pose, APPROACH)
    for name, array in vars(poses()).items():
        assert_same_bits(getattr(pose, name), array, name)


def disturbed(truth: Start, count: int) -> Pose:
    """Poses that are off by 12 degrees, 15 mm, and 0.15 rad in every free angle."""
    rng = np.random.default_rng(12)
    free = default_rig("right").limits.free
    turns = [rotation_about(unit_vector(rng), np.radians(12.0)) @ truth.rotation for _ in range(count)]
    wrists = [truth.translation_mm + 15 * unit_vector(rng) for _ in range(count)]
    angles = [truth.angles_rad + 0.15 * rng.choice([-1, 1], (15, 3)) * free for _ in range(count)]
    arrays = (angles, turns, wrists, np.ones(count), np.zeros(count), np.zeros((count, 0)))
    names = ("angles", "rotation", "translation", "scale", "image", "proportions")
    return Pose(
        **{
            name: backend.to_device(array, CPU, np.int32 if name == "image" else np.float32)
            for name, array in zip(names, arrays, strict=True)
        }
    )


def test_a_disturbed_pose_is_recovered() -> None:
    rig = default_rig("right")
    targets = gather(Config(crop_px=96, points=600), [(small_observation(0.5), False)], dtype=np.float32)
    problem = LeastSquares(Hand.of(rig, CPU), targets, Config())
    truth = Start(true_rotation(rig.bind), WRIST_MM, bent(0.5))
    _, joints = pose_rig(rig, truth)
    pose = disturbed(truth, 6)
    assert joint_errors(problem, pose, joints).min() > 15
    for last in (LMSettings(8, 30.0), LMSettings(8, 15.0), LMSettings(8, 6.0, points=600, plane=0.9, prior=0.3)):
        pose, system = levenberg_marquardt(problem, pose, last)
    errors = joint_errors(problem, pose, joints)
    right = errors < 1.5
    assert right.sum() >= 4, f"mean joint errors in mm: {errors}; now and then a finger ends up on its neighbour"
    assert system.cost[right].max() < 0.5 * system.cost[~right].min(initial=np.inf), "and then the cost says so"


def joint_errors(problem: LeastSquares, pose: Pose, joints: Floats) -> Floats:
    """Mean distance (B,) of the keypoints from where they should be, mm."""
    found = problem.hand.joints(problem.hand.transforms(pose))
    return np.linalg.norm(found - joints, axis=2).mean(axis=1)


def test_what_is_expected_of_a_hypothesis_draws_it(problem: LeastSquares) -> None:
    start, strong = poses(), replace(APPROACH, prior=1e4)
    expected = start.angles.copy()
    expected[:, 3:, 2] += 0.2
    told, _ = levenberg_marquardt(problem, start, strong, expected=expected)
    relaxed, _ = levenberg_marquardt(problem, start, strong)
    assert np.abs(told.angles - expected)[:, 3:, 2].mean() < np.abs(relaxed.angles - expected)[:, 3:, 2].mean() / 2


def test_a_frozen_scale_stays(problem: LeastSquares) -> None:
    frozen, _ = levenberg_marquardt(problem, poses(), replace(APPROACH, scale=False))
    assert_same_bits(frozen.scale, poses().scale, "scale")
    freed, _ = levenberg_marquardt(problem, poses(), APPROACH)
    assert (freed.scale != poses().scale).all()


def test_frozen_angles_stay(problem: LeastSquares) -> None:
    found, _ = levenberg_marquardt(problem, poses(), APPROACH)
    frozen = problem.hand.free == 0
    assert_same_bits(found.angles[:, frozen], poses().angles[:, frozen], "angles")
    assert (found.angles[:, ~frozen] != poses().angles[:, ~frozen]).mean() > 0.99
    assert_close(np.linalg.det(found.rotation), np.ones(4), rtol=1e-12, reason="products of rotations")


def test_steps_are_limited(problem: LeastSquares) -> None:
    pose = poses()
    step = np.full(problem.system(pose, APPROACH).gradient.shape, 1e3)
    moved = problem.moved(pose, step)
    turns = moved.rotation @ pose.rotation.transpose(0, 2, 1)
    angle = np.arccos((np.trace(turns, axis1=1, axis2=2) - 1) / 2)
    assert_close(angle, np.full(4, MAX_TURN_RAD), rtol=1e-9, reason="an arc cosine")
    shift = np.linalg.norm(moved.translation - pose.translation, axis=1)
    assert_close(shift, np.full(4, MAX_SHIFT_MM), rtol=1e-12, reason="rounding")
    assert_close(moved.scale, pose.scale * np.exp(MAX_RELATIVE), rtol=1e-14, reason="rounding")
    assert_close(moved.proportions, pose.proportions + MAX_RELATIVE, rtol=1e-14, reason="rounding")
    free = problem.hand.free > 0
    assert_close(moved.angles[:, free], pose.angles[:, free] + MAX_TURN_RAD, rtol=1e-14, reason="rounding")
    assert_same_bits(moved.angles[:, ~free], pose.angles[:, ~free], "frozen angles")


def test_what_nothing_shows_does_not_stop_the_rest() -> None:
    problem = least_squares(replace(WEIGHTS, prior=0.0, size=0.0, proportions=0.0, collision=0.0), vertices=40)
    system = problem.system(poses(), APPROACH)
    assert (np.diagonal(system.hessian, axis1=1, axis2=2) == 0).any(), "some angle moves none of the vertices in view"
    _, found = levenberg_marquardt(problem, poses(), APPROACH)
    assert (found.cost < 0.8 * system.cost).all()


@pytest.mark.parametrize("shapes", [0, SHAPES])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hypotheses_do_not_know_of_each_other(shapes: int, dtype: type) -> None:
    problem = least_squares(dtype=dtype, vertices=250)
    pose, system = levenberg_marquardt(problem, poses(dtype, shapes), APPROACH)
    for row in range(4):
        alone, own = levenberg_marquardt(problem, poses(dtype, shapes).select(np.array([row])), APPROACH)
        for name, array in vars(alone).items():
            assert_same_bits(array[0], getattr(pose, name)[row], name)
        assert_same_bits(own.cost[0], system.cost[row], "cost")


def test_a_pose_that_is_no_number_hurts_nobody(problem: LeastSquares) -> None:
    expected, _ = levenberg_marquardt(problem, poses(), APPROACH)
    spoiled = poses()
    spoiled.translation[1] = np.nan
    found, system = levenberg_marquardt(problem, spoiled, APPROACH)
    for row in (0, 2, 3):
        for name in vars(found):
            assert_same_bits(getattr(found, name)[row], getattr(expected, name)[row], name)
    assert not np.isfinite(system.cost[1])


@pytest.fixture
def restore_threads() -> Iterator[None]:
    """The number of threads, put back after the test."""
    count = backend.cpu_threads()
    if count == 0:
        pytest.skip("the kernels were built without OpenMP: there is one thread only")
    yield
    backend.set_cpu_threads(count)


@pytest.mark.usefixtures("restore_threads")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_do_not_depend_on_the_number_of_threads(dtype: type) -> None:
    problem = least_squares(dtype=dtype)
    found: list[dict[str, Any]] = []
    for count in (1, 2, 3):
        backend.set_cpu_threads(count)
        pose, system = levenberg_marquardt(problem, poses(dtype), APPROACH)
        found.append({**vars(pose), "cost": system.cost, "hessian": system.hessian})
    for other in found[1:]:
        for name, array in found[0].items():
            assert_same_bits(other[name], array, name)


def test_devices(device: Place) -> None:
    expected = least_squares().system(poses(), APPROACH)
    problem = least_squares(device=device.device)
    start = on_device(poses(), device.device)
    system = problem.system(start, APPROACH)
    reason = "float64 sums in another order"
    for name, term in expected.terms.items():
        assert_close(device.fetch(system.terms[name]), term, of_max=1e-12, reason=reason)
    assert_close(np.tril(device.fetch(system.hessian)), np.tril(expected.hessian), of_max=1e-12, reason=reason)
    assert_close(device.fetch(system.gradient), expected.gradient, of_max=1e-12, reason=reason)
    pose, found = levenberg_marquardt(problem, start, APPROACH)
    assert (device.fetch(found.cost) < 0.8 * expected.cost).all()
    assert all(backend.device_of(array) == device.device for array in vars(pose).values())
