"""Fitting poses by Levenberg-Marquardt: what its iterations keep to, and that hypotheses do not know of each other."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.compare import assert_close, assert_same_bits
from support.factories import bent
from support.least_squares_cases import SETTINGS, SHAPES, WEIGHTS, least_squares, poses
from support.observation_factory import CPU, WRIST_MM, gather, on_device, small_observation, true_rotation
from support.op_check import Place
from support.recovery import pose_rig, rotation_about, unit_vector

from handopt import backend
from handopt.config import Config, LMSettings
from handopt.fitting import Start
from handopt.hand_model import Hand, Pose
from handopt.objective.least_squares import LeastSquares, System
from handopt.objective.one_call import OneCall
from handopt.optimise.pose_fit import fit_poses
from handopt.rig import default_rig

Floats = NDArray[np.float64]


def fitted(*arguments: Any, **options: Any) -> tuple[Pose, System]:
    """The poses that a fit ends with, and their system."""
    found = fit_poses(*arguments, **options)
    return found.state, found.model


@pytest.fixture(scope="module")
def problem() -> LeastSquares:
    return least_squares()


@pytest.mark.parametrize("shapes", [0, SHAPES])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_iteration_raises_the_cost(shapes: int, dtype: type) -> None:
    problem, seen = least_squares(dtype=dtype, vertices=300), []
    pose, system = fitted(problem, poses(dtype, shapes), SETTINGS, lambda at, terms: seen.append((at, terms)))
    costs = np.array([sum(terms.values()) for _, terms in seen])
    assert len(costs) == SETTINGS.iterations + 1
    assert (np.diff(costs, axis=0) <= 0).all()
    assert (costs[-1] < 0.8 * costs[0]).all()
    for at, terms in seen:
        assert_same_bits(problem.cost(at, SETTINGS), sum(terms.values()), "a recorded cost")
    again = problem.system(pose, SETTINGS)
    assert_same_bits(system.cost, again.cost, "cost")
    assert_same_bits(system.hessian, again.hessian, "hessian")
    assert_same_bits(system.gradient, again.gradient, "gradient")
    for name, array in vars(pose).items():
        assert array.dtype == (np.int32 if name == "image" else dtype), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("expected", [None, 0.3])
def test_one_call_takes_the_steps_of_the_loop(
    expected: float | None, dtype: type, device: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS if dtype == np.float64 else replace(SETTINGS, iterations=2)
    told: list[list[tuple[Pose, dict[str, Any]]]] = []
    found = []
    for in_one_call in (True, False):
        if not in_one_call:
            monkeypatch.setattr(OneCall, "suits", lambda _hand: False)
        problem = least_squares(dtype=dtype, device=device.device)
        assert problem.in_one_call == in_one_call
        means = None if expected is None else device.send({"means": np.full((4, 15, 3), expected, dtype)})["means"]
        told.append([])
        start, record = on_device(poses(dtype), device.device), told[-1].append
        found.append(fit_poses(problem, start, settings, lambda at, terms, to=record: to((at, terms)), means))  # type: ignore[misc]
    np.testing.assert_array_equal(*(device.fetch(each.improved) for each in found))
    reason, bound = "sums in another order, through all steps", 3e3 * float(np.finfo(dtype).eps)
    for (at, terms), (other, others) in zip(*told, strict=True):
        assert list(terms) == list(others)
        for name, term in terms.items():
            rows = backend.to_numpy(term), device.fetch(others[name])
            assert_close(*rows, of_max=bound, atol=1e-3 * bound, reason=f"{name}: {reason}")
        for name in ("angles", "rotation", "translation", "scale", "proportions"):
            same = (device.fetch(getattr(each, name)) for each in (at, other))
            assert_close(*same, of_max=bound, reason=f"{name}: {reason}")
    if dtype == np.float64:  # in float another vertex is the nearest here and there
        assert_close(*(np.tril(device.fetch(each.model.hessian)) for each in found), of_max=10 * bound, reason=reason)
        assert_close(*(device.fetch(each.model.gradient) for each in found), of_max=10 * bound, reason=reason)


def test_a_pose_that_is_no_number_costs_infinity(monkeypatch: pytest.MonkeyPatch) -> None:
    start = poses()
    start.angles[2, 4] = np.nan
    together = fit_poses(least_squares(), start, SETTINGS).cost
    monkeypatch.setattr(OneCall, "suits", lambda _hand: False)
    for cost in (together, fit_poses(least_squares(), start, SETTINGS).cost):
        np.testing.assert_array_equal(np.isposinf(cost), [False, False, True, False])


def test_costs_at_the_end_need_no_derivatives() -> None:
    problem = least_squares()
    pose, system = fitted(problem, poses(), SETTINGS)
    other, costs = fitted(problem, poses(), SETTINGS, linearised=False)
    assert_same_bits(other.angles, pose.angles, "angles")
    assert_same_bits(costs.cost, system.cost, "costs")


def test_poses_are_left_as_they_were(problem: LeastSquares) -> None:
    pose = poses()
    fitted(problem, pose, SETTINGS)
    for name, array in vars(poses()).items():
        assert_same_bits(getattr(pose, name), array, name)


def disturbed(truth: Start, count: int) -> Pose:
    """Poses that are off by 12 degrees, 15 mm, and 0.15 rad in every free angle."""
    rng = np.random.default_rng(12)
    free = default_rig("right").limits.free
    turns = [rotation_about(unit_vector(rng), np.radians(12.0)) @ truth.rotation for _ in range(count)]
    wrists = [truth.translation_mm + 15 * unit_vector(rng) for _ in range(count)]
    angles = [np.asarray(truth.angles_rad) + 0.15 * rng.choice([-1, 1], (15, 3)) * free for _ in range(count)]
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
        pose, system = fitted(problem, pose, last)
    errors = joint_errors(problem, pose, joints)
    right = errors < 1.5
    assert right.sum() >= 4, f"mean joint errors in mm: {errors}; now and then a finger ends up on its neighbour"
    assert system.cost[right].max() < 0.5 * system.cost[~right].min(initial=np.inf), "and then the cost says so"


def joint_errors(problem: LeastSquares, pose: Pose, joints: Floats) -> Floats:
    """Mean distance (B,) of the keypoints from where they should be, mm."""
    found = problem.hand.joints(problem.hand.transforms(pose))
    return np.linalg.norm(found - joints, axis=2).mean(axis=1)


def test_what_is_expected_of_a_hypothesis_draws_it(problem: LeastSquares) -> None:
    start, strong = poses(), replace(SETTINGS, prior=1e4)
    expected = start.angles.copy()
    expected[:, 3:, 2] += 0.2
    told = fit_poses(problem, start, strong, expected=expected).state
    relaxed = fit_poses(problem, start, strong).state
    assert np.abs(told.angles - expected)[:, 3:, 2].mean() < np.abs(relaxed.angles - expected)[:, 3:, 2].mean() / 2


def test_a_frozen_scale_stays(problem: LeastSquares) -> None:
    frozen = fit_poses(problem, poses(), replace(SETTINGS, scale=False)).state
    assert_same_bits(frozen.scale, poses().scale, "scale")
    freed = fit_poses(problem, poses(), SETTINGS).state
    assert (freed.scale != poses().scale).all()


def test_frozen_angles_stay(problem: LeastSquares) -> None:
    found = fit_poses(problem, poses(), SETTINGS).state
    frozen = problem.hand.free == 0
    assert_same_bits(found.angles[:, frozen], poses().angles[:, frozen], "angles")
    assert (found.angles[:, ~frozen] != poses().angles[:, ~frozen]).mean() > 0.99
    assert_close(np.linalg.det(found.rotation), np.ones(4), rtol=1e-12, reason="products of rotations")


def test_what_nothing_shows_does_not_stop_the_rest() -> None:
    problem = least_squares(replace(WEIGHTS, prior=0.0, size=0.0, proportions=0.0, collision=0.0), vertices=40)
    system = problem.system(poses(), SETTINGS)
    assert (np.diagonal(system.hessian, axis1=1, axis2=2) == 0).any(), "some angle moves none of the vertices in view"
    _, found = fitted(problem, poses(), SETTINGS)
    assert (found.cost < 0.8 * system.cost).all()


@pytest.mark.parametrize("shapes", [0, SHAPES])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hypotheses_do_not_know_of_each_other(shapes: int, dtype: type) -> None:
    problem = least_squares(dtype=dtype, vertices=250)
    pose, system = fitted(problem, poses(dtype, shapes), SETTINGS)
    for row in range(4):
        alone, own = fitted(problem, poses(dtype, shapes).select(np.array([row])), SETTINGS)
        for name, array in vars(alone).items():
            assert_same_bits(array[0], getattr(pose, name)[row], name)
        assert_same_bits(own.cost[0], system.cost[row], "cost")


def test_a_pose_that_is_no_number_hurts_nobody(problem: LeastSquares) -> None:
    expected = fit_poses(problem, poses(), SETTINGS).state
    spoiled = poses()
    spoiled.translation[1] = np.nan
    found, system = fitted(problem, spoiled, SETTINGS)
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
        pose, system = fitted(problem, poses(dtype), SETTINGS)
        found.append({**vars(pose), "cost": system.cost, "hessian": system.hessian})
    for other in found[1:]:
        for name, array in found[0].items():
            assert_same_bits(other[name], array, name)


def test_devices(device: Place) -> None:
    before = least_squares().cost(poses(), SETTINGS)
    problem = least_squares(device=device.device)
    found = fit_poses(problem, on_device(poses(), device.device), SETTINGS)
    assert (device.fetch(found.cost) < 0.8 * before).all()
    assert all(backend.device_of(array) == device.device for array in vars(found.state).values())
