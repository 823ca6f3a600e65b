"""The network that tells hand, forearm, other hand, held object and body apart, and votes for palm and wrist.

It sees a window around a guessed palm (handopt.observation.pixel_window); a wider one of the same kind looks again
around a predicted hand (handopt.observation.second_look). scripts/train/train_pixel_labels.py made both.
"""

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handopt.assets import asset
from handopt.errors import HandoptError
from handopt.input.pixel_labels import PIXEL_LABELS
from handopt.observation.pixel_window import CHANNELS, MM_PER_PX, SIZE
from handopt.ops.networks import convolve, dense, doubled, relu
from handopt.rig.anatomy import MIRROR
from handopt.typing import FloatImage, Floats

ASSET: Final = "pixel_labels.npz"
VERSION: Final = 3
"""Of the arrays' layout."""
VOTE_STEP_MM: Final = 50.0
"""What a 1 of a vote means, mm. Fixed by the trained network."""
VOTE_PX: Final = 8
"""Window pixels to a vote along a side."""
STAGES: Final = 3
"""How often the image is halved after the stem, which sees every other pixel and halves that."""


@dataclass(frozen=True, eq=False)
class PixelOutput:
    """What the network says of B windows.

    probability: (B, S, S, 6) float32 of each label of PIXEL_LABELS, by its value. palm_mm, wrist_mm: (B, 3) in the
    window (handopt.observation.pixel_window.to_camera). spread_mm: (B,) root mean square of the votes for the palm
    about their mean. presence, right: (B,) probabilities of a hand whose palm is near the middle, and of a right one.
    log_size: (B,) logarithm of its size relative to the default rig's.
    """

    probability: FloatImage
    palm_mm: Floats
    wrist_mm: Floats
    spread_mm: Floats
    presence: Floats
    right: Floats
    log_size: Floats


@dataclass(frozen=True, eq=False)
class PixelNetwork:
    """Weights as float32: (size * size * inputs, outputs) of a convolution, (inputs, outputs) of others.

    A 3 x 3 convolution of stride 2, for the details; a 5 x 5 convolution of stride 2 of every other pixel, to which
    the details are added, and a residual block; stages of a 3 x 3 convolution of stride 2 and two residual blocks; on
    the way back, each stage is doubled, added to what was there before and merged by a 3 x 3 convolution, perhaps with
    a residual block after it, and so are the details at last.
    Votes are read at an eighth of the resolution, labels at half of it, four to a pixel. metadata: how it was trained.
    """

    weights: dict[str, FloatImage]
    metadata: dict[str, Any]

    def __call__(self, images: FloatImage) -> PixelOutput:
        """Read windows (B, S, S, C) as handopt.observation.pixel_window.network_input makes them, or second_input."""
        logits, votes, summary = self.raw(images)
        probability = _softmax(logits)
        weight, places = _votes(votes)
        points = np.einsum("bnk,bnkc->bkc", weight, places)
        off = np.square(places[:, :, 0] - points[:, None, 0]).sum(axis=-1)
        spread = np.sqrt((weight[:, :, 0] * off).sum(axis=1))
        chance = 1 / (1 + np.exp(-summary[:, :2].astype(np.float64)))
        size = summary[:, 2].astype(np.float64)
        return PixelOutput(probability, points[:, 0], points[:, 1], spread, chance[:, 0], chance[:, 1], size)

    def both_ways(self, images: FloatImage) -> PixelOutput:
        """Read windows and their mirror images, and average: the mirror image of a window gives the mirrored reading.

        The two are read apart, so that no rounding depends on which of them comes first.
        """
        one, other = self(images), self(np.ascontiguousarray(images[:, :, ::-1]))
        return PixelOutput(
            probability=(one.probability + other.probability[:, :, ::-1]) * np.float32(0.5),
            palm_mm=0.5 * (one.palm_mm + other.palm_mm * MIRROR),
            wrist_mm=0.5 * (one.wrist_mm + other.wrist_mm * MIRROR),
            spread_mm=0.5 * (one.spread_mm + other.spread_mm),
            presence=0.5 * (one.presence + other.presence),
            right=0.5 + 0.5 * (one.right - other.right),
            log_size=0.5 * (one.log_size + other.log_size),
        )

    def raw(self, images: FloatImage) -> tuple[FloatImage, FloatImage, FloatImage]:
        """Logits of labels (B, S, S, 6), votes (B, S/8, S/8, 8), and (B, 3) logits of presence and side, log size."""
        details = self._convolve(images, "fine", 3, 2)
        beside = self._convolve(details, "detail", 3, 2, positive=False)
        x = self._residual(self._convolve(images[:, ::2, ::2], "stem", 5, 2, added=beside), "early")
        levels = [details, dense(x, self.weights, "beside")]
        for stage in range(STAGES):
            x = self._convolve(x, f"shrink{stage}", 3, 2)
            x = self._residual(self._residual(x, f"residual{stage}"), f"again{stage}")
            levels.append(x)
        levels.pop()
        hidden = relu(dense(x.reshape(len(x), -1), self.weights, "dense"))
        votes = x
        for stage in range(STAGES + 1):
            x = doubled(dense(x, self.weights, f"across{stage}"))
            x += levels.pop()
            x = self._convolve(x, f"merge{stage}", 3, 1)
            if f"mend{stage}.first.weight" in self.weights:
                x = self._residual(x, f"mend{stage}")
            if stage == STAGES - 2:
                votes = dense(x, self.weights, "votes")
        pixels = dense(x, self.weights, "pixels")
        # Each pixel stands for four of the window: label by label, row by row.
        count, half = pixels.shape[:2]
        blocks = pixels.reshape(count, half, half, len(PIXEL_LABELS), 2, 2)
        logits = blocks.transpose(0, 1, 4, 2, 5, 3).reshape(count, 2 * half, 2 * half, len(PIXEL_LABELS))
        return logits, votes, dense(hidden, self.weights, "summary")

    def _residual(self, x: FloatImage, name: str) -> FloatImage:
        inner = self._convolve(x, f"{name}.first", 3, 1)
        return self._convolve(inner, f"{name}.second", 3, 1, added=x)

    def _convolve(
        self,
        x: FloatImage,
        name: str,
        size: int,
        stride: int,
        *,
        added: FloatImage | None = None,
        positive: bool = True,
    ) -> FloatImage:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return convolve(x, weight, bias, size, stride, added=added, positive=positive)


