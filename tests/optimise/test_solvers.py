"""Solvers: the size and direction of their steps, and that they find a minimum."""

import numpy as np
import pytest
from support import reference
from support.compare import assert_close, assert_same_bits
from support.observation_factory import near_poses, on_device
from support.op_check import Place

from handopt.backend import to_device
from handopt.config import Steps
from handopt.hand_model import Pose
from handopt.objective.energy import Gradient
from handopt.optimise.solvers import SOLVERS, Adam, Momentum, Solver

STEPS = Steps(rotation_rad=0.05, translation_mm=3.0, angles_rad=0.1, scale=0.02, vertices_mm=0.4)
GROUPS = ("angles", "rotation", "translation", "scale")

solvers = pytest.mark.parametrize("kind", SOLVERS.values(), ids=list(SOLVERS))


def some_gradient(rng: np.random.Generator, count: int = 2) -> Gradient:
    shapes = {"angles": (count, 15, 3), "rotation": (count, 3), "translation": (count, 3), "scale": (count,)}
    return Gradient(**{group: rng.normal(size=shape) for group, shape in shapes.items()}, rest=rng.normal(size=(7, 3)))


@pytest.fixture
def pose() -> Pose:
    return near_poses((0.2, 0.9), (0, 0))


def test_first_step_of_adam_is_the_step_size_against_every_component(pose: Pose, rng: np.random.Generator) -> None:
    gradient, before, rest = some_gradient(rng), pose.copy(), np.zeros((7, 3))
    Adam(STEPS).step(pose, gradient, 0.5, free_scale=True, rest=rest)
    reason = "bias correction makes the first step a sign"
    for group, size in (("angles", 0.1), ("translation", 3.0), ("scale", 0.02)):
        change = getattr(pose, group) - getattr(before, group)
        assert_close(change, -0.5 * size * np.sign(getattr(gradient, group)), atol=1e-6, reason=reason)
    assert_close(rest, -0.5 * 0.4 * np.sign(gradient.rest), atol=1e-6, reason=reason)
    turn = np.stack([reference.exponential(-0.5 * 0.05 * np.sign(w)) for w in gradient.rotation])
    assert_close(pose.rotation, turn @ before.rotation, atol=1e-7, reason="the tangent acts from the left")


def test_first_step_of_momentum_follows_the_gradient(pose: Pose, rng: np.random.Generator) -> None:
    gradient, before = some_gradient(rng), pose.copy()
    Momentum(STEPS).step(pose, gradient, 1.0, free_scale=False)
    share = 1 - Momentum.decay
    for group, size in (("angles", 0.1), ("translation", 3.0)):
        slope = getattr(gradient, group)
        largest = np.abs(slope).reshape(2, -1).max(axis=1).reshape(2, *[1] * (slope.ndim - 1))
        change = getattr(pose, group) - getattr(before, group)
        assert_close(change, -share * size * slope / largest, rtol=1e-9, reason="in proportion to the gradient")


def test_momentum_remembers_how_large_the_gradient_was(pose: Pose, rng: np.random.Generator) -> None:
    """A gradient that falls to a tenth makes a step that does, and does not start again at full size."""
    solver, gradient = Momentum(STEPS), some_gradient(rng)
    solver.step(pose, gradient, 1.0, free_scale=False)
    first, before = gradient.translation.copy(), pose.translation.copy()
    gradient.translation *= 0.1
    solver.step(pose, gradient, 1.0, free_scale=False)
    share = 1 - Momentum.decay
    largest = np.abs(first).max(axis=1, keepdims=True)
    velocity = Momentum.decay * share * first / largest + share * 0.1 * first / (Momentum.memory * largest)
    assert_close(pose.translation - before, -3.0 * velocity, rtol=1e-9, reason="the largest fades by a share")


def test_momentum_grows_to_the_step_size(pose: Pose, rng: np.random.Generator) -> None:
    solver, gradient = Momentum(STEPS), some_gradient(rng)
    for _ in range(200):
        before = pose.copy()
        solver.step(pose, gradient, 1.0, free_scale=False)
    change = np.abs(pose.translation - before.translation).max(axis=1)
    assert_close(change, np.full(2, 3.0), rtol=1e-6, reason="a geometric series of 0.9")


@solvers
def test_steps_do_not_depend_on_the_size_of_the_gradient(kind: type[Solver], rng: np.random.Generator) -> None:
    gradients = [some_gradient(rng) for _ in range(4)]
    poses = [near_poses((0.2, 0.9), (0, 0)) for _ in range(2)]
    for pose, factor in zip(poses, (1.0, 1e-4), strict=True):
        solver = kind(STEPS)
        for gradient in gradients:
            small = Gradient(**{name: factor * value for name, value in vars(gradient).items()})
            solver.step(pose, small, 1.0, free_scale=True)
    for group in GROUPS:
        assert_close(getattr(poses[1], group), getattr(poses[0], group), atol=1e-2, reason="but for Adam's epsilon")


