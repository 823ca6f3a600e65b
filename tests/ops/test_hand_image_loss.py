"""One image-iteration in one call, against the twins and against the ops that it joins."""

from typing import Any

import numpy as np
import pytest
from support import reference
from support.compare import assert_close, assert_same_bits
from support.op_check import Arrays, Place

from handopt import backend
from handopt.errors import ShapeError
from handopt.ops.collision import collision, collision_backward
from handopt.ops.hand_image_loss import CollisionTerm, hand_image_loss
from handopt.ops.projection import project, project_backward
from handopt.ops.skinning import skin, skin_backward
from handopt.ops.splat_loss import splat_loss

SIZE, BONES = 18, np.array([[0, 1], [1, 2]], np.int32)
CASES = [(2.0, 0.0, False, True), (3.3, 0.1, True, False), (0.4, 0.0, True, True), (9.5, 0.0, False, False)]


def scene(perspective: bool, weighted: bool, batch: int = 3, vertices: int = 60) -> Arrays:
    """Points near two target images, moved by three joints; some lie beyond the border or behind the far face."""
    rng = np.random.default_rng(21)
    used = (rng.uniform(size=(vertices, 4)) < 0.6) | (np.arange(4) == 0)
    weights = -np.sort(-rng.uniform(0.1, 1, (vertices, 4)) * used, axis=1)
    moves = np.tile(np.eye(3, 4), (batch, 3, 1, 1)) + rng.normal(scale=0.05, size=(batch, 3, 3, 4))
    rest = rng.uniform([-11, -11, 8], [11, 11, 13], (vertices, 3))
    scale = 9.0 if perspective else 1.0
    arrays: Arrays = {
        "grad_loss": np.array([1.0, -2.0, 0.5])[:batch],
        "transforms": moves,
        "rest": rest,
        "indices": rng.integers(0, 3, (vertices, 4), dtype=np.int32),
        "weights": weights / np.maximum(weights.sum(1, keepdims=True), 1e-9),
        "coefficients": np.tile([scale, 8.5, scale, 8.5, 0.2, -1.5], (batch, 1)),
        "target": rng.uniform(0.1, 1, (2, SIZE, SIZE)),
        "image_index": np.arange(batch, dtype=np.int32) % 2,
        "joint_rest": rng.uniform(-4, 4, (4, 3)),
        "joint_indices": np.array([[0], [1], [2], [1]], np.int32),
        "bones": BONES,
    }
    if weighted:
        arrays["weight"] = rng.uniform(0, 2, (2, SIZE, SIZE))
    return arrays


def joined(a: Arrays, radius: float, delta: float, perspective: bool, fixed_length: bool = False) -> tuple[Any, ...]:
    """The call under test."""
    term = CollisionTerm(a["joint_rest"], a["joint_indices"], a["bones"], 5.0, 0.3, fixed_length)
    given = {k: v for k, v in a.items() if k not in ("joint_rest", "joint_indices", "bones")}
    return hand_image_loss(**given, radius=radius, delta=delta, joints=term, perspective=perspective)


def one_by_one(a: Arrays, radius: float, delta: float, perspective: bool) -> tuple[Any, ...]:
    """The ops that it joins."""
    whole = a["transforms"], a["rest"], a["indices"], a["weights"]
    skeleton = a["transforms"], a["joint_rest"], a["joint_indices"], np.ones((4, 1), a["rest"].dtype)
    posed, joints = skin(*whole), skin(*skeleton)
    points = project(posed, a["coefficients"], perspective=perspective)
    loss, grad_points = splat_loss(
        a["grad_loss"], points, a["target"], a["image_index"], radius, delta, a.get("weight")
    )
    loss += 0.3 * collision(joints, a["bones"], 5.0)
    grad_posed = project_backward(grad_points, posed, a["coefficients"], perspective=perspective)
    grad_transforms, grad_rest = skin_backward(grad_posed, *whole)
    grad_joints = collision_backward(0.3 * a["grad_loss"], joints, a["bones"], 5.0, fixed_length=False)
    return loss, grad_transforms + skin_backward(grad_joints, *skeleton, rest_gradient=False)[0], grad_rest


@pytest.mark.parametrize(("radius", "delta", "weighted", "perspective"), CASES)
def test_it_is_the_ops_that_it_joins(radius: float, delta: float, weighted: bool, perspective: bool) -> None:
    a = scene(perspective, weighted)
    expected = one_by_one(a, radius, delta, perspective)
    assert all(np.abs(e).max() > 0 for e in expected)
    for ours, theirs in zip(joined(a, radius, delta, perspective), expected, strict=True):
        assert_close(ours, theirs, of_max=1e-13, reason="float64: the same numbers, in another order")


