"""The point-splat depth renderer. Kinks, kept clear of: another point wins a pixel; z = 1."""

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
from support.problems_image import RADIUS_PX, render_problem

from handopt.errors import ShapeError
from handopt.ops.splat import render_depth, render_depth_backward

SINGLE = "some five roundings of float32 of numbers up to 1"
EXACT = "float64 with the same few operations in another order"


def rendered(device: Place, points: Floats, radius: float, size: int) -> tuple[Floats, Floats]:
    """Image and winners on the host."""
    image, winners = render_depth(device.send({"points": points})["points"], radius, size)
    return device.fetch(image), device.fetch(winners)


def assert_renders_as_its_twin(device: Place, points: Floats, radius: float, size: int) -> None:
    """In both precisions; float32 may give a pixel to another point only where the two are equal up to rounding."""
    image, winners = rendered(device, points, radius, size)
    expected, expected_winners = reference.render_depth(points, radius, size)
    assert_close(image, expected, atol=1e-13, reason=EXACT)
    assert_same_bits(winners, expected_winners, "winners")
    single = points.astype(np.float32)
    image, winners = rendered(device, single, radius, size)
    expected, _ = reference.render_depth(single.astype(np.float64), radius, size)
    # 1 - d^2/r^2 loses about r roundings of a coordinate of up to S pixels: d and its error grow alike
    assert_close(image, expected, atol=2e-6 * max(1.0, size / radius / 8), reason=SINGLE)
    assert_same_bits(winners >= 0, image > 0, "winners where something is hit")


@pytest.mark.parametrize("radius", [1.0, RADIUS_PX, 8.0])
def test_twin_gradient_and_devices(radius: float, device: Place) -> None:
    check_op(render_problem(radius), device, 3e-6, SINGLE)


def test_batch() -> None:
    check_batch(render_problem())


def test_arguments() -> None:
    check_arguments(render_problem())
    check_backward_arguments(render_problem())
    points = render_problem().arrays["points"]
    for radius in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ShapeError, match="radius"):
            render_depth(points, radius, 24)
    for size in (0, -3):
        with pytest.raises(ShapeError, match="size"):
            render_depth(points, 2.0, size)
    image, winners = render_depth(points, 2.0, 24)
    for wrong in (winners.astype(np.int64), winners[:, :-1], winners[:1], winners[:, :, ::2]):
        with pytest.raises(ShapeError, match="winners"):
            render_depth_backward(image, points, wrong, 2.0)


def test_mixed_devices(device: Place) -> None:
    problem = render_problem()
    check_mixed_devices(problem, device)
    sent = device.send(problem.inputs())["points"]
    image, winners = render_depth(sent, 2.0, 24)
    with pytest.raises(ShapeError, match="winners"):
        render_depth_backward(image, sent, device.fetch(winners), 2.0)


@pytest.mark.parametrize("radius", [0.3, 1.0, 2.5, 5.0, 11.3])
@pytest.mark.parametrize("size", [1, 5, 8, 17, 64])
def test_every_size_and_radius(size: int, radius: float, device: Place) -> None:
    rng = np.random.default_rng([size, int(10 * radius)])
    low, high = -1.5 * radius - 1, size + 1.5 * radius
    points = rng.uniform([low, low, -0.2], [high, high, 1.1], (2, 40, 3))
    points[:, :15, :2] = np.round(points[:, :15, :2])  # windows end on pixels
    points[:, 15:20, :2] = np.round(2 * points[:, 15:20, :2]) / 2
    points[:, 20:25, 2] = points[:, 25:30, 2]
    assert_renders_as_its_twin(device, points, radius, size)


def test_a_hand_sized_image(device: Place) -> None:
    rng = np.random.default_rng(12)
    points = rng.normal(size=(1, 1159, 3)) * [25, 25, 0.2] + [60, 60, 0.5]
    assert_renders_as_its_twin(device, points, 5.0, 120)


@pytest.mark.parametrize("x", [-2.0, -1.999, -0.5, 0.0, 0.5, 13.0, 13.5, 14.999, 15.0, 20.0])
@pytest.mark.parametrize("y", [-1.5, 6.0, 14.5])
def test_windows_end_at_the_borders(x: float, y: float, device: Place) -> None:
    points: Floats = np.array([[[x, y, 0.25]], [[y, x, 0.25]]])
    image, _ = rendered(device, points, 2.0, 14)
    to_nearest_pixel = np.hypot(x - np.clip(np.rint(x), 0, 13), y - np.clip(np.rint(y), 0, 13))
    assert np.any(image > 0) == (to_nearest_pixel < 2)
    assert_renders_as_its_twin(device, points, 2.0, 14)


def test_a_point_on_a_pixel_shows_its_closeness_and_falls_off_within_the_radius(device: Place) -> None:
    image, winners = rendered(device, np.array([[[5.0, 3.0, 0.25]]]), 2.0, 9)
    assert image[0, 3, 5] == 0.75
    assert_close(image[0, 3, 3:8], 0.75 * np.array([0, 0.75, 1, 0.75, 0]) ** 2, atol=1e-15, reason=EXACT)
    assert np.count_nonzero(image) == 9  # the pixels at distance 2 have value 0, and are not hit
    assert_same_bits(winners == 0, image > 0, "winners")


