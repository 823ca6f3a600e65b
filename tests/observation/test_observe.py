"""Finding and segmenting hands: scenes made here, and the test images where they lie."""

from typing import Any

import numpy as np
import pytest
from support.scenes import ARM, BODY, CAMERA, HAND, OTHER, WALL, Scene, open_hand, turn

from handopt.errors import ObservationError
from handopt.observation.observation import Observation
from handopt.observation.observe import observe

FORWARD = np.array([0.0, 0.0, 1.0])
FIST = (0.1, 0.9, 0.9, 0.9, 0.9)


def with_wall(scene: Scene, distance: float = 1000.0) -> Scene:
    scene.plane(FORWARD, distance, WALL)
    return scene


def found(scene: Scene, observation: Observation) -> tuple[float, float]:
    """Share of the hand's measured pixels that were found, and share of body, clutter and wall among what was found."""
    hand = (scene.labels == HAND) & (observation.depth_mm > 0)
    foreign = np.isin(scene.labels, (BODY, OTHER, WALL))
    mask = observation.mask
    return float((mask & hand).sum() / hand.sum()), float((mask & foreign).sum() / max(1, mask.sum()))


def palm(joints: Any) -> Any:
    return joints[[0, 5, 9, 13, 17]].mean(axis=0)


def check_first(scene: Scene, observation: Observation, joints: Any) -> None:
    """The hand was found, whole, without the forearm, and its centre is that of the palm."""
    recall, foreign = found(scene, observation)
    assert recall > 0.97
    assert foreign < 0.01
    assert np.linalg.norm(observation.center_mm - palm(joints)) < 35.0
    axis = joints[0] - joints[[5, 9, 13, 17]].mean(axis=0)
    beyond = (observation.points_mm - joints[0]) @ (axis / np.linalg.norm(axis))
    assert beyond.max() < 45.0
    assert not (observation.mask & observation.arm).any()


def test_open_hand_before_a_wall() -> None:
    scene, depth = open_hand()
    observation = observe(depth, CAMERA)[0]
    check_first(scene, observation, open_hand_joints())
    assert observation.arm_direction is not None
    assert observation.arm_direction[1] > 0.95
    arm = (scene.labels == ARM) & (observation.depth_mm > 0)
    assert (observation.arm & arm).sum() > 0.5 * arm.sum()
    assert not observation.touches_border
    assert any("forearm was cut off" in note for note in observation.notes)


def open_hand_joints() -> Any:
    return Scene().hand()


def test_types_and_consistency() -> None:
    _, depth = open_hand()
    observation = observe(depth, CAMERA)[0]
    assert observation.camera == CAMERA
    assert (observation.depth_mm.dtype, observation.depth_mm.shape) == (np.float32, (480, 640))
    assert observation.mask.dtype == observation.arm.dtype == np.bool_
    assert (observation.center_mm.dtype, observation.center_mm.shape) == (np.float64, (3,))
    assert observation.points_mm.dtype == np.float32
    assert (observation.depth_mm[observation.mask] > 0).all()
    points = CAMERA.backproject(observation.depth_mm)[observation.mask]
    np.testing.assert_allclose(observation.points_mm, points, atol=1e-3)  # float32 at 1 m
    assert isinstance(observation.score, float)
    assert all(note.endswith(".") for note in observation.notes)


@pytest.mark.parametrize("roll", [0.7, np.pi / 2, np.pi, -np.pi / 2])
@pytest.mark.parametrize("tilt", [-0.7, 0.7])
def test_any_direction(roll: float, tilt: float) -> None:
    scene = Scene()
    joints = scene.hand(rotation=turn("z", roll) @ turn("x", tilt))
    observation = observe(with_wall(scene).photograph(), CAMERA)[0]
    check_first(scene, observation, joints)
    axis = joints[0] - joints[9]
    assert observation.arm_direction is not None
    assert observation.arm_direction @ axis / np.linalg.norm(axis) > 0.8


@pytest.mark.parametrize("z_mm", [280.0, 500.0, 900.0])
@pytest.mark.parametrize("size", [0.85, 1.15])
def test_any_distance_and_size(z_mm: float, size: float) -> None:
    scene = Scene()
    joints = scene.hand((0.0, 0.0, z_mm), size=size)
    observation = observe(with_wall(scene, z_mm + 300.0).photograph(), CAMERA)[0]
    check_first(scene, observation, joints)


def test_without_a_background() -> None:
    scene = Scene()
    joints = scene.hand()
    check_first(scene, observe(scene.photograph(), CAMERA)[0], joints)


def test_a_fist_without_an_arm() -> None:
    scene = Scene()
    joints = scene.hand(bends=FIST, arm=False)
    observation = observe(with_wall(scene).photograph(), CAMERA)[0]
    check_first(scene, observation, joints)


