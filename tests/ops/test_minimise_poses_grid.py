"""Minimising poses in a GPU's launches: the same as by the CPU's kernel, each pose by itself, on every device."""

import numpy as np
import pytest
from support.compare import assert_close, assert_same_bits
from support.op_check import Place, check_arguments, check_batch, check_mixed_devices, check_twin
from support.problems_iteration import POSES, by_pose, iteration_arrays, iteration_problem, minimised

from handopt.errors import ShapeError

SHAPES = pytest.mark.parametrize("shapes", [0, 13])


@SHAPES
def test_twin(shapes: int, device: Place) -> None:
    check_twin(iteration_problem(shapes), device)


@SHAPES
def test_float32(shapes: int, device: Place) -> None:
    problem = iteration_problem(shapes)
    single = problem.inputs(np.float32)
    double = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in single.items()}
    found, expected = (minimised(each, 1, every=True) for each in (device.send(single), double))
    reason = "float32 levers of 100 mm between coordinates of 400 mm, and one step"
    assert found.terms.dtype == np.float32
    assert_close(device.fetch(found.terms), expected.terms, of_max=1e-4, reason=reason)
    for name in POSES:
        assert_close(device.fetch(getattr(found, name)), getattr(expected, name), of_max=1e-4, reason=reason)
    assert_close(np.tril(device.fetch(found.hessian)), np.tril(expected.hessian), of_max=1e-4, reason=reason)
    assert_close(device.fetch(found.gradient), expected.gradient, of_max=1e-3, reason=reason)


@SHAPES
def test_batch(shapes: int) -> None:
    check_batch(iteration_problem(shapes))


def test_arguments() -> None:
    check_arguments(iteration_problem(), any_last_axis=("indices", "weights"), free_last_axis=("ancestry",))


def test_mixed_devices(device: Place) -> None:
    check_mixed_devices(iteration_problem(), device)


def test_too_many_parameters_are_refused() -> None:
    arrays = iteration_arrays(13, 2)
    for name in ("point_basis", "joint_basis"):
        arrays[name] = np.repeat(arrays[name], 6, axis=0)
    with pytest.raises(ShapeError, match="at most 16 articulated joints and 80 parameters, got 15 and 107"):
        minimised(arrays)


def test_the_last_iteration_is_that_of_all(device: Place) -> None:
    arrays = device.send(iteration_arrays(13, 3))
    every, last = minimised(arrays, every=True), minimised(arrays)
    assert len(every.scale) == 4
    for name in (*POSES, "terms"):
        found = device.fetch(getattr(last, name))
        assert_close(found, device.fetch(getattr(every, name))[-1:], of_max=1e-12, reason="sums in another order")
    costs = minimised(arrays, derivatives=False)
    assert costs.hessian.size == costs.gradient.size == 0
    assert_close(device.fetch(costs.terms), device.fetch(last.terms), of_max=1e-12, reason="sums in another order")
    start = minimised(arrays, 0, derivatives=False)
    assert_close(device.fetch(start.terms)[0], device.fetch(every.terms)[0], of_max=1e-14, reason="the same sums")
    assert not device.fetch(start.improved).any()


def test_no_iteration_raises_the_cost_and_a_pose_that_is_no_number_hurts_nobody(device: Place) -> None:
    arrays = iteration_arrays(13, 4)
    alone = device.fetch(by_pose(minimised(device.send(arrays), every=True)))
    arrays["translation"][1] = np.nan
    found = minimised(device.send(arrays), 6, every=True)
    costs = device.fetch(found.terms).sum(axis=1)[:, [0, 2, 3]]
    assert (np.diff(costs, axis=0) <= 0).all()
    assert (costs[-1] < 0.9 * costs[0]).all()
    assert device.fetch(found.improved).tolist() == [True, False, True, True]
    spoiled = device.fetch(by_pose(minimised(device.send(arrays), every=True)))
    assert_close(spoiled[[0, 2, 3]], alone[[0, 2, 3]], of_max=1e-12, reason="sums in another order")
    assert np.isnan(device.fetch(found.terms)[:, 2, 1]).all()


def test_what_is_given_is_left_as_it_was(device: Place) -> None:
    sent = device.send(iteration_arrays(13, 2))
    minimised(sent)
    for name, array in iteration_arrays(13, 2).items():
        assert_same_bits(device.fetch(sent[name]), array, name)


def test_no_poses_give_nothing(device: Place) -> None:
    arrays = iteration_arrays(13, 2)
    none = {name: array[:0] if name in (*POSES, "image_index", "expected") else array for name, array in arrays.items()}
    found = minimised(device.send(none), every=True)
    assert found.terms.shape == (4, 8, 0)
    assert found.hessian.shape == (0, len(arrays["free"]), len(arrays["free"]))