@pytest.mark.parametrize("radius", [1e3, 1e6, 1e12])
def test_a_window_larger_than_the_image_covers_it_all(radius: float, device: Place) -> None:
    image, winners = rendered(device, np.array([[[-40.0, 25.0, 0.5]]]), radius, 16)
    assert np.all(winners == 0)
    assert_renders_as_its_twin(device, np.array([[[-40.0, 25.0, 0.5], [3.0, 3.0, 0.6]]]), radius, 16)
    assert image.min() > 0.4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("first", [0, 1])
def test_ties_go_to_the_lowest_index(first: int, dtype: type, device: Place) -> None:
    points: Floats = np.array(
        [[[6.0, 6.0, 2.0], [4.0, 6.0, 0.5], [8.0, 6.0, 0.5], [4.0, 6.0, 0.5], [8.0, 6.0, 0.5]]], dtype
    )
    if first:
        points[:, 1:] = points[:, :0:-1]
    image, winners = rendered(device, points, 3.0, 12)
    assert image[0, 6, 6] > 0  # as far from the left points as from the right ones
    assert winners[0, 6, 6] == 1
    assert set(np.unique(winners)) == {-1, 1, 2}


@pytest.mark.parametrize("z", [1.0, 1.5, 1e30, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_points_behind_the_far_face_render_nothing(z: float, dtype: type, device: Place) -> None:
    points: Floats = np.array([[[5.0, 5.0, z], [6.0, 5.0, 0.75]]], dtype)
    image, winners = rendered(device, points, 3.0, 12)
    alone, _ = rendered(device, points[:, 1:].copy(), 3.0, 12)
    assert_same_bits(image, alone, "image")
    assert 0 not in winners
    sent = device.send({"points": points, "winners": winners, "cotangent": np.ones_like(image)})
    gradient = render_depth_backward(sent["cotangent"], sent["points"], sent["winners"], 3.0)
    assert_close(device.fetch(gradient)[0, 0], np.zeros(3), reason="renders nothing, so it has no gradient")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38, 2.0**31, -(2.0**31), 2.0**40])
@pytest.mark.parametrize("axis", [0, 1])
def test_points_without_a_place_render_nothing(axis: int, value: float, dtype: type, device: Place) -> None:
    points: Floats = np.array([[[5.0, 5.0, 0.5], [6.0, 5.0, 0.75]]], dtype)
    points[0, 0, axis] = value
    image, winners = rendered(device, points, 3.0, 12)
    alone, _ = rendered(device, points[:, 1:].copy(), 3.0, 12)
    assert_same_bits(image, alone, "image")
    assert 0 not in winners


def test_a_point_without_a_depth_renders_nothing(device: Place) -> None:
    for value in (np.nan, -np.inf):
        image, winners = rendered(device, np.array([[[5.0, 5.0, value]]]), 3.0, 12)
        assert np.all(image == 0)
        assert np.all(winners == -1)


def test_gradient_is_equation_12_and_13(rng: np.random.Generator, device: Place) -> None:
    points, radius, size = render_problem().arrays["points"], 4.5, 24
    _, winners = reference.render_depth(points, radius, size)
    cotangent = rng.normal(size=winners.shape)
    expected = np.zeros(points.shape)
    for b, i, j in np.ndindex(*winners.shape):
        if winners[b, i, j] >= 0:
            x, y, z = points[b, winners[b, i, j]]
            s = 1 - ((j - x) ** 2 + (i - y) ** 2) / radius**2
            slope = 4 * (1 - z) / radius**2 * s
            expected[b, winners[b, i, j]] += cotangent[b, i, j] * np.array([slope * (j - x), slope * (i - y), -(s**2)])
    sent = device.send({"points": points, "winners": winners, "cotangent": cotangent})
    found = device.fetch(render_depth_backward(sent["cotangent"], sent["points"], sent["winners"], radius))
    assert_close(found, expected, of_max=1e-13, reason=EXACT)


def test_empty_pixels_have_no_gradient(device: Place) -> None:
    points: Floats = np.array([[[5.0, 5.0, 0.5], [60.0, 5.0, 0.5]]])
    sent = device.send({"points": points})["points"]
    image, winners = render_depth(sent, 2.0, 12)
    cotangent = device.send({"cotangent": (device.fetch(image) == 0).astype(np.float64)})["cotangent"]
    assert_close(
        device.fetch(render_depth_backward(cotangent, sent, winners, 2.0)), np.zeros((1, 2, 3)), reason="nothing is hit"
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_points_and_no_images(dtype: type, device: Place) -> None:
    image, winners = rendered(device, np.zeros((2, 0, 3), dtype), 2.0, 5)
    assert_same_bits(image, np.zeros((2, 5, 5), dtype))
    assert_same_bits(winners, np.full((2, 5, 5), -1, np.int32))
    sent = device.send({"points": np.zeros((2, 0, 3), dtype), "winners": winners, "image": image})
    assert render_depth_backward(sent["image"], sent["points"], sent["winners"], 2.0).shape == (2, 0, 3)
    image, winners = rendered(device, np.zeros((0, 4, 3), dtype), 2.0, 5)
    assert image.shape == winners.shape == (0, 5, 5)
