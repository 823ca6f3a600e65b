"""The layer: the hand that handopt poses, its gradients, every form of a pose, both sides, other rigs, and errors."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.mano_files import TIP_VERTICES, mano_arrays, mano_reference, write_mano
from support.problems_hand import random_rotations

from handopt.backend import Device
from handopt.errors import ConfigError, RigError, ShapeError
from handopt.hand_model import Hand, Pose
from handopt.rig import Rig, default_rig, load_rig
from handopt.rig.joints import MANO_ROWS
from handopt.rig.pose import joint_transforms, posed_keypoints, posed_vertices

torch = pytest.importorskip("torch", reason="not tested: torch is not installed; pip install -e '.[torch]'")

from handopt.torch import HandLayer  # noqa: E402
from handopt.torch.hand_layer import POSES  # noqa: E402
from handopt.torch.rotations import angles_to_matrix, matrix_to_angles  # noqa: E402

BATCH = 3
CENTRE_MM = (20.0, -10.0, 430.0)


@pytest.fixture(scope="module", params=["right", "left", "mano"])
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """handopt's own hands, and a left one in the form of MANO, which has pose correctives."""
    if request.param != "mano":
        return default_rig(request.param)
    path: Path = write_mano(tmp_path_factory.mktemp("mano") / "MANO_LEFT.pkl", mano_arrays("left"))
    return load_rig(path, "left")


