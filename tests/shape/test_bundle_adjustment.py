"""One shape for all poses: the arrow's step is the step of the whole system, and every step lowers the cost."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from support.compare import assert_close, assert_same_bits
from support.shape_cases import LM_SETTINGS, start, targets, template

from handopt.config import Config
from handopt.objective.least_squares import LeastSquares, System
from handopt.optimise.arrowhead import own_parameters, solve_arrowhead
from handopt.shape.bundle_adjustment import SharedModel, adjust, shared_parameters
from handopt.shape.state import PosedShape

CONFIG = Config(points=300, crop_px=64)


@pytest.fixture(scope="module")
def problem() -> LeastSquares:
    return LeastSquares(template().hand(start()[1].offsets_mm), targets(), CONFIG)


def whole_step(system: System, damping: float) -> np.ndarray:
    """The damped step of all unknowns from one dense system."""
    lower = np.tril(system.hessian)
    hessian = lower + np.tril(lower, -1).transpose(0, 2, 1)
    count, size = system.gradient.shape
    common = shared_parameters(size)
    own = own_parameters(size, common)
    spread = np.zeros((count * size, count * len(own) + len(common)))
    for image in range(count):
        spread[image * size + own, image * len(own) + np.arange(len(own))] = 1
        spread[image * size + common, count * len(own) + np.arange(len(common))] = 1
    blocks = np.zeros((count * size, count * size))
    for image in range(count):
        part = slice(image * size, (image + 1) * size)
        blocks[part, part] = hessian[image]
    dense = spread.T @ blocks @ spread
    dense[np.diag_indices_from(dense)] *= 1 + damping
    return (spread @ -np.linalg.solve(dense, spread.T @ system.gradient.ravel())).reshape(count, size)


def test_the_arrow_is_the_whole_system(problem: LeastSquares) -> None:
    model = SharedModel(problem, PosedShape.of(*start()).pose, LM_SETTINGS)
    shared = shared_parameters(model.gradient.shape[1])
    step = solve_arrowhead(model.hessian, model.system.gradient, shared, np.ones(len(shared), np.bool_), 0.01)
    assert_close(step, whole_step(model.system, 0.01), rtol=1e-6, atol=1e-9, reason="rounding")


def test_the_cost_falls_and_the_shape_is_shared(problem: LeastSquares) -> None:
    totals = []
    found = adjust(
        problem,
        *start(),
        LM_SETTINGS,
        lambda _, terms, __: totals.append(sum(t.sum() for t in terms.values())),
    )
    pose, shape = found.state.pose, found.state.shape
    assert len(totals) == LM_SETTINGS.iterations + 1
    assert all(later <= earlier for earlier, later in pairwise(totals))
    assert found.cost[0] == pytest.approx(totals[-1], rel=1e-12)
    assert found.cost[0] < 0.95 * totals[0]
    assert found.status == "Ended after the 3 iterations allowed, before converging."
    assert np.ptp(pose.scale) == 0
    assert np.ptp(pose.proportions, axis=0).max() == 0
    assert shape.scale == pose.scale[0]
    assert np.abs(shape.proportions).max() > 0.005


@pytest.mark.parametrize("scale", [False, True])
def test_what_is_not_free_stays(problem: LeastSquares, scale: bool) -> None:
    _, before = start()
    found = adjust(problem, *start(), replace(LM_SETTINGS, scale=scale, proportions=False)).state
    pose, shape = found.pose, found.shape
    assert np.array_equal(shape.proportions, before.proportions)
    assert (shape.scale == before.scale) is not scale
    assert np.abs(pose.angles - start()[0].angles).max() > 1e-4


def test_the_last_iteration_evaluates_costs_alone(problem: LeastSquares, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    system = LeastSquares.system

    def watched(self: LeastSquares, *arguments: Any, derivatives: bool = True) -> System:
        asked.append(derivatives)
        return system(self, *arguments, derivatives=derivatives)

    monkeypatch.setattr(LeastSquares, "system", watched)
    adjust(problem, *start(), LM_SETTINGS)
    assert asked == [True, True, True, False]


def test_terms_without_derivatives_are_the_same(problem: LeastSquares) -> None:
    pose = PosedShape.of(*start()).pose
    whole, costs = (SharedModel(problem, pose, LM_SETTINGS, derivatives=wanted) for wanted in (True, False))
    assert_same_bits(costs.cost, whole.cost, "cost")
    assert costs.terms.keys() == whole.terms.keys()
    for name, term in whole.terms.items():
        assert_same_bits(costs.terms[name], term, name)
    assert costs.system.gradient.size == 0


def test_bone_lengths_are_free_where_joints_collide(problem: LeastSquares) -> None:
    """The collision's part of the gradient by a finger's length is that of finite differences."""
    from handopt.config import Weights
    from handopt.ops.collision import collision

    weights = Weights(depth=0, silhouette=1e-30, points=1e-30, limits=0, prior=0, size=0, proportions=0, collision=1.0)
    problem = LeastSquares(problem.hand, targets(), replace(CONFIG, weights=weights, collision_radius_mm=25.0))
    pose = PosedShape.of(*start()).pose
    pose.angles[:, 3:, 2] = 1.2  # fists
    pose.angles[:, :3] = 0.3
    model = SharedModel(problem, pose, LM_SETTINGS)
    assert model.terms["collision"].min() > 0
    hand = problem.hand

    def cost(step: float, column: int) -> float:
        moved = pose.copy()
        moved.proportions[:, column] += step
        bind = hand.bind_of(moved)
        joints = hand.joints(hand.transforms(moved, bind), hand.keypoints_of(moved, bind))
        return float(collision(joints, hand.bones, 25.0).sum()) / 100

    first = model.gradient.shape[1] - pose.proportions.shape[1]
    for column in (0, 2, 4):
        slope = (cost(1e-6, column) - cost(-1e-6, column)) / 2e-6
        assert 2 * model.gradient[:, first + column].sum() == pytest.approx(slope, rel=1e-3, abs=1e-6)
