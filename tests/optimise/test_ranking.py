"""Which hypothesis is best, where a network says where the joints are."""

from dataclasses import replace

import numpy as np
import pytest
from support.compare import assert_same_bits
from support.observation_factory import CPU, gather, small_observation

from handopt.backend import to_numpy
from handopt.config import Config
from handopt.hand_model import Hand
from handopt.optimise import ranking as module
from handopt.optimise.history import SearchHistory
from handopt.optimise.ranking import Ranking, ranked
from handopt.optimise.starts import fixed_starts
from handopt.proposals.voted_poses import MOST, VotedJoints
from handopt.rig import default_rig
from handopt.typing import Floats

CONFIG = Config(crop_px=32, points=100)
COUNT = 12


def ranked_by(voted: dict[int, VotedJoints] | None) -> tuple[Ranking, Floats]:
    """Some fixed starts of an image in their order, and the joints (B, 21, 3) of all."""
    observation = small_observation()
    hand, targets = Hand.of(default_rig("right"), CPU), gather(CONFIG, [(observation, False)])
    pose = fixed_starts(hand, targets).select(np.arange(COUNT))
    history = SearchHistory(pose, np.arange(COUNT), np.zeros(COUNT), {0: True}, [], {})
    joints = to_numpy(hand.joints(hand.transforms(pose), hand.keypoints_of(pose))).astype(np.float64)
    return ranked(history, hand, targets, [observation], voted=voted), joints


def test_the_pose_that_is_near_the_votes_comes_first_where_they_weigh_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, joints = ranked_by(None)
    last = int(plain.rows[-1])
    voted = {0: VotedJoints(joints[last], np.full(21, 5.0))}
    usual, _ = ranked_by(voted)
    away = dict(zip(usual.rows.tolist(), usual.penalised_fraction.tolist(), strict=True))
    before = dict(zip(plain.rows.tolist(), plain.penalised_fraction.tolist(), strict=True))
    assert away[last] == pytest.approx(before[last]), "a pose that is as near as usual is not penalised"
    assert all(away[row] >= before[row] for row in range(COUNT))
    assert max(away[row] - before[row] for row in range(COUNT)) > 0.05
    monkeypatch.setattr(module, "WEIGHTS", replace(module.WEIGHTS, fraction_per_distance=100.0))
    assert ranked_by(voted)[0].rows[0] == last


def test_an_image_without_votes_is_penalised_the_most_where_others_have_some() -> None:
    plain, joints = ranked_by(None)
    other, _ = ranked_by({1: VotedJoints(joints[0], np.full(21, 5.0))})
    weights = module.WEIGHTS
    most = weights.fraction_per_distance * (MOST - weights.usual_distance)
    assert other.penalised_fraction == pytest.approx(plain.penalised_fraction + most)
    assert_same_bits(ranked_by({})[0].penalised_fraction, plain.penalised_fraction)
