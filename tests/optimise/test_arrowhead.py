"""Arrowhead systems: their steps are those of the dense system, and the loop reaches the same minimum by either."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.sparse import block_diag, csc_array
from support.compare import assert_close
from support.toy_least_squares import Decay, DecayModel, Floats

from handopt.config import LMSchedule
from handopt.errors import NumericalError
from handopt.optimise.arrowhead import ArrowheadSystem, own_parameters, solve_arrowhead
from handopt.optimise.levenberg_marquardt import levenberg_marquardt

COUNT, SIZE, FIELD = 4, 5, 9
SHARED = np.array([1, 4])
OWN = np.array([0, 2, 3])


class SharedDecay(Decay):
    """Curves of the same rate: a step counts where it lowers the sum of all costs, which is 1 at the least."""

    def evaluate(self, state: Floats, *, derivatives: bool = True) -> DecayModel:
        model = super().evaluate(state, derivatives=derivatives)
        return DecayModel(1 + model.cost.sum(keepdims=True), model.residual, model.jacobian)

    def updated(
        self, accepted: np.ndarray, new: tuple[Floats, DecayModel], old: tuple[Floats, DecayModel]
    ) -> tuple[Floats, DecayModel]:
        return new if accepted[0] else old


def normal_equations(model: DecayModel) -> tuple[Floats, Floats]:
    assert model.jacobian is not None
    hessian = np.einsum("nti,ntj->nij", model.jacobian, model.jacobian)
    return hessian, np.einsum("nti,nt->ni", model.jacobian, model.residual)


def by_arrowhead(model: DecayModel, damping: Floats) -> Floats:
    return solve_arrowhead(*normal_equations(model), np.array([1]), np.array([True]), float(damping[0]))


def by_dense_system(model: DecayModel, damping: Floats) -> Floats:
    """All heights and the rate as one vector of unknowns."""
    assert model.jacobian is not None
    count, times, _ = model.jacobian.shape
    jacobian = np.zeros((count, times, count + 1))
    for curve in range(count):
        jacobian[curve, :, curve] = model.jacobian[curve, :, 0]
    jacobian[:, :, count] = model.jacobian[:, :, 1]
    flat = jacobian.reshape(-1, count + 1)
    hessian = flat.T @ flat
    step = -np.linalg.solve(hessian + damping[0] * np.diag(np.diag(hessian)), flat.T @ model.residual.ravel())
    return np.column_stack([step[:count], np.full(count, step[count])])


def test_arrowhead_and_dense_solves_take_the_same_way() -> None:
    truth = np.array([[2.0, 0.7], [1.0, 0.7], [3.0, 0.7]])
    start = np.array([[1.0, 0.1], [2.5, 0.1], [1.0, 0.1]])
    ways: list[list[Floats]] = []
    ends = []
    solvers: tuple[Callable[[DecayModel, Floats], Floats], ...] = (by_arrowhead, by_dense_system)
    for solve in solvers:
        way: list[Floats] = []
        schedule = LMSchedule(30, tolerance=1e-9)

        def record(_: Any, at: Floats, __: Any, way: list[Floats] = way) -> None:
            way.append(at)

        found = levenberg_marquardt(SharedDecay(truth), start, schedule, solve, record)
        assert found.status == f"Converged after {found.iterations} iterations."
        assert_close(found.state, truth, atol=1e-4, reason="the least cost is at the truth")
        ways.append(way)
        ends.append(found.iterations)
    assert ends[0] == ends[1]
    assert_close(
        np.array(ways[0]), np.array(ways[1]), atol=1e-9, reason="the same equations, eliminated in another order"
    )


@pytest.fixture
def hessian(rng: np.random.Generator) -> Floats:
    """Positive definite blocks (4, 5, 5)."""
    factors = rng.normal(size=(COUNT, SIZE, 2 * SIZE))
    return factors @ factors.transpose(0, 2, 1)


def whole(hessian: Floats) -> Floats:
    """All poses' blocks as one matrix of the own parameters of each pose and the shared ones, (14, 14)."""
    spread = spread_of()
    return spread.T @ block_diag(list(hessian)).toarray() @ spread


def spread_of() -> Floats:
    """(20, 14): from own parameters pose by pose and the shared ones to the rows of all poses."""
    spread = np.zeros((COUNT * SIZE, COUNT * len(OWN) + len(SHARED)))
    for pose in range(COUNT):
        spread[pose * SIZE + OWN, pose * len(OWN) + np.arange(len(OWN))] = 1
        spread[pose * SIZE + SHARED, COUNT * len(OWN) + np.arange(len(SHARED))] = 1
    return spread


