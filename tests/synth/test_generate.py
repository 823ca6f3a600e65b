"""Tests of whole images: the same from run to run, mirrored, of one subject, at their levels."""

from dataclasses import replace

import numpy as np
import pytest

from handopt.errors import ConfigError
from handopt.input.camera import Camera
from handopt.rig import default_rig
from handopt.synth.generate import Settings, generate
from handopt.synth.poses import LEVELS, PALM_UPRIGHT

CAMERA = Camera(237.5, 237.5, 150.0, 119.5, 320, 240)
SETTINGS = Settings(camera=CAMERA)


@pytest.mark.parametrize("level", LEVELS)
def test_an_image_is_the_same_from_run_to_run_and_whatever_else_is_made(level: str) -> None:
    first = generate(SETTINGS, level, 7)
    generate(SETTINGS, level, 3)
    again = generate(SETTINGS, level, 7)
    np.testing.assert_array_equal(first.counts, again.counts)
    np.testing.assert_array_equal(first.scene.joints, again.scene.joints)


def test_seeds_levels_and_numbers_make_different_images() -> None:
    images = [
        generate(replace(SETTINGS, seed=seed), level, index).counts
        for seed, level, index in ((0, "easy", 0), (1, "easy", 0), (0, "medium", 0), (0, "easy", 1))
    ]
    for k, image in enumerate(images):
        assert all((image != other).any() for other in images[:k])


def test_a_left_hand_is_the_mirror_image_of_the_right_one() -> None:
    for index in range(3):
        right = generate(replace(SETTINGS, camera=replace(CAMERA, cx=319 - CAMERA.cx)), "hard", index)
        left = generate(replace(SETTINGS, hand="left"), "hard", index)
        assert left.side == "left"
        np.testing.assert_array_equal(left.counts, right.counts[:, ::-1])
        np.testing.assert_array_equal(left.scene.joints, right.scene.joints * [-1, 1, 1])
        assert left.scene.camera == CAMERA
        pixels = np.rint(CAMERA.project(left.scene.joints)).astype(int)
        assert (left.scene.hand_depth[pixels[:, 1], pixels[:, 0]] > 0).all()


def test_random_hands_are_of_both_sides_and_change_nothing_else() -> None:
    samples = [generate(replace(SETTINGS, hand="random"), "easy", index) for index in range(12)]
    assert {sample.side for sample in samples} == {"right", "left"}
    for index, sample in enumerate(samples):
        if sample.side == "right":
            np.testing.assert_array_equal(sample.counts, generate(SETTINGS, "easy", index).counts)


def test_one_subject_is_one_hand_in_all_levels_and_seeds() -> None:
    settings = replace(SETTINGS, subject_seed=5, surface_rms_mm=2.0)
    samples = [
        generate(replace(settings, seed=seed), level, index)
        for seed, level, index in ((0, "easy", 0), (0, "hard", 3), (9, "medium", 1))
    ]
    shapes = [sample.hand.subject.dress(settings.rig).rest_mm for sample in samples]
    for sample, shape in zip(samples[1:], shapes[1:], strict=True):
        np.testing.assert_array_equal(shape, shapes[0])
        assert sample.hand.scale == samples[0].hand.scale
        assert not np.array_equal(sample.hand.angles_rad, samples[0].hand.angles_rad)
    other = generate(replace(settings, subject_seed=6), "easy", 0)
    assert other.hand.scale != samples[0].hand.scale


def test_without_noise_the_image_is_the_surface_to_the_millimetre() -> None:
    for index in range(4):
        sample = generate(replace(SETTINGS, noise="none"), "hard", index)
        assert np.abs(sample.counts - sample.scene.depth).max() <= 0.5
        np.testing.assert_array_equal(sample.counts > 0, sample.scene.depth > 0)


def test_an_option_changes_nothing_but_its_own_part() -> None:
    plain = replace(SETTINGS, noise="none", forearm=False, background=False)
    hand = generate(plain, "medium", 2)
    wall = generate(replace(plain, background=True), "medium", 2)
    np.testing.assert_array_equal(hand.scene.joints, wall.scene.joints)
    silhouette = hand.counts > 0
    np.testing.assert_array_equal(hand.counts[silhouette], wall.counts[silhouette])
    noisy = generate(replace(plain, noise="kinect"), "medium", 2)
    np.testing.assert_array_equal(noisy.scene.depth, hand.scene.depth)
    bumpy = generate(replace(plain, surface_rms_mm=2.0), "medium", 2)
    np.testing.assert_array_equal(bumpy.hand.angles_rad, hand.hand.angles_rad)


def test_the_surface_is_in_the_image() -> None:
    plain = replace(SETTINGS, noise="none", forearm=False, background=False)
    smooth, bumpy = (generate(replace(plain, surface_rms_mm=rms), "easy", 1) for rms in (0.0, 2.0))
    shift = bumpy.scene.joints - smooth.scene.joints
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:1], shift.shape), atol=1e-6)  # the joints stay in place
    moved = bumpy.scene.vertices - smooth.scene.vertices - shift[0]
    assert 1.5 < np.sqrt((moved**2).sum(axis=1).mean()) < 2.5  # skinning bends normals, but little


@pytest.mark.parametrize("level", LEVELS)
def test_levels_have_their_shares_and_enough_of_the_hand_is_seen(level: str) -> None:
    samples = [generate(SETTINGS, level, index) for index in range(60)]
    forearm = {"easy": 0.5, "medium": 0.6, "hard": 0.7}[level]  # the shares that handopt/synth/README.md promises
    for name, share in (("forearm", forearm), ("background", 0.65)):
        assert np.mean([getattr(sample, name) for sample in samples]) == pytest.approx(share, abs=0.17)
    seen = np.array([sample.scene.visible(sample.hand.scale).sum() for sample in samples])
    assert seen.min() >= 8  # with fewer joints in view the pose is a guess
    least, most = {"easy": (18, 21), "medium": (14, 19), "hard": (11, 16)}[level]
    assert least <= seen.mean() <= most
    palm = SETTINGS.rig.bind[0, :, :3] @ PALM_UPRIGHT.T @ [0.0, 0.0, -1.0]
    tilts = np.degrees([np.arccos(abs((sample.hand.rotation @ palm)[2])) for sample in samples])
    low, high = {"easy": (10, 25), "medium": (35, 48), "hard": (58, 76)}[level]
    assert low < tilts.mean() < high


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hand": "both"}, "right, left, random"),
        ({"noise": "loud"}, "none, low"),
        ({"surface_rms_mm": 9.0}, "between 0 and 4 mm"),
        ({"seed": -1}, "seed is -1"),
        ({"subject_seed": -2}, "subject_seed is -2"),
        ({"rig": default_rig("left")}, "right hand"),
    ],
)
def test_impossible_settings_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SETTINGS, **change)
