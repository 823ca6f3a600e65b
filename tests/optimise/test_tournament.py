"""The tournament: pruning, breeding, merging, and that it finds what one start alone does not."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.compare import assert_same_bits
from support.examples import example
from support.observation_factory import CPU, gather, near_poses, small_observation

from handopt.config import Config, LMSettings, TournamentRound
from handopt.errors import HandoptError, NumericalError
from handopt.fitting import Start, fit
from handopt.hand_model import Hand, Pose
from handopt.objective.targets import FitTargets
from handopt.objective.unexplained import unexplained_fraction
from handopt.optimise.batched_search import BatchedSearch, StageTimer
from handopt.optimise.finger_mutation import GRIDS, ROWS
from handopt.optimise.history import SearchHistory
from handopt.optimise.ranking import distinct
from handopt.optimise.starts import around, proposal_mean_angles
from handopt.optimise.tournament import Tournament
from handopt.rig import PROPORTION_NAMES, default_rig
from handopt.typing import Progress

APPROACH = LMSettings(3, 20.0, points=60, vertices=200)
CONFIG = Config(crop_px=32, points=100, rounds=(TournamentRound(APPROACH, top_k_out=3),))
CURLS = (0.0, 0.3, 0.6, 0.9, 1.2)


@pytest.fixture(scope="module")
def hand() -> Hand:
    return Hand.of(default_rig("right"), CPU)


@pytest.fixture(scope="module")
def targets() -> FitTargets:
    return gather(CONFIG, [(small_observation(), False), (small_observation(1.0), False)], dtype=np.float32)


def starts(images: tuple[int, ...] = (0,) * len(CURLS)) -> Pose:
    return near_poses(CURLS, images, dtype=np.float32)


def searched(
    hand: Hand, targets: FitTargets, config: Config, pose: Pose, expected: Any, progress: Progress | None = None
) -> SearchHistory:
    """What a tournament alone finds."""
    search = Tournament(hand, targets, config, progress).search(pose, expected)
    (found,) = BatchedSearch(hand, [targets], config).run([search], [StageTimer()])
    if isinstance(found, HandoptError):
        raise found
    return found


def test_the_best_survive_in_order_and_their_way_is_told(hand: Hand, targets: FitTargets) -> None:
    pose = starts()
    history = searched(hand, targets, CONFIG, pose, pose.angles)
    assert len(history.pose) == 3
    assert (np.diff(history.totals) >= 0).all()
    assert len(history.iterations) == APPROACH.iterations + 1
    for row in range(3):
        path = history.path(row)
        costs = [step.total[at] for step, at in path]
        assert (np.diff(costs) <= 0).all(), "no step is taken that does not lower the cost"
        assert costs[-1] == pytest.approx(history.totals[row], rel=1e-6), "a sum of float32 terms"
        assert_same_bits(path[-1][0].pose.angles[path[-1][1]], history.pose.angles[row], "angles")


def test_every_image_that_explains_as_much_keeps_a_hypothesis(
    hand: Hand, targets: FitTargets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that explains far less is dropped."""
    pose = starts((0, 0, 0, 0, 1))
    config = replace(
        CONFIG, rounds=(TournamentRound(APPROACH, top_k_out=1, top_k_in=2), TournamentRound(APPROACH, top_k_out=1))
    )
    for behind, kept in ((0.05, [0, 1]), (0.5, [0])):
        monkeypatch.setattr(
            "handopt.optimise.tournament.limb_fractions",
            lambda pose, *_, behind=behind: np.where(pose.image == 1, 0.1 + behind, 0.1),
        )
        history = searched(hand, targets, config, pose, pose.angles)
        assert sorted(history.pose.image.tolist()) == kept
        assert set(history.converged) == set(kept)


@pytest.mark.parametrize(("fraction", "sides"), [(0.13, {0, 1}), (0.16, {0})])
def test_the_other_hand_stays_in_unless_it_leaves_far_more(
    hand: Hand, targets: FitTargets, monkeypatch: pytest.MonkeyPatch, fraction: float, sides: set[int]
) -> None:
    """And after the first round at the earliest; what it left is remembered as the margin of the side."""
    monkeypatch.setattr(
        "handopt.optimise.tournament.limb_fractions", lambda pose, *_: np.where(pose.image == 1, fraction, 0.1)
    )
    pose, both = starts((0, 0, 0, 0, 1)), replace(targets, mirrored=(False, True))
    history = searched(hand, both, CONFIG, pose, pose.angles)
    assert set(history.pose.image.tolist()) == sides
    assert history.dropped == ({} if 1 in sides else {True: fraction})


