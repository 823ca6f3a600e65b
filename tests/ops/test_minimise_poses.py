"""What the kernel that minimises poses refuses.

Its terms are tested in tests/objective/test_least_squares.py, its steps in tests/optimise/test_pose_fit.py.
"""

from dataclasses import fields, replace

import numpy as np
import pytest
from support.least_squares_cases import SETTINGS, least_squares, poses

from handopt.config import LMSchedule
from handopt.errors import ShapeError
from handopt.hand_model import Pose
from handopt.objective.one_call import OneCall
from handopt.ops.minimise_poses import PosedHand, PoseMinimum, PoseTargets, TermWeights, minimise_poses

PROBLEM = least_squares()
WEIGHTS = TermWeights(1.0, 15.0, 0.7, 1.0, 20.0, 0.8, 2.0, 1.0, 14.0, 1.0, 0.4)


@pytest.fixture(scope="module")
def targets() -> PoseTargets:
    return OneCall()._pose_targets(PROBLEM.hand, PROBLEM.targets, SETTINGS.points, poses().proportions.shape[1])


def evaluate(targets: PoseTargets, pose: Pose, expected: np.ndarray | None = None) -> PoseMinimum:
    hand = PROBLEM.hand
    priors = PROBLEM.priors(poses(), SETTINGS, expected)
    steps = PROBLEM.parameters.steps(poses(), SETTINGS, LMSchedule())
    given = (pose.angles, pose.rotation, pose.translation, pose.scale, pose.proportions, pose.image)
    return minimise_poses(targets, *given, hand.bind, hand.rest, hand.keypoints, WEIGHTS, priors, steps)


def changed_of(targets: PoseTargets, name: str, value: np.ndarray) -> PoseTargets:
    """The same with another array, of the images or of the hand."""
    if name in {each.name for each in fields(PosedHand)}:
        return replace(targets, hand=replace(targets.hand, **{name: value}))
    return replace(targets, **{name: value})


def test_no_poses_give_nothing(targets: PoseTargets) -> None:
    found = evaluate(targets, poses().part(slice(0, 0)), np.zeros((0, 15, 3)))
    assert found.terms.shape == (1, 8, 0)
    assert found.hessian.shape == (0, targets.parameters, targets.parameters)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("angles", lambda each: each[:, :14].copy(), "angles: expected shape"),
        ("rotation", lambda each: each[::-1], "rotation: expected a C-contiguous array"),
        ("proportions", lambda each: each[:, :12].copy(), "proportions: expected shape"),
        ("scale", lambda each: each.astype(np.float32), "scale: expected float64 as in the other arguments"),
        ("image", lambda each: each + np.int32(2), "image_index: expected values in 0"),
        ("image", lambda each: each.astype(np.int64), "image_index: expected int32"),
    ],
)
def test_poses_that_do_not_fit_are_refused(targets: PoseTargets, name: str, change: object, message: str) -> None:
    assert callable(change)
    pose = replace(poses(), **{name: change(getattr(poses(), name))})
    with pytest.raises(ShapeError, match=message):
        evaluate(targets, pose)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("parents", np.arange(25, dtype=np.int32), "parents: expected"),
        ("columns", np.full((15, 3), 7, np.int32), "columns: expected -1, and each number"),
        ("indices", np.full((1159, 4), 99, np.int32), "indices: expected"),
        ("observed", np.zeros((2, 60)), "observed: expected shape"),
    ],
)
def test_targets_that_do_not_fit_are_refused(targets: PoseTargets, name: str, value: np.ndarray, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        changed_of(targets, name, value)


def test_priors_that_do_not_fit_are_refused(targets: PoseTargets) -> None:
    with pytest.raises(ShapeError, match=r"expected: expected shape \(B=4"):
        evaluate(targets, poses(), np.zeros((3, 15, 3)))
