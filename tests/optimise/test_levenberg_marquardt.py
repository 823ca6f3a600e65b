"""The loop of Levenberg-Marquardt on a toy problem: it converges, refuses what climbs, keeps its damping in bounds."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.compare import assert_close, assert_same_bits
from support.toy_least_squares import Decay, DecayModel, Floats, dense

from handopt.config import LMSchedule
from handopt.optimise.levenberg_marquardt import Iterate, init, levenberg_marquardt, postprocess, step, terminate

TRUTH = np.array([[2.0, 0.5], [1.0, 1.5], [3.0, 0.1]])
START = np.array([[1.0, 1.0], [2.5, 0.2], [1.0, 1.0]])
SCHEDULE = LMSchedule(40, first_damping=1e-2, lowest_damping=1e-6, highest_damping=1e3, accepted=0.3, refused=5.0)


def test_it_converges_to_the_known_minimum() -> None:
    found = levenberg_marquardt(Decay(TRUTH), START, replace(SCHEDULE, tolerance=1e-3), dense)
    assert_close(found.state, TRUTH, atol=1e-6, reason="a cost of 0 at the truth")
    assert found.cost.max() < 1e-12
    assert found.improved.all()


def test_no_iteration_raises_a_cost() -> None:
    costs: list[Floats] = []
    levenberg_marquardt(Decay(TRUTH), START, SCHEDULE, dense, lambda _, __, model: costs.append(model.cost))
    assert len(costs) == 1 + 40
    assert (np.diff(costs, axis=0) <= 0).all()


def test_costs_fall_independently() -> None:
    together = levenberg_marquardt(Decay(TRUTH), START, SCHEDULE, dense)
    for row in range(3):
        alone = levenberg_marquardt(Decay(TRUTH[[row]]), START[[row]], SCHEDULE, dense)
        assert_same_bits(together.state[row], alone.state[0], "state")
        assert_same_bits(together.cost[row], alone.cost[0], "cost")


def test_a_step_that_climbs_is_refused_and_damped() -> None:
    problem = Decay(TRUTH)
    at = init(problem, START, SCHEDULE)
    after = step(problem, at, SCHEDULE, lambda _model, _damping: np.array([[50.0, 0.0], [-1e-3, 0.0], [0.0, -9.0]]))
    assert_same_bits(after.state[[0, 2]], START[[0, 2]], "refused")
    assert after.state[1].tolist() == [2.499, 0.2]
    assert after.improved.tolist() == [False, True, False]
    assert_close(after.damping, np.array([5e-2, 3e-3, 5e-2]), rtol=1e-12, reason="a product")
    assert after.cost[1] < at.cost[1]
    assert_same_bits(after.model.residual[[0, 2]], at.model.residual[[0, 2]], "the old model")


def test_a_step_to_no_number_is_refused() -> None:
    problem = Decay(TRUTH)
    found = levenberg_marquardt(problem, START, SCHEDULE, lambda _model, damping: np.full((3, 2), np.nan))
    assert_same_bits(found.state, START, "state")
    assert found.status == "No step lowered the cost in 40 iterations."


def test_a_start_whose_cost_is_not_a_number_can_be_improved() -> None:
    """Of two costs that fall independently, one is not a number left of 0, where a solver may still know the way."""

    class Root(Decay):
        def evaluate(self, state: Floats, *, derivatives: bool = True) -> DecayModel:
            with np.errstate(invalid="ignore"):
                return DecayModel(np.sqrt(state[:, 0]), state, state[:, :, None])

    start = np.array([[-1.0, 0.0], [4.0, 0.0]])
    found = levenberg_marquardt(
        Root(TRUTH[:2]),
        start,
        replace(SCHEDULE, iterations=1, tolerance=1e-3),
        lambda *_: np.array([[2.0, 0], [-3, 0]]),
    )
    assert found.state.tolist() == [[1.0, 0.0], [1.0, 0.0]]
    assert found.cost.tolist() == [1.0, 1.0]
    assert found.improved.all()
    assert not found.converged.any()
    stuck = levenberg_marquardt(Root(TRUTH[:1]), start[:1], SCHEDULE, lambda *_: np.zeros((1, 2)))
    assert stuck.status == "The cost is not finite after 40 iterations."


@pytest.mark.parametrize(("factor", "bound"), [("accepted", 1e-6), ("refused", 1e3)])
def test_the_damping_stays_within_its_bounds(factor: str, bound: float) -> None:
    problem, dampings = Decay(TRUTH), []

    def solve(model: DecayModel, damping: Floats) -> Floats:
        dampings.append(damping.copy())
        return 1e-3 * dense(model, damping) * (1.0 if factor == "accepted" else -1.0)

    levenberg_marquardt(problem, START, SCHEDULE, solve)
    ends = np.array(dampings)
    assert_same_bits(ends[0], np.full(3, 1e-2), "the first damping")
    assert_same_bits(ends[-1], np.full(3, bound), "the last damping")
    assert ends.min() >= 1e-6
    assert ends.max() <= 1e3


def test_it_ends_once_every_cost_has_converged() -> None:
    """Steps of a fixed share lower a quadratic cost by a fixed share, so that the tolerance alone decides."""

    def shrink(model: Any, _damping: Floats) -> Floats:
        return np.asarray(-0.01 * model.cost[:, None])

    class Square(Decay):
        def evaluate(self, state: Floats, *, derivatives: bool = True) -> DecayModel:
            return DecayModel(state[:, 0] ** 2 + 1.0, state, state[:, :, None])

    schedule = replace(SCHEDULE, tolerance=0.05)
    start = np.array([[0.5, 0.0], [4.0, 0.0]])
    found = levenberg_marquardt(Square(TRUTH[:2]), start, schedule, shrink)
    assert 1 < found.iterations < 40
    assert found.converged.all()
    assert found.status == f"Converged after {found.iterations} iterations."
    one = levenberg_marquardt(Square(TRUTH[:2]), start, replace(schedule, iterations=1), shrink)
    assert one.converged.tolist() == [True, False]
    assert one.status == "Ended after the 1 iteration allowed; 1 of 2 converged."
    endless = levenberg_marquardt(Square(TRUTH[:2]), start, replace(schedule, tolerance=0.0), shrink)
    assert endless.iterations == 40
    assert not endless.converged.any()


def test_a_small_step_because_of_its_damping_has_not_converged() -> None:
    """Gauss-Newton's step to the bottom of (x - 3)^2 + 1, damped until it is accepted: only the damping is small."""

    class Bowl(Decay):
        def evaluate(self, state: Floats, *, derivatives: bool = True) -> DecayModel:
            return DecayModel((state[:, 0] - 3) ** 2 + 1.0, state, state[:, :, None])

    def newton(model: Any, damping: Floats) -> Floats:
        return np.asarray((3 - model.residual) / (1 + damping[:, None]))

    schedule = LMSchedule(60, first_damping=1e4, lowest_damping=1e-3, highest_damping=1e4, accepted=0.5, tolerance=1e-3)
    start = np.zeros((1, 2))
    first = levenberg_marquardt(Bowl(TRUTH[:1]), start, replace(schedule, iterations=1), newton)
    assert first.improved.all()
    assert 9.99 < first.cost[0] < 10 * (1 - 1e-4)
    assert not first.converged.any()
    found = levenberg_marquardt(Bowl(TRUTH[:1]), start, schedule, newton)
    assert found.converged.all()
    assert 1.0 <= found.cost[0] < 1.002
    assert found.iterations < 60


