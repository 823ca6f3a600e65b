"""The layers of small networks in NumPy against slow twins."""

import numpy as np
import pytest
from support.compare import assert_close
from support.slow_layers import slow_convolution, slow_enlargement

from handopt.convolution import convolve, dense, doubled, relu


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (5, 2)])
def test_a_convolution_equals_its_loops(rng: np.random.Generator, size: int, stride: int) -> None:
    x = rng.normal(size=(2, 8, 12, 3)).astype(np.float32)
    weight = rng.normal(size=(size * size * 3, 4)).astype(np.float32)
    bias = rng.normal(size=4).astype(np.float32)
    found = convolve(x, weight, bias, size, stride)
    assert found.dtype == np.float32
    expected = np.stack([slow_convolution(image, weight, bias, size, stride) for image in x])
    assert_close(found, expected, of_max=2e-6, reason="sums of up to 75 products in float32")


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
