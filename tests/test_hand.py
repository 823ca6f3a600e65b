"""A rig's arrays on a device, poses of it, and rotations from tangents."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from support import reference
from support.compare import assert_close, assert_same_bits, directional_derivative_error
from support.observation_factory import CPU, near_poses, on_device
from support.op_check import Place

from handopt.backend import device_of, to_device
from handopt.hand_model import Hand, Pose, exponential
from handopt.rig import PROPORTION_NAMES, default_rig, with_proportions
from handopt.rig.anatomy import MIRROR

Floats = NDArray[np.float64]

ROUNDING = "a few roundings of float64 coordinates of some 100 mm"


@pytest.fixture(scope="module")
def hand() -> Hand:
    return Hand.of(default_rig("right"), CPU, np.float64)


@pytest.fixture
def pose() -> Pose:
    return near_poses((0.2, 0.9), (0, 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_array_is_on_the_device_in_its_precision(dtype: type, device: Place) -> None:
    hand = Hand.of(default_rig("right"), device.device, dtype)
    whole = {"indices", "parents", "articulated", "keypoint_joints", "bones", "faces", "ancestry", "columns"}
    for name, array in vars(hand).items():
        if name == "device":
            continue
        assert device_of(array) == device.device, name
        assert array.dtype == (np.int32 if name in whole else dtype), name
        assert array.flags.c_contiguous, name
    free = device.fetch(hand.free)
    assert set(np.unique(free)) == {0, 1}
    assert_same_bits(free == 1, device.fetch(hand.upper) > device.fetch(hand.lower), "free")


def test_vertices_and_joints_are_those_of_the_twins(hand: Hand, pose: Pose, device: Place) -> None:
    rig = default_rig("right")
    transforms = reference.forward_kinematics(
        pose.angles, pose.rotation, pose.translation, pose.scale, rig.parents, rig.articulated, rig.bind, 1
    )
    there = Hand.of(rig, device.device, np.float64)
    found = there.transforms(on_device(pose, device.device))
    assert_close(device.fetch(found), transforms, of_max=1e-14, reason=ROUNDING)
    vertices = reference.skin(transforms, rig.rest_mm, rig.skin_indices, rig.skin_weights)
    assert_close(device.fetch(there.vertices(found)), vertices, of_max=1e-14, reason=ROUNDING)
    normals = reference.skin_normals(transforms, rig.normals, rig.skin_indices, rig.skin_weights)
    skin = device.fetch(there.normals).any(axis=1)
    assert skin.mean() > 0.95
    posed_normals = device.fetch(there.vertex_normals(found))
    assert_close(posed_normals[:, skin], normals[:, skin], atol=1e-13, reason=ROUNDING)
    assert not posed_normals[:, ~skin].any(), "what is no skin has no normal"
    origins = np.concatenate([rig.bind[:, :, 3], np.ones((25, 1))], axis=1)
    joints = np.einsum("bjac,jc->bja", transforms, origins)[:, rig.keypoint_joints]
    assert_close(device.fetch(there.joints(found)), joints, of_max=1e-14, reason=ROUNDING)


def test_other_rest_vertices_can_be_posed(hand: Hand, pose: Pose) -> None:
    transforms = hand.transforms(pose)
    shifted = hand.vertices(transforms, hand.rest + 1.0) - hand.vertices(transforms)
    assert_close(np.linalg.norm(shifted, axis=2).max(axis=1), np.sqrt(3) * pose.scale, rtol=1e-12, reason=ROUNDING)
    assert_same_bits(hand.vertices(transforms, hand.rest), hand.vertices(transforms), "vertices")


def proportioned(pose: Pose) -> Pose:
    """The poses, with random proportions."""
    return replace(pose, proportions=0.1 * np.random.default_rng(3).normal(size=(len(pose), len(PROPORTION_NAMES))))


def test_without_proportions_the_rig_is_as_it_is(hand: Hand, pose: Pose) -> None:
    assert hand.rest_of(pose) is hand.rest
    assert hand.bind_of(pose) is hand.bind
    assert hand.keypoints_of(pose) is hand.keypoints


def test_proportions_are_those_of_the_rig(pose: Pose, device: Place) -> None:
    rig, pose = default_rig("right"), proportioned(pose)
    hand, there = Hand.of(rig, device.device, np.float64), on_device(pose, device.device)
    rest, bind, keypoints = (device.fetch(f(there)) for f in (hand.rest_of, hand.bind_of, hand.keypoints_of))
    transforms = hand.transforms(there)
    vertices = device.fetch(hand.vertices(transforms, hand.rest_of(there)))
    joints = device.fetch(hand.joints(transforms, hand.keypoints_of(there)))
    for b, coefficients in enumerate(pose.proportions):
        other = with_proportions(rig, coefficients)
        assert_close(rest[b], other.rest_mm, atol=1e-12, reason=ROUNDING)
        assert_close(bind[b], other.bind, atol=1e-12, reason=ROUNDING)
        assert_close(keypoints[b], other.bind[other.keypoint_joints, :, 3], atol=1e-12, reason=ROUNDING)
        alone = pose.select(np.array([b]))
        alone.proportions = np.zeros((1, 0))
        changed = Hand.of(other, CPU, np.float64)
        expected = changed.transforms(alone)
        assert_close(device.fetch(transforms)[b], expected[0], atol=1e-11, reason=ROUNDING)
        assert_close(vertices[b], changed.vertices(expected)[0], atol=1e-11, reason=ROUNDING)
        assert_close(joints[b], changed.joints(expected)[0], atol=1e-11, reason=ROUNDING)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_pose_has_its_proportions_whatever_the_others_are(dtype: type, pose: Pose) -> None:
    hand = Hand.of(default_rig("right"), CPU, dtype)
    pose = Pose(*(a.astype(a.dtype if a.dtype == np.int32 else dtype) for a in vars(proportioned(pose)).values()))
    for f in (hand.rest_of, hand.bind_of, hand.keypoints_of):
        whole = f(pose)
        assert whole.dtype == dtype
        assert whole.flags.c_contiguous
        for b in range(2):
            assert_same_bits(f(pose.select(np.array([b]))), whole[b : b + 1], f.__name__)


@pytest.mark.parametrize("count", [1, 40, 300])
def test_a_coarse_hand_has_some_of_the_vertices(count: int, hand: Hand, pose: Pose) -> None:
    coarse = hand.coarse(count)
    rows = np.array([np.flatnonzero((hand.rest == vertex).all(axis=1))[0] for vertex in coarse.rest])
    assert len(rows) == count
    assert (np.diff(rows) > 0).all(), "each once, in order"
    for name in ("normals", "indices", "weights"):
        assert_same_bits(getattr(coarse, name), getattr(hand, name)[rows], name)
    assert_same_bits(coarse.vertex_basis, hand.vertex_basis[:, rows].copy(), "vertex_basis")
    assert len(coarse.faces) == 0
    others = {"device", "rest", "normals", "indices", "weights", "vertex_basis", "faces"}
    assert all(getattr(coarse, name) is array for name, array in vars(hand).items() if name not in others)
    for array in vars(coarse).values():
        assert array is CPU or array.flags.c_contiguous
    pose = proportioned(pose)
    whole, part = (each.vertices(each.transforms(pose), each.rest_of(pose)) for each in (hand, coarse))
    assert_close(part, whole[:, rows], atol=1e-12, reason=ROUNDING)


def test_a_coarse_hand_is_spread_evenly(hand: Hand) -> None:
    coarse = hand.coarse(150)
    apart = cKDTree(coarse.rest).query(coarse.rest, 2)[0][:, 1]
    gaps = cKDTree(coarse.rest).query(hand.rest)[0]
    assert gaps.max() <= apart.min(), "no vertex is further from the chosen ones than those are from each other"


def test_a_hand_has_no_more_vertices_than_it_has(hand: Hand) -> None:
    assert_same_bits(hand.coarse(5000).rest, hand.rest, "rest")


def test_gradients_of_vertices_and_joints(hand: Hand, pose: Pose, rng: np.random.Generator) -> None:
    transforms = hand.transforms(pose)
    cotangent, joint_cotangent = rng.normal(size=(2, 1159, 3)), rng.normal(size=(2, 21, 3))
    by_transforms, by_rest = hand.vertices_backward(cotangent, transforms, hand.rest, rest_gradient=True)
    cases = {
        "transforms": (by_transforms, transforms, lambda x: (cotangent * hand.vertices(x)).sum()),
        "rest": (by_rest, hand.rest, lambda x: (cotangent * hand.vertices(transforms, x)).sum()),
        "joints": (
            hand.joints_backward(joint_cotangent, transforms, hand.keypoints),
            transforms,
            lambda x: (joint_cotangent * hand.joints(x)).sum(),
        ),
    }
    for name, (gradient, at, value) in cases.items():
        error = directional_derivative_error(value, gradient, at, rng.normal(size=at.shape), 1e-3)
        assert error <= 1e-8, f"{name}: linear, so a central difference is exact but for rounding"


def test_gradient_of_the_pose(hand: Hand, pose: Pose, rng: np.random.Generator) -> None:
    cotangent = rng.normal(size=(2, 25, 3, 4))
    gradients = hand.transforms_backward(cotangent, pose)
    assert [g.shape for g in gradients] == [(2, 15, 3), (2, 3), (2, 3), (2,)]

    def value(step: list[Floats]) -> float:
        turn = np.stack([reference.exponential(w) for w in step[1]])
        moved = Pose(
            pose.angles + step[0],
            turn @ pose.rotation,
            pose.translation + step[2],
            pose.scale + step[3],
            pose.image,
            pose.proportions,
        )
        return float((cotangent * hand.transforms(moved)).sum())

    for group, gradient in enumerate(gradients):

        def along(amount: Floats, group: int = group) -> float:
            return value([amount if k == group else np.zeros(g.shape) for k, g in enumerate(gradients)])

        direction = rng.normal(size=gradient.shape)
        assert directional_derivative_error(along, gradient, np.zeros(gradient.shape), direction, 1e-5) <= 1e-7


def test_poses_are_selected_as_copies(pose: Pose) -> None:
    picked = pose.select(np.array([1, 0, 1]))
    assert len(picked) == 3
    assert_same_bits(picked.angles, pose.angles[[1, 0, 1]], "angles")
    assert picked.image.tolist() == [1, 0, 1]
    for taken in (pose.select(np.array([0, 1])), pose.copy()):
        for name, array in vars(taken).items():
            assert_same_bits(array, getattr(pose, name), name)
            array[:] = 0
    assert pose.scale.min() > 0
    assert pose.image.tolist() == [0, 1]


def test_poses_are_joined_in_order(pose: Pose) -> None:
    joined = pose.joined(pose.select(np.array([1])))
    assert len(joined) == 3
    for name, array in vars(joined).items():
        assert_same_bits(array, getattr(pose, name)[[0, 1, 1]], name)
        assert array.flags.c_contiguous


def test_the_mirror_turns_x() -> None:
    assert MIRROR.tolist() == [-1, 1, 1]


def test_exponential(device: Place, rng: np.random.Generator) -> None:
    tangents = np.concatenate(
        [rng.normal(size=(5, 3)), 1e-5 * rng.normal(size=(2, 3)), [[0, 0, 0], [np.pi, 0, 0], [0, -3 * np.pi, 0]]]
    )
    found = device.fetch(exponential(to_device(tangents, device.device, np.float64)))
    expected = np.stack([reference.exponential(w) for w in tangents])
    assert_close(found, expected, atol=1e-14, reason="sines and cosines, rounded")
    assert_same_bits(found[7], np.eye(3), "no turn at all")
    single = exponential(to_device(tangents, device.device, np.float32))
    assert single.dtype == np.float32
    assert_close(device.fetch(single), expected, atol=1e-6, reason="angles up to 10 with an error of 6e-8 of them")


@pytest.mark.parametrize("size", [1e-20, 1e-12, 1e-8, 1e-4])
def test_exponential_of_small_tangents_keeps_them(size: float) -> None:
    tangent = size * np.array([[0.6, -0.8, 0.3]])
    rotation = exponential(tangent)[0]
    found = [rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]]
    assert_close(np.array(found) / 2, tangent[0], rtol=1e-8, atol=1e-16, reason="sin w = w but for w cubed")
