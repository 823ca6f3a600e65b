"""Finger-wise mutation: redraw one finger of a good hypothesis from a grid, keep the rest."""

from itertools import product

import numpy as np

from handopt.backend import to_device, to_numpy
from handopt.hand_model import Pose
from handopt.objective.descent_objective import CoarseToFineLevel, DescentObjective, total_of
from handopt.rig.anatomy import DIP_OF_PIP
from handopt.typing import Floats, Indices

FINGERS, ROWS = 5, 3  # rows of angles per finger


def _finger_grid() -> Floats:
    """(24, 3, 3): bends of MCP and PIP, to either side."""
    grid = []
    for mcp, pip, abduction in product((0.0, 0.5, 1.0, 1.5), (0.1, 0.8, 1.5), (-0.15, 0.15)):
        grid.append([[0, abduction, mcp], [0, 0, pip], [0, 0, DIP_OF_PIP * pip]])
    return np.array(grid)


def _thumb_grid() -> Floats:
    """(32, 3, 3): opposition, reach and bends of the thumb."""
    grid = []
    for twist, abduction, cmc, mcp, ip in product((0.0, 0.7), (-0.25, 0.2), (-0.2, 0.35), (0.1, 0.7), (0.0, 0.8)):
        grid.append([[twist, abduction, cmc], [0, 0, mcp], [0, 0, ip]])
    return np.array(grid)


GRIDS = (_thumb_grid(), *[_finger_grid()] * (FINGERS - 1))


def mutate(
    objective: DescentObjective, pose: Pose, level: CoarseToFineLevel, parents: int, alternatives: int
) -> tuple[Pose, Indices]:
    """Copies of the best poses with one finger redrawn from a grid, and the row (M,) that each is a copy of.

    pose: best first, of which the first `parents` are copied. Of each finger of each of them, the `alternatives` copies
    with the lowest objective are returned: M = parents * 5 * alternatives.
    """
    device = objective.hand.device
    parents = min(parents, len(pose))
    angles = to_numpy(pose.angles)
    rows, trials, groups = [], [], []
    for parent in range(parents):
        for finger, grid in enumerate(GRIDS):
            redrawn = np.repeat(angles[parent : parent + 1], len(grid), axis=0)
            redrawn[:, ROWS * finger : ROWS * (finger + 1)] = grid
            rows.append(np.full(len(grid), parent))
            groups.append(np.full(len(grid), FINGERS * parent + finger))
            trials.append(redrawn)
    row = np.concatenate(rows)
    candidates = pose.select(to_device(row, device, np.int64))
    candidates.angles = to_device(np.concatenate(trials), device, angles.dtype)
    totals, group = total_of(objective.terms(candidates, level)), np.concatenate(groups)
    best = np.concatenate([_lowest(totals, np.flatnonzero(group == g), alternatives) for g in np.unique(group)])
    return candidates.select(to_device(best, device, np.int64)), row[best]


def _lowest(totals: Floats, rows: Indices, count: int) -> Indices:
    return rows[np.argsort(totals[rows], kind="stable")[:count]]
