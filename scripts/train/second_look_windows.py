"""Windows of the second look, cut from scenes with layers: around the predicted hand, turned, mirrored and scaled."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pixel_label_scenes import UNIT_MM, Arrays
from pixel_label_windows import UNKNOWN, Batch, drawn_turn, targets_of

from handopt.observation.pixel_window import MM_PER_PX
from handopt.observation.second_look import SIZE

JITTER_MM: Final = (5.0, 5.0, 4.0)
"""Deviation of a window's middle from the predicted palm, mm."""
RESIZED: Final = 0.15
"""A window's size is the predicted hand's up to this logarithm."""


@dataclass(frozen=True, eq=False)
class SecondBatch(Batch):
    """Windows with what handopt.observation.second_look.second_input takes beside offset.

    first: (B, S, S, 3) probabilities of the look before; skin_mm: (B, S, S), NaN where the predicted hand is not seen
    """

    first: NDArray[np.float32]
    skin_mm: NDArray[np.float32]


def rows_with_layers(scenes: Arrays) -> NDArray[np.int64]:
    """The scenes that have layers."""
    return np.flatnonzero(np.isfinite(scenes["predicted"][:, :, 0]).any(axis=0))


def cut_second_windows(scenes: Arrays, rows: NDArray[np.int64], rng: np.random.Generator) -> SecondBatch:
    """Cut a window out of each of the scenes of these rows."""
    drawn = [_window(scenes, int(row), rng) for row in rows]
    return SecondBatch(*(np.stack(each) for each in zip(*drawn, strict=True)))


def _window(scenes: Arrays, row: int, rng: np.random.Generator) -> tuple[Any, ...]:
    height, width = (int(value) for value in scenes["shape"][row])
    numbers = scenes["numbers"][row].astype(np.float64)
    draw = int(rng.choice(np.flatnonzero(np.isfinite(scenes["predicted"][:, row, 0]))))
    predicted = scenes["predicted"][draw, row].astype(np.float64)
    centre = predicted[:3] + rng.normal(0.0, 1.0, 3) * JITTER_MM
    size = float(predicted[3] * np.exp(rng.uniform(-RESIZED, RESIZED)))
    turn, mirror = drawn_turn(rng)
    axis = (np.arange(SIZE) - 0.5 * (SIZE - 1)) * (MM_PER_PX * size)
    places = np.stack([np.tile(axis, SIZE), np.repeat(axis, SIZE)], axis=-1) @ turn.T + centre[:2]
    pixels = np.rint(numbers[:2] * places / centre[2] + numbers[2:4]).astype(np.int64).reshape(SIZE, SIZE, 2)
    inside = ((pixels >= 0) & (pixels < (width, height))).all(axis=-1)
    flat = int(scenes["first"][row]) + np.where(inside, pixels[..., 1] * width + pixels[..., 0], 0)
    counts, skin = scenes["depth"][flat], scenes["skin"][draw, flat]
    seen = inside & (counts > 0)

    def offset(values: NDArray[np.uint16], there: NDArray[np.bool_]) -> NDArray[np.float32]:
        return np.where(there, (values * UNIT_MM - centre[2]) / size, np.nan).astype(np.float32)

    label = np.where(seen, scenes["label"][flat], np.uint8(UNKNOWN))
    targets = targets_of(label, seen, numbers, (centre, turn, 1 / size, mirror))
    first = np.where(inside[..., None], scenes["labels"][draw, flat], 0).astype(np.float32) / 255
    return (offset(counts, seen), *targets, first, offset(skin, inside & (skin > 0)))