@solvers
def test_hypotheses_move_independently(kind: type[Solver], rng: np.random.Generator) -> None:
    gradients = [some_gradient(rng) for _ in range(5)]
    both = near_poses((0.2, 0.9), (0, 0))
    alone = both.select(np.array([1]))
    solver, lonely = kind(STEPS), kind(STEPS)
    for gradient in gradients:
        solver.step(both, gradient, 0.7, free_scale=True)
        half = Gradient(*(getattr(gradient, group)[1:] for group in GROUPS))
        lonely.step(alone, half, 0.7, free_scale=True)
    for group in GROUPS:
        assert_same_bits(getattr(alone, group), getattr(both, group)[1:], group)


@solvers
def test_what_has_no_gradient_stays(kind: type[Solver], pose: Pose, rng: np.random.Generator) -> None:
    solver, before = kind(STEPS), pose.copy()
    for _ in range(3):
        gradient = some_gradient(rng)
        gradient.angles[:, 4] = 0
        gradient.translation[:] = 0
        solver.step(pose, gradient, 1.0, free_scale=True)
    assert_same_bits(pose.angles[:, 4], before.angles[:, 4], "frozen angles")
    assert_same_bits(pose.translation, before.translation, "translation")
    assert np.isfinite(pose.angles).all()
    assert np.abs(pose.angles[:, 5] - before.angles[:, 5]).max() > 0


@solvers
def test_the_scale_stays_where_it_is_not_free_and_within_bounds_where_it_is(kind: type[Solver], pose: Pose) -> None:
    before = pose.scale.copy()
    gradient = Gradient(*(np.zeros_like(x) for x in (pose.angles, pose.translation, pose.translation, pose.scale)))
    gradient.scale[:] = (1.0, -1.0)
    solver = kind(STEPS)
    solver.step(pose, gradient, 1.0, free_scale=False)
    assert_same_bits(pose.scale, before, "scale")
    for _ in range(200):
        solver.step(pose, gradient, 1.0, free_scale=True)
    assert pose.scale.tolist() == [0.6, 1.6]


@solvers
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rotations_stay_rotations(kind: type[Solver], dtype: type, rng: np.random.Generator) -> None:
    pose, solver = near_poses((0.2, 0.9), (0, 0), dtype=dtype), kind(STEPS)
    for _ in range(300):
        gradient = Gradient(*(getattr(some_gradient(rng), group).astype(dtype) for group in GROUPS))
        solver.step(pose, gradient, 1.0, free_scale=True)
    assert pose.rotation.dtype == dtype
    assert pose.rotation.flags.c_contiguous
    error = pose.rotation @ pose.rotation.transpose(0, 2, 1) - np.eye(3)
    assert np.abs(error).max() < 300 * float(np.finfo(dtype).eps), "an error per product"


@solvers
def test_a_valley_is_descended(kind: type[Solver], pose: Pose) -> None:
    """Squared distance to a goal in every group, with steps that shrink as in the stages of a fit."""
    goal = near_poses((0.5, 0.6), (0, 0))
    goal.translation += 20
    rest, rest_goal = np.zeros((7, 3)), np.ones((7, 3))
    for factor in (1.0, 0.3, 0.1, 0.03):
        solver = kind(STEPS)
        for _ in range(60):
            tangents = np.stack([pull(a, b) for a, b in zip(pose.rotation, goal.rotation, strict=True)])
            gradient = Gradient(
                pose.angles - goal.angles, tangents, pose.translation - goal.translation, pose.scale - goal.scale,
                rest - rest_goal,
            )  # fmt: skip
            solver.step(pose, gradient, factor, free_scale=True, rest=rest)
    assert np.abs(pose.angles - goal.angles).max() < 0.01
    assert np.abs(pose.translation - goal.translation).max() < 0.3
    assert np.abs(pose.rotation - goal.rotation).max() < 0.01
    assert np.abs(pose.scale - goal.scale).max() < 0.003
    assert np.abs(rest - rest_goal).max() < 0.05


def pull(rotation: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Gradient by the tangent of |rotation - goal|^2 / 2 = 3 - trace(goal^T rotation)."""
    product = rotation @ goal.T
    return np.array([product[2, 1] - product[1, 2], product[0, 2] - product[2, 0], product[1, 0] - product[0, 1]])


@solvers
def test_steps_are_the_same_on_every_device(kind: type[Solver], device: Place, rng: np.random.Generator) -> None:
    here = near_poses((0.2, 0.9), (0, 0))
    there = on_device(here, device.device)
    one, other = kind(STEPS), kind(STEPS)
    for _ in range(3):
        gradient = some_gradient(rng)
        sent = Gradient(*(to_device(getattr(gradient, group), device.device, np.float64) for group in GROUPS))
        one.step(here, gradient, 1.0, free_scale=True)
        other.step(there, sent, 1.0, free_scale=True)
    for group in GROUPS:
        assert_close(device.fetch(getattr(there, group)), getattr(here, group), rtol=1e-12, reason="sines, rounded")


def test_the_base_class_is_no_solver(pose: Pose, rng: np.random.Generator) -> None:
    with pytest.raises(TypeError, match="abstract"):
        Solver(STEPS).step(pose, some_gradient(rng), 1.0, free_scale=True)