def test_the_last_state_needs_no_derivatives() -> None:
    problem = Decay(TRUTH)
    whole = levenberg_marquardt(problem, START, replace(SCHEDULE, iterations=3), dense)
    assert problem.derivatives == [True] * 4
    problem.derivatives.clear()
    costs = levenberg_marquardt(problem, START, replace(SCHEDULE, iterations=3), dense, linearised=False)
    assert problem.derivatives == [True, True, True, False]
    assert_same_bits(costs.state, whole.state, "state")
    assert_same_bits(costs.cost, whole.cost, "cost")


def test_the_record_starts_with_the_start() -> None:
    seen: list[tuple[int, Floats]] = []
    found = levenberg_marquardt(
        Decay(TRUTH), START, replace(SCHEDULE, iterations=4), dense, lambda number, at, _: seen.append((number, at))
    )
    assert [number for number, _ in seen] == [0, 1, 2, 3, 4]
    assert_same_bits(seen[0][1], START, "start")
    assert_same_bits(seen[-1][1], found.state, "end")


def test_without_iterations_the_start_is_the_answer() -> None:
    found = levenberg_marquardt(Decay(TRUTH), START, replace(SCHEDULE, iterations=0), dense)
    assert_same_bits(found.state, START, "state")
    assert found.iterations == 0


@pytest.mark.parametrize(
    ("cost", "converged", "improved", "status"),
    [
        ([1.0], [True], [True], "Converged after 7 iterations."),
        ([1.0], [False], [True], "Ended after the 7 iterations allowed, before converging."),
        ([1.0, 2.0, 3.0], [True, False, True], [True] * 3, "Ended after the 7 iterations allowed; 2 of 3 converged."),
        ([1.0, 2.0], [False, False], [False, False], "No step lowered the cost in 7 iterations."),
        ([np.inf, np.nan], [False, False], [False, False], "The cost is not finite after 7 iterations."),
        ([1.0, np.nan], [True, False], [True, False], "Converged after 7 iterations."),
    ],
)
def test_the_status_is_a_sentence(cost: list[float], converged: list[bool], improved: list[bool], status: str) -> None:
    ones = np.ones(len(cost))
    at: Iterate[Any, Any] = Iterate(
        None, None, np.array(cost), ones, np.array(improved), np.array(converged), iterations=7
    )
    assert postprocess(at).status == status
    assert terminate(at, replace(SCHEDULE, tolerance=1e-3)) is all(converged)
    assert not terminate(at, SCHEDULE)
