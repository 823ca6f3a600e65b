"""Depth and silhouette terms. Kinks, kept clear of: equal pixels, errors of size delta; cells of the distance field."""

import numpy as np
import pytest
from support.compare import assert_close
from support.op_check import (
    Place,
    check_arguments,
    check_backward_arguments,
    check_batch,
    check_mixed_devices,
    check_op,
)
from support.problems_image import depth_loss_problem, silhouette_problem

from handopt.errors import ShapeError
from handopt.ops.image_losses import depth_loss, depth_loss_backward, silhouette_loss, silhouette_loss_backward

SINGLE = "a float32 sum of a few hundred terms"
DEPTH_CASES = [(0.0, False), (0.0, True), (0.1, False), (0.3, True)]


@pytest.mark.parametrize(("delta", "weighted"), DEPTH_CASES)
def test_depth_twin_gradient_and_devices(delta: float, weighted: bool, device: Place) -> None:
    check_op(depth_loss_problem(delta, weighted), device, 5e-6, SINGLE)


def test_silhouette_twin_gradient_and_devices(device: Place) -> None:
    check_op(silhouette_problem(), device, 5e-6, SINGLE)


def test_batch() -> None:
    check_batch(depth_loss_problem(0.1, True))
    check_batch(silhouette_problem())


def test_arguments() -> None:
    for problem in (depth_loss_problem(0.1, True), silhouette_problem()):
        check_arguments(problem)
        check_backward_arguments(problem)
    arrays = depth_loss_problem().arrays
    for delta in (-0.1, np.nan):
        with pytest.raises(ShapeError, match="delta"):
            depth_loss(**arrays, delta=delta)


@pytest.mark.parametrize("value", [-1, 2])
def test_targets_that_do_not_exist_are_refused(value: int) -> None:
    for problem, op in ((depth_loss_problem(), depth_loss), (silhouette_problem(), silhouette_loss)):
        index = np.array([0, value, 1], np.int32)
        with pytest.raises(ShapeError, match="image_index"):
            op(**{**problem.arrays, "image_index": index})


def test_mixed_devices(device: Place) -> None:
    check_mixed_devices(depth_loss_problem(0.1, True), device)
    check_mixed_devices(silhouette_problem(), device)


def test_depth_by_hand(device: Place) -> None:
    arrays = {
        "image": np.array([[[0.0, 0.5], [1.0, 0.25]]]),
        "target": np.array([[[9.0, 9.0], [9.0, 9.0]], [[0.0, 0.25], [0.0, 0.3125]]]),
        "image_index": np.array([1], np.int32),
    }
    sent = device.send({**arrays, "cotangent": np.array([8.0])})
    cotangent = sent.pop("cotangent")
    assert_close(device.fetch(depth_loss(**sent)), [(0.25 + 1 + 0.0625) / 4], reason="exact in binary")
    assert_close(
        device.fetch(depth_loss_backward(cotangent, **sent)),
        [[[0.0, 2.0], [2.0, -2.0]]],
        reason="8 / S^2 times the sign, and 0 where the pixels are equal",
    )
    huber = (0.25 - 0.0625) + (1 - 0.0625) + 0.0625**2 / 0.25
    assert_close(device.fetch(depth_loss(**sent, delta=0.125)), [huber / 4], reason="exact in binary")
    assert_close(
        device.fetch(depth_loss_backward(cotangent, **sent, delta=0.125)),
        [[[0.0, 2.0], [2.0, -1.0]]],
        reason="within delta the slope is e / delta",
    )


def test_weights_select_pixels(device: Place) -> None:
    arrays = depth_loss_problem(weighted=True).arrays
    ones = {**arrays, "weight": np.ones_like(arrays["weight"])}
    plain = {k: v for k, v in arrays.items() if k != "weight"}
    expected = device.fetch(depth_loss(**device.send(plain)))
    assert_close(device.fetch(depth_loss(**device.send(ones))), expected, rtol=1e-14, reason="times 1")
    none = {**arrays, "weight": np.zeros_like(arrays["weight"])}
    assert_close(device.fetch(depth_loss(**device.send(none))), np.zeros(3), reason="no pixel counts")
    gradient = device.fetch(depth_loss_backward(device.send({"c": np.ones(3)})["c"], **device.send(none)))
    assert_close(gradient, np.zeros(gradient.shape), reason="no pixel counts")