def test_hypotheses_that_have_become_the_same_are_merged(hand: Hand, targets: FitTargets) -> None:
    pose = starts().select(np.array([2, 2, 2, 2]))
    history = searched(hand, targets, CONFIG, pose, pose.angles)
    assert len(history.pose) == 1
    apart = searched(hand, targets, CONFIG, starts(), starts().angles)
    joints = hand.joints(hand.transforms(apart.pose))
    for row in range(1, len(joints)):
        assert np.linalg.norm(joints[:row] - joints[row], axis=2).mean(axis=1).min() >= 4.0


def test_redrawn_hypotheses_differ_from_the_best_in_one_finger(hand: Hand, targets: FitTargets) -> None:
    pose = starts()
    pose.angles[:] = np.clip(pose.angles, hand.lower, hand.upper)
    config = replace(CONFIG, rounds=(TournamentRound(replace(APPROACH, iterations=1), top_k_out=99, mutations=12),))
    first = searched(hand, targets, config, pose, pose.angles).iterations[0]
    assert len(first.ids) == len(pose) + 12
    fingers = set()
    for row in range(len(pose), len(first.ids)):
        child, parent = first.pose.angles[row], first.pose.angles[0]
        changed = [f for f in range(len(GRIDS)) if (child != parent)[ROWS * f : ROWS * (f + 1)].any()]
        assert len(changed) <= 1
        for finger in changed:
            part = slice(ROWS * finger, ROWS * (finger + 1))
            grid = np.clip(GRIDS[finger], hand.lower[part], hand.upper[part])
            sources = np.concatenate([grid, first.pose.angles[: len(pose), part]])
            assert np.abs(sources - child[part]).max(axis=(1, 2)).min() < 1e-6, "from the grid or from another start"
            fingers.add(finger)
    assert len(fingers) > 1


def test_redrawn_fingers_mend_a_wrong_one(hand: Hand) -> None:
    """A finger that is straight where it should be bent is beyond the reach of a descent."""
    one = example("pinch")
    found = []
    for mutations in (0, 8):
        rounds = Config().rounds[-1:]
        mended = replace(rounds[0], top_k_out=4, rank_by_unexplained=True, mutations=mutations)
        angles = np.array(one.truth.angles_rad)
        angles[3:6] = 0.0  # the index finger
        start = Start(one.truth.rotation, one.truth.translation_mm, angles, one.truth.scale)
        config = replace(Config(), rounds=(mended, *rounds), coarse_round=replace(Config().coarse_round, top_k_out=1))
        found.append(
            one.error_mm(fit(one.depth_mm, one.camera, hand=one.hand, device="cpu", start=start, config=config))
        )
    assert found[1] < 5
    assert found[1] <= found[0] + 0.5


def test_rounds_are_skipped_where_enough_is_explained(hand: Hand, targets: FitTargets) -> None:
    pose = starts()
    first = TournamentRound(APPROACH, top_k_out=3)
    for skip_below, count in ((1e-6, 2), (1e6, 1)):
        config = replace(CONFIG, rounds=(first, TournamentRound(APPROACH, top_k_out=2, skip_below=skip_below)))
        history = searched(hand, targets, config, pose.copy(), pose.angles)
        assert len(history.iterations) == count * (APPROACH.iterations + 1)


def test_a_judged_round_orders_by_what_is_left_unexplained(hand: Hand, targets: FitTargets) -> None:
    pose = starts()
    config = replace(CONFIG, rounds=(TournamentRound(APPROACH, top_k_out=3, rank_by_unexplained=True),))
    history = searched(hand, targets, config, pose, pose.angles)
    assert (np.diff(history.totals) >= 0).all()
    crop, grid = targets.grids[0]
    vertices = hand.vertices(hand.transforms(history.pose), hand.rest_of(history.pose))
    assert history.totals.tolist() == unexplained_fraction(vertices, hand.faces, crop, grid, 2).tolist()


