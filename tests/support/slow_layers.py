"""Slow twins of the layers of small networks, in loops and in float64."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def slow_convolution(x: Floats, weight: Floats, bias: Floats, size: int, stride: int) -> Floats:
    """A convolution of one image (H, W, C) in loops, in float64."""
    height, width, channels = x.shape
    kernel = weight.reshape(size, size, channels, -1).astype(np.float64)
    pad = (size - 1) // 2
    result = np.zeros((-(-height // stride), -(-width // stride), kernel.shape[-1]))
    for i in range(result.shape[0]):
        for j in range(result.shape[1]):
            result[i, j] = bias
            for k in range(size):
                for m in range(size):
                    row, column = i * stride + k - pad, j * stride + m - pad
                    if 0 <= row < height and 0 <= column < width:
                        result[i, j] += x[row, column] @ kernel[k, m]
    return result


def slow_enlargement(x: Floats) -> Floats:
    """An image (H, W, C) of twice the size, pixel by pixel."""
    height, width, channels = x.shape
    result = np.zeros((2 * height, 2 * width, channels))
    for i in range(2 * height):
        for j in range(2 * width):
            result[i, j] = x[i // 2, j // 2]
    return result
