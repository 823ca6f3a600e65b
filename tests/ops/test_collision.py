"""Collision of joints with bones. Kinks, kept clear of: joint and bone touch; end cap and radius change places."""

import numpy as np
import pytest
from support import reference, reference_newton
from support.compare import assert_close, assert_same_bits, directional_derivative_error
from support.op_check import (
    CPU,
    Floats,
    Place,
    check_arguments,
    check_backward_arguments,
    check_batch,
    check_gradient,
    check_mixed_devices,
    check_op,
    directional_errors,
    random_cotangent,
)
from support.problems_hand import collision_branches, collision_problem, hand_bones
from support.problems_newton import collision_quadratic_problem

from handopt.errors import ShapeError
from handopt.ops.collision import collision, collision_backward, collision_normal_equations

SINGLE = "float32 differences of squares, 1e3 mm^2 with an error of 1e-7 of it each, summed over 100 overlaps"
RADIUS = 18.0
STEP = 1e-5


def test_twin_gradient_and_devices(device: Place) -> None:
    check_op(collision_problem(), device, 5e-6, SINGLE)


def test_the_problem_has_every_branch() -> None:
    problem = collision_problem()
    counts = np.bincount(collision_branches(problem.arrays["joints"], hand_bones(), RADIUS).ravel(), minlength=3)
    assert counts.min() > 50, counts


def test_batch() -> None:
    check_batch(collision_problem())
    check_batch(collision_problem(fixed_length=True))


def test_arguments() -> None:
    check_arguments(collision_problem())
    check_backward_arguments(collision_problem())
    joints = collision_problem().arrays["joints"]
    for radius in (np.nan, -1.0, np.inf):
        with pytest.raises(ShapeError, match="radius"):
            collision(joints, hand_bones(), radius)
    for value in (-1, 21):
        with pytest.raises(ShapeError, match="bones"):
            collision(joints, np.array([[0, value]], np.int32), RADIUS)


def test_mixed_devices(device: Place) -> None:
    check_mixed_devices(collision_problem(), device)


def test_fixed_length_gradient_holds_the_lengths_constant(device: Place) -> None:
    problem = collision_problem()
    joints, bones = problem.arrays["joints"], problem.arrays["bones"]
    lengths = np.linalg.norm(joints[:, bones[:, 1]] - joints[:, bones[:, 0]], axis=2)
    cotangent = random_cotangent(problem, 0)
    sent = device.send({"grad_loss": cotangent, **problem.arrays})
    gradient = device.fetch(collision_backward(**sent, radius=RADIUS, fixed_length=True))
    for seed in range(4):
        direction = np.random.default_rng(seed).normal(size=joints.shape)
        error = directional_derivative_error(
            lambda x: float(cotangent @ reference.collision(x, bones, RADIUS, lengths)),
            gradient,
            joints,
            direction,
            STEP,
        )
        assert error <= 1e-6


