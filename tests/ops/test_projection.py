"""Projection into the renderer's crop."""

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
from support.problems_image import project_problem

from handopt.ops.projection import project, project_backward

SINGLE = "four roundings of float32"
COEFFICIENTS = np.array([[200.0, 50.0, 220.0, 55.0, 0.004, -1.3]])


@pytest.mark.parametrize("perspective", [True, False])
def test_twin_gradient_and_devices(perspective: bool, device: Place) -> None:
    check_op(project_problem(perspective), device, 1e-6, SINGLE)


def test_batch() -> None:
    check_batch(project_problem())


def test_arguments() -> None:
    check_arguments(project_problem())
    check_backward_arguments(project_problem())


def test_mixed_devices(device: Place) -> None:
    check_mixed_devices(project_problem(), device)


def test_known_points() -> None:
    points = np.array([[[0.0, 0.0, 400.0], [100.0, -50.0, 500.0]]])
    expected = [[[50.0, 55.0, 0.3], [90.0, 33.0, 0.7]]]
    assert_close(project(points, COEFFICIENTS), expected, atol=1e-12, reason="by hand")
    affine = np.array([[0.5, 10.0, -0.25, 20.0, 0.004, -1.3]])
    expected = [[[10.0, 20.0, 0.3], [60.0, 32.5, 0.7]]]
    assert_close(project(points, affine, perspective=False), expected, atol=1e-12, reason="by hand")


@pytest.mark.parametrize("depth", [0.0, -1.0, -400.0])
def test_points_at_or_behind_the_camera_render_nothing_and_have_no_gradient(depth: float, device: Place) -> None:
    points = np.array([[[10.0, 20.0, depth], [3.0, 2.0, 400.0]]])
    sent = device.send({"points": points, "coefficients": COEFFICIENTS, "cotangent": np.ones((1, 2, 3))})
    projected = device.fetch(project(sent["points"], sent["coefficients"]))
    assert np.isfinite(projected).all()
    assert projected[0, 0, 2] == 2.0
    gradient = device.fetch(project_backward(sent["cotangent"], sent["points"], sent["coefficients"]))
    assert_close(gradient[0, 0], np.zeros(3), reason="no gradient")
    assert np.all(gradient[0, 1] != 0)


def test_an_affine_camera_has_no_behind(device: Place) -> None:
    points = np.array([[[10.0, 20.0, -5.0]]])
    sent = device.send({"points": points, "coefficients": COEFFICIENTS})
    found = device.fetch(project(sent["points"], sent["coefficients"], perspective=False))
    assert_close(found, [[[2050.0, 4455.0, -1.32]]], rtol=1e-15, reason="by hand")


def test_empty() -> None:
    assert project(np.zeros((0, 5, 3)), np.zeros((0, 6))).shape == (0, 5, 3)
    assert project(np.zeros((2, 0, 3)), np.zeros((2, 6))).shape == (2, 0, 3)
    assert project_backward(np.zeros((2, 0, 3)), np.zeros((2, 0, 3)), np.zeros((2, 6))).shape == (2, 0, 3)
