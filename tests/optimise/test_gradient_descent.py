"""The loop: stages, pruning, convergence, and vertices, on a toy objective whose minimum is known."""

import numpy as np
import pytest
from numpy.typing import NDArray
from support.compare import assert_close, assert_same_bits
from support.toy_objective import REST, ToyObjective, check_consistent, settings, stage, wrists

from handopt.config import Steps, VertexStage
from handopt.errors import NumericalError
from handopt.hand_model import Pose
from handopt.objective.descent_objective import total_of
from handopt.optimise.descent_stages import descend, prune, refine_vertices
from handopt.optimise.descent_steps import Adam
from handopt.optimise.gradient_descent import (
    DescentProblem,
    DescentSchedule,
    DescentState,
    gradient_descent,
    has_stalled,
)

Floats = NDArray[np.float64]


@pytest.mark.parametrize("kind", ["adam", "momentum"])
def test_every_image_reaches_its_goal(kind: str) -> None:
    objective = ToyObjective([[30, 0, 400], [-50, 20, 500]])
    stages = [stage(60, 4), stage(60, 2, step=0.2), stage(60, 2, step=0.05)]
    start = wrists([[0, 0, 400], [0, 9, 450], [0, 0, 500], [5, 5, 480]], [0, 0, 1, 1])
    history = descend(objective, start, settings(*stages, descent=kind))
    check_consistent(objective, history)
    assert sorted(history.pose.image.tolist()) == [0, 1]
    assert np.abs(history.pose.translation - objective.goals[history.pose.image]).max() < 1
    assert (history.pose.scale == 1).all(), "no stage frees the scale"
    assert history.rest is None


def test_each_stage_looks_as_closely_as_it_says_and_prunes() -> None:
    objective = ToyObjective([[0, 0, 400]])
    stages = [stage(3, 3, radius_px=8.0, sigma_mm=40.0), stage(4, 2, radius_px=5.0), stage(2, 1, step=0.3, depth=0.25)]
    history = descend(objective, wrists([[k, 0, 400] for k in (40, 10, 30, 20)]), settings(*stages))
    assert objective.asked == [(8.0, 40.0), (5.0, 20.0), (4.0, 20.0)]
    assert objective.depths == [1.0, 1.0, 0.25]
    assert [len(step.ids) for step in history.iterations] == [4] * 3 + [3] * 4 + [2] * 2 + [1]
    assert [step.stage for step in history.iterations] == [0] * 3 + [1] * 4 + [2] * 3
    assert [step.radius_px for step in history.iterations] == [8.0] * 3 + [5.0] * 4 + [4.0] * 3
    assert [step.factor for step in history.iterations] == [1.0] * 7 + [0.3] * 3
    assert history.ids.tolist() == [1], "the nearest start wins"
    assert [int(step.ids[row]) for step, row in history.path(0)] == [1] * 10
    check_consistent(objective, history)


def test_one_hypothesis_of_each_image_survives_however_bad_it_is() -> None:
    objective = ToyObjective([[0, 0, 400], [900, 0, 400], [0, 900, 400]])
    start = wrists([[0, 0, 400], [1, 0, 400], [0, 0, 400], [2, 0, 400], [0, 0, 400]], [0, 0, 1, 0, 2])
    history = descend(objective, start, settings(stage(2, 4), stage(2, 1)))
    assert len(history.iterations[2].ids) == 4
    assert sorted(history.pose.image.tolist()) == [0, 1, 2]
    assert history.pose.image[0] == 0, "best first"
    check_consistent(objective, history)


def test_steps_that_overshoot_are_taken_back() -> None:
    objective = ToyObjective([[0, 0, 400]])
    start = wrists([[1, 0, 400], [0, 2, 400]])
    before = total_of(objective.terms(start, None))
    history = descend(objective, start, settings(stage(3, 2, step=50.0)))
    assert history.iterations[-2].total.min() > 100 * before.max(), "the steps lead far away"
    assert (history.totals <= before).all()
    check_consistent(objective, history)


def test_each_hypothesis_keeps_the_best_pose_of_its_stage() -> None:
    objective = ToyObjective([[20, 0, 400]])
    history = descend(objective, wrists([[0, 0, 400], [0, 5, 395]]), settings(stage(25, 2)))
    totals = np.stack([step.total for step in history.iterations[:-1]])
    assert_same_bits(history.totals, np.sort(totals.min(axis=0)), "totals")
    assert totals[-1].min() > totals.min(), "the last pose was not the best one"


