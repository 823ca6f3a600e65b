"""What a posed hand leaves unexplained of hand and forearm together."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from handopt.objective.limb_fraction import limb_fraction, seen_in_limb
from handopt.observation.limb import HandAndArm
from handopt.observation.observe import observe
from handopt.rig import default_rig
from handopt.synth.wild import WildSample, WildSettings, generate_wild

SETTINGS = WildSettings(seed=4, hand="right", held=False, other_hand=False, forearm=True, noise="none")


@cache
def scene(index: int) -> tuple[WildSample, HandAndArm]:
    wild = generate_wild(SETTINGS, index)
    depth, camera = wild.sample.counts.astype(np.float32), wild.sample.scene.camera
    palm = wild.sample.scene.joints[[0, 5, 9, 13, 17]].mean(axis=0)
    near = [one for one in observe(depth, camera) if np.linalg.norm(one.center_mm - palm) < 80.0]
    assert near[0].limb is not None
    return wild, near[0].limb


def fraction(wild: WildSample, limb: HandAndArm, turn: NDArray[np.float64], shift_mm: NDArray[np.float64]) -> float:
    """Of the true hand, turned about its wrist and moved."""
    joints, vertices = wild.sample.scene.joints, wild.sample.scene.vertices
    wrist = joints[0]
    moved = [(points - wrist) @ turn.T + wrist + shift_mm for points in (joints, vertices)]
    seen = seen_in_limb(moved[1][None], default_rig("right").faces.astype(np.int32), limb)[0]
    return limb_fraction(moved[0], seen, limb)


@pytest.mark.parametrize("index", [0, 1, 4, 7, 11, 12, 15])
def test_the_true_pose_leaves_little_and_others_leave_more(index: int) -> None:
    wild, limb = scene(index)
    joints = wild.sample.scene.joints
    to_arm = joints[0] - joints[[5, 9, 13, 17]].mean(axis=0)
    to_arm /= np.linalg.norm(to_arm)
    true = fraction(wild, limb, np.eye(3), np.zeros(3))
    assert true < 0.1
    assert fraction(wild, limb, np.eye(3), 120.0 * to_arm) > 0.8
    assert fraction(wild, limb, 2 * np.outer(to_arm, to_arm) - np.eye(3), np.zeros(3)) > 0.4


@pytest.mark.parametrize("index", [5, 6, 13])
def test_what_hangs_together_with_the_hand_hides_no_difference(index: int) -> None:
    """A body that the arm touches counts, but no more than a limit."""
    wild, limb = scene(index)
    joints = wild.sample.scene.joints
    to_arm = joints[0] - joints[[5, 9, 13, 17]].mean(axis=0)
    true = fraction(wild, limb, np.eye(3), np.zeros(3))
    assert true < 0.8
    assert fraction(wild, limb, np.eye(3), 120.0 * to_arm / np.linalg.norm(to_arm)) > true + 0.3


def test_a_limb_that_may_be_something_else_counts_less_where_it_is_left() -> None:
    wild, limb = scene(0)
    joints = wild.sample.scene.joints
    to_arm = joints[0] - joints[[5, 9, 13, 17]].mean(axis=0)
    aside = 120.0 * to_arm / np.linalg.norm(to_arm)
    doubted = replace(limb, evidence=np.full(limb.mask.shape, 0.25, np.float32))
    left, counted = (fraction(wild, each, np.eye(3), aside) for each in (limb, doubted))
    assert counted < left
    whole = replace(limb, evidence=np.ones(limb.mask.shape, np.float32))
    assert fraction(wild, whole, np.eye(3), aside) == pytest.approx(left)
    before = fraction(wild, doubted, np.eye(3), np.array([0.0, 0.0, -30.0]))
    assert before >= fraction(wild, limb, np.eye(3), np.array([0.0, 0.0, -30.0])) - 0.05, "in full"
