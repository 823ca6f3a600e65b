"""Layers of small convolutional networks in NumPy: convolutions as matrix products, dense layers, ReLU, enlargement."""

from collections.abc import Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from handopt.typing import FloatImage


def convolve(x: FloatImage, weight: FloatImage, bias: FloatImage, size: int, stride: int) -> FloatImage:
    """A convolution with zero padding of (size - 1) / 2.

    x: (B, H, W, C); weight: (size * size * C, N), rows by window row, window column and channel; bias: (N,)
    Returns (B, H / stride, W / stride, N).
    """
    pad = (size - 1) // 2
    batch, height, width, channels = x.shape
    padded = np.zeros((batch, height + 2 * pad, width + 2 * pad, channels), np.float32)
    padded[:, pad : pad + height, pad : pad + width] = x
    windows = sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    rows, columns = windows.shape[1:3]
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(batch * rows * columns, size * size * channels)
    product = patches @ weight
    product += bias
    return product.reshape(batch, rows, columns, -1)


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
