"""Key poses and the ways between them."""

import itertools

import numpy as np
import pytest

from handopt.errors import ConfigError
from handopt.input.camera import Camera
from handopt.rig import default_rig
from handopt.synth.hand_volume import volume_of
from handopt.synth.motion import Motion, blend_angles, minimum_jerk, rotation_angle
from handopt.synth.subject import sample_subject

CAMERA = Camera(237.5, 237.5, 159.5, 119.5, 320, 240)


@pytest.fixture(scope="module")
def motion() -> Motion:
    rng = np.random.default_rng(4)
    return Motion(rng, "medium", sample_subject(rng), default_rig("right"), CAMERA, seconds=3.0)


def test_minimum_jerk_starts_and_ends_at_rest() -> None:
    assert minimum_jerk(np.array([-1.0, 0.0, 0.5, 1.0, 2.0])) == pytest.approx([0, 0, 0.5, 1, 1])
    speed = np.diff(minimum_jerk(np.linspace(0, 1, 1001))) * 1000
    assert speed[0] < 1e-4
    assert speed[-1] < 1e-4
    assert speed.max() == pytest.approx(15 / 8, rel=1e-3)


@pytest.mark.parametrize("lead", [0.0, 0.35, -0.35])
def test_a_lead_moves_the_thumb_first_or_last(lead: float) -> None:
    start, end = np.zeros((15, 3)), np.ones((15, 3))
    blended = blend_angles(start, end, np.array([0.0, 0.5, 1.0]), lead)
    assert np.all(blended[0] == 0)
    assert np.allclose(blended[2], 1)
    assert np.sign(blended[1, 0, 0] - blended[1, 3, 0]) == np.sign(lead)


def test_nothing_overlaps_on_the_way_and_limits_hold(motion: Motion) -> None:
    rig = default_rig("right")
    body = volume_of(rig).of(motion.keys[0].hand.proportions)
    angles = np.array([motion.at(seconds)[0].hand.angles_rad for seconds in np.arange(0, 3, 1 / 15)])
    overlap, _ = body.measure(angles)
    assert overlap.max() <= 2.5, "2 mm at the places that are tested, and hardly more between them"
    assert (angles >= rig.limits.lower - 1e-9).all()
    assert (angles <= rig.limits.upper + 1e-9).all()


def test_motion_is_continuous_and_not_too_quick(motion: Motion) -> None:
    times = np.arange(0, 3, 1 / 30)
    keys = [motion.at(seconds)[0] for seconds in times]
    places = np.array([key.middle for key in keys])
    turns = [rotation_angle(a.hand.rotation, b.hand.rotation) for a, b in itertools.pairwise(keys)]
    assert np.linalg.norm(np.diff(places, axis=0), axis=1).max() < 25
    assert max(turns) < 0.2
    for one, other in zip(motion.keys, motion.keys[1:], strict=False):
        assert (
            rotation_angle(one.hand.rotation, other.hand.rotation) <= np.radians(80) + 1.0
        )  # or the nearest of some views


def test_speed_0_holds_still_and_more_speed_takes_less_time() -> None:
    def made(speed: float) -> Motion:
        rng = np.random.default_rng(4)
        return Motion(rng, "easy", sample_subject(rng), default_rig("right"), CAMERA, seconds=1.0, speed=speed)

    still = made(0.0)
    assert still.transitions == []
    assert still.at(0.7)[0] is still.at(0.0)[0]
    assert made(2.0).transitions[0].seconds == pytest.approx(made(1.0).transitions[0].seconds / 2)


def test_an_image_without_room_for_a_hand_is_refused() -> None:
    rng = np.random.default_rng(4)
    tiny = Camera(2000.0, 2000.0, 20.0, 20.0, 40, 40)
    with pytest.raises(ConfigError, match="camera="):
        Motion(rng, "easy", sample_subject(rng), default_rig("right"), tiny, seconds=1.0)
