"""Tests of random poses and views."""

import numpy as np
import pytest

from handopt.errors import ConfigError
from handopt.rig import Rig, default_rig
from handopt.synth import poses
from handopt.synth.gestures import RANDOM
from handopt.synth.poses import LEVELS, PALM_UPRIGHT, Level, sample_hand
from handopt.synth.subject import sample_subject
from handopt.typing import Floats

RIG = default_rig("right")
COUNT = 200


@pytest.fixture(scope="module", params=LEVELS)
def hands(request: pytest.FixtureRequest):
    rng = np.random.default_rng(11)
    return request.param, [sample_hand(rng, request.param) for _ in range(COUNT)]


def test_angles_keep_the_limits_and_rotations_are_rotations(hands) -> None:
    _, samples = hands
    angles = np.array([hand.angles_rad for hand in samples])
    assert (angles >= RIG.limits.lower).all()
    assert (angles <= RIG.limits.upper).all()
    rotations = np.array([hand.rotation for hand in samples])
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.broadcast_to(np.eye(3), rotations.shape), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0)


def test_the_same_seed_draws_the_same_hand() -> None:
    first, second = (sample_hand(np.random.default_rng([5, 2]), "hard") for _ in range(2))
    np.testing.assert_array_equal(first.angles_rad, second.angles_rad)
    np.testing.assert_array_equal(first.rotation, second.rotation)
    np.testing.assert_array_equal(first.proportions, second.proportions)


def test_a_given_subject_is_kept() -> None:
    rng = np.random.default_rng(0)
    subject = sample_subject(rng)
    assert sample_hand(rng, "hard", subject=subject).subject is subject


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ConfigError, match="easy, medium, hard"):
        sample_hand(np.random.default_rng(0), "extreme")


def test_views_are_as_the_level_says(hands) -> None:
    level, samples = hands
    palm = (PALM_UPRIGHT @ RIG.bind[0, :, :3].T).T @ [0.0, 0.0, -1.0]  # the palm's normal in the rig's frame
    cosine = np.array([(hand.rotation @ palm)[2] for hand in samples]) * -1.0
    tilt = np.degrees(np.arccos(np.abs(cosine)))
    if level == "hard":
        towards = np.array([hand.rotation.T @ [0.0, 0.0, -1.0] for hand in samples])
        for axis in range(3):  # each of the six sides is seen
            assert (towards[:, axis] > 0.7).sum() > 3
            assert (towards[:, axis] < -0.7).sum() > 3
        assert np.median(tilt) > 60
    else:
        assert tilt.max() < {"easy": 36.0, "medium": 72.0}[level]
        assert (cosine < 0).any()
        assert (cosine > 0).any()


def test_another_gesture_is_drawn_where_a_subject_cannot_do_one(monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = poses.sample_angles, []

    def rarely(
        rng: np.random.Generator, level: Level, gesture: str, proportions: Floats, rig: Rig
    ) -> tuple[Floats, int]:
        asked.append(gesture)
        if len(asked) < failures:
            raise poses.NoPoseError("no pose")
        return real(rng, level, gesture, proportions, rig)

    monkeypatch.setattr(poses, "sample_angles", rarely)
    failures = 3
    hand = sample_hand(np.random.default_rng(2), "hard")
    assert len(asked) == 3
    assert hand.gesture == asked[-1]
    asked.clear()
    failures = 100
    with pytest.raises(ConfigError, match="no pose"):
        sample_hand(np.random.default_rng(2), "hard")
    assert 1 < len(asked) < 20


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 3, 17), (1.0, 20, 20)])
def test_as_many_poses_are_gestures_as_are_asked_for(level: Level, share: float, least: int, most: int) -> None:
    rng = np.random.default_rng(8)
    drawn = [poses.draw_pose(rng, level, sample_subject(rng), RIG, gesture_share=share)[0] for _ in range(20)]
    assert least <= sum(gesture != RANDOM for gesture in drawn) <= most