def test_a_stage_without_progress_ends_early_and_says_so() -> None:
    objective = ToyObjective([[0, 0, 400]])
    objective.spoil = lambda terms, _pose: terms.update(floor=np.ones(len(terms["far"])))
    still = settings(stage(200, 1), tolerance=1e-4, steps=Steps(0, 0, 0, 0, 0))
    history = descend(objective, wrists([[0, 0, 400]]), still)
    assert history.converged == {0: True}
    assert 10 <= len(history.iterations) < 20
    far = descend(objective, wrists([[300, 0, 400]]), settings(stage(20, 1), tolerance=1e-4))
    assert far.converged == {0: False}
    assert len(far.iterations) == 21


def test_the_last_stage_decides_whether_the_fit_converged() -> None:
    objective = ToyObjective([[0, 0, 400]])
    objective.spoil = lambda terms, _pose: terms.update(floor=np.ones(len(terms["far"])))
    config = settings(stage(100, 1), stage(3, 1), tolerance=1e-4, steps=Steps(0, 0, 0, 0, 0))
    assert descend(objective, wrists([[0, 0, 400]]), config).converged == {0: False}


def test_a_solver_that_climbs_first_has_not_converged() -> None:
    schedule = DescentSchedule(100, tolerance=1e-4)
    falling = (np.array([1.0]),) * 12
    assert not has_stalled(falling, np.array([1.7]), schedule).any(), (
        "the best is the start, and the poses are far above it"
    )
    assert has_stalled(falling, np.array([1.0]), schedule).all(), "the poses are at the best"
    fallen = (np.array([2.0]), *[np.array([1.0])] * 12)
    assert has_stalled(fallen, np.array([1.7]), schedule).all(), "it fell, then stalled"
    two = (np.array([2.0, 2.0]), *(np.array([1.0, 1.9 - 0.05 * step]) for step in range(12)))
    assert has_stalled(two, np.array([1.0, 1.3]), schedule).tolist() == [True, False], "each image is judged alone"


def test_the_scale_moves_in_the_stages_that_free_it() -> None:
    objective = ToyObjective([[0, 0, 400]])
    history = descend(objective, wrists([[0, 0, 400]]), settings(stage(4, 1), stage(15, 1, scale=True)))
    scales = np.array([step.pose.scale[0] for step in history.iterations])
    assert (scales[:5] == 1).all()
    assert 1.1 < history.pose.scale[0] < 1.25


def test_progress_is_told_after_every_stage() -> None:
    told: list[tuple[int, int, float]] = []
    history = descend(
        ToyObjective([[0, 0, 400]]),
        wrists([[40, 0, 400]]),
        settings(stage(5, 1), stage(7, 1, step=0.1)),
        lambda *values: told.append(values),
    )
    assert [(done, planned) for done, planned, _ in told] == [(5, 12), (12, 12)]
    assert told[0][2] >= told[1][2] == history.totals[0]


def test_a_hypothesis_that_leaves_the_numbers_falls_behind() -> None:
    objective = ToyObjective([[0, 0, 400]])

    def spoil(terms: dict[str, Floats], pose: Pose) -> None:
        terms["far"] = np.where(pose.translation[:, 1] > 50, np.nan, terms["far"])

    objective.spoil = spoil
    start = wrists([[0, 90, 400], [60, 0, 400], [0, 99, 400]])
    history = descend(objective, start, settings(stage(4, 2), stage(4, 1)))
    assert history.ids.tolist() == [1]
    assert np.isfinite(history.totals).all()
    assert np.isfinite(history.pose.translation).all()


def test_no_number_at_all_is_an_error() -> None:
    objective = ToyObjective([[0, 0, 400]])
    calls = []

    def spoil(terms: dict[str, Floats], _pose: Pose) -> None:
        calls.append(1)
        if len(calls) > 4:
            terms["far"] = terms["far"] * np.nan

    objective.spoil = spoil
    with pytest.raises(NumericalError, match="not finite"):
        descend(objective, wrists([[5, 0, 400]]), settings(stage(20, 1)))
    assert len(calls) == 5, "found out at once"


def test_the_starting_poses_are_left_alone() -> None:
    start = wrists([[40, 0, 400], [0, 0, 300]])
    given = start.copy()
    descend(ToyObjective([[0, 0, 400]]), start, settings(stage(5, 2)))
    for name, array in vars(given).items():
        assert name == "image" or name in vars(start)
        assert array.shape == getattr(start, name).shape


