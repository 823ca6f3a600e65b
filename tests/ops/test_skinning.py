"""Linear blend skinning of points and normals."""

import numpy as np
import pytest
from support.compare import assert_close, assert_same_bits
from support.op_check import (
    Floats,
    Place,
    Problem,
    check_arguments,
    check_backward_arguments,
    check_batch,
    check_mixed_devices,
    check_op,
)
from support.problems_hand import blend_shapes_problem, random_rotations, skin_normals_problem, skin_problem

from handopt.errors import ShapeError
from handopt.ops.skinning import blend_shapes, skin, skin_backward, skin_normals

SINGLE = "float32 sums of 4 weighted products, and of 37 points in the gradient"
EXACT = "float64 sums in another order"


def dense_weights(problem: Problem) -> Floats:
    """Weights (V, J) of the problem's sparse ones."""
    indices, weights = problem.arrays["indices"], problem.arrays["weights"]
    dense = np.zeros((len(weights), problem.arrays["transforms"].shape[1]))
    np.add.at(dense, (np.arange(len(weights))[:, None], indices), weights)
    return dense


def test_twin_gradient_and_devices(device: Place) -> None:
    check_op(skin_problem(), device, 2e-6, SINGLE)


def test_own_rest_points_twin_gradient_and_devices(device: Place) -> None:
    check_op(skin_problem(own_rest=True), device, 2e-6, SINGLE)


def test_shapes_twin_and_devices(device: Place) -> None:
    check_op(blend_shapes_problem(), device, 2e-6, "float32 sums of 5 products")


def test_normals_twin_and_devices(device: Place) -> None:
    # a blend of opposite rotations may cancel to a short vector, whose direction is then uncertain
    check_op(skin_normals_problem(), device, 1e-5, SINGLE)


def test_batch() -> None:
    check_batch(skin_problem())
    check_batch(skin_problem(own_rest=True))
    check_batch(blend_shapes_problem())
    check_batch(skin_normals_problem())


def test_arguments() -> None:
    check_arguments(skin_problem(), any_last_axis=("indices", "weights"))
    check_arguments(skin_problem(own_rest=True), any_last_axis=("indices", "weights"))
    check_arguments(blend_shapes_problem())
    check_arguments(skin_normals_problem(), any_last_axis=("indices", "weights"))
    check_backward_arguments(skin_problem())
    check_backward_arguments(skin_problem(own_rest=True))


def test_rest_points_of_one_image_each_have_no_common_gradient() -> None:
    with pytest.raises(ShapeError, match=r"rest: expected shape \(V, 3\).*rest_gradient=False"):
        skin_backward(np.ones((3, 37, 3)), **skin_problem(own_rest=True).arrays)


def test_equal_rest_points_of_all_images_are_shared_ones() -> None:
    arrays = skin_problem().arrays
    own = {**arrays, "rest": np.repeat(arrays["rest"][None], 3, axis=0)}
    assert_same_bits(skin(**own), skin(**arrays))
    cotangent = np.ones((3, 37, 3))
    found, nothing = skin_backward(cotangent, **own, rest_gradient=False)
    assert nothing is None
    assert_same_bits(found, skin_backward(cotangent, **arrays)[0])


@pytest.mark.parametrize("count", [1, 5, 6, 16, 27])
def test_any_number_of_points_and_shapes(count: int, device: Place, rng: np.random.Generator) -> None:
    for shapes in (0, 1, 4):
        arrays = {
            "base": rng.normal(size=(count, 3)),
            "basis": rng.normal(size=(shapes, count, 3)),
            "coefficients": rng.normal(size=(2, shapes)),
        }
        found = device.fetch(blend_shapes(**device.send(arrays)))
        expected = arrays["base"] + np.tensordot(arrays["coefficients"], arrays["basis"], 1)
        assert_close(found, expected, of_max=1e-15, reason=EXACT)


def test_mixed_devices(device: Place) -> None:
    check_mixed_devices(skin_problem(), device)
    check_mixed_devices(blend_shapes_problem(), device)
    check_mixed_devices(skin_normals_problem(), device)


def test_gradient_to_the_transforms_is_equation_5(rng: np.random.Generator, device: Place) -> None:
    problem = skin_problem()
    cotangent = rng.normal(size=(3, 37, 3))
    sent = device.send({"cotangent": cotangent, **problem.inputs()})
    points = np.concatenate([problem.arrays["rest"], np.ones((37, 1))], axis=1)
    expected = np.einsum("ij,bic,id->bjcd", dense_weights(problem), cotangent, points)
    assert_close(device.fetch(skin_backward(*sent.values())[0]), expected, of_max=1e-13, reason=EXACT)


