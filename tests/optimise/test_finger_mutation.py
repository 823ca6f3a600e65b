"""Finger-wise mutation, and the way of mutants through the history."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from support.compare import assert_close, assert_same_bits
from support.toy_objective import ToyObjective, check_consistent, settings, stage, wrists

from handopt.config import Steps
from handopt.objective.descent_objective import total_of
from handopt.ops.joint_limits import joint_limits
from handopt.optimise.descent_stages import descend
from handopt.optimise.finger_mutation import FINGERS, GRIDS, ROWS, mutate
from handopt.rig import default_rig

Floats = NDArray[np.float64]


def closed(finger: int, entry: int) -> Floats:
    """Angles (15, 3) of an open hand with one finger as in its grid."""
    angles = np.zeros((15, 3))
    angles[ROWS * finger : ROWS * (finger + 1)] = GRIDS[finger][entry]
    return angles


def test_the_grids_respect_the_limits_and_cover_them() -> None:
    limits = default_rig("right").limits
    assert len(GRIDS) == FINGERS
    for finger, grid in enumerate(GRIDS):
        angles = np.stack([closed(finger, entry) for entry in range(len(grid))])
        assert joint_limits(angles, limits.lower.copy(), limits.upper.copy()).max() == 0
        assert len(np.unique(grid, axis=0)) == len(grid)
        flexion = grid[:, :2, 2]
        assert (np.ptp(flexion, axis=0) > 0.5).all(), "from stretched to bent"


@pytest.mark.parametrize(("finger", "entry"), [(0, 5), (1, 0), (3, 17), (4, 23)])
def test_mutants_have_the_finger_that_fits_best(finger: int, entry: int) -> None:
    objective = ToyObjective([[0, 0, 400]], closed(finger, entry))
    pose = wrists([[3, 0, 400], [5, 0, 400], [7, 0, 400]])
    pose.angles[:] = 0.05
    mutants, rows = mutate(objective, pose, None, parents=2, alternatives=2)
    assert len(mutants) == 2 * FINGERS * 2
    assert rows.tolist() == [0] * 10 + [1] * 10
    for k, row in enumerate(rows):
        own = k // 2 % FINGERS
        mine = slice(ROWS * own, ROWS * (own + 1))
        others = np.delete(mutants.angles[k], np.r_[mine], axis=0)
        assert (others == 0.05).all(), "one finger is redrawn, the others are kept"
        assert any(np.array_equal(mutants.angles[k, mine], drawn) for drawn in GRIDS[own])
        for name in ("rotation", "translation", "scale", "image"):
            assert_same_bits(getattr(mutants, name)[k], getattr(pose, name)[row], name)
    first = mutants.angles[2 * finger, ROWS * finger : ROWS * (finger + 1)]
    assert_same_bits(first, GRIDS[finger][entry], "the best redrawn finger")
    totals = total_of(objective.terms(mutants, None)).reshape(-1, 2)
    assert (totals[:, 0] <= totals[:, 1]).all()
    assert (pose.angles == 0.05).all(), "the parents stay as they are"


def test_fewer_hypotheses_than_parents_and_a_small_grid() -> None:
    objective = ToyObjective([[0, 0, 400]])
    mutants, rows = mutate(objective, wrists([[3, 0, 400]]), None, parents=5, alternatives=1000)
    assert len(mutants) == len(rows) == sum(len(grid) for grid in GRIDS)
    assert (rows == 0).all()


@pytest.mark.parametrize(
    ("when", "finger", "entry"),
    [
        (1, 2, 11),
        (1, 0, 5),
        (0, 2, 11),
        (0, 0, 5),
    ],
)
def test_a_mutant_wins_and_its_path_leads_through_its_parent(when: int, finger: int, entry: int) -> None:
    goal = closed(finger, entry)
    stages = [stage(3, 2), stage(3, 2), stage(3, 1)]
    stages[when] = replace(stages[when], mutants=2, parents=2)
    objective, pose = ToyObjective([[0, 0, 400]], goal), wrists([[2, 0, 400], [9, 0, 400], [5, 0, 400]])
    history = descend(objective, pose, settings(*stages, steps=Steps(0, 1e-3, 0, 0, 0)))
    check_consistent(objective, history)
    assert_close(history.pose.angles[0], goal, reason="one redrawn finger is the whole way")
    path = history.path(0)
    before = [step.pose.angles[row] for step, row in path[: 3 * when]]
    after = [step.pose.angles[row] for step, row in path[3 * when :]]
    assert (np.array(before) == 0).all()
    assert_close(np.array(after), np.array([goal] * len(after)), reason="no step in the angles")
    assert len({int(step.ids[row]) for step, row in path[3 * when :]}) == 1
    wrist = [step.pose.translation[row, 0] for step, row in path]
    assert_close(np.array(wrist), np.full(len(path), 2.0), atol=0.02, reason="the best hypothesis is its parent")
    assert len(history.iterations[3 * when].ids) == (2 if when else 3) + 2 * FINGERS * 2
    for step in history.iterations:
        assert len(np.unique(step.ids)) == len(step.ids)


def test_every_way_is_told_apart_where_several_stages_mutate() -> None:
    objective = ToyObjective([[0, 0, 400]], closed(2, 11) + closed(3, 7))
    stages = [stage(2, 4), stage(2, 6, mutants=2), stage(2, 6, mutants=1, parents=3), stage(2, 3)]
    history = descend(objective, wrists([[9, 0, 400], [2, 0, 400]]), settings(*stages, steps=Steps(0, 1e-3, 0, 0, 0)))
    check_consistent(objective, history)
    assert_close(history.pose.angles[0], closed(2, 11) + closed(3, 7), reason="two redrawn fingers, one by one")
    ids = [int(step.ids[row]) for step, row in history.path(0)]
    assert len(set(ids)) == 3, "grandparent, parent, child"
    for step in history.iterations:
        assert len(np.unique(step.ids)) == len(step.ids)