def poses(seed: int = 0) -> tuple[Any, Any, Any, Any]:
    """Rotations, angles beyond 90 degrees of flexion, places and sizes of BATCH hands."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform([-0.4, -0.3, -0.3], [0.4, 0.3, 1.9], (BATCH, 15, 3))
    return random_rotations(rng, BATCH), angles, CENTRE_MM + rng.normal(size=(BATCH, 3)), rng.uniform(0.8, 1.2, BATCH)


def inputs(layer: Any, seed: int = 0) -> tuple[Any, Any, Any]:
    """The same as tensors that ask for a gradient."""
    rotation, angles, place, size = poses(seed)
    tensors = (layer.pose_of(rotation, angles), *(torch.tensor(each).to(layer.rest) for each in (place, size)))
    return tuple(each.requires_grad_() for each in tensors)


@pytest.mark.parametrize("form", POSES)
def test_the_layer_poses_as_handopt_does(rig: Rig, form: str) -> None:
    rotation, angles, place, size = poses()
    layer = HandLayer(rig, form, dtype=torch.float64)
    found = layer(*inputs(layer))
    transforms = joint_transforms(rig, rotation, place, angles, size)
    expected = {
        "vertices": posed_vertices(rig, transforms, angles),
        "joints": posed_keypoints(rig, transforms, angles),
        "transforms": transforms,
        "angles": angles,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(found, name).detach().numpy(), values, atol=1e-9, err_msg=name)
    assert not found.normals.requires_grad
    flat = layer(*(each.flatten(1) if each.ndim == 3 else each for each in inputs(layer)))
    torch.testing.assert_close(flat.vertices, found.vertices, rtol=0, atol=0)


@pytest.mark.parametrize("form", POSES)
def test_gradients_of_a_posed_hand_are_those_of_finite_differences(rig: Rig, form: str) -> None:
    layer = HandLayer(rig, form, freeze=False, dtype=torch.float64)
    given = [*inputs(layer), layer.rest.clone().requires_grad_()]

    def call(*moving: Any) -> tuple[Any, ...]:
        found = layer(*moving[:3], rest=moving[3])
        return found.vertices, found.joints, found.angles, found.bending

    assert torch.autograd.gradcheck(call, given, eps=1e-6, atol=1e-4, rtol=1e-4, fast_mode=True)
    shape = torch.full((BATCH, len(layer.shape_names)), 0.02, dtype=torch.float64, requires_grad=True)

    def shaped(*moving: Any) -> tuple[Any, ...]:
        found = layer(*moving)
        return found.vertices, found.joints

    assert torch.autograd.gradcheck(shaped, [*given[:3], shape], eps=1e-6, atol=1e-4, rtol=1e-4, fast_mode=True)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_layer_of_mano_follows_the_published_equations(side: str, tmp_path: Path) -> None:
    arrays, rng = mano_arrays(side), np.random.default_rng(3)
    rig = load_rig(write_mano(tmp_path / f"MANO_{side.upper()}.pkl", arrays))
    layer = HandLayer(rig, "axis-angle", dtype=torch.float64)
    pose, betas = rng.normal(0, 0.5, (BATCH, 16, 3)), rng.normal(size=(BATCH, 10))
    assert rig.shape_space is not None
    rows = [MANO_ROWS[int(np.flatnonzero(rig.keypoint_joints == joint)[0])] for joint in rig.articulated]
    shape = np.array([rig.shape_space.coefficients(each) for each in betas])
    expected = [mano_reference(arrays, turns, each, np.zeros(3)) for turns, each in zip(pose, betas, strict=True)]
    wrist = np.array([joints[0] for _, joints in expected]) * 1000
    given = (np.concatenate([pose[:, :1], pose[:, rows]], axis=1), wrist)
    found = layer(*map(torch.tensor, given), shape=torch.tensor(shape))
    vertices = np.array([each for each, _ in expected]) * 1000
    np.testing.assert_allclose(found.vertices.numpy(), vertices, atol=1e-8)
    np.testing.assert_allclose(found.joints.numpy()[:, 4::4], vertices[:, list(TIP_VERTICES)], atol=1e-8)


@pytest.mark.parametrize("of_mano", [False, True])
def test_a_shape_moves_the_hand_as_it_does_in_a_fit(of_mano: bool, tmp_path: Path) -> None:
    rig = load_rig(write_mano(tmp_path / "MANO_RIGHT.pkl", mano_arrays())) if of_mano else default_rig("right")
    rotation, angles, place, size = poses()
    shape = np.random.default_rng(1).normal(size=(BATCH, len(rig.shape_names))) * 0.05
    hand = Hand.of(rig, Device("cpu"), np.float64)
    pose = Pose(angles, rotation, place, size, np.zeros(BATCH, np.int32), shape)
    transforms = hand.transforms(pose)
    for form in POSES:
        layer = HandLayer(rig, form, dtype=torch.float64)
        found = layer(*inputs(layer), shape=torch.tensor(shape))
        expected = hand.vertices(transforms, hand.rest_of(pose)), hand.joints(transforms, hand.keypoints_of(pose))
        np.testing.assert_allclose(found.vertices.detach().numpy(), expected[0], atol=1e-9)
        np.testing.assert_allclose(found.joints.detach().numpy(), expected[1], atol=1e-9)
    same = layer(*inputs(layer), shape=torch.zeros(len(rig.shape_names), dtype=torch.float64))
    torch.testing.assert_close(same.vertices, layer(*inputs(layer)).vertices)


def test_rest_vertices_may_be_shared_or_of_each_image() -> None:
    layer = HandLayer("right", "euler", dtype=torch.float64)
    given = inputs(layer)
    moved = layer.rest + torch.rand(layer.rest.shape, dtype=torch.float64)
    shared, own = moved.clone().requires_grad_(), moved.repeat(BATCH, 1, 1).requires_grad_()
    weights = torch.rand(BATCH, *layer.rest.shape, dtype=torch.float64)
    for rest in (shared, own):
        found = layer(*given, rest=rest)
        (found.vertices * weights).sum().backward()
        offsets = (moved - layer.rest).numpy()
        expected = layer.rig.laplacian() @ offsets
        np.testing.assert_allclose(found.bending.detach().numpy().reshape(-1, 3)[: len(expected)], expected, atol=1e-12)
    torch.testing.assert_close(own.grad.sum(0), shared.grad)


def test_one_operator_gives_what_the_single_ones_give() -> None:
    layer = HandLayer("left", "euler", dtype=torch.float64)
    zeros = torch.zeros(BATCH, len(layer.shape_names), dtype=torch.float64)
    gradients = []
    for shape in (None, zeros):
        given = inputs(layer)
        found = layer(*given, shape=shape)
        (found.vertices.square().sum() + found.joints.sum() + found.angles.square().sum()).backward()
        gradients.append([each.grad for each in given])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_angles_that_are_held_fast_have_no_gradient() -> None:
    for shape in (None, torch.zeros(13, dtype=torch.float64)):
        layer = HandLayer("right", "euler", dtype=torch.float64)
        given = inputs(layer)
        found = layer(*given, shape=shape)
        (found.vertices.square().sum() + found.angles.sum()).backward()
        moves = given[0].grad[:, 1:].abs().sum(0).numpy() > 0
        np.testing.assert_array_equal(moves, layer.rig.limits.free)


def test_float32_is_kept_and_to_moves_the_layer() -> None:
    layer = HandLayer("right", "6d")
    assert layer(*inputs(layer)).vertices.dtype == torch.float32
    assert layer.double()(*inputs(layer)).vertices.dtype == torch.float64
    assert layer.indices.dtype == torch.int32
    assert not list(layer.parameters())
    assert not layer.state_dict()


def test_the_operators_of_the_layer_pass_opcheck() -> None:
    layer = HandLayer("right", "euler", dtype=torch.float64)
    layer.rest, layer.indices, layer.weights = layer.rest[:40], layer.indices[:40], layer.weights[:40]
    layer.rest_normals, layer.neighbour_shares = layer.rest_normals[:40], layer.neighbour_shares[:40]
    layer.neighbours = layer.neighbours[:40].clamp(max=39)
    for of_rest in (False, True):
        arguments = captured(layer, of_rest)
        for name in ("posed_hand", "posed_hand_backward"):
            torch.library.opcheck(getattr(torch.ops.handopt, name).default, arguments[name])


def captured(layer: Any, of_rest: bool) -> dict[str, Any]:
    """The arguments with which the layer's two operators are called."""
    from handopt.torch import posed_hand

    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, attribute in (("posed_hand", "_forward"), ("posed_hand_backward", "_backward")):
            real = getattr(posed_hand, attribute)

            def record(*arguments: Any, real: Any = real, name: str = name) -> Any:
                found[name] = tuple([t.detach() for t in a] if isinstance(a, list) else a for a in arguments)
                return real(*arguments)

            patch.setattr(posed_hand, attribute, record)
        posed = layer(*inputs(layer), rest=layer.rest.clone().requires_grad_() if of_rest else None)
        posed.vertices.sum().backward()
    return found


