"""Vertices where the hand is proven not to be. Kinks, kept clear of: another cell or pixel; the surface is passed."""

import numpy as np
import pytest
from support import reference_newton
from support.compare import assert_close, assert_same_bits
from support.op_check import (
    Arrays,
    Place,
    check_arguments,
    check_backward_arguments,
    check_batch,
    check_mixed_devices,
    check_op,
)
from support.problems_newton import outline_arrays, outline_places, outline_problem, outline_quadratic_problem

from handopt.errors import ShapeError
from handopt.ops.free_space import free_space_loss, free_space_normal_equations
from handopt.typing import Floats

SINGLE = "float32 pixels of size 10 (1e-6) in a field that rises by some 10 mm per pixel, and depths of 450 mm (3e-5)"


def test_twin_gradient_and_devices(device: Place) -> None:
    check_op(outline_problem(), device, 2e-5, SINGLE)


def test_model_twin_and_devices(device: Place) -> None:
    check_op(outline_quadratic_problem(), device, 2e-5, SINGLE)


def test_the_problem_has_every_branch() -> None:
    arrays = outline_arrays(3)
    places = outline_places(arrays)
    inside = ((places[:2] >= 0) & (places[:2] < 15)).all(axis=0)
    assert 20 < inside.sum() < 100
    assert 20 < places[4].sum() < 100, "before the surface, and not"
    assert (places[5] == 0).sum() == 3, "behind the camera"


def test_batch() -> None:
    check_batch(outline_problem())
    check_batch(outline_quadratic_problem())


def test_arguments() -> None:
    check_arguments(outline_problem())
    check_arguments(outline_quadratic_problem())
    check_backward_arguments(outline_problem())
    arrays = outline_arrays(3)
    for sigma in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ShapeError, match="sigma"):
            free_space_loss(**arrays, sigma=sigma)
    for name in ("front", "margin"):
        for value in (-0.1, np.nan, np.inf):
            with pytest.raises(ShapeError, match=name):
                free_space_loss(**arrays, sigma=10.0, **{name: value})
    with pytest.raises(ShapeError, match="image_index"):
        free_space_loss(**{**arrays, "image_index": np.array([0, 2, 1], np.int32)}, sigma=10.0)


def test_mixed_devices(device: Place) -> None:
    check_mixed_devices(outline_problem(), device)


def test_the_model_is_added_to_what_is_there(device: Place) -> None:
    arrays = device.send(outline_quadratic_problem().arrays)
    model = free_space_normal_equations(**arrays, sigma=9.0)
    there = device.send({"out": np.full((3, 40, 9), 2.0)})["out"]
    assert free_space_normal_equations(**arrays, sigma=9.0, out=there) is there
    assert_close(device.fetch(there), 2 + device.fetch(model), atol=1e-12, reason="sums in another order")
    frozen = np.zeros((3, 40, 9))
    frozen.flags.writeable = False
    for out in (
        np.zeros((3, 40, 9), np.float32),
        np.zeros((3, 40, 8)),
        np.zeros((3, 9, 40)).transpose(0, 2, 1),
        frozen,
    ):
        with pytest.raises(ShapeError, match="out: expected"):
            free_space_normal_equations(**outline_quadratic_problem().arrays, sigma=9.0, out=out)


def test_models_are_positive_semidefinite() -> None:
    a, _ = reference_newton.matrices(free_space_normal_equations(**outline_quadratic_problem().arrays, sigma=9.0))
    assert np.linalg.eigvalsh(a).min() > -1e-12 * np.abs(a).max()


def one_vertex(posed: list[float]) -> Arrays:
    """A camera of 100 px before a crop of 8 x 8 pixels, where the hand is left of column 3, at 400 mm."""
    columns = np.maximum(np.arange(8.0) - 3, 0)
    return {
        "posed": np.array([[posed]]),
        "image_index": np.zeros(1, np.int32),
        "coefficients": np.array([[100.0, 3.0, 100.0, 3.0, 0.0, 0.0]]),
        "field": np.tile(2 * columns, (1, 8, 1)),
        "nearest_depth": np.where(columns == 0, 400.0, 0.0) * np.ones((1, 8, 8)),
        "mm_per_px": np.array([2.0]),
    }