def _softmax(logits: FloatImage) -> FloatImage:
    """Probabilities (..., N) of logits, in their place, label by label: NumPy reduces a short axis slowly."""
    labels = range(1, logits.shape[-1])
    largest = logits[..., 0].copy()
    for label in labels:
        np.maximum(largest, logits[..., label], out=largest)
    logits -= largest[..., None]
    probability = np.exp(logits, out=logits)
    total = probability[..., 0].copy()
    for label in labels:
        total += probability[..., label]
    probability /= total[..., None]
    return probability


def _votes(votes: FloatImage) -> tuple[Floats, Floats]:
    """Weights (B, n, 2) of the votes for palm and wrist, which add up to 1, and where they are, (B, n, 2, 3) mm."""
    size = votes.shape[1]
    axis = (np.arange(size) + 0.5 - 0.5 * size) * (VOTE_PX * MM_PER_PX)
    cells = np.stack([np.tile(axis, size), np.repeat(axis, size), np.zeros(size * size)], axis=-1)
    flat = votes.reshape(len(votes), size * size, 2, 4).astype(np.float64)
    logit = flat[..., 0] - flat[..., 0].max(axis=1, keepdims=True)
    weight = np.exp(logit)
    weight /= weight.sum(axis=1, keepdims=True)
    return weight, cells[:, None] + VOTE_STEP_MM * flat[..., 1:]


@cache
def default_network() -> PixelNetwork:
    """The network that comes with handopt. Raises HandoptError where its file is missing or broken."""
    return load_network(asset(ASSET))


def load_network(path: Path, channels: int = CHANNELS, size: int = SIZE) -> PixelNetwork:
    """Read a network that scripts/train/train_pixel_labels.py wrote, of windows (size, size, channels).

    Raises HandoptError where it cannot be used.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return network_from_arrays({name: file[name] for name in file.files}, channels, size)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise HandoptError(f"{path} is no usable network of pixel labels ({error}): install handopt again") from error


def network_from_arrays(arrays: Mapping[str, NDArray[Any]], channels: int = CHANNELS, size: int = SIZE) -> PixelNetwork:
    """The network in arrays, of windows (size, size, channels). Raises ValueError or KeyError."""
    metadata = json.loads(str(arrays["metadata"]))
    if metadata["version"] != VERSION:
        raise ValueError(f"a network of version {metadata['version']}, expected {VERSION}")
    weights = {name: each.astype(np.float32) for name, each in arrays.items() if name != "metadata"}
    network = PixelNetwork(weights, metadata)
    if not all(np.isfinite(each).all() for each in network.raw(np.zeros((1, size, size, channels), np.float32))):
        raise ValueError("a network that is not finite")
    return network
