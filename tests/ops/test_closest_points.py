"""Observed points to their nearest visible vertex. Kinks, kept clear of: another vertex becomes the nearest."""

import numpy as np
import pytest
from support import reference, reference_newton
from support.compare import assert_close, assert_same_bits
from support.op_check import (
    Arrays,
    Place,
    check_arguments,
    check_backward_arguments,
    check_batch,
    check_mixed_devices,
    check_op,
)
from support.problems_image import closest_problem
from support.problems_newton import CLOSEST_SIGMA, closest_quadratic_problem

from handopt.errors import ShapeError
from handopt.ops.closest_points import closest_points, closest_points_backward, closest_points_normal_equations

SINGLE = "distances of some 10 mm between float32 coordinates of 450 mm (3e-5 mm), averaged over 33 points"


@pytest.mark.parametrize("plane", [0.0, 0.5, 1.0])
def test_twin_gradient_and_devices(plane: float, device: Place) -> None:
    check_op(closest_problem(plane), device, 1e-5, SINGLE)


def test_batch() -> None:
    check_batch(closest_problem())


def test_arguments() -> None:
    problem = closest_problem()
    check_arguments(problem)
    check_backward_arguments(problem)
    for sigma in (0.0, -1.0, np.nan):
        with pytest.raises(ShapeError, match="sigma"):
            closest_points(**problem.arrays, sigma=sigma)
    for plane in (-0.1, 1.1, np.nan):
        with pytest.raises(ShapeError, match="plane"):
            closest_points(**problem.arrays, sigma=10.0, plane=plane)
    with pytest.raises(ShapeError, match="image_index"):
        closest_points(**{**problem.arrays, "image_index": np.array([0, 2, 1], np.int32)}, sigma=10.0)
    with pytest.raises(ShapeError, match="nearest"):
        closest_points_backward(np.ones(3), **problem.arrays, nearest=np.zeros((3, 5), np.int32), sigma=10.0)


def test_mixed_devices(device: Place) -> None:
    check_mixed_devices(closest_problem(), device)


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 31, 70])
def test_any_number_of_points(count: int, device: Place) -> None:
    arrays = closest_problem().arrays
    arrays["observed"] = np.random.default_rng(count).normal(size=(2, count, 3)) * 40 + np.array([0, 0, 450])
    loss, nearest = closest_points(**device.send(arrays), sigma=15.0, plane=0.3)
    expected_loss, expected_nearest = reference.closest_points(**arrays, sigma=15.0, plane=0.3)
    assert_same_bits(device.fetch(nearest), expected_nearest, "nearest")
    assert_close(device.fetch(loss), expected_loss, rtol=1e-13, reason="order of sums")