def test_no_arm_is_said() -> None:
    scene = Scene()
    # seen along the arm, from the finger tips
    scene.hand(rotation=turn("x", 1.5), bends=FIST, arm=False)
    observation = observe(with_wall(scene).photograph(), CAMERA)[0]
    assert observation.arm_direction is None
    assert any("No forearm" in note for note in observation.notes)


def test_a_finger_cut_off_by_depth_edges_is_kept() -> None:
    scene = Scene()
    scene.hand()
    tip, before = np.array([-20.0, -30.0, 425.0]), scene.depth_mm.copy()
    scene.capsule(tip, tip + np.array([0.0, -12.0, 4.0]), 9.0, HAND)
    finger = scene.depth_mm < before - 20
    observation = observe(with_wall(scene).photograph(), CAMERA)[0]
    seen = finger & (observation.depth_mm > 0)
    assert (observation.mask & seen).sum() > 0.97 * seen.sum()


def test_a_person_behind_the_hand_is_left_out() -> None:
    scene = Scene()
    joints = scene.hand((-60.0, -60.0, 550.0), turn("z", -0.6) @ turn("x", -0.5))
    scene.person((-20.0, 200.0, 800.0))
    check_first(scene, observe(with_wall(scene, 1300.0).photograph(), CAMERA)[0], joints)


def test_a_hand_before_a_chest_that_its_arm_is_joined_to() -> None:
    scene = Scene()
    joints = scene.hand((-30.0, -40.0, 600.0), turn("z", -0.5) @ turn("x", 0.7))
    scene.person((90.0, 180.0, 800.0))
    observation = observe(scene.photograph(), CAMERA)[0]
    check_first(scene, observation, joints)
    assert observation.mask.sum() < 2 * (scene.labels == HAND).sum()


def test_the_nearest_thing_need_not_be_the_hand() -> None:
    scene = Scene()
    joints = scene.hand((-60.0, 0.0, 600.0))
    scene.capsule(np.array([150.0, -50.0, 450.0]), np.array([400.0, -50.0, 450.0]), 70.0, OTHER)
    scene.capsule(np.array([90.0, 190.0, 430.0]), np.array([90.0, 190.0, 430.0]), 25.0, OTHER)
    check_first(scene, observe(with_wall(scene).photograph(), CAMERA)[0], joints)


def test_many_holes_and_flying_pixels() -> None:
    scene = Scene()
    joints = scene.hand()
    depth = with_wall(scene).photograph(noise_mm=2.0, flying=0.9, holes=0.05)
    observation = observe(depth, CAMERA)[0]
    check_first(scene, observation, joints)
    truth = np.abs(observation.depth_mm - scene.depth_mm)[observation.mask & (scene.labels == HAND)]
    assert np.percentile(truth, 99) < 30.0  # no pixel half way to the wall, 500 mm behind


def test_two_hands_are_two_candidates() -> None:
    scene = Scene()
    left, right = scene.hand((-140.0, 0.0, 500.0)), scene.hand((140.0, 0.0, 520.0), bends=(0.1, 0.6, 0.6, 0.6, 0.6))
    first, second = observe(with_wall(scene).photograph(), CAMERA)[:2]
    centers = sorted([first.center_mm, second.center_mm], key=lambda center: center[0])
    assert np.linalg.norm(centers[0] - palm(left)) < 35.0
    assert np.linalg.norm(centers[1] - palm(right)) < 35.0
    assert first.score >= second.score
    assert not (first.mask & second.mask).any()


def test_the_border_is_noted() -> None:
    scene = Scene()
    scene.hand((-270.0, 0.0, 450.0), turn("z", 0.4))
    observation = observe(with_wall(scene).photograph(), CAMERA)[0]
    assert observation.touches_border
    assert any("border" in note for note in observation.notes)


def test_results_repeat() -> None:
    _, depth = open_hand()
    one, two = observe(depth, CAMERA)[0], observe(depth.astype(np.uint16), CAMERA)[0]
    np.testing.assert_array_equal(one.mask, two.mask)
    np.testing.assert_array_equal(one.center_mm, two.center_mm)
    assert one.score == two.score


def test_what_is_not_finite_is_not_measured() -> None:
    _, depth = open_hand()
    broken = depth.copy()
    broken[10:20, 10:20] = np.nan
    broken[30:40, 10:20] = np.inf
    observation = observe(broken, CAMERA)[0]
    assert any("200 pixels" in note for note in observation.notes)
    assert not observation.depth_mm[10:20, 10:20].any()


def test_the_crop_holds_the_hand() -> None:
    scene = Scene()
    joints = scene.hand((20.0, 30.0, 500.0), turn("z", 1.0))
    crop = observe(with_wall(scene).photograph(), CAMERA)[0].crop()
    assert (crop.size, crop.half_mm) == (120, 125.0)
    ax, bx, ay, by, az, bz = crop.coefficients
    x, y, z = joints.T
    positions = np.stack([ax * x / z + bx, ay * y / z + by, 119 * (az * z + bz)])
    assert (positions > 0).all()
    assert (positions < 119).all()


