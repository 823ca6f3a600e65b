"""Pose correctives of a model of MANO: how vertices, keypoints and normal equations follow the angles."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from support.mano_files import mano_arrays, write_mano
from support.observation_factory import CPU

from handopt.hand_model import Hand, Pose, exponential
from handopt.objective.corrective_motion import chained
from handopt.objective.pose_parameters import PoseParameters
from handopt.ops.normal_equations import pose_axes
from handopt.rig import Rig, load_rig
from handopt.rig.pose import posed_keypoints, posed_vertices

STEP = 1e-5
SHAPES = 10


@pytest.fixture(scope="module", params=["right", "left"])
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """A right-hand rig: that of a right model, or the mirror image of a left one."""
    side: str = request.param
    path = tmp_path_factory.mktemp("mano") / f"MANO_{side.upper()}.pkl"
    found = load_rig(write_mano(Path(path), mano_arrays(side)))
    return found if side == "right" else found.mirrored()


@cache
def poses(shapes: int = SHAPES) -> Pose:
    rng = np.random.default_rng(4)
    return Pose(
        angles=rng.uniform(-0.4, 0.9, (2, 15, 3)),
        rotation=exponential(rng.normal(size=(2, 3))),
        translation=rng.normal(size=(2, 3)) * 30 + [0, 0, 400],
        scale=np.array([1.1, 0.9]),
        image=np.zeros(2, np.int32),
        proportions=0.04 * rng.normal(size=(2, shapes)),
    )


def points_of(hand: Hand, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    transforms = hand.transforms(pose)
    return hand.vertices(transforms, hand.rest_of(pose)), hand.joints(transforms, hand.keypoints_of(pose))


def test_a_hand_on_a_device_has_the_rigs_correctives(rig: Rig) -> None:
    hand, pose = Hand.of(rig, CPU, np.float64), poses(0)
    transforms = hand.transforms(pose)
    vertices, joints = points_of(hand, pose)
    np.testing.assert_allclose(vertices, posed_vertices(rig, transforms, pose.angles), rtol=0, atol=1e-9)
    np.testing.assert_allclose(joints, posed_keypoints(rig, transforms, pose.angles), rtol=0, atol=1e-9)
    plain = posed_vertices(replace(rig, pose_correctives=None), transforms)
    assert np.linalg.norm(vertices - plain, axis=2).max() > 0.3, "the correctives of this pose move nothing"


@pytest.mark.parametrize("sampled", [False, True])
def test_the_gradient_of_the_angles_is_that_of_finite_differences(rig: Rig, sampled: bool) -> None:
    hand, pose, rng = Hand.of(rig, CPU, np.float64), poses(), np.random.default_rng(0)
    hand = hand.coarse(60) if sampled else hand
    vertices, joints = points_of(hand, pose)
    grad_vertices, grad_joints = rng.normal(size=vertices.shape), rng.normal(size=joints.shape)
    transforms, rest, keypoints = hand.transforms(pose), hand.rest_of(pose), hand.keypoints_of(pose)
    grad_transforms, _ = hand.vertices_backward(grad_vertices, transforms, rest, rest_gradient=False)
    grad_transforms += hand.joints_backward(grad_joints, transforms, keypoints)
    gradient = hand.transforms_backward(grad_transforms, pose)[0]
    correction = hand.correctives_backward(grad_vertices, grad_joints, transforms, rest, keypoints, pose)
    for seed in range(3):
        step = STEP * np.random.default_rng(seed).normal(size=pose.angles.shape)
        ends = [points_of(hand, replace(pose, angles=pose.angles + sign * step)) for sign in (1, -1)]
        change = ((ends[0][0] - ends[1][0]) * grad_vertices).sum(axis=(1, 2))
        change += ((ends[0][1] - ends[1][1]) * grad_joints).sum(axis=(1, 2))
        slopes = 2 * ((gradient + correction) * step).sum(axis=(1, 2))
        np.testing.assert_allclose(slopes, change, rtol=1e-6)
    assert np.abs(correction).max() > 1e-3 * np.abs(gradient).max()


@pytest.mark.parametrize("shapes", [0, SHAPES])
def test_normal_equations_are_those_of_finite_differences(rig: Rig, shapes: int) -> None:
    hand, pose, rng = Hand.of(rig, CPU, np.float64).coarse(40), poses(shapes), np.random.default_rng(1)
    parameters = PoseParameters(hand)
    size = parameters.count + shapes
    motion = np.empty((2, size, 40, 3))
    for number in range(size):
        step = np.zeros((2, size))
        step[:, number] = STEP
        ends = [points_of(hand, parameters.moved(pose, sign * step))[0] for sign in (1, -1)]
        motion[:, number] = (ends[0] - ends[1]) / (2 * STEP)
    factors = rng.normal(size=(2, 40, 3, 3))
    blocks, slopes = factors @ factors.transpose(0, 1, 3, 2), rng.normal(size=(2, 40, 3))
    rows, columns = np.triu_indices(3)
    packed = np.ascontiguousarray(np.concatenate([blocks[:, :, rows, columns], slopes], axis=2))
    bind, transforms = hand.bind_of(pose), hand.transforms(pose)
    basis = np.ascontiguousarray(hand.joint_basis[:shapes])
    moving = pose_axes(pose.angles, transforms, pose.scale, hand.parents, hand.articulated, bind, basis)
    hessian, gradient = chained(
        pose.angles, hand.vertex_correctives, packed, points_of(hand, pose)[0], transforms, pose.translation,
        hand.rest_of(pose), hand.indices, hand.weights, hand.ancestry, hand.columns, moving.axes,
        moving.joint_positions, np.ascontiguousarray(hand.vertex_basis[:shapes]), moving.bind_jacobian,
    )  # fmt: skip
    expected = np.einsum("bpva,bvac,bqvc->bpq", motion, blocks, motion)
    np.testing.assert_allclose(hessian, np.tril(expected), rtol=0, atol=1e-6 * np.abs(expected).max())
    slope = np.einsum("bpva,bva->bp", motion, slopes)
    np.testing.assert_allclose(gradient, slope, rtol=0, atol=1e-6 * np.abs(slope).max())