def two_vertices() -> Arrays:
    """A vertex that faces the camera 3 mm to the side of the point, and a nearer one that faces away."""
    return {
        "observed": np.array([[[0.0, 0.0, 400.0]]]),
        "image_index": np.zeros(1, np.int32),
        "posed": np.array([[[0.0, 0.0, 401.0], [3.0, 0.0, 404.0]]]),
        "normals": np.array([[[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]]),
    }


@pytest.mark.parametrize(("plane", "error"), [(0.0, 25.0), (1.0, 16.0), (0.25, 0.25 * 16 + 0.75 * 25)])
def test_by_hand(plane: float, error: float, device: Place) -> None:
    loss, nearest = closest_points(**device.send(two_vertices()), sigma=2.0, plane=plane)
    assert device.fetch(nearest).tolist() == [[1]]
    assert_close(device.fetch(loss), [4 * error / (4 + error)], rtol=1e-15, reason="by hand")


def test_outliers_count_at_most_sigma_squared_and_pull_little(device: Place) -> None:
    arrays = two_vertices()
    arrays["observed"] = np.array([[[500.0, 0.0, 400.0]]])
    sent = device.send({**arrays, "cotangent": np.ones(1)})
    cotangent = sent.pop("cotangent")
    loss, nearest = closest_points(**sent, sigma=2.0, plane=0.0)
    assert 3.99 < device.fetch(loss)[0] < 4
    gradient = device.fetch(closest_points_backward(cotangent, **sent, nearest=nearest, sigma=2.0, plane=0.0))
    assert np.abs(gradient).max() < 1e-5


def test_without_a_visible_vertex_every_point_is_an_outlier(device: Place) -> None:
    arrays = closest_problem().arrays
    arrays["normals"] = arrays["posed"] / np.linalg.norm(arrays["posed"], axis=2, keepdims=True)
    arrays["normals"][1] *= -1
    sent = device.send({**arrays, "cotangent": np.ones(3)})
    cotangent = sent.pop("cotangent")
    loss, nearest = closest_points(**sent, sigma=7.0)
    gradient = device.fetch(closest_points_backward(cotangent, **sent, nearest=nearest, sigma=7.0))
    for b in (0, 2):
        assert np.all(device.fetch(nearest)[b] == -1)
        assert_close(device.fetch(loss)[b], 49.0, rtol=1e-14, reason="the mean of sigma squared")
        assert_close(gradient[b], np.zeros(gradient[b].shape), reason="nothing to pull")
    assert np.all(device.fetch(nearest)[1] >= 0)
    assert np.abs(gradient[1]).max() > 0


def test_empty() -> None:
    arrays = closest_problem().arrays
    none = {**arrays, "observed": np.zeros((2, 0, 3))}
    loss, nearest = closest_points(**none, sigma=5.0)
    assert_close(loss, np.zeros(3), reason="no points, no distance")
    assert nearest.shape == (3, 0)
    gradient = closest_points_backward(np.ones(3), **none, nearest=nearest, sigma=5.0)
    assert_close(gradient, np.zeros(arrays["posed"].shape), reason="no points, no distance")
    bare = {**arrays, "posed": np.zeros((3, 0, 3)), "normals": np.zeros((3, 0, 3))}
    loss, nearest = closest_points(**bare, sigma=5.0)
    assert np.all(nearest == -1)
    assert_close(loss, np.full(3, 25.0), rtol=1e-14, reason="no vertex to find")


# --------------------------------------------------------------------------------------- closest_quadratic


@pytest.mark.parametrize("plane", [0.0, 0.5, 1.0])
def test_model_twin_and_devices(plane: float, device: Place) -> None:
    check_op(closest_quadratic_problem(plane), device, 1e-5, SINGLE)


def test_model_batch() -> None:
    check_batch(closest_quadratic_problem())


def test_model_arguments() -> None:
    problem = closest_quadratic_problem()
    check_arguments(problem)
    frozen = np.zeros((3, 45, 9))
    frozen.flags.writeable = False
    for out in (
        np.zeros((3, 45, 9), np.float32),
        np.zeros((3, 45, 6)),
        np.zeros((3, 9, 45)).transpose(0, 2, 1),
        frozen,
    ):
        with pytest.raises(ShapeError, match="out: expected"):
            closest_points_normal_equations(**problem.arrays, sigma=10.0, out=out)
    for name, value in (("sigma", 0.0), ("plane", 1.5)):
        with pytest.raises(ShapeError, match=name):
            closest_points_normal_equations(**problem.arrays, **{"sigma": 10.0, name: value})


def test_model_mixed_devices(device: Place) -> None:
    check_mixed_devices(closest_quadratic_problem(), device)


@pytest.mark.parametrize("plane", [0.0, 0.3, 1.0])
def test_the_gradient_is_twice_b(plane: float, device: Place) -> None:
    sent = device.send(closest_quadratic_problem().arrays)
    model = device.fetch(closest_points_normal_equations(**sent, sigma=CLOSEST_SIGMA, plane=plane))
    gradient = device.fetch(closest_points_backward(**sent, sigma=CLOSEST_SIGMA, plane=plane))
    assert_close(2 * model[..., 6:], gradient, of_max=1e-14, reason="the same sums")


def test_the_model_is_a_weighted_sum_of_outer_products() -> None:
    arrays = closest_quadratic_problem().arrays
    a, _ = reference_newton.matrices(closest_points_normal_equations(**arrays, sigma=1e9, plane=0.25))
    expected = np.zeros(a.shape)
    for b, n in np.argwhere(arrays["nearest"] >= 0):
        v = arrays["nearest"][b, n]
        normal = arrays["normals"][b, v]
        expected[b, v] += arrays["grad_loss"][b] / 33 * (0.25 * np.outer(normal, normal) + 0.75 * np.eye(3))
    assert_close(a, expected, of_max=1e-12, reason="so wide a sigma that every weight is 1")


def test_the_model_is_added_to_what_is_there(device: Place) -> None:
    arrays = device.send(closest_quadratic_problem().arrays)
    model = closest_points_normal_equations(**arrays, sigma=9.0)
    there = device.send({"out": np.full((3, 45, 9), 2.0)})["out"]
    assert closest_points_normal_equations(**arrays, sigma=9.0, out=there) is there
    assert_close(device.fetch(there), 2 + device.fetch(model), atol=1e-12, reason="sums in another order")


def test_the_first_of_equally_near_vertices_wins(device: Place) -> None:
    arrays = closest_problem().arrays
    twice = {name: np.concatenate([arrays[name]] * 2, axis=1) for name in ("posed", "normals")}
    nearest = device.fetch(closest_points(**device.send({**arrays, **twice}), sigma=5.0)[1])
    assert_same_bits(nearest, closest_points(**arrays, sigma=5.0)[1], "nearest")
