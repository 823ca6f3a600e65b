"""Joints against voted places: near ones count by the square of their distance in radii, far ones no more than others.

Its derivatives are tested in tests/objective/test_least_squares.py, its kernels against it there and in tests/ops.
"""

import numpy as np
import pytest
from support.compare import assert_close

from handopt.objective.votes import WIDTH, votes_loss, votes_normal_equations


def votes(radius_mm: float) -> np.ndarray:
    found = np.zeros((1, 21, 4))
    found[..., 3] = radius_mm**-2
    return found


@pytest.mark.parametrize("radius_mm", [2.0, 10.0])
def test_distances_count_in_radii(radius_mm: float) -> None:
    joints = np.zeros((3, 21, 3))
    joints[0, :, 0], joints[1, :, 1], joints[2, :, 2] = 0.1 * radius_mm, radius_mm, 1000 * radius_mm
    near, one, far = votes_loss(joints, votes(radius_mm))
    assert near == pytest.approx(0.01, rel=0.01)
    assert one == pytest.approx(WIDTH**2 / (1 + WIDTH**2))
    assert far == pytest.approx(WIDTH**2, rel=1e-3), "an outlier"
    pull = votes_normal_equations(joints, votes(radius_mm))
    assert np.abs(pull[2]).max() < 1e-3 * np.abs(pull[1]).max()


def test_nothing_pulls_where_nobody_was_asked() -> None:
    joints, nobody = np.random.default_rng(1).normal(size=(2, 21, 3)), np.zeros((2, 21, 4))
    nobody[1, 3] = 0.0, 0.0, 0.0, 0.25
    assert votes_loss(joints, nobody)[0] == 0
    assert votes_loss(joints, nobody)[1] > 0
    pull = votes_normal_equations(joints, nobody)
    assert not pull[0].any()
    assert np.flatnonzero(pull[1].any(axis=-1)).tolist() == [3]
    expected = joints[1, 3] * pull[1, 3, 0]
    assert_close(pull[1, 3, 6:], expected, rtol=1e-12, reason="one residual for each axis")