def test_proportions_are_freed_where_a_round_says_so(hand: Hand, targets: FitTargets) -> None:
    pose = starts()
    free = replace(APPROACH, scale=True, proportions=True)
    config = replace(CONFIG, rounds=(TournamentRound(APPROACH, top_k_out=3), TournamentRound(free, top_k_out=1)))
    history = searched(hand, targets, config, pose, pose.angles)
    assert history.pose.proportions.shape == (1, len(PROPORTION_NAMES))
    assert np.abs(history.pose.proportions).max() > 0
    assert (history.iterations[0].pose.proportions == 0).all()
    assert (history.iterations[0].pose.scale == history.iterations[3].pose.scale).all()


def test_progress_is_told_after_every_round(hand: Hand, targets: FitTargets) -> None:
    told: list[tuple[int, int, float]] = []
    config = replace(CONFIG, rounds=(TournamentRound(APPROACH, top_k_out=3), TournamentRound(APPROACH, top_k_out=1)))
    history = searched(hand, targets, config, starts(), starts().angles, lambda *values: told.append(values))
    assert [values[:2] for values in told] == [(4, 8), (8, 8)]
    assert told[-1][2] == history.totals[0]


def test_numbers_that_are_none_are_an_error(hand: Hand, targets: FitTargets) -> None:
    pose = starts()
    pose.translation[:] = np.nan
    with pytest.raises(NumericalError, match="not finite for any pose"):
        searched(hand, targets, CONFIG, pose, pose.angles)


def test_copies_around_a_pose_are_turned_or_bent(hand: Hand) -> None:
    pose = starts().select(np.array([0, 3]))
    copies = around(pose, hand)
    assert len(copies) == 18
    assert_same_bits(copies.rotation[0], pose.rotation[0], "the pose itself comes first")
    assert_same_bits(copies.rotation[9], pose.rotation[1], "of every pose")
    cosine = (np.einsum("bij,bij->b", copies.rotation[:9], np.repeat(pose.rotation[:1], 9, axis=0)) - 1) / 2
    turned = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    assert np.allclose(np.sort(turned), [0] * 3 + [20.05] * 6, atol=0.2)


def test_proposals_that_are_turned_alike_share_what_they_believe() -> None:
    pose = starts()
    pose.rotation[:] = pose.rotation[0]
    pose.rotation[4] = pose.rotation[0] @ np.diag([-1, 1, -1]).astype(np.float32)
    believed = proposal_mean_angles(pose)
    mean: NDArray[np.float64] = pose.angles[:4].astype(np.float64).mean(axis=0)
    assert np.abs(believed[:4] - mean).max() < 1e-6
    assert np.abs(believed[4] - pose.angles[4]).max() < 1e-6, "turned the other way: alone"
    pose.image[1:] = 1
    assert np.abs(proposal_mean_angles(pose)[0] - pose.angles[0]).max() < 1e-6, "the only one of its image"


def test_the_default_search_finds_a_pinch_from_the_depth_alone() -> None:
    one = example("pinch")
    result = fit(one.depth_mm, one.camera, hand=one.hand, device="cpu")
    assert one.error_mm(result) < 5
    assert result.confidence > 0.8
    assert result.hand_margin is not None
    assert result.hand_margin > 0.1, "the other hand is tried as well, and left early"


def test_a_hand_that_the_image_speaks_against_is_fitted_but_doubted() -> None:
    one = example("left")
    result = fit(one.depth_mm, one.camera, hand="right", device="cpu")
    assert result.hand == "right"
    assert result.hand_margin is not None
    assert result.hand_margin < 0
    assert result.confidence < 0.5
    assert "The image looks more like a left hand than like a right one (hand= changes this)." in result.notes


def test_both_hands_are_compared() -> None:
    one = example("left")
    result = fit(one.depth_mm, one.camera, hand="auto", device="cpu")
    assert result.hand == "left"
    assert result.hand_margin is not None
    assert result.hand_margin > 0
    assert all(other.limb_fraction >= result.limb_fraction for other in result.alternatives)


@pytest.mark.parametrize("values", [[], [3], [4, 1, 4, 4, 0, 1], [True, False, True]])
def test_different_values_come_in_order(values: list[int]) -> None:
    given = np.array(values)
    assert_same_bits(distinct(given), np.unique(given))
