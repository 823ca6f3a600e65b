"""Tests of level wild: what the labels say is what was rendered, and an image depends on its number alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support import reference

from handopt.errors import ConfigError
from handopt.input.camera import Camera
from handopt.input.pixel_labels import BACKGROUND, BODY, FOREARM, HAND, OBJECT, OTHER_HAND, PIXEL_LABELS
from handopt.rig import default_rig
from handopt.synth import wild_scene
from handopt.synth.noise_models import NOISE
from handopt.synth.surroundings import Part, Wall
from handopt.synth.wild import WildSample, WildSettings, generate_wild
from handopt.synth.wild_scene import Content

CAMERA = Camera(160.0, 160.0, 79.5, 59.5, 160, 120)
SMALL = WildSettings(seed=4, camera=CAMERA, hand="right")
RIG = default_rig("right")


@pytest.fixture(scope="module")
def many() -> list[WildSample]:
    """50 images of all kinds."""
    return [generate_wild(WildSettings(seed=11), index) for index in range(50)]


def cameras_numbers(camera: Camera) -> tuple[float, float, float, float, int, int]:
    return camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height


@pytest.mark.parametrize("index", range(6))
def test_the_depth_of_hand_pixels_is_the_meshs_own(index: int) -> None:
    image = generate_wild(SMALL, index)
    scene = image.sample.scene
    expected = reference.rasterise(scene.vertices, RIG.faces, cameras_numbers(CAMERA))
    hand = image.clean_mask == HAND
    assert hand.sum() > 100
    np.testing.assert_allclose(scene.depth[hand], expected[hand], atol=0.01)
    # Where the hand is not labelled, something is in front of it, or it was cut away.
    hidden = (expected > 0) & ~hand
    assert ((scene.depth[hidden] == 0) | (scene.depth[hidden] <= expected[hidden] + 0.01)).all()


def test_fifty_images_show_every_label_view_crop_and_both_sides(many: list[WildSample]) -> None:
    assert {label for image in many for label in np.unique(image.mask)} == set(PIXEL_LABELS.values())
    assert {image.view for image in many} == {"egocentric", "frontal", "any"}
    assert {image.crop for image in many} == {"none", "wrist", "cube"}
    assert {image.sample.side for image in many} == {"right", "left"}
    assert {image.arm.dress for image in many if image.arm is not None} == {"sleeve", "band", "bare"}
    assert len({image.held for image in many}) >= 6
    assert {image.grip for image in many} == {None, "palm", "pinch"}


def test_masks_hold_only_what_is_measured(many: list[WildSample]) -> None:
    for image in many:
        assert image.mask.shape == image.sample.counts.shape
        assert image.mask.dtype == np.uint8
        assert (image.mask[image.sample.counts == 0] == BACKGROUND).all()
        # Edges move by a pixel or two: onto what was nothing, and rarely from one thing to another.
        both = (image.sample.counts > 0) & (image.sample.scene.depth > 0)
        assert (image.mask == image.clean_mask)[both].mean() > 0.97


def test_measured_hand_pixels_lie_on_the_hand(many: list[WildSample]) -> None:
    for image in many:
        scene = image.sample.scene
        hand = image.mask == HAND
        assert hand.sum() >= 200
        behind = image.sample.counts[hand] - scene.hand_depth[hand]
        on_it = scene.hand_depth[hand] > 0
        assert on_it.mean() > 0.8  # noise moves the edges by a pixel or two
        assert np.median(np.abs(behind[on_it])) < 8


def test_visible_joints_lie_under_the_skin_of_the_hand(many: list[WildSample]) -> None:
    hidden = 0
    for image in many:
        scene = image.sample.scene
        pixels = np.rint(scene.camera.project(scene.joints)).astype(int)
        labels = image.clean_mask[pixels[:, 1], pixels[:, 0]]
        assert not np.isin(labels[image.visible], (OBJECT, OTHER_HAND, BODY)).any()
        assert image.visible.sum() >= 5
        hidden += (labels == OBJECT).sum()
    assert hidden > 20  # objects hide joints


def test_objects_touch_the_hand_and_hide_some_of_it(many: list[WildSample]) -> None:
    held = [image for image in many if image.held is not None]
    assert len(held) > 10
    for image in held:
        assert image.touching.sum() >= 2
    assert np.mean([(image.clean_mask == OBJECT).any() for image in held]) > 0.9


def test_an_image_depends_on_seed_and_number_alone() -> None:
    first = generate_wild(replace(SMALL, hand="random"), 7)
    generate_wild(SMALL, 0)
    again = generate_wild(replace(SMALL, hand="random"), 7)
    np.testing.assert_array_equal(first.sample.counts, again.sample.counts)
    np.testing.assert_array_equal(first.mask, again.mask)
    np.testing.assert_array_equal(first.sample.scene.joints, again.sample.scene.joints)
    other = generate_wild(replace(SMALL, hand="random", seed=5), 7)
    assert not np.array_equal(first.sample.counts, other.sample.counts)


def test_a_left_hand_is_the_mirror_image_of_the_right_one() -> None:
    settings = replace(SMALL, noise="none", camera=replace(CAMERA, cx=70.0))
    left = generate_wild(replace(settings, hand="left"), 3)
    right = generate_wild(replace(settings, hand="right", camera=replace(CAMERA, cx=159.0 - 70.0)), 3)
    np.testing.assert_array_equal(left.sample.counts, right.sample.counts[:, ::-1])
    np.testing.assert_array_equal(left.mask, right.mask[:, ::-1])
    np.testing.assert_allclose(left.sample.scene.joints, right.sample.scene.joints * [-1, 1, 1])


@pytest.mark.parametrize("noise", NOISE)
def test_every_sensor_sees_a_hand(noise: str) -> None:
    image = generate_wild(replace(SMALL, camera=None, noise=noise), 1)
    assert image.settings.noise == noise
    assert (image.mask == HAND).sum() >= 200


def test_sensors_are_drawn_from_all_that_there_are() -> None:
    images = [generate_wild(WildSettings(seed=2), index) for index in range(60)]
    assert {image.settings.noise for image in images} == set(NOISE) - {"none"}
    sizes = {(image.settings.camera.width, image.settings.camera.height) for image in images}
    assert (160, 120) in sizes
    assert len(sizes) > 5
    across = [np.ptp(image.sample.scene.camera.project(image.sample.scene.vertices), axis=0).max() for image in images]
    assert 44 < min(across) < 70
    assert max(across) > 150


def test_what_is_asked_for_is_there() -> None:
    for index in range(4):
        with_object = generate_wild(replace(SMALL, held=True, other_hand=False, forearm=True), index)
        assert with_object.held is not None
        assert with_object.other is None
        assert with_object.crop != "wrist"
        without = generate_wild(replace(SMALL, held=False, other_hand=False, forearm=False, background=False), index)
        assert without.held is None
        assert without.crop == "wrist"
        assert set(np.unique(without.mask)) <= {BACKGROUND, HAND, FOREARM}


@pytest.mark.parametrize(("seed", "held", "indices"), [(5, None, (2, 14, 58)), (0, True, (24, 5, 22, 7))])
def test_nothing_in_a_room_cuts_hands_arms_or_object(
    seed: int, held: bool | None, indices: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms: list[tuple[Any, list[Part], Wall | None]] = []

    def remembered(rng: np.random.Generator, content: Content, front: Any) -> tuple[list[Part], Wall | None]:
        rooms.append((front, *room(rng, content, front)))
        return rooms[-1][1:]

    room = wild_scene._room
    monkeypatch.setattr(wild_scene, "_room", remembered)
    for index in indices:
        generate_wild(WildSettings(seed=seed, held=held, other_hand=True, background=True, hand="right"), index)
    walls, tables = [], []
    for front, parts, wall in rooms:
        everything = np.concatenate([part.points for part in front.parts])
        if wall is not None:
            walls.append(wall.distance - (everything @ wall.normal).max())
        for part in parts[:1]:  # a table, if there is one, whose top comes first
            if part.label == BACKGROUND:
                a, b, c = part.points[part.faces[0]]
                above = np.cross(b - a, c - a)
                above *= -np.sign(above @ a)  # towards the camera
                hands = np.concatenate([*(each.points for each in front.parts if each.label in (HAND, OBJECT)),
                                        front.other.meshes[0][0]])  # fmt: skip
                tables.append(((hands - a) @ above).min() / np.linalg.norm(above))
    assert len(walls) >= 2
    assert min(walls) > 50
    assert min(tables, default=0.0) >= -1e-6
    assert seed != 5 or tables, "this seed has a table"


def test_a_background_that_is_asked_for_is_there_and_the_label_says_what_is_seen() -> None:
    for seed, index in [(1, index) for index in range(16)]:
        image = generate_wild(replace(SMALL, seed=seed, background=True), index)
        assert image.sample.background
        depth, mask = image.sample.scene.depth, image.clean_mask
        assert ((depth > 0) & np.isin(mask, (BACKGROUND, BODY))).any()
        assert image.crop == "none"


def test_the_label_of_a_background_is_what_is_seen(many: list[WildSample]) -> None:
    for image in many:
        around = (image.sample.scene.depth > 0) & np.isin(image.clean_mask, (BACKGROUND, BODY))
        assert image.sample.background == around.any()
    assert {image.sample.background for image in many} == {True, False}


def test_second_hands_keep_away_or_touch() -> None:
    images = [generate_wild(replace(SMALL, other_hand=True), index) for index in range(30)]
    seen = [image.other for image in images if image.other is not None]
    assert len(seen) == 30
    assert {each.side for each in seen} == {"left"}
    assert all((image.clean_mask == OTHER_HAND).sum() >= 30 for image in images)
    assert {each.touching for each in seen} == {True, False}


def test_one_subject_is_the_same_person_in_every_image() -> None:
    people = [generate_wild(replace(SMALL, subject_seed=9), index).sample.hand.subject for index in range(3)]
    assert people[0].scale == people[1].scale == people[2].scale
    np.testing.assert_array_equal(people[0].proportions, people[2].proportions)
    assert generate_wild(replace(SMALL, surface_rms_mm=2.0), 0).sample.hand.subject.surface_rms_mm == 2.0


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown hand"):
        WildSettings(hand="both")
    with pytest.raises(ConfigError, match="unknown noise"):
        WildSettings(noise="loud")
    with pytest.raises(ConfigError, match="seed is -1"):
        WildSettings(seed=-1)
    with pytest.raises(ConfigError, match="other_hand: not without a forearm"):
        WildSettings(other_hand=True, forearm=False)
    with pytest.raises(ConfigError, match="background: not without a forearm"):
        WildSettings(background=True, forearm=False)
    with pytest.raises(ConfigError, match="surface's RMS"):
        WildSettings(surface_rms_mm=9.0)
    with pytest.raises(ConfigError, match="right hand"):
        WildSettings(rig=default_rig("left"))
    with pytest.raises(ConfigError, match="does not fit"):
        generate_wild(WildSettings(camera=Camera(500.0, 500.0, 9.5, 9.5, 20, 20)), 0)
