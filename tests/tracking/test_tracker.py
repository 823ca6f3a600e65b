"""The tracker's state and its pure step, hands that are lost and found, competitors, and doubtful anchors."""

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.sequences import CAMERA, frames, truth
from support.tracked_frames import stub

from handopt.config import FitSettings
from handopt.rig import default_rig
from handopt.tracking import tracker
from handopt.tracking.config import TrackerConfig, TrackingConfig
from handopt.tracking.frame_fit import FrameFit
from handopt.tracking.pose_estimate import Placed, max_joint_jump
from handopt.tracking.tracker import Tracker, TrackerState

DEPTHS = [frame.depth_mm for frame in frames()]


@pytest.fixture(scope="module")
def follower() -> Tracker:
    return Tracker(default_rig("right"), CAMERA)


@pytest.fixture(scope="module")
def states(follower: Tracker) -> list[TrackerState]:
    """The states after 0, 1, 2, 3 frames."""
    every = [follower.start()]
    for depth in DEPTHS[:3]:
        every.append(follower.step(every[-1], depth)[0])
    return every


def leaves(value: Any) -> list[bytes | None]:
    """The bits of every number in a state."""
    if hasattr(value, "__dataclass_fields__"):
        return [leaf for name in value.__dataclass_fields__ for leaf in leaves(getattr(value, name))]
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in leaves(value[key])]
    if isinstance(value, tuple):
        return [leaf for each in value for leaf in leaves(each)]
    return [
        None if value is None else str(value).encode() if isinstance(value, int | str) else np.asarray(value).tobytes()
    ]


def test_the_same_state_stepped_twice_gives_the_same_to_the_bit(follower: Tracker, states: list[TrackerState]) -> None:
    first, one = follower.step(states[2], DEPTHS[2])
    second, other = follower.step(states[2], DEPTHS[2])
    assert leaves(one) == leaves(other)
    assert leaves(first) == leaves(second) == leaves(states[3])
    assert leaves(first) != leaves(states[2])


def test_a_step_changes_neither_its_state_nor_its_image(follower: Tracker, states: list[TrackerState]) -> None:
    state, depth = copy.deepcopy(states[2]), DEPTHS[2].copy()
    before = leaves(state)
    after, estimate = follower.step(state, depth)
    follower.prefers(after, depth, estimate, estimate)
    follower.reversed(after)
    assert leaves(state) == before
    assert np.array_equal(depth, DEPTHS[2])
    assert (state.frames, after.frames) == (2, 3)


def test_a_state_can_be_kept_and_followed_in_two_directions(follower: Tracker, states: list[TrackerState]) -> None:
    """Backwards from frame 2, and then forwards from the same state."""
    back = follower.reversed(states[3])
    back, there = follower.step(back, DEPTHS[1])
    assert there is not None
    assert np.linalg.norm(there.joints_mm - truth()[1], axis=1)[there.joint_visible].mean() < 8.0
    assert back.shape is states[3].shape, "on the way back nothing is learnt of the shape"
    forth, estimate = follower.step(states[3], DEPTHS[3])
    assert estimate is not None
    assert np.linalg.norm(estimate.joints_mm - truth()[3], axis=1)[estimate.joint_visible].mean() < 8.0
    assert forth.shape is not states[3].shape


def test_a_lost_hand_is_found_again(follower: Tracker, states: list[TrackerState]) -> None:
    lost, nothing = follower.step(states[3], np.zeros_like(DEPTHS[0]))
    assert nothing is None
    assert lost.estimate is None
    assert lost.shape is states[3].shape, "what is known of the hand stays known"
    moved = np.roll(DEPTHS[4], 40, axis=1)
    found, estimate = follower.step(lost, moved)
    assert estimate is not None
    assert estimate.refitted
    assert found.before is None, "one frame says nothing of a motion"
    shift = 40 / CAMERA.fx * truth()[4][:, 2:]
    off = np.linalg.norm(estimate.joints_mm - truth()[4] - shift * [1.0, 0.0, 0.0], axis=1)
    assert np.median(off[estimate.joint_visible]) < 8.0