def test_gradient_to_the_rest_points_is_equation_8_and_sums_over_the_batch(
    rng: np.random.Generator, device: Place
) -> None:
    problem = skin_problem(batch=5)
    cotangent = rng.normal(size=(5, 37, 3))
    sent = device.send({"cotangent": cotangent, **problem.inputs()})
    linear = problem.arrays["transforms"][..., :3]
    expected = np.einsum("ij,bjcd,bic->id", dense_weights(problem), linear, cotangent)
    found = device.fetch(skin_backward(*sent.values())[1])
    assert found.shape == (37, 3)
    assert_close(found, expected, of_max=1e-13, reason=EXACT)


def test_identity_leaves_the_rest_mesh() -> None:
    arrays = skin_problem().arrays
    arrays["transforms"] = np.tile(np.eye(3, 4), (2, 7, 1, 1))
    for posed in skin(**arrays):
        assert_close(posed, arrays["rest"], of_max=1e-15, reason="weights sum to 1 up to rounding")


def test_translation_moves_points_and_not_normals(rng: np.random.Generator) -> None:
    arrays, normals = skin_problem().arrays, skin_normals_problem().arrays
    shifted = arrays["transforms"].copy()
    shifted[..., 3] += [1.0, 2.0, 3.0]
    difference = skin(**{**arrays, "transforms": shifted}) - skin(**arrays)
    assert_close(difference, np.broadcast_to([1.0, 2.0, 3.0], difference.shape), atol=1e-12, reason=EXACT)
    shifted = normals["transforms"].copy()
    shifted[..., 3] = rng.normal(size=shifted.shape[:-1]) * 100
    assert_close(skin_normals(**{**normals, "transforms": shifted}), skin_normals(**normals), reason="not read at all")


def test_normals_turn_with_a_rigid_hand_and_ignore_its_scale(rng: np.random.Generator) -> None:
    arrays = skin_normals_problem().arrays
    rotation = random_rotations(rng, 1)[0]
    arrays["transforms"][..., :3] = 1.7 * rotation
    expected = np.tile(arrays["rest_normals"] @ rotation.T, (3, 1, 1))
    assert_close(skin_normals(**arrays), expected, atol=1e-14, reason=EXACT)


def test_a_normal_that_cancels_stays_finite(device: Place) -> None:
    flip = np.stack([np.eye(3, 4), np.diag([1.0, -1.0, -1.0]) @ np.eye(3, 4)])[None]
    arrays = {
        "transforms": flip,
        "rest_normals": np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]),
        "indices": np.array([[0, 1], [0, 1]], np.int32),
        "weights": np.full((2, 2), 0.5),
    }
    assert np.isfinite(device.fetch(skin_normals(**device.send(arrays)))).all()


@pytest.mark.parametrize("value", [-1, 7])
def test_joints_that_do_not_exist_are_refused(value: int) -> None:
    problem = skin_problem()
    problem.arrays["indices"][11, 2] = value
    with pytest.raises(ShapeError, match=r"indices: expected values in 0\.\.6"):
        skin(**problem.arrays)


@pytest.mark.parametrize("influences", [1, 3, 6])
def test_any_number_of_influences(influences: int, device: Place, rng: np.random.Generator) -> None:
    problem = skin_problem()
    weights = rng.uniform(0.1, 1, (37, influences))
    problem.arrays["weights"] = weights / weights.sum(1, keepdims=True)
    problem.arrays["indices"] = rng.integers(0, 7, (37, influences)).astype(np.int32)
    check_op(problem, device, 2e-6, SINGLE)


def test_empty_batches_and_meshes() -> None:
    arrays = skin_problem().arrays
    none = {**arrays, "transforms": np.zeros((0, 7, 3, 4))}
    assert skin(**none).shape == (0, 37, 3)
    grad_transforms, grad_rest = skin_backward(np.zeros((0, 37, 3)), **none)
    assert grad_transforms.shape == (0, 7, 3, 4)
    assert_close(grad_rest, np.zeros((37, 3)), reason="a sum over nothing")
    bare = {
        **arrays,
        "rest": np.zeros((0, 3)),
        "indices": np.zeros((0, 4), np.int32),
        "weights": np.zeros((0, 4)),
    }
    assert skin(**bare).shape == (3, 0, 3)
    grad_transforms, grad_rest = skin_backward(np.zeros((3, 0, 3)), **bare)
    assert_close(grad_transforms, np.zeros((3, 7, 3, 4)), reason="a sum over nothing")
    assert grad_rest is not None
    assert grad_rest.shape == (0, 3)
