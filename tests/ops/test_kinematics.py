"""Forward kinematics: pose to joint transforms."""

from typing import Any

import numpy as np
import pytest
from support import reference
from support.compare import assert_close, assert_same_bits
from support.op_check import (
    Floats,
    Place,
    check_arguments,
    check_backward_arguments,
    check_batch,
    check_mixed_devices,
    check_op,
)
from support.problems_hand import hand_chain, kinematics_problem, random_rotations

from handopt.errors import ShapeError
from handopt.ops.kinematics import forward_kinematics, forward_kinematics_backward

EXACT = "a few roundings of float64 coordinates of some 100 mm"
TWIST, ABDUCTION, FLEXION = range(3)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("own_bind", [False, True], ids=["shared", "own"])
def test_twin_gradient_and_devices(side: int, own_bind: bool, device: Place) -> None:
    reason = "five float32 rotations in a row, each with some 5 roundings of 6e-8"
    check_op(kinematics_problem(side, own_bind=own_bind), device, 3e-6, reason)


@pytest.mark.parametrize("own_bind", [False, True], ids=["shared", "own"])
def test_batch(own_bind: bool) -> None:
    check_batch(kinematics_problem(own_bind=own_bind))


@pytest.mark.parametrize("own_bind", [False, True], ids=["shared", "own"])
def test_arguments(own_bind: bool) -> None:
    check_arguments(kinematics_problem(own_bind=own_bind))
    check_backward_arguments(kinematics_problem(own_bind=own_bind))


def test_equal_bind_matrices_of_all_images_are_shared_ones() -> None:
    arrays = kinematics_problem().arrays
    own = {**arrays, "bind": np.repeat(arrays["bind"][None], 3, axis=0)}
    assert_same_bits(forward_kinematics(**own), forward_kinematics(**arrays))
    cotangent = np.ones((3, 25, 3, 4))
    for found, expected in zip(
        forward_kinematics_backward(cotangent, **own), forward_kinematics_backward(cotangent, **arrays), strict=True
    ):
        assert_same_bits(found, expected)


def test_mixed_devices(device: Place) -> None:
    check_mixed_devices(kinematics_problem(), device)


def rest_pose(batch: int = 1) -> dict[str, Any]:
    """Open hand, no rotation, wrist at the origin; bind frames have the axes of the rig."""
    parents, articulated = hand_chain()
    positions = np.random.default_rng(0).normal(size=(25, 3, 1)) * 40
    return {
        "angles": np.zeros((batch, 15, 3)),
        "rotation": np.tile(np.eye(3), (batch, 1, 1)),
        "translation": np.zeros((batch, 3)),
        "scale": np.ones(batch),
        "parents": parents,
        "articulated": articulated,
        "bind": np.concatenate([np.tile(np.eye(3), (25, 1, 1)), positions], axis=2),
    }


def moved(transforms: Floats, points: Floats) -> Floats:
    """The points (3,) or (J, 3) under the transforms (J, 3, 4)."""
    return (
        np.squeeze(transforms[..., :3] @ np.broadcast_to(points, (len(transforms), 3))[..., None], -1)
        + transforms[..., 3]
    )


def test_zero_angles_place_the_rest_mesh_with_the_wrist_at_the_translation(rng: np.random.Generator) -> None:
    pose = rest_pose()
    pose["bind"][:, :, :3] = random_rotations(rng, 25)
    pose["rotation"], pose["scale"] = random_rotations(rng, 1), np.array([1.3])
    pose["translation"] = np.array([[10.0, -20.0, 400.0]])
    transforms = forward_kinematics(**pose)[0]
    point, wrist = rng.normal(size=3) * 50, pose["bind"][0, :, 3]
    expected = 1.3 * pose["rotation"][0] @ (point - wrist) + pose["translation"][0]
    assert_close(moved(transforms, point), np.tile(expected, (25, 1)), atol=1e-11, reason=EXACT)
    assert_close(moved(transforms, wrist)[0], pose["translation"][0], atol=1e-11, reason=EXACT)


@pytest.mark.parametrize(
    ("angle", "side", "expected"),
    [
        (FLEXION, 1, [0, -np.sin(0.3), -np.cos(0.3)]),  # to the palm, which is at -Y
        (FLEXION, -1, [0, -np.sin(0.3), -np.cos(0.3)]),
        (ABDUCTION, 1, [-np.sin(0.3), 0, -np.cos(0.3)]),  # to the thumb, which is at -X on a right hand
        (ABDUCTION, -1, [np.sin(0.3), 0, -np.cos(0.3)]),
        (TWIST, 1, [0, 0, -1]),  # about the bone, which is along -Z
        (TWIST, -1, [0, 0, -1]),
    ],
)
def test_angles_turn_the_bone_as_documented(angle: int, side: int, expected: list[float]) -> None:
    pose = rest_pose()
    pose["angles"][0, 3, angle] = 0.3
    joint = pose["articulated"][3]
    bone = forward_kinematics(**pose, side=side)[0, joint, :, :3] @ np.array([0.0, 0.0, -1.0])
    assert_close(bone, expected, atol=1e-15, reason="one sine and cosine")