def test_motion_is_predicted_over_the_interval(follower: Tracker, states: list[TrackerState], monkeypatch: Any) -> None:
    """A frame that comes two intervals later starts from twice the motion, less what is not kept of it."""
    starts: list[list[Placed]] = []

    def record(_depth: Any, given: list[Placed], *_: Any, **__: Any) -> None:
        starts.append(given)

    monkeypatch.setattr(follower._fitter, "fit", record)
    monkeypatch.setattr(tracker, "fit", lambda *_, **__: pytest.fail("not this far"))
    state = states[3]
    assert state.fit is not None
    assert state.before is not None
    still = replace(state, before=None, fit=replace(state.fit, competitors=()), learns=False)
    follower.step(still, DEPTHS[3])
    last = state.fit.estimate.placed
    assert len(starts[0]) == 2
    assert np.array_equal(starts[0][0].translation_mm, last.translation_mm)
    shifted = replace(last, translation_mm=last.translation_mm - [10.0, 0.0, 0.0])
    follower.step(replace(still, before=shifted), DEPTHS[3])
    follower.step(replace(still, before=shifted), DEPTHS[3], 2.0)
    moved = [each[0].translation_mm - last.translation_mm for each in starts[1:]]
    assert moved[0] == pytest.approx([9.0, 0.0, 0.0], abs=1e-6)
    assert moved[1] == pytest.approx([18.0, 0.0, 0.0], abs=1e-6)


def fingers_swapped(placed: Placed) -> Placed:
    """The index finger bent as far as it goes, and the thumb straight."""
    angles = placed.angles_rad.copy()
    angles[3:6, 2] = (1.5, 1.5, 0.9)
    return replace(placed, angles_rad=angles)


def test_the_next_frame_starts_from_competitors_as_well(follower: Tracker, states: list[TrackerState]) -> None:
    """A pose that was wrong is left for a competitor that is right."""
    state = states[3]
    assert state.fit is not None
    right = state.fit.estimate
    wrong = replace(right, placed=fingers_swapped(right.placed))
    state = replace(
        state,
        before=None,
        fit=replace(state.fit, estimate=wrong, competitors=(right.placed,), patches=np.zeros((0, 3))),
    )
    _, estimate = follower.step(state, DEPTHS[3])
    assert estimate is not None
    assert np.linalg.norm(estimate.joints_mm - truth()[3], axis=1)[[5, 6, 7, 8]].max() < 15.0
    assert not estimate.refitted, "the competitor, and no fit from scratch"


def test_competitors_are_few_and_differ(states: list[TrackerState]) -> None:
    settings = TrackerConfig()
    for state in states[1:]:
        assert state.fit is not None
        assert len(state.fit.competitors) <= settings.competitors
        poses = [state.fit.estimate.placed, *state.fit.competitors]
        for row, one in enumerate(poses):
            for other in poses[row + 1 :]:
                apart = np.abs(one.angles_rad - other.angles_rad).max()
                assert apart > 0.2 or row == 0, "the pose itself moved on after it was chosen"


