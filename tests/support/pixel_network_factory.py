"""Small networks of pixel labels with random weights, and a slow twin of their layers."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.observation.pixel_network import VERSION, PixelNetwork
from handopt.observation.pixel_window import CHANNELS, SIZE
from support.slow_layers import slow_convolution, slow_enlargement

Floats = NDArray[np.float64]
FINE = 2
WIDTHS = (3, 4, 5, 6)


def random_weights(rng: np.random.Generator, channels: int = CHANNELS, size: int = SIZE) -> dict[str, Any]:
    """Weights of a network of windows (size, size, channels) that is as deep as the shipped ones, and narrow."""
    weights: dict[str, Any] = {}

    def layer(name: str, inputs: int, outputs: int) -> None:
        weights[f"{name}.weight"] = (rng.normal(size=(inputs, outputs)) / np.sqrt(inputs)).astype(np.float32)
        weights[f"{name}.bias"] = (0.3 * rng.normal(size=outputs)).astype(np.float32)

    a, b, c, d = WIDTHS
    layer("stem", 25 * channels, a)
    layer("early.first", 9 * a, a)
    layer("early.second", 9 * a, a)
    for stage, (before, width) in enumerate(((a, b), (b, c), (c, d))):
        layer(f"shrink{stage}", 9 * before, width)
        layer(f"residual{stage}.first", 9 * width, width)
        layer(f"residual{stage}.second", 9 * width, width)
        layer(f"again{stage}.first", 9 * width, width)
        layer(f"again{stage}.second", 9 * width, width)
    layer("fine", 9 * channels, FINE)
    layer("detail", 9 * FINE, a)
    for stage, (before, width) in enumerate(((d, c), (c, b), (b, a), (a, FINE))):
        layer(f"across{stage}", before, width)
        layer(f"merge{stage}", 9 * width, width)
    layer("beside", a, a)
    layer("votes", b, 8)
    layer("pixels", FINE, 24)
    layer("dense", (size // 32) ** 2 * d, 7)
    layer("summary", 7, 3)
    return weights


def random_network(rng: np.random.Generator, channels: int = CHANNELS, size: int = SIZE) -> PixelNetwork:
    """A network of random weights, of windows (size, size, channels)."""
    return PixelNetwork(random_weights(rng, channels, size), {})


def as_arrays(weights: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The arrays of a file with these weights."""
    return {"metadata": json.dumps({"version": VERSION, **changes}), **weights}


def slow_raw(network: PixelNetwork, image: Floats) -> tuple[Floats, Floats, Floats]:
    """Logits (S, S, 6), votes (S/8, S/8, 8) and three numbers (3,) of a window (S, S, C), in loops."""
    w = network.weights

    def layer(x: Floats, name: str, size: int, stride: int) -> Floats:
        return slow_convolution(x, w[f"{name}.weight"], w[f"{name}.bias"], size, stride)

    details = np.maximum(layer(image, "fine", 3, 2), 0)
    stem = np.maximum(layer(image[::2, ::2], "stem", 5, 2) + layer(details, "detail", 3, 2), 0)
    inner = np.maximum(layer(stem, "early.first", 3, 1), 0)
    stem = np.maximum(stem + layer(inner, "early.second", 3, 1), 0)
    levels = [stem]
    for stage in range(3):
        x = np.maximum(layer(levels[-1], f"shrink{stage}", 3, 2), 0)
        for block in ("residual", "again"):
            inner = np.maximum(layer(x, f"{block}{stage}.first", 3, 1), 0)
            x = np.maximum(x + layer(inner, f"{block}{stage}.second", 3, 1), 0)
        levels.append(x)
    hidden = np.maximum(layer(levels[3].reshape(1, 1, -1), "dense", 1, 1), 0)
    x = np.maximum(layer(slow_enlargement(layer(levels[3], "across0", 1, 1)) + levels[2], "merge0", 3, 1), 0)
    x = np.maximum(layer(slow_enlargement(layer(x, "across1", 1, 1)) + levels[1], "merge1", 3, 1), 0)
    votes = layer(x, "votes", 1, 1)
    beside = layer(stem, "beside", 1, 1)
    x = np.maximum(layer(slow_enlargement(layer(x, "across2", 1, 1)) + beside, "merge2", 3, 1), 0)
    x = np.maximum(layer(slow_enlargement(layer(x, "across3", 1, 1)) + details, "merge3", 3, 1), 0)
    pixels = layer(x, "pixels", 1, 1)
    size = len(image)
    logits = np.zeros((size, size, 6))
    for row in range(size):
        for column in range(size):
            within = 2 * (row % 2) + column % 2
            logits[row, column] = pixels[row // 2, column // 2, within::4]
    return logits, votes, layer(hidden, "summary", 1, 1)[0, 0]