def test_own_parameters_are_those_that_are_not_shared() -> None:
    assert own_parameters(SIZE, SHARED).tolist() == [0, 2, 3]


def test_the_step_is_that_of_the_whole_system(hessian: Floats, rng: np.random.Generator) -> None:
    gradient = rng.normal(size=(COUNT, SIZE))
    step = solve_arrowhead(hessian, gradient, SHARED, np.array([True, True]), 0.3)
    dense, spread = whole(hessian), spread_of()
    dense[np.diag_indices_from(dense)] *= 1.3
    expected = spread @ -np.linalg.solve(dense, spread.T @ gradient.ravel())
    assert_close(step, expected.reshape(COUNT, SIZE), rtol=1e-9, reason="rounding")


def test_shared_parameters_that_are_not_free_stay(hessian: Floats, rng: np.random.Generator) -> None:
    gradient = rng.normal(size=(COUNT, SIZE))
    step = solve_arrowhead(hessian, gradient, SHARED, np.array([False, True]), 0.0)
    assert (step[:, 1] == 0).all()
    assert np.ptp(step[:, 4]) == 0
    assert step[0, 4] != 0
    still = solve_arrowhead(hessian, gradient, SHARED, np.array([False, False]), 0.0)
    alone = -np.linalg.solve(hessian[:, OWN[:, None], OWN], gradient[:, OWN, None])[..., 0]
    assert_close(still[:, OWN], alone, rtol=1e-9, reason="rounding")


def test_a_parameter_that_nothing_depends_on_stays(hessian: Floats, rng: np.random.Generator) -> None:
    hessian[2, 3] = hessian[2, :, 3] = 0
    gradient = rng.normal(size=(COUNT, SIZE))
    gradient[2, 3] = 0
    step = solve_arrowhead(hessian, gradient, SHARED, np.array([True, True]), 0.1)
    assert step[2, 3] == 0
    assert np.isfinite(step).all()


@pytest.mark.parametrize("damping", [0.0, 0.1])
def test_a_shared_parameter_that_nothing_depends_on_stays(
    damping: float, hessian: Floats, rng: np.random.Generator
) -> None:
    gradient = rng.normal(size=(COUNT, SIZE))
    hessian[:, 1] = hessian[:, :, 1] = gradient[:, 1] = 0
    step = solve_arrowhead(hessian, gradient, SHARED, np.array([True, True]), damping)
    assert (step[:, 1] == 0).all()
    held = solve_arrowhead(hessian, gradient, SHARED, np.array([False, True]), damping)
    assert_close(step, held, rtol=1e-12, reason="rounding")
    assert np.abs(step[:, 4]).min() > 0


def test_a_field_that_cannot_be_solved_for_is_an_error(hessian: Floats) -> None:
    field = np.eye(FIELD)
    field[3, 3] = 0
    with pytest.raises(NumericalError, match="sparse field of the normal equations cannot be solved for"):
        ArrowheadSystem(hessian, SHARED, csc_array(field), np.zeros((COUNT, SIZE, FIELD)))


def test_a_sparse_field_is_eliminated_exactly(hessian: Floats, rng: np.random.Generator) -> None:
    cross = 0.1 * rng.normal(size=(COUNT, SIZE, FIELD))
    field = (
        np.diag(rng.uniform(3, 5, FIELD)) + np.diag(np.full(FIELD - 1, -1.0), 1) + np.diag(np.full(FIELD - 1, -1.0), -1)
    )
    system = ArrowheadSystem(hessian, SHARED, csc_array(field), cross, damping=0.2)
    gradient, slope = rng.normal(size=(COUNT, SIZE)), rng.normal(size=FIELD)
    move, change = system.solve(-system.gathered(gradient)[:, None], -slope[:, None])
    spread = spread_of()
    dense = whole(hessian)
    dense[np.diag_indices_from(dense)] *= 1.2
    mixed = spread.T @ cross.reshape(COUNT * SIZE, FIELD)
    matrix = np.block([[dense, mixed], [mixed.T, field]])
    expected = -np.linalg.solve(matrix, np.concatenate([spread.T @ gradient.ravel(), slope]))
    assert_close(np.concatenate([move[:, 0], change[:, 0]]), expected, rtol=1e-9, reason="rounding")
    step = system.scattered(move[:, 0])
    assert_close(step, (spread @ expected[: len(move)]).reshape(COUNT, SIZE), rtol=1e-9, reason="rounding")