def test_searches_that_do_not_help_become_rarer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A doubtful track searches at once, then after 3 frames, after 9, after 21, and no less often than after 30."""
    follower = Tracker(default_rig("right"), CAMERA, tracking=TrackingConfig(TrackerConfig(usual_rate=0.0)))
    searched: list[int] = []
    monkeypatch.setattr(follower._fitter, "fit", lambda *_, **__: stub(0.4))

    def search(state: TrackerState, _frame: Any, found: FrameFit) -> Any:
        searched.append(state.frames)
        return state, found

    monkeypatch.setattr(follower, "_search", search)
    state = replace(follower.start(), fit=stub(0.4), shape=stub(0.4).estimate.shape)
    for _ in range(110):
        state, _ = follower.step(state, np.ones((4, 4), np.float32))
    assert np.diff(searched).tolist() == [4, 10, 22, 31, 31]


def test_what_leaves_too_much_unexplained_is_no_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Tracker(default_rig("right"), CAMERA, tracking=TrackingConfig(TrackerConfig(lost=0.5)))
    monkeypatch.setattr(follower, "_search", lambda state, *_: (state, stub(0.6, refitted=True)))
    state, estimate = follower.step(follower.start(), np.ones((4, 4), np.float32))
    assert estimate is None
    assert state.fit is None
    monkeypatch.setattr(follower, "_search", lambda state, *_: (state, stub(0.4, refitted=True)))
    state, estimate = follower.step(state, np.ones((4, 4), np.float32))
    assert estimate is not None
    cap = TrackerConfig().usual_cap
    assert cap < 0.4
    assert state.usual == pytest.approx(0.1 + 0.1 * (cap - 0.1)), "what is badly explained does not become usual"


def test_a_doubtful_start_is_looked_at_again_anywhere_in_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    hints: list[Any] = []
    remembered = vars(tracker)["fit"]

    def doubtful_at_first(*arguments: Any, **settings: Any) -> Any:
        hints.append(settings["center"])
        return replace(remembered(*arguments, **settings), confidence=0.1 if len(hints) == 1 else 0.95)

    monkeypatch.setattr(tracker, "fit", doubtful_at_first)
    follower = Tracker(default_rig("right"), CAMERA)
    state, found = follower.start(), []
    for depth in DEPTHS[:6]:
        state, estimate = follower.step(state, depth)
        found.append(estimate)
    assert [None if each is None else each.anchor_confidence for each in found] == [0.1] * 4 + [0.95] * 2
    assert hints.count(None) == 2, "the first frame, and once more"
    assert found[-1] is not None
    assert not found[-1].refitted, "it was where the track was"


def test_a_jump_is_that_of_a_visible_joint_against_the_others(states: list[TrackerState]) -> None:
    first = states[1].estimate
    assert first is not None
    seen, moved = np.zeros(21, np.bool_), first.joints_mm + np.array([30.0, 0.0, 0.0])
    moved[8] += [30.0, 0.0, 0.0]
    hidden = replace(first, joint_visible=seen.copy(), joints_mm=moved)
    assert max_joint_jump(replace(first, joint_visible=seen), hidden) == 0
    seen[8] = True
    assert max_joint_jump(first, replace(hidden, joint_visible=seen)) == pytest.approx(30.0)


def test_every_fit_from_scratch_takes_the_users_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    remembered, seeds = vars(tracker)["fit"], []

    def record(*arguments: Any, **settings: Any) -> Any:
        seeds.append(settings["seed"])
        return remembered(*arguments, **settings)

    monkeypatch.setattr(tracker, "fit", record)
    one = Tracker(default_rig("right"), CAMERA, FitSettings(seed=5))
    one.step(one.start(), DEPTHS[0])
    assert seeds == [5]


def test_a_fit_that_is_refused_says_nothing_of_the_hands_shape(follower: Tracker) -> None:
    strict = Tracker(default_rig("right"), CAMERA, tracking=TrackingConfig(TrackerConfig(lost=1e-6)))
    state, estimate = strict.step(strict.start(), DEPTHS[0])
    assert estimate is None
    assert state.shape is None
    state, estimate = follower.step(follower.start(), DEPTHS[0])
    assert estimate is not None
    assert state.shape is estimate.shape


def test_a_hand_is_lost_at_the_limit_forwards_and_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Tracker(default_rig("right"), CAMERA, tracking=TrackingConfig(TrackerConfig(lost=0.5)))
    monkeypatch.setattr(follower, "_search", lambda state, *_: (state, stub(0.5, refitted=True)))
    monkeypatch.setattr(follower, "_continue", lambda *_: (stub(0.5), False))
    state = replace(follower.start(), fit=stub(0.1), shape=stub(0.1).estimate.shape)
    for learns in (True, False):
        _, estimate = follower.step(replace(state, learns=learns), np.ones((4, 4), np.float32))
        assert estimate is None


def test_patience_does_not_wait_with_a_fit_of_no_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A doubtful fit is given out while patience waits; one that is lost is searched for at once."""
    follower = Tracker(default_rig("right"), CAMERA, tracking=TrackingConfig(TrackerConfig(lost=0.5)))
    monkeypatch.setattr(follower, "_search", lambda state, *_: (state, stub(0.2)))
    patient = replace(follower.start(), fit=stub(0.1), shape=stub(0.1).estimate.shape, patience=3)
    for unexplained, given_out in ((0.49, 0.49), (0.5, 0.2)):
        monkeypatch.setattr(follower, "_continue", lambda *_, left=unexplained: (stub(left), True))
        _, estimate = follower.step(patient, np.ones((4, 4), np.float32))
        assert estimate is not None
        assert estimate.unexplained_fraction == given_out


