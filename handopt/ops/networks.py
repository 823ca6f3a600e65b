"""The layers of small networks (convolutions, dense layers, ReLU, enlargement).

On the CPU alone, without gradients: networks look at an image before a fit and after it.
"""

from collections.abc import Mapping

import numpy as np

from handopt.backend import cpu_threads, launch
from handopt.errors import ShapeError
from handopt.typing import FloatImage

MIN_PRODUCTS = 6_000_000
"""Of a convolution that are worth a thread: 0.15 ms. Where other processes have the cores, waking one costs more."""


def convolve(
    x: FloatImage,
    weight: FloatImage,
    bias: FloatImage,
    size: int,
    stride: int,
    *,
    added: FloatImage | None = None,
    positive: bool = False,
) -> FloatImage:
    """A convolution with zero padding of (size - 1) / 2, + added where that is given, then max(., 0) if `positive`.

    x: (B, H, W, C); weight: (size * size * C, N), rows by window row, window column and channel; bias: (N,)
    Returns (B, ceil(H / stride), ceil(W / stride), N), the shape of added. The same for any number of threads. Raises
    ShapeError.
    """
    if size % 2 == 0:
        raise ShapeError(f"size: expected an odd number, got {size}")
    pad = (size - 1) // 2
    batch, height, width, channels = x.shape
    outputs = len(bias)
    if weight.shape != (size * size * channels, outputs):
        raise ShapeError(f"weight: expected {(size * size * channels, outputs)}, got {weight.shape}")
    padded = np.ascontiguousarray(x, np.float32)
    if pad:
        padded = np.zeros((batch, height + 2 * pad, width + 2 * pad, channels), np.float32)
        padded[:, pad : pad + height, pad : pad + width] = x
    out = np.empty((batch, -(-height // stride), -(-width // stride), outputs), np.float32)
    if added is not None and added.shape != out.shape:
        raise ShapeError(f"added: expected {out.shape}, got {added.shape}")
    plus = out if added is None else np.ascontiguousarray(added, np.float32)
    launch(
        "convolve",
        1,
        padded,
        *(np.ascontiguousarray(each, np.float32) for each in (weight, bias)),
        plus,
        out,
        int(added is not None),
        int(positive),
        max(1, min(cpu_threads(), out.size * len(weight) // MIN_PRODUCTS)),
        size,
        stride,
        *padded.shape,
        outputs,
        *out.shape[1:3],
    )
    return out


def dense(x: FloatImage, weights: Mapping[str, FloatImage], name: str) -> FloatImage:
    """x @ weight + bias: (..., N) of (..., C), with the layer's weight (C, N) and bias (N,)."""
    product = x @ weights[f"{name}.weight"]
    product += weights[f"{name}.bias"]
    return product


def relu(x: FloatImage) -> FloatImage:
    """max(x, 0), in place."""
    return np.maximum(x, np.float32(0), out=x)


def doubled(x: FloatImage) -> FloatImage:
    """An image (B, H, W, C) with each pixel four times: (B, 2 H, 2 W, C)."""
    batch, height, width, channels = x.shape
    shape = (batch, height, 2, width, 2, channels)
    return np.broadcast_to(x[:, :, None, :, None], shape).reshape(batch, 2 * height, 2 * width, channels)
