"""Which hypothesis is best, where a network says where the joints are."""

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
from handopt.typing import Floats

CONFIG = Config(crop_px=32, points=100)
COUNT = 12


def ranked_by(
    voted: dict[int, VotedJoints] | None,
) -> tuple[Ranking, Floats]:
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


def seen_palm(palm_mm: Floats, presence: float = 1.0) -> PixelReading:
    """What a network says that sees a palm there."""
    window = PixelWindow(palm_mm, 1.0, np.arange(2), np.arange(2), np.zeros((2, 2), np.float32))
    nothing = np.zeros((2, 2, 6), np.float32)
    return PixelReading(window, nothing, palm_mm, palm_mm, 1.0, presence, 0.5, 0.0)


def apart(seen: int, *, mirrored: bool = False, size: float = 1.0) -> tuple[Ranking, Ranking]:
    """Two equal poses, the second 250 mm aside, ranked without palms and where the palm of one is seen.

    The image is of a hand of a size that was read as one of the default size.
    """
    observation = replace(small_observation(), size=size)
    hand, targets = Hand.of(default_rig("right"), CPU), gather(CONFIG, [(observation, mirrored)])
    pose = fixed_starts(hand, targets).select(np.zeros(2, np.int64))
    pose.translation[1] += np.float32([250.0, 0.0, 0.0])
    history = SearchHistory(pose, np.arange(2), np.zeros(2), {0: True}, [], {})
    joints = to_numpy(hand.joints(hand.transforms(pose), hand.keypoints_of(pose))).astype(np.float64)
    palms = 0.5 * (joints[:, 0] + joints[:, 9]) * (MIRROR if mirrored else 1) * size
    given = history, hand, targets, [observation]
    return ranked(*given), ranked(*given, palms=[seen_palm(palms[seen])])


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("size", [1.0, 1.3])
def test_a_pose_where_no_palm_is_seen_leaves_more_unexplained(*, mirrored: bool, size: float) -> None:
    plain, seen = apart(1, mirrored=mirrored, size=size)
    usual, doubted = (dict(zip(each.rows, each.penalised_fraction, strict=True)) for each in (plain, seen))
    assert doubted[0] - usual[0] == pytest.approx(module.WEIGHTS.no_palm)
    assert doubted[1] == usual[1]
    assert dict(zip(seen.rows, seen.doubt_penalty, strict=True)) == {0: module.WEIGHTS.no_palm, 1: 0.0}


@pytest.mark.parametrize("palm", [0, 1])
def test_the_pose_whose_palm_is_seen_comes_first_where_that_weighs_enough(
    palm: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WEIGHTS", replace(module.WEIGHTS, no_palm=1e6))
    _, seen = apart(palm)
    assert seen.rows.tolist() == [palm, 1 - palm]


def test_of_several_palms_the_surest_within_reach_counts() -> None:
    joints = np.zeros((2, 21, 3))
    joints[1, :, 0] = 500.0
    palms = [seen_palm(np.array([x, 0.0, 0.0]), presence) for x, presence in ((10.0, 0.75), (50.0, 0.9), (70.0, 1.0))]
    assert module._no_palm(joints, np.full(2, 60.0), palms) == pytest.approx([0.1, 1.0])
    assert module._no_palm(joints, np.full(2, 75.0), palms) == pytest.approx([0.0, 1.0])


def test_a_pose_of_a_view_of_which_the_network_is_unsure_leaves_more_unexplained() -> None:
    """Where palms were asked for; an image that was read as another size has radii of its own size."""
    weights, places = module.WEIGHTS, np.zeros((21, 3))
    voted = {0: VotedJoints(places, np.full(21, 4.0)), 1: VotedJoints(places, np.linspace(10.0, 20.0, 21))}
    images, sizes = np.array([0, 1, 1, 2]), np.array([1.0, 1.0, 0.8, 1.0])
    usual = weights.usual_radius_mm
    assert module._unsure_mm(images, sizes, voted) == pytest.approx([0.0, 15.0 - usual, 12.0 - usual, 0.0])
    assert module._unsure_mm(images, sizes, {}).tolist() == [0.0] * 4