def test_the_check_of_an_anchor_takes_no_fit_of_no_hand(
    follower: Tracker, states: list[TrackerState], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fit from scratch that is sure of itself, far from the track, and leaves too much unexplained."""
    assert states[3].fit is not None
    doubtful = replace(states[3].fit, estimate=replace(states[3].fit.estimate, anchor_confidence=0.1))
    sure: Any = SimpleNamespace(confidence=0.95)
    shape = doubtful.estimate.shape
    for left, taken in ((0.3, True), (0.7, False)):
        again = tracker._Scratch(stub(left, refitted=True), sure, shape)
        monkeypatch.setattr(follower, "_from_scratch", lambda *_, found=again: (shape, found))
        state = replace(states[3], fit=doubtful, retry=1)
        draws = np.random.default_rng(0)
        frame = tracker._Frame(DEPTHS[3], draws, draws, follower.fit_alone)
        _, chosen = follower._check_anchor(state, frame, doubtful)
        assert (chosen is not doubtful) is taken


def test_the_surprise_of_a_pose_that_was_left_calls_for_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of a doubtful anchor has just found the hand elsewhere in the image."""
    follower = Tracker(default_rig("right"), CAMERA)
    doubtful, found = stub(0.1), stub(0.1, refitted=True)
    doubtful = replace(doubtful, estimate=replace(doubtful.estimate, anchor_confidence=0.2))
    monkeypatch.setattr(follower, "_continue", lambda *_: (doubtful, True))
    monkeypatch.setattr(follower, "_check_anchor", lambda state, *_: (state, found))
    monkeypatch.setattr(follower, "_search", lambda *_: pytest.fail("the hand was just found"))
    state = replace(follower.start(), fit=stub(0.1), shape=stub(0.1).estimate.shape)
    _, estimate = follower.step(state, np.ones((4, 4), np.float32))
    assert estimate is found.estimate


@pytest.mark.parametrize(("off_mm", "free", "expected"), [(5.0, 0.95, 0.95), (60.0, 0.95, 0.1), (5.0, 0.05, 0.1)])
def test_a_hint_that_misled_does_not_lower_the_confidence_of_the_pose_that_both_fits_find(
    off_mm: float, free: float, expected: float, states: list[TrackerState], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Around the hand's last place the fit from scratch has a confidence of 0.1, without a hint that of `free`."""
    follower, remembered = Tracker(default_rig("right"), CAMERA), vars(tracker)["fit"]
    real = remembered(
        DEPTHS[3], CAMERA, rig=follower._rig, center=None, config=follower._config, ignore=None, device="cpu", seed=0
    )
    assert states[3].estimate is not None

    def fits(*_: Any, center: Any, **__: Any) -> Any:
        if center is not None:
            return replace(real, confidence=0.1)
        return replace(real, confidence=free, joints_mm=real.joints_mm + np.array([off_mm, 0.0, 0.0]))

    monkeypatch.setattr(tracker, "fit", fits)
    monkeypatch.setattr(tracker, "unexplained_fraction", lambda *_: np.array([0.4, 0.1]))
    monkeypatch.setattr(follower, "_doubtful", lambda *_: True)
    _, estimate = follower.step(replace(states[3], patience=0), DEPTHS[3])
    assert estimate is not None
    assert estimate.refitted
    assert estimate.anchor_confidence == expected


def test_a_frame_whose_costs_are_all_infinite_has_no_fit(
    follower: Tracker, states: list[TrackerState], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitter, descend = follower._fitter, follower._fitter.model.descend

    def hopeless(*arguments: Any) -> Any:
        pose, system = descend(*arguments)
        return pose, replace(system, terms={name: np.full_like(term, np.inf) for name, term in system.terms.items()})

    monkeypatch.setattr(fitter.model, "descend", hopeless)
    state = states[3]
    assert state.fit is not None
    assert state.shape is not None
    last = state.fit.estimate.placed
    assert fitter.fit(DEPTHS[3], [last, fingers_swapped(last)], state.shape, np.random.default_rng(0)) is None