def test_twist_comes_first_then_flexion_then_abduction() -> None:
    pose = rest_pose()
    pose["angles"][0, 3] = 0.4, 0.2, 0.7
    expected = reference.rotation_about(1, 0.2) @ reference.rotation_about(0, -0.7) @ reference.rotation_about(2, 0.4)
    found = forward_kinematics(**pose)[0, pose["articulated"][3], :, :3]
    assert_close(found, expected, atol=1e-15, reason="three rotations")


def test_a_joint_moves_its_descendants_only_and_not_itself() -> None:
    pose = rest_pose()
    before = forward_kinematics(**pose)[0]
    pose["angles"][0, 6] = 0.1, 0.2, 0.3
    after = forward_kinematics(**pose)[0]
    joint = int(pose["articulated"][6])
    changed = np.flatnonzero(np.abs(after - before).max((1, 2)) > 1e-9)
    assert changed.tolist() == [joint, joint + 1, joint + 2, joint + 3]
    origin = pose["bind"][joint, :, 3]
    assert_close(moved(after, origin)[joint], moved(before, origin)[joint], atol=1e-12, reason=EXACT)


def test_the_left_hand_is_the_mirror_image_of_the_right_one() -> None:
    right = kinematics_problem().arrays
    mirror = np.diag([-1.0, 1.0, 1.0])
    left = {
        **right,
        "rotation": np.ascontiguousarray(mirror @ right["rotation"] @ mirror),
        "translation": right["translation"] @ mirror,
        "bind": np.concatenate([mirror @ right["bind"][..., :3] @ mirror, mirror @ right["bind"][..., 3:]], axis=2),
    }
    expected = forward_kinematics(**right, side=1)
    expected = np.concatenate([mirror @ expected[..., :3] @ mirror, mirror @ expected[..., 3:]], axis=3)
    assert_close(forward_kinematics(**left, side=-1), expected, atol=1e-10, reason=EXACT)


def test_gradient_to_the_rotation_is_its_tangent_in_camera_axes() -> None:
    arrays = kinematics_problem().arrays
    cotangent = np.zeros((3, 25, 3, 4))
    cotangent[:, 0, :, 3] = [1.0, 2.0, 3.0]  # moves the image of the rig's origin
    _, grad_rotation, grad_translation, _ = forward_kinematics_backward(cotangent, **arrays)
    lever = forward_kinematics(**arrays)[:, 0, :, 3] - arrays["translation"]
    assert_close(grad_rotation, np.cross(lever, [1.0, 2.0, 3.0]), atol=1e-10, reason=EXACT)
    assert_close(grad_translation, np.tile([1.0, 2.0, 3.0], (3, 1)), atol=1e-12, reason=EXACT)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("articulated", np.arange(11, 26, dtype=np.int32)),
        ("parents", np.full(25, -2, np.int32)),
        ("parents", np.array([-1, *[25] * 24], np.int32)),
        ("parents", np.array([-1, 2, 1, *[0] * 22], np.int32)),
    ],
)
def test_indices_are_checked(name: str, value: Any) -> None:
    with pytest.raises(ShapeError, match=name):
        forward_kinematics(**{**rest_pose(), name: value})


def test_side_and_number_of_joints_are_checked() -> None:
    with pytest.raises(ShapeError, match="side"):
        forward_kinematics(**rest_pose(), side=0)
    pose = rest_pose()
    pose["parents"] = np.arange(-1, 64, dtype=np.int32)
    pose["bind"] = np.tile(np.eye(3, 4), (65, 1, 1))
    with pytest.raises(ShapeError, match="at most 64 joints"):
        forward_kinematics(**pose)


def test_the_largest_chain(device: Place) -> None:
    rng = np.random.default_rng(3)
    arrays = kinematics_problem().arrays
    arrays["parents"] = np.arange(-1, 63, dtype=np.int32)
    arrays["bind"] = np.concatenate([random_rotations(rng, 64), rng.normal(size=(64, 3, 1))], axis=2)
    found = device.fetch(forward_kinematics(**device.send(arrays)))
    expected = reference.forward_kinematics(*(*arrays.values(), 1))
    assert_close(found, expected, of_max=1e-12, reason="float64 sums in another order")


def test_an_empty_batch() -> None:
    assert forward_kinematics(**rest_pose(0)).shape == (0, 25, 3, 4)
    gradients = forward_kinematics_backward(np.zeros((0, 25, 3, 4)), **rest_pose(0))
    assert [g.shape for g in gradients] == [(0, 15, 3), (0, 3), (0, 3), (0,)]