@pytest.mark.parametrize(
    ("posed", "error", "front"),
    [
        ([0.0, 0, 400], 0.0, False),  # at the surface
        ([0.0, 0, 450], 0.0, False),  # behind it
        ([0.0, 0, 390], 7.0, True),  # 10 mm before it, 3 of which are free
        ([0.0, 0, 398], 0.0, False),
        ([6.0, 0, 400], 3.0, False),  # column 4.5
        ([6.0, 0, 300], 4.0, False),  # column 5, where no depth was measured
        ([24.0, 0, 400], 12.0, False),  # column 9, two beyond the grid
        ([0.0, 0, 0], 0.0, False),
        ([0.0, 0, -50], 0.0, False),
        ([np.nan, 0, 400], 0.0, False),
        ([np.inf, 0, 400], 0.0, False),
        ([0.0, 0, np.nan], 0.0, False),
    ],
)
def test_by_hand(posed: list[float], error: float, front: bool, device: Place) -> None:
    arrays = device.send({**one_vertex(posed), "grad_loss": np.ones(1)})
    grad_loss = arrays.pop("grad_loss")
    loss = device.fetch(free_space_loss(**arrays, sigma=5.0, front=0.5, margin=3.0))
    expected = 25 * error**2 / (25 + error**2) * (0.5 if front else 1.0)
    assert_close(loss, [expected], rtol=1e-14, reason="by hand")
    model = device.fetch(free_space_normal_equations(grad_loss, **arrays, sigma=5.0, front=0.5, margin=3.0))[0, 0]
    slope = (25 / (25 + error**2)) ** 2
    if front:
        expected_model = np.zeros(9)
        expected_model[5], expected_model[8] = 0.5 * slope, -0.5 * slope * error
        assert_close(model, expected_model, rtol=1e-14, reason="pushed back along z")
    elif error == 0:
        assert not model.any()
    else:
        a, b = reference_newton.matrices(model)
        along = np.array([2 * 100 / posed[2], 0, -2 * 100 * posed[0] / posed[2] ** 2])
        assert_close(a, slope * np.outer(along, along), atol=1e-14, reason="by hand")
        assert_close(b, slope * error * along, atol=1e-14, reason="by hand")


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiny_crops(size: int, dtype: type, rng: np.random.Generator) -> None:
    edge: Floats = np.array(
        [np.nextafter(dtype(size - 0.5), dtype(0)), np.nextafter(dtype(-0.5), dtype(0)), 0, 9], dtype
    )
    posed = np.stack(np.meshgrid(edge, edge, [dtype(1)]), -1).reshape(1, -1, 3)
    images: Floats = rng.uniform(2, 5, (2, 1, size, size)).astype(dtype)
    one: Floats = np.array([[1, 0, 1, 0, 0, 0]], dtype)
    loss = free_space_loss(posed, np.zeros(1, np.int32), one, images[0], images[1], np.ones(1, dtype), 3.0)
    assert np.isfinite(loss).all()


def test_a_vertex_that_is_no_number_hurts_nobody() -> None:
    arrays = outline_arrays(3)
    clean = free_space_loss(**arrays, sigma=9.0)
    arrays["posed"] = np.concatenate([arrays["posed"], np.full((3, 1, 3), np.nan)], axis=1)
    assert_close(free_space_loss(**arrays, sigma=9.0), clean * 40 / 41, rtol=1e-14, reason="one more that adds nothing")


def test_empty() -> None:
    arrays = outline_arrays(3)
    none = {**arrays, "posed": np.zeros((3, 0, 3))}
    assert_same_bits(free_space_loss(**none, sigma=5.0), np.zeros(3))
    assert free_space_normal_equations(np.ones(3), **none, sigma=5.0).shape == (3, 0, 9)
    nobody = {**arrays, "posed": np.zeros((0, 40, 3)), "image_index": np.zeros(0, np.int32)}
    assert free_space_loss(**nobody, sigma=5.0).shape == (0,)