def test_the_grid_shows_the_hand_and_frees_the_wall() -> None:
    scene, depth = open_hand()
    observation = observe(depth, CAMERA)[0]
    crop = observation.crop(100, 120.0)
    grid = observation.grid(crop)
    shown_mm2 = float(((crop.mm_per_px * grid.depth_mm[grid.hand] / crop.center_mm[2]) ** 2).sum())
    seen_mm2 = float(((observation.depth_mm[observation.mask] / CAMERA.fx) ** 2).sum())
    assert shown_mm2 == pytest.approx(seen_mm2, rel=0.03)  # holes are voted away
    rows, columns = (np.rint(axis).astype(int) for axis in crop.image_coordinates())
    inside = (rows >= 0) & (rows < 480), (columns >= 0) & (columns < 640)
    labels = scene.labels[np.clip(rows, 0, 479)[:, None], np.clip(columns, 0, 639)]
    assert not grid.free[~inside[0]].any()
    assert not (grid.free & np.isin(labels, (HAND, ARM)))[2:-2, 2:-2].sum() > 40  # ragged pixels at the edge
    wall = (labels == WALL) & inside[0][:, None] & inside[1]
    assert (grid.free & wall).sum() > 0.9 * wall.sum()


# What the user knows better


def two_hands() -> tuple[Scene, Any, Any, Any]:
    scene = Scene()
    left, right = scene.hand((-140.0, 0.0, 500.0)), scene.hand((140.0, 0.0, 520.0))
    return scene, with_wall(scene).photograph(), left, right


def test_box_restricts() -> None:
    _, depth, left, right = two_hands()
    one = observe(depth, CAMERA, box=(60, 80, 300, 340))
    other = observe(depth, CAMERA, box=(320, 80, 640, 340))
    assert np.linalg.norm(one[0].center_mm - palm(left)) < 35.0
    assert np.linalg.norm(other[0].center_mm - palm(right)) < 35.0
    assert not one[0].mask[:, 300:].any()
    assert not one[0].mask[340:].any()


def test_center_as_a_pixel_and_as_a_point() -> None:
    _, depth, left, right = two_hands()
    for joints in (left, right):
        pixel = CAMERA.project(palm(joints))
        (at_pixel,) = observe(depth, CAMERA, center=tuple(pixel))
        (at_point,) = observe(depth, CAMERA, center=tuple(palm(joints)))
        np.testing.assert_allclose(CAMERA.project(at_pixel.center_mm), pixel, atol=1e-6)
        np.testing.assert_allclose(at_point.center_mm, palm(joints))
        assert np.linalg.norm(at_pixel.center_mm - palm(joints)) < 25.0
        for observation in (at_pixel, at_point):
            assert observation.arm_direction is not None
            assert observation.arm_direction[1] > 0.9


def test_center_in_a_finger_before_the_palm_finds_the_hand() -> None:
    scene = Scene()
    scene.hand()
    scene.capsule(np.array([0.0, 0.0, 430.0]), np.array([0.0, -10.0, 432.0]), 9.0, HAND)
    observation = observe(with_wall(scene).photograph(), CAMERA, center=(319.5, 239.5))[0]
    assert found(scene, observation)[0] > 0.97


def test_mask_is_taken_as_it_is() -> None:
    scene, depth, _, _ = two_hands()
    mask = (scene.labels == HAND) & (np.arange(640) > 320)
    (observation,) = observe(depth, CAMERA, mask=mask)
    assert not (observation.mask & ~mask).any()
    assert observation.mask.sum() > 0.97 * (mask & (depth > 0)).sum()
    assert observation.arm_direction is not None
    assert observation.arm_direction[1] > 0.9
    assert (observation.arm & (scene.labels == ARM)).any()
    assert not observation.arm[:, :320].any()
    assert abs(observation.center_mm[0] - 140.0) < 30.0
    (centred,) = observe(depth, CAMERA, mask=mask.astype(np.uint8), center=(140.0, 10.0, 530.0))
    np.testing.assert_allclose(centred.center_mm, [140.0, 10.0, 530.0])


def test_a_hand_that_is_far_from_plausible_is_taken_where_it_is_said_to_be() -> None:
    scene = Scene()
    ball = np.array([0.0, 0.0, 600.0])
    scene.capsule(ball, ball, 19.0, OTHER)
    depth = with_wall(scene).photograph()
    with pytest.raises(ObservationError, match="center="):
        observe(depth, CAMERA)
    (observation,) = observe(depth, CAMERA, center=(319.5, 239.5))
    assert (scene.labels[observation.mask] == OTHER).mean() > 0.9
