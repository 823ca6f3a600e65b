"""Tests of the clean scene: what is rendered is the mesh, where the labels say."""

import numpy as np
import pytest
from support import reference

from handopt.errors import ConfigError
from handopt.input.camera import Camera
from handopt.rig import default_rig
from handopt.synth.forearm import Forearm
from handopt.synth.poses import HandSample, sample_hand
from handopt.synth.scene import Scene, build_scene, place, posed

RIG = default_rig("right")
CAMERA = Camera(237.5, 237.5, 159.5, 119.5, 320, 240)


def scene_of(seed: int, level: str = "hard", **more) -> tuple[Scene, HandSample]:
    rng = np.random.default_rng(seed)
    hand = sample_hand(rng, level)
    return build_scene(rng, hand, hand.subject.dress(RIG), CAMERA, **more), hand


@pytest.mark.parametrize("seed", range(4))
def test_the_depth_is_the_meshs_own(seed: int) -> None:
    scene, _ = scene_of(seed)
    numbers = (CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy, CAMERA.width, CAMERA.height)
    expected = reference.rasterise(scene.vertices, RIG.faces, numbers)
    np.testing.assert_allclose(scene.depth, expected, atol=1e-3)
    np.testing.assert_array_equal(scene.depth, scene.hand_depth)


@pytest.mark.parametrize("seed", range(6))
def test_every_joint_projects_onto_the_hand_and_lies_in_its_flesh(seed: int) -> None:
    scene, hand = scene_of(seed)
    pixels = np.rint(CAMERA.project(scene.joints)).astype(int)
    surface = scene.hand_depth[pixels[:, 1], pixels[:, 0]]
    assert (surface > 0).all()
    behind = scene.joints[:, 2] - surface
    assert behind.min() > 2  # mm below the skin
    assert scene.visible(hand.scale).any()


def test_the_hand_keeps_the_margin_and_is_anywhere_in_the_image() -> None:
    margin_px, middles = 8, []
    for seed in range(60):
        scene, _ = scene_of(seed, "medium")
        pixels = np.asarray(CAMERA.project(scene.vertices))
        assert pixels.min() >= margin_px - 1
        assert (pixels.max(axis=0) <= np.array([319, 239]) - margin_px + 1).all()
        middles.append(CAMERA.project(scene.joints.mean(axis=0)))
    spread = np.ptp(middles, axis=0)
    assert spread[0] > 160
    assert spread[1] > 90


def test_the_forearm_and_the_background_take_nothing_from_in_front_of_the_hand_but_by_the_arm() -> None:
    plain, _ = scene_of(3)
    around, _ = scene_of(3, background=True)
    hand = plain.hand_depth > 0
    np.testing.assert_array_equal(around.depth[hand], plain.depth[hand])
    assert (around.depth[~hand] > 0).mean() > 0.3
    assert around.depth[~hand & (around.depth > 0)].min() > plain.joints[:, 2].max()
    assert around.visible_share == 1.0
    armed, _ = scene_of(3, forearm=Forearm(0.3, 0.0, 200.0, 40.0, 34.0))
    assert ((armed.depth > 0) & (armed.hand_depth == 0)).sum() > 300


def test_a_joint_behind_another_surface_is_not_visible() -> None:
    joints = np.array([[0.0, 0.0, 520.0], [0.0, 0.0, 525.0], [60.0, 0.0, 500.0], [2000.0, 0.0, 500.0]])
    depth = np.full((CAMERA.height, CAMERA.width), 500.0, np.float32)
    depth[:, 180:] = 0
    scene = Scene(CAMERA, np.zeros(3), joints, joints, depth, depth)
    assert scene.visible(1.0).tolist() == [True, False, False, False]
    assert scene.visible(1.15).tolist() == [True, True, False, False]


def test_the_visible_joints_agree_with_images_of_another_generator(shared_data) -> None:
    """The rule is the one of the project's other synthetic images: its labels are predicted by re-posing the rig."""
    import json

    from handopt import forward_kinematics, rasterise, skin
    from handopt.rig import with_proportions

    agree = []
    for path in sorted((shared_data / "synthetic").glob("*/*.json")):
        label = json.loads(path.read_text())
        shape, camera = label["shape"], Camera.from_dict(label["camera"])
        proportions = np.concatenate([np.stack([shape["len"], shape["thick"]], 1).ravel(), shape["palm"]]) - 1
        rig = with_proportions(RIG, proportions)
        rotation = np.array(label["pose"]["R"]) @ RIG.bind[0, :, :3].T
        transforms = forward_kinematics(
            np.array([label["pose"]["angles_twist_abd_flex"]]), rotation[None],
            np.array([label["pose"]["t_mm"]], np.float64), np.array([shape["scale"]]),
            rig.parents, rig.articulated, rig.bind,
        )  # fmt: skip
        vertices = skin(transforms, rig.rest_mm, rig.skin_indices, rig.skin_weights)
        joints = np.array(label["joints_mm"])
        numbers = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
        depth = rasterise(vertices, rig.faces, numbers)[0].astype(np.float32)
        scene = Scene(camera, joints[0], vertices[0], joints, depth, depth)
        agree.append(scene.visible(shape["scale"]) == np.array(label["visible"]))
    assert np.mean(agree) > 0.98


def test_a_hand_that_does_not_fit_names_the_option() -> None:
    rng = np.random.default_rng(0)
    hand = sample_hand(rng, "easy")
    tiny = Camera(475.0, 475.0, 20.0, 20.0, 40, 40)
    with pytest.raises(ConfigError, match="camera="):
        place(rng, *posed(hand, RIG), tiny)