@pytest.mark.parametrize(("radius", "delta", "weighted", "perspective"), CASES)
def test_single_precision_and_devices(
    radius: float, delta: float, weighted: bool, perspective: bool, device: Place
) -> None:
    a = scene(perspective, weighted)
    single = {k: v.astype(np.float32 if v.dtype == np.float64 else v.dtype) for k, v in a.items()}
    expected = one_by_one(a, radius, delta, perspective)
    for ours, theirs in zip(joined(device.send(single), radius, delta, perspective), expected, strict=True):
        assert_close(device.fetch(ours), theirs, of_max=2e-5, reason="float32 sums of a few hundred terms")


def test_the_loss_is_the_twins() -> None:
    a = scene(True, False)
    points = reference.project(
        reference.skin(a["transforms"], a["rest"], a["indices"], a["weights"]), a["coefficients"]
    )
    image, _ = reference.render_depth(points, 2.0, SIZE)
    joints = reference.skin(a["transforms"], a["joint_rest"], a["joint_indices"], np.ones((4, 1)))
    expected = reference.depth_loss(image, a["target"], a["image_index"], 0.0, None)
    expected = expected + 0.3 * reference.collision(joints, BONES, 5.0)
    assert_close(joined(a, 2.0, 0.0, True)[0], expected, of_max=1e-12, reason="float64 sums in another order")


def test_a_batch_and_any_number_of_threads_change_no_bit() -> None:
    a = {k: v.astype(np.float32 if v.dtype == np.float64 else v.dtype) for k, v in scene(True, False).items()}
    loss, grad_transforms, grad_rest = joined(a, 2.0, 0.0, True)
    before = backend.cpu_threads()
    try:
        for threads in (1, 2, 3):
            backend.set_cpu_threads(threads)
            again = joined(a, 2.0, 0.0, True)
            for ours, theirs in zip(again, (loss, grad_transforms, grad_rest), strict=True):
                assert_same_bits(ours, theirs)
            total = np.zeros_like(grad_rest)
            for b in range(3):
                batched = ("grad_loss", "transforms", "coefficients", "image_index")
                alone = joined({k: v[b : b + 1] if k in batched else v for k, v in a.items()}, 2.0, 0.0, True)
                assert_same_bits(alone[0], loss[b : b + 1])
                assert_same_bits(alone[1], grad_transforms[b : b + 1])
                total += alone[2]
            assert_same_bits(total, grad_rest)
    finally:
        backend.set_cpu_threads(before)


def test_without_joints_and_without_the_gradient_of_rest() -> None:
    a = {k: v for k, v in scene(True, False).items() if k not in ("joint_rest", "joint_indices", "bones")}
    loss, grad_transforms, grad_rest = hand_image_loss(**a, radius=2.0)
    again, same, none = hand_image_loss(**a, radius=2.0, rest_gradient=False)
    assert none is None
    assert grad_rest is not None
    assert_same_bits(loss, again)
    assert_same_bits(grad_transforms, same)


def test_a_hand_that_cannot_be_seen_has_no_gradient() -> None:
    a = {k: v for k, v in scene(True, False).items() if k not in ("joint_rest", "joint_indices", "bones")}
    a["coefficients"][:, 5] += 100
    loss, grad_transforms, grad_rest = hand_image_loss(**a, radius=2.0)
    assert_close(loss, a["target"].mean((1, 2))[a["image_index"]], of_max=1e-13, reason="the mean of the target")
    assert not grad_transforms.any()
    assert grad_rest is not None
    assert not grad_rest.any()


def test_arguments() -> None:
    a = {k: v for k, v in scene(True, False).items() if k not in ("joint_rest", "joint_indices", "bones")}
    for name, value in (("radius", 0.0), ("radius", np.inf), ("delta", -1.0), ("delta", np.nan)):
        with pytest.raises(ShapeError, match=name):
            hand_image_loss(**a, **{"radius": 2.0, name: value})
    for name in a:
        with pytest.raises(ShapeError, match=name):
            hand_image_loss(**{**a, name: a[name][..., None]}, radius=2.0)
    with pytest.raises(ShapeError, match=r"joints\.bones"):
        hand_image_loss(**a, radius=2.0, joints=CollisionTerm(a["rest"], a["indices"][:, :1].copy(), BONES + 99, 1.0))