def bend(joints: Floats, angles: Floats) -> Floats:
    """Turn the joints beyond each joint k about an axis through k, by angles[:, k] (B, 21, 3): no bone stretches."""
    out = joints.copy()
    for b in range(len(joints)):
        for k in range(21):
            beyond = range(1, 21) if k == 0 else range(k + 1, 4 * ((k - 1) // 4) + 5)
            rotation = reference.exponential(angles[b, k])
            for child in beyond:
                out[b, child] = out[b, k] + rotation @ (out[b, child] - out[b, k])
    return out


def test_fixed_length_gradient_is_exact_for_rigid_bones(device: Place) -> None:
    problem = collision_problem()
    joints, bones = problem.arrays["joints"], problem.arrays["bones"]
    branches = collision_branches(joints, bones, RADIUS)
    cotangent = random_cotangent(problem, 1)
    sent = device.send({"grad_loss": cotangent, **problem.arrays})
    fixed = device.fetch(collision_backward(**sent, radius=RADIUS, fixed_length=True))
    free = device.fetch(collision_backward(**sent, radius=RADIUS, fixed_length=False))
    assert np.abs(fixed - free).max() > 0.1 * np.abs(free).max(), "the two gradients differ where bones may stretch"
    lengths = np.linalg.norm(joints[:, bones[:, 1]] - joints[:, bones[:, 0]], axis=2)
    for seed in range(4):
        turn = np.random.default_rng(seed).normal(size=joints.shape) * 0.3
        ends = [bend(joints, sign * STEP * turn) for sign in (1, -1)]
        for end in ends:
            stretched = np.linalg.norm(end[:, bones[:, 1]] - end[:, bones[:, 0]], axis=2)
            assert_close(stretched, lengths, rtol=1e-13, reason="the motion is rigid")
            assert_same_bits(collision_branches(end, bones, RADIUS), branches, "branches")
        values = [float(cotangent @ collision(end, bones, RADIUS)) for end in ends]
        numeric = (values[0] - values[1]) / (2 * STEP)
        motion = (ends[0] - ends[1]) / (2 * STEP)
        for gradient in (fixed, free):
            assert float(np.sum(gradient * motion)) == pytest.approx(numeric, rel=1e-6)


def test_fixed_length_gradient_is_not_that_of_free_bones() -> None:
    errors = [error for _, error in directional_errors(collision_problem(fixed_length=True), CPU, np.float64, 3)]
    assert min(errors) > 1e-3
    check_gradient(collision_problem(fixed_length=False), CPU)


def test_by_hand(device: Place) -> None:
    bones = np.array([[0, 1]], np.int32)
    joints = np.array(
        [
            [[0.0, 0, 0], [10, 0, 0], [5, 3, 0]],  # f1 = 25, f2 = 16 - 9
            [[0.0, 0, 0], [10, 0, 0], [9, 0, 1]],  # f1 = 25 - 16, f2 = 16 - 1
            [[0.0, 0, 0], [10, 0, 0], [5, 4, 0]],  # touches
            [[0.0, 0, 0], [10, 0, 0], [11, 0, 0]],  # beyond the end
            [[0.0, 0, 0], [10, 0, 0], [5, 50, 0]],
        ]
    )
    sent = device.send({"grad_loss": np.full(5, 3.0), "joints": joints, "bones": bones})
    found = device.fetch(collision(sent["joints"], sent["bones"], 4.0))
    assert_close(found, np.array([7, 9, 0, 0, 0]) / 3, rtol=1e-15, reason="by hand")
    gradient = device.fetch(collision_backward(**sent, radius=4.0, fixed_length=True))
    assert_close(gradient[0], [[0, 3, 0], [0, 3, 0], [0, -6, 0]], atol=1e-14, reason="dist_r = 9 across the bone")
    expected = [[7.2, 0, 0.8], [0.8, 0, -0.8], [-8, 0, 0]]
    assert_close(gradient[1], expected, atol=1e-14, reason="-2/h s {a - p, p - b, b - a} with s = 4")
    assert_close(gradient[2:], np.zeros((3, 3, 3)), reason="apart: no gradient")


def test_a_bone_without_length_hurts_nobody(device: Place) -> None:
    joints = np.array([[[1.0, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 4]]])
    sent = device.send({"grad_loss": np.ones(1), "joints": joints, "bones": np.array([[0, 1]], np.int32)})
    assert_close(device.fetch(collision(sent["joints"], sent["bones"], 5.0)), [0.0], reason="f1 is at most 0")
    for fixed_length in (True, False):
        gradient = device.fetch(collision_backward(**sent, radius=5.0, fixed_length=fixed_length))
        assert_close(gradient, np.zeros(joints.shape), reason="no overlap, no gradient")


def test_a_step_along_the_gradient_parts_the_joints() -> None:
    arrays = collision_problem().arrays
    before = collision(**arrays, radius=RADIUS)
    for fixed_length in (True, False):
        gradient = collision_backward(np.ones(3), **arrays, radius=RADIUS, fixed_length=fixed_length)
        after = collision(arrays["joints"] - 1e-2 * gradient, arrays["bones"], RADIUS)
        assert np.all(after < before)


def test_empty() -> None:
    bones = hand_bones()
    assert collision(np.zeros((0, 21, 3)), bones, RADIUS).shape == (0,)
    assert collision_backward(np.zeros(0), np.zeros((0, 21, 3)), bones, RADIUS).shape == (0, 21, 3)
    none = np.zeros((0, 2), np.int32)
    assert_close(collision(np.ones((2, 21, 3)), none, RADIUS), np.zeros(2), reason="no bones")


# ------------------------------------------------------------------------------------- collision_quadratic


def test_model_twin_and_devices(device: Place) -> None:
    check_op(collision_quadratic_problem(), device, 5e-6, SINGLE)


def test_model_batch() -> None:
    check_batch(collision_quadratic_problem())


def test_model_arguments() -> None:
    problem = collision_quadratic_problem()
    check_arguments(problem)
    with pytest.raises(ShapeError, match="radius"):
        collision_normal_equations(**problem.arrays, radius=-1.0)


def test_model_mixed_devices(device: Place) -> None:
    check_mixed_devices(collision_quadratic_problem(), device)


def test_the_gradient_is_twice_b(device: Place) -> None:
    sent = device.send(collision_quadratic_problem().arrays)
    model = device.fetch(collision_normal_equations(**sent, radius=RADIUS))
    gradient = device.fetch(collision_backward(**sent, radius=RADIUS, fixed_length=True))
    assert_close(2 * model[..., 6:], gradient, of_max=1e-14, reason="the same sums")


def test_the_model_bounds_gauss_newton_on_roots_of_depths(rng: np.random.Generator) -> None:
    arrays = collision_quadratic_problem().arrays
    a, _ = reference_newton.matrices(collision_normal_equations(**arrays, radius=RADIUS))
    assert np.linalg.eigvalsh(a).min() > -1e-12 * np.abs(a).max(), "positive semidefinite"
    for step in rng.normal(size=(5, *arrays["joints"].shape)):
        together = np.zeros(3)
        for b in range(3):
            for i, j in arrays["bones"]:
                for k in set(range(21)) - {i, j}:
                    start, end, tip = arrays["joints"][b, [i, j, k]]
                    depth, gradients = reference_newton.contact(start, end, tip, RADIUS)
                    along = float((gradients * step[b, [i, j, k]]).sum())
                    together[b] += arrays["grad_loss"][b] / 21 * along**2 / (4 * max(depth, RADIUS**2 / 9))
        bound = np.einsum("bji,bjik,bjk->b", step, a, step)
        assert (together <= bound).all()
        assert (together > 0.01 * bound).all()


def test_joints_that_are_apart_have_no_model(device: Place) -> None:
    joints = np.array([[[0.0, 0, 0], [10, 0, 0], [5, 50, 0]], [[0.0, 0, 0], [0, 0, 0], [0, 0, 0]]])
    sent = device.send({"grad_loss": np.ones(2), "joints": joints, "bones": np.array([[0, 1]], np.int32)})
    assert not device.fetch(collision_normal_equations(**sent, radius=4.0)).any()
    assert collision_normal_equations(np.zeros(0), np.zeros((0, 21, 3)), hand_bones(), RADIUS).shape == (0, 21, 9)
