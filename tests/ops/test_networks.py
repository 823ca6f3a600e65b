"""The layers of small networks against slow twins."""

import numpy as np
import pytest
from support.compare import assert_close
from support.slow_layers import slow_convolution, slow_enlargement

from handopt.backend import cpu_threads, set_cpu_threads
from handopt.errors import ShapeError
from handopt.ops.networks import convolve, dense, doubled, relu
from handopt.typing import FloatImage


def layer(rng: np.random.Generator, size: int, shape: tuple[int, ...], outputs: int) -> tuple[FloatImage, ...]:
    """An input (B, H, W, C), weights and biases."""
    x = rng.normal(size=shape).astype(np.float32)
    weight = rng.normal(size=(size * size * shape[-1], outputs)).astype(np.float32)
    return x, weight, rng.normal(size=outputs).astype(np.float32)


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize("outputs", [4, 16, 37])
@pytest.mark.parametrize("shape", [(2, 8, 12, 3), (1, 7, 5, 2), (3, 1, 9, 1), (3, 3, 4, 2), (1, 4, 8, 2)])
def test_a_convolution_equals_its_loops(
    size: int, stride: int, outputs: int, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    x, weight, bias = layer(rng, size, shape, outputs)
    found = convolve(x, weight, bias, size, stride)
    assert found.dtype == np.float32
    expected = np.stack([slow_convolution(image, weight, bias, size, stride) for image in x])
    assert_close(found, expected, of_max=2e-6, reason="sums of up to 75 products in float32")


@pytest.mark.parametrize("outputs", [5, 32])
def test_what_is_added_to_a_convolution_and_cut_at_zero(outputs: int, rng: np.random.Generator) -> None:
    x, weight, bias = layer(rng, 3, (2, 6, 10, 4), outputs)
    alone = convolve(x, weight, bias, 3, 1)
    added = rng.normal(size=alone.shape).astype(np.float32)
    assert np.array_equal(convolve(x, weight, bias, 3, 1, added=added), alone + added)
    assert np.array_equal(convolve(x, weight, bias, 3, 1, positive=True), np.maximum(alone, 0))
    both = convolve(x, weight, bias, 3, 1, added=added, positive=True)
    assert np.array_equal(both, np.maximum(alone + added, 0))


def test_a_convolution_is_the_same_for_any_number_of_threads(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handopt.ops.networks.MIN_PRODUCTS", 1)  # or else one thread does it
    x, weight, bias = layer(rng, 3, (2, 7, 9, 4), 16)
    threads, found = cpu_threads(), []
    try:
        for count in (1, 2, 5):
            set_cpu_threads(count)
            found.append(convolve(x, weight, bias, 3, 1))
    finally:
        set_cpu_threads(max(1, threads))
    assert all(np.array_equal(each, found[0]) for each in found)


def test_a_convolution_refuses_other_shapes(rng: np.random.Generator) -> None:
    x, weight, bias = layer(rng, 3, (1, 4, 4, 2), 4)
    with pytest.raises(ShapeError, match=r"weight: expected \(18, 4\)"):
        convolve(x, weight[:-1], bias, 3, 1)
    with pytest.raises(ShapeError, match="size: expected an odd number, got 2"):
        convolve(x, weight[:8], bias, 2, 1)
    with pytest.raises(ShapeError, match=r"added: expected \(1, 4, 4, 4\)"):
        convolve(x, weight, bias, 3, 1, added=x)


def test_a_dense_layer_takes_the_last_axis(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 5, 3)).astype(np.float32)
    weights = {"a.weight": rng.normal(size=(3, 4)).astype(np.float32), "a.bias": np.arange(4, dtype=np.float32)}
    expected = np.einsum("bnc,cm->bnm", x.astype(np.float64), weights["a.weight"]) + np.arange(4)
    found = dense(x, weights, "a")
    assert found.dtype == np.float32
    assert_close(found, expected, of_max=1e-6, reason="sums of three products in float32")


def test_enlargement_repeats_each_pixel(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    assert np.array_equal(doubled(x), np.stack([slow_enlargement(image) for image in x]).astype(np.float32))


def test_relu_works_in_place() -> None:
    x = np.array([-1.0, 0.0, 2.0], np.float32)
    assert relu(x) is x
    assert x.tolist() == [0.0, 0.0, 2.0]
