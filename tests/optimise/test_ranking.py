"""Which hypothesis is best, where a network says where the joints are."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from support.compare import assert_same_bits
from support.observation_factory import CPU, gather, small_observation

from handopt.backend import to_numpy
from handopt.config import Config
from handopt.hand_model import Hand
from handopt.observation.pixel_reading import PixelReading
from handopt.observation.pixel_window import PixelWindow
from handopt.optimise import ranking as module
from handopt.optimise.history import SearchHistory
from handopt.optimise.ranking import Ranking, ranked
from handopt.optimise.starts import fixed_starts
from handopt.proposals.voted_poses import MOST, VotedJoints
from handopt.rig import default_rig
from handopt.rig.anatomy import MIRROR
from handopt.rig.joints import PALM_KEYPOINTS
from handopt.typing import Floats

CONFIG = Config(crop_px=32, points=100)
COUNT = 12


def ranked_by(
    voted: dict[int, VotedJoints] | None, palms: Sequence[PixelReading] = (), *, mirrored: bool = False
) -> tuple[Ranking, Floats]:
    """Some fixed starts of an image in their order, and the joints (B, 21, 3) of all."""
    observation = small_observation()
    hand, targets = Hand.of(default_rig("right"), CPU), gather(CONFIG, [(observation, mirrored)])
    pose = fixed_starts(hand, targets).select(np.arange(COUNT))
    history = SearchHistory(pose, np.arange(COUNT), np.zeros(COUNT), {0: True}, [], {})
    joints = to_numpy(hand.joints(hand.transforms(pose), hand.keypoints_of(pose))).astype(np.float64)
    return ranked(history, hand, targets, [observation], voted=voted, palms=palms), joints


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


def seen_palm(palm_mm: Floats, presence: float) -> PixelReading:
    """What a network says that sees a palm there."""
    window = PixelWindow(palm_mm, 1.0, np.arange(2), np.arange(2), np.zeros((2, 2), np.float32))
    nothing = np.zeros((2, 2, 6), np.float32)
    return PixelReading(window, nothing, palm_mm, palm_mm, 1.0, presence, 0.5, 0.0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_poses_where_no_palm_is_seen_leave_more_unexplained(*, mirrored: bool) -> None:
    plain, joints = ranked_by(None, mirrored=mirrored)
    usual = dict(zip(plain.rows.tolist(), plain.penalised_fraction.tolist(), strict=True))
    palms = joints[:, list(PALM_KEYPOINTS)].mean(axis=1) * (MIRROR if mirrored else 1)
    away = palms.mean(axis=0) + np.array([0.0, 0.0, 500.0])
    for seen, expected in (
        ([seen_palm(palm, 1.0) for palm in palms], 0.0),
        ([seen_palm(away, 1.0)], module.WEIGHTS.no_palm),
        ([seen_palm(palm, 0.75) for palm in palms], 0.25 * module.WEIGHTS.no_palm),
        ([seen_palm(palm, 0.75) for palm in palms] + [seen_palm(palm, 0.5) for palm in palms], 0.1),
    ):
        ranking, _ = ranked_by(None, seen, mirrored=mirrored)
        for row, fraction in zip(ranking.rows.tolist(), ranking.penalised_fraction.tolist(), strict=True):
            assert fraction - usual[row] == pytest.approx(expected, abs=1e-12)


def test_the_pose_whose_palm_is_seen_comes_first() -> None:
    plain, joints = ranked_by(None)
    palms = joints[:, list(PALM_KEYPOINTS)].mean(axis=1)
    aside = seen_palm(palms.mean(axis=0) + np.array([0.0, 0.0, module.WEIGHTS.palm_mm + 500]), 1.0)
    ranking, _ = ranked_by(None, [aside])
    assert np.array_equal(ranking.rows, plain.rows), "none is nearer than others"
    nearest = int(np.argmin(np.linalg.norm(palms - palms[plain.rows[-1]], axis=1)))
    ranking, _ = ranked_by(None, [seen_palm(palms[nearest], 1.0)])
    doubted = ranking.penalised_fraction[-1] - plain.penalised_fraction[plain.rows.tolist().index(ranking.rows[-1])]
    beyond = np.linalg.norm(palms[ranking.rows[-1]] - palms[nearest]) >= module.WEIGHTS.palm_mm
    assert doubted == pytest.approx(module.WEIGHTS.no_palm if beyond else 0.0, abs=1e-12)