def test_prune() -> None:
    objective = ToyObjective([[0, 0, 400], [500, 0, 400]])
    pose = wrists([[30, 0, 400], [10, 0, 400], [20, 0, 400], [0, 0, 400], [0, 1, 400]], [0, 0, 0, 1, 1])
    kept, rows = prune(objective, pose, 3, None)
    assert rows.tolist() == [1, 2, 3], "the best two of the first image, and the best of the second"
    assert_same_bits(kept.translation, pose.translation[rows], "translation")
    assert prune(objective, pose, 1, None)[1].tolist() == [1, 3]
    assert prune(objective, pose, 99, None)[1].tolist() == [1, 2, 0, 3, 4]


def test_vertices_move_as_long_as_the_objective_falls() -> None:
    objective = ToyObjective([[0, 0, 400], [0, 0, 500]])
    config = settings(stage(2, 2), vertices=VertexStage(iterations=8, step=1.0, radius_px=2.5, sigma_mm=5.0))
    history = descend(objective, wrists([[3, 0, 400], [0, 0, 500]], [0, 1]), config)
    row = int(np.flatnonzero(history.pose.image == 0)[0])
    refined = refine_vertices(objective, history, row, config)
    assert objective.asked[-1] == (2.5, 5.0)
    assert refined.pose.image.tolist() == [0]
    assert refined.ids.tolist() == [history.ids[row]]
    added = refined.iterations[len(history.iterations) :]
    assert len(added) == 8
    assert all(step.stage == 1 for step in added)
    totals = np.array([step.total[0] for step in added])
    assert totals[-1] == totals.min() == refined.totals[0]
    assert totals[-1] < 0.5 * totals[0]
    assert_same_bits(added[0].rest, REST, "rest vertices at first")
    assert_close(refined.rest, added[-1].rest, rtol=1e-6, reason="float32")
    assert refined.rest is not None
    assert np.all(refined.rest > 0.3)
    assert (objective.hand.rest == 0).all(), "the rig's own vertices stay"
    assert len(refined.path(0)) == len(refined.iterations)


def test_vertices_stop_where_they_are_best() -> None:
    objective = ToyObjective([[0, 0, 400]])
    config = settings(stage(2, 1), vertices=VertexStage(iterations=30, step=5.0))
    refined = refine_vertices(objective, descend(objective, wrists([[3, 0, 400]]), config), 0, config)
    added = [step.total[0] for step in refined.iterations if step.stage == 1]
    assert len(added) < 30, "steps of half a millimetre overshoot"
    assert added[-1] == min(added)


def loop(objective: ToyObjective, factor: float = 1.0) -> DescentProblem:
    """One stage of Adam."""
    return DescentProblem(objective, None, Adam(Steps(translation_mm=3.0)), factor, free_scale=False)


def test_the_loop_ends_in_the_best_state_and_says_how() -> None:
    objective = ToyObjective([[0, 0, 400], [0, 0, 500]])
    objective.spoil = lambda terms, _pose: terms.update(floor=np.ones(len(terms["far"])))
    start = DescentState(wrists([[9, 0, 400], [0, 0, 500], [0, 8, 500]], [0, 1, 1]))
    recorded: list[Floats] = []
    found = gradient_descent(
        loop(objective, 0.3), start, DescentSchedule(300, 1e-4), lambda _, terms: recorded.append(total_of(terms))
    )
    assert found.iterations == len(recorded) < 300
    assert_same_bits(found.cost, np.array(recorded).min(axis=0), "the lowest cost of each hypothesis")
    assert_close(found.cost, total_of(objective.terms(found.state.pose, None)), rtol=1e-12, reason="evaluated again")
    assert found.converged.all()
    assert found.improved.tolist() == [True, False, True], "one starts at its goal"
    assert found.status == f"Converged after {found.iterations} iterations."
    few = gradient_descent(loop(objective, 0.3), start, DescentSchedule(5, 1e-4))
    assert few.iterations == 5
    assert few.status == "Ended after the 5 iterations allowed; 0 of 3 converged."


def test_the_loop_leaves_its_start_alone() -> None:
    start = DescentState(wrists([[9, 0, 400]]), REST.copy())
    found = gradient_descent(loop(ToyObjective([[0, 0, 400]])), start, DescentSchedule(9))
    assert found.state.rest is not None
    assert (found.state.rest > 0).all()
    assert_same_bits(start.rest, REST, "rest vertices")
    assert start.pose.translation.tolist() == [[9, 0, 400]]