@pytest.mark.parametrize("size", [1, 7, 8, 9, 40])
def test_depth_of_every_size(size: int, device: Place) -> None:
    rng = np.random.default_rng(size)
    problem = depth_loss_problem(0.1, True)
    problem.arrays.update(
        image=rng.uniform(0, 1, (3, size, size)),
        target=rng.uniform(0, 1, (2, size, size)),
        weight=rng.uniform(0, 1, (2, size, size)),
    )
    expected = problem.twin(problem.arrays)
    assert_close(
        device.fetch(problem.forward(device.send(problem.arrays))), expected, rtol=1e-13, reason="order of sums"
    )


def test_silhouette_within_and_outside_of_the_grid(device: Place) -> None:
    field = np.arange(9.0).reshape(1, 3, 3)  # 3 y + x
    arrays = {
        "points": np.array([[[0.5, 1.25, 7.0]], [[2.0, 2.0, 0.0]], [[5.0, 6.0, 0.0]], [[-2.0, 1.0, 0.0]]]),
        "field": field,
        "image_index": np.zeros(4, np.int32),
        "mm_per_px": np.array([2.0]),
    }
    distances = np.array([4.25, 8.0, 8 + 2 * 5, 3 + 2 * 2])  # of which 5 = |(3, 4)| and 2 px outside
    assert_close(device.fetch(silhouette_loss(**device.send(arrays))), distances**2, rtol=1e-15, reason="by hand")
    sent = device.send({**arrays, "cotangent": np.ones(4)})
    cotangent = sent.pop("cotangent")
    gradient = device.fetch(silhouette_loss_backward(cotangent, **sent))
    slopes = np.array([[1.0, 3.0, 0.0], [2 * 0.6, 2 * 0.8, 0.0], [-2.0, 3.0, 0.0]])
    expected = 2 * distances[[0, 2, 3], None] * slopes
    assert_close(gradient[[0, 2, 3], 0], expected, rtol=1e-14, reason="2 d times the slope of d")


def test_silhouette_ignores_the_depth_of_points(device: Place) -> None:
    problem = silhouette_problem()
    expected = device.fetch(problem.forward(device.send(problem.arrays)))
    problem.arrays["points"][..., 2] += 5
    found = device.fetch(problem.forward(device.send(problem.arrays)))
    rtol, reason = (0.0, "not read at all") if device.device.kind == "cpu" else (1e-14, "atomics sum in any order")
    assert_close(found, expected, rtol=rtol, reason=reason)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("axis", [0, 1])
def test_silhouette_counts_points_without_a_place_as_0(axis: int, value: float, device: Place) -> None:
    problem = silhouette_problem()
    arrays = {**problem.arrays, "points": problem.arrays["points"][:, :2].copy()}
    alone = {**arrays, "points": arrays["points"][:, 1:].copy()}
    arrays["points"][:, 0, axis] = value
    found = device.fetch(silhouette_loss(**device.send(arrays)))
    assert_close(found, device.fetch(silhouette_loss(**device.send(alone))) / 2, rtol=1e-15, reason="the mean of two")
    sent = device.send({**arrays, "cotangent": np.ones(3)})
    gradient = device.fetch(silhouette_loss_backward(sent.pop("cotangent"), **sent))
    assert_close(gradient[:, 0], np.zeros((3, 3)), reason="counts as 0")


@pytest.mark.parametrize("far", [1e6, -1e6, 3e9, -3e9])
def test_silhouette_of_points_far_outside(far: float, device: Place) -> None:
    problem = silhouette_problem()
    problem.arrays["points"][:, ::3, 0] = far
    expected = problem.twin(problem.arrays)
    assert_close(
        device.fetch(problem.forward(device.send(problem.arrays))), expected, rtol=1e-12, reason="order of sums"
    )


def test_silhouette_of_a_single_pixel(device: Place) -> None:
    arrays = {
        "points": np.array([[[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]]]),
        "field": np.array([[[1.5]]]),
        "image_index": np.zeros(1, np.int32),
        "mm_per_px": np.array([2.0]),
    }
    expected = [(1.5**2 + 11.5**2) / 2]
    assert_close(device.fetch(silhouette_loss(**device.send(arrays))), expected, rtol=1e-15, reason="by hand")


def test_empty() -> None:
    index = np.zeros(0, np.int32)
    assert depth_loss(np.zeros((0, 4, 4)), np.zeros((1, 4, 4)), index).shape == (0,)
    assert depth_loss_backward(np.zeros(0), np.zeros((0, 4, 4)), np.zeros((1, 4, 4)), index).shape == (0, 4, 4)
    arrays = silhouette_problem().arrays
    arrays["points"] = np.zeros((3, 0, 3))
    assert_close(silhouette_loss(**arrays), np.zeros(3), reason="no points, no distance")
    assert silhouette_loss_backward(np.ones(3), **arrays).shape == (3, 0, 3)