def test_angles_come_back_from_matrices() -> None:
    angles = torch.tensor(poses()[1])
    for side in (1, -1):
        torch.testing.assert_close(matrix_to_angles(angles_to_matrix(angles, side), side), angles)
    right_angle = torch.tensor([[0.0, 0.0, np.pi / 2]], dtype=torch.float64)
    local = angles_to_matrix(right_angle, 1).requires_grad_()
    found = matrix_to_angles(local, 1)
    found.sum().backward()
    torch.testing.assert_close(found, right_angle, atol=2e-3, rtol=0)
    assert local.grad.isfinite().all()


def test_wrong_arguments_are_refused_by_name() -> None:
    layer = HandLayer("right", "euler")
    pose, place, size = inputs(layer)
    for call, message in (
        (lambda: layer(pose[:, :15], place), "pose: expected shape (B, 16, 3) or (B, 48), got (3, 15, 3)"),
        (lambda: layer(pose, place[:, :2]), "translation: expected shape (B=3, 3), got (3, 2)"),
        (lambda: layer(pose, place.double()), "translation: expected float32 as in the other arguments, got float64"),
        (lambda: layer(pose, place, size[:2]), "scale: expected shape (B=3), got (2,)"),
        (lambda: layer(pose, place, shape=torch.zeros(4)), "shape: expected shape (13,) or (3, 13), got (4,)"),
        (lambda: layer(pose, place, rest=layer.rest[:9]), "rest: expected shape (1159, 3) or (B, 1159, 3), got (9, 3)"),
        (lambda: layer.pose_of(np.eye(3), np.zeros((1, 15, 3))), "pose: expected rotation (B, 3, 3) and angles_rad"),
        (lambda: layer(pose, place.to("meta")), "one device, the CPU or a CUDA GPU, got one on meta"),
    ):
        with pytest.raises(ShapeError, match=re.escape(message)):
            call()
    with pytest.raises(ConfigError, match="pose: expected one of euler, axis-angle, 6d, got 'quaternion'"):
        HandLayer("right", "quaternion")
    with pytest.raises(RigError, match="hand: expected 'right', 'left' or a rig, got 'both'"):
        HandLayer("both")
