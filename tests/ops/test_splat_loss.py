"""The depth term in one call, against the twins and against the ops that it joins."""

import numpy as np
import pytest
from support.compare import assert_close
from support.op_check import Place, check_arguments, check_batch, check_mixed_devices, check_op
from support.problems_image import RADIUS_PX, depth_term_problem

from handopt.errors import ShapeError
from handopt.ops.image_losses import depth_loss, depth_loss_backward
from handopt.ops.splat import render_depth, render_depth_backward
from handopt.ops.splat_loss import splat_loss

SINGLE = "a float32 sum of a few hundred terms"
CASES = [(0.0, False), (0.0, True), (0.1, False), (0.3, True)]


@pytest.mark.parametrize(("delta", "weighted"), CASES)
def test_twin_gradient_and_devices(delta: float, weighted: bool, device: Place) -> None:
    check_op(depth_term_problem(delta, weighted), device, 5e-6, SINGLE)


def test_batch_and_arguments() -> None:
    problem = depth_term_problem(0.1, True)
    check_batch(problem)
    check_arguments(problem)
    arrays = problem.arrays
    for name, value in (("radius", 0.0), ("radius", np.inf), ("delta", -1.0), ("delta", np.nan)):
        with pytest.raises(ShapeError, match=name):
            splat_loss(**arrays, **{"radius": 2.0, name: value})
    with pytest.raises(ShapeError, match="image_index"):
        splat_loss(**{**arrays, "image_index": np.array([0, 1, 2], np.int32)}, radius=2.0)


def test_mixed_devices(device: Place) -> None:
    check_mixed_devices(depth_term_problem(0.1, True), device)


@pytest.mark.parametrize(("delta", "weighted"), CASES)
def test_it_is_the_ops_that_it_joins(delta: float, weighted: bool, device: Place) -> None:
    problem = depth_term_problem(delta, weighted)
    sent = device.send({**problem.inputs(), "grad_loss": np.array([1.0, -2.0, 0.5])})
    points, weight = sent["points"], sent.get("weight")
    loss, gradient = splat_loss(
        sent["grad_loss"], points, sent["target"], sent["image_index"], RADIUS_PX, delta, weight
    )
    image, winners = render_depth(points, RADIUS_PX, sent["target"].shape[-1])
    compare = (image, sent["target"], sent["image_index"], delta, weight)
    grad_image = depth_loss_backward(sent["grad_loss"], *compare)
    reason = "float64: the same numbers, summed in another order"
    assert_close(device.fetch(loss), device.fetch(depth_loss(*compare)), rtol=1e-14, reason=reason)
    expected = device.fetch(render_depth_backward(grad_image, points, winners, RADIUS_PX))
    assert_close(device.fetch(gradient), expected, of_max=1e-14, reason=reason)
