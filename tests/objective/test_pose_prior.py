"""The pose prior: what it prefers, and its gradient. Its numbers are free to change."""

import numpy as np
import pytest
from numpy.typing import NDArray
from support.compare import assert_close, assert_same_bits, directional_derivative_error
from support.op_check import Place

from handopt.backend import Device, to_device
from handopt.objective.pose_prior import PosePrior
from handopt.ops.joint_limits import joint_limits
from handopt.rig import default_rig

Floats = NDArray[np.float64]

MCP, PIP, DIP = 3, 4, 5
FLEXION = 2


@pytest.fixture
def prior() -> PosePrior:
    return PosePrior(Device("cpu"), np.float64)


def angles(rng: np.random.Generator, count: int = 4) -> Floats:
    return 0.6 * rng.normal(size=(count, 15, 3))


def cheapest(prior: PosePrior) -> Floats:
    """The pose (15, 3) that the prior likes best: it is quadratic, so Newton's method takes one step."""
    zero = np.zeros((45, 15, 3))
    gradient = prior(zero[:1])[1].reshape(45)
    unit = np.eye(45).reshape(45, 15, 3)
    hessian = prior(unit)[1].reshape(45, 45) - gradient
    return np.linalg.solve(hessian, -gradient).reshape(15, 3)


def test_gradient(prior: PosePrior, rng: np.random.Generator) -> None:
    pose = angles(rng)
    gradient = prior(pose)[1]
    assert gradient.shape == pose.shape
    for _ in range(5):
        direction = rng.normal(size=pose.shape)
        error = directional_derivative_error(lambda x: float(prior(x)[0].sum()), gradient, pose, direction, 1e-4)
        assert error <= 1e-8, "a quadratic has no truncation error in a central difference"


def test_curvature(prior: PosePrior) -> None:
    zero = np.zeros((45, 15, 3))
    base, gradient = (part[0] for part in prior(zero[:1]))
    unit = np.eye(45).reshape(45, 15, 3)
    slopes = prior(unit)[1].reshape(45, 45) - gradient.reshape(45)
    assert_close(2 * prior.curvature, slopes, of_max=1e-13, reason="the gradient of a quadratic is linear")
    pose = 0.4 * np.ones((1, 15, 3))
    expected = base + (gradient * pose[0]).sum() + pose.ravel() @ prior.curvature @ pose.ravel()
    assert_close(prior(pose)[0], [expected], rtol=1e-13, reason="Taylor's series of a quadratic")
    assert np.linalg.eigvalsh(prior.curvature)[0] > 0


def test_each_hypothesis_is_judged_alone_and_left_as_it_was(prior: PosePrior, rng: np.random.Generator) -> None:
    pose = angles(rng)
    given = pose.copy()
    term, gradient = prior(pose)
    assert_same_bits(pose, given, "angles")
    assert term.shape == (4,)
    for row in range(4):
        alone, alone_gradient = prior(pose[row : row + 1])
        assert_same_bits(alone, term[row : row + 1], "term")
        assert_same_bits(alone_gradient, gradient[row : row + 1], "gradient")


def test_another_pose_may_be_expected(prior: PosePrior, rng: np.random.Generator) -> None:
    pose, mean = angles(rng), angles(rng)
    relaxed = prior.relaxed(4)
    assert relaxed.shape == (4, 15, 3)
    for found, expected in zip(prior(pose, relaxed), prior(pose), strict=True):
        assert_same_bits(found, expected)
    gradient = prior(pose, mean)[1]
    for _ in range(3):
        direction = rng.normal(size=pose.shape)
        error = directional_derivative_error(lambda x: float(prior(x, mean)[0].sum()), gradient, pose, direction, 1e-4)
        assert error <= 1e-8, "a quadratic has no truncation error in a central difference"
    near = mean + 0.01 * rng.normal(size=mean.shape)
    assert (prior(near, mean)[0] < prior(near)[0]).all()


def test_it_prefers_a_relaxed_hand(prior: PosePrior) -> None:
    best = cheapest(prior)
    limits = default_rig("right").limits
    assert joint_limits(best[None], limits.lower.copy(), limits.upper.copy())[0] == 0, "within the joint limits"
    assert (best[3:, FLEXION] > 0).all(), "fingers are a little bent"
    assert (best[3:, FLEXION] < 1).all(), "and not closed"
    fist = best.copy()
    fist[3:, FLEXION] = 1.5
    flat = best.copy()
    flat[:, FLEXION] = 0.0
    spread = best.copy()
    spread[3::3, 1] = 0.35
    terms = prior(np.stack([best, flat, spread, fist]))[0]
    assert terms[0] >= 0
    assert (terms[0] < terms[1:]).all()


def test_a_dip_joint_follows_its_pip_joint(prior: PosePrior) -> None:
    best = cheapest(prior)
    alone, together = best.copy(), best.copy()
    alone[PIP, FLEXION] += 0.8
    together[[PIP, DIP], FLEXION] += (0.8, 0.4)
    terms = prior(np.stack([best, together, alone]))[0]
    assert terms[0] < terms[1] < terms[2]
    assert prior(alone[None])[1][0, DIP, FLEXION] < 0, "a bent PIP joint pulls its DIP joint along"
    bent_mcp = best.copy()
    bent_mcp[MCP, FLEXION] += 0.8
    change = prior(bent_mcp[None])[1][0] - prior(best[None])[1][0]
    assert np.flatnonzero(np.abs(change) > 1e-9).tolist() == [3 * MCP + FLEXION], "the MCP joint is free of the others"


def test_devices_and_precision(device: Place, rng: np.random.Generator) -> None:
    pose = angles(rng)
    expected = PosePrior(Device("cpu"), np.float64)(pose)
    for dtype, tolerance in ((np.float64, 1e-13), (np.float32, 1e-5)):
        found = PosePrior(device.device, dtype)(to_device(pose, device.device, dtype))
        for one, other in zip(found, expected, strict=True):
            assert device.fetch(one).dtype == dtype
            assert_close(device.fetch(one), other, of_max=tolerance, reason="45 squares, rounded in their dtype")
