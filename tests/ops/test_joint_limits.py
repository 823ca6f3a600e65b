"""Physical joint limits."""

import numpy as np
from support.compare import assert_close
from support.op_check import (
    Place,
    check_arguments,
    check_backward_arguments,
    check_batch,
    check_mixed_devices,
    check_op,
)
from support.problems_hand import limits_problem

from handopt.ops.joint_limits import joint_limits, joint_limits_backward

SINGLE = "a float32 sum of 45 squares"


def test_twin_gradient_and_devices(device: Place) -> None:
    check_op(limits_problem(), device, 2e-6, SINGLE)


def test_batch() -> None:
    check_batch(limits_problem())


def test_arguments() -> None:
    check_arguments(limits_problem())
    check_backward_arguments(limits_problem())


def test_mixed_devices(device: Place) -> None:
    check_mixed_devices(limits_problem(), device)


def test_by_hand(device: Place) -> None:
    arrays = {
        "angles": np.array([[[0.5, -0.25, 1.0]], [[2.0, -1.0, 0.0]]]),
        "lower": np.array([[0.0, -0.25, -1.0]]),
        "upper": np.array([[1.0, 0.0, 1.0]]),
    }
    sent = device.send({**arrays, "cotangent": np.array([1.0, 4.0])})
    cotangent = sent.pop("cotangent")
    loss = device.fetch(joint_limits(**sent))
    assert_close(loss, [0.0, 1.0 + 0.5625], reason="exact in binary; on the limit is within it")
    gradient = device.fetch(joint_limits_backward(cotangent, **sent))
    assert_close(gradient, [[[0.0, 0.0, 0.0]], [[8.0, -6.0, 0.0]]], reason="exact in binary")


def test_a_fixed_angle_has_limits_without_room(device: Place) -> None:
    arrays = {"angles": np.full((1, 1, 3), 0.5), "lower": np.zeros((1, 3)), "upper": np.zeros((1, 3))}
    assert_close(device.fetch(joint_limits(**device.send(arrays))), [0.75], reason="exact in binary")


def test_empty() -> None:
    limits = np.zeros((15, 3))
    assert joint_limits(np.zeros((0, 15, 3)), limits, limits).shape == (0,)
    assert joint_limits_backward(np.zeros(0), np.zeros((0, 15, 3)), limits, limits).shape == (0, 15, 3)
