"""What is missing from images: beyond the sensor's range, on dark or shiny things, and outside of a segmentation."""

from typing import Literal

import numpy as np

from handopt.input.camera import Camera
from handopt.input.pixel_labels import BACKGROUND, FOREARM, HAND, OBJECT
from handopt.synth.wild_config import CONFIG
from handopt.typing import BoolImage, FloatImage, Floats, Mask

Crop = Literal["none", "wrist", "cube"]
_CONFIG = CONFIG.crop


def ranged(rng: np.random.Generator, depth: FloatImage, mask: Mask, hand: Floats) -> tuple[FloatImage, Mask]:
    """Take away what is too near or too far for a sensor, never of the hand, whose vertices are (V, 3)."""
    near, far = rng.random() < _CONFIG.near_share, rng.random() < _CONFIG.far_share
    low = min(float(rng.uniform(*_CONFIG.near_mm)), float(hand[:, 2].min()) - _CONFIG.spared_mm) if near else 0.0
    high = float(hand[:, 2].max()) + float(np.exp(rng.uniform(*np.log(_CONFIG.far_mm)))) if far else np.inf
    return _without(depth, mask, (depth < low) | (depth > high))


def patchy(rng: np.random.Generator, depth: FloatImage, mask: Mask) -> tuple[FloatImage, Mask]:
    """Sometimes take patches of the background away: dark, shiny, or beyond what the light reaches."""
    chosen, grid = rng.random() < _CONFIG.patchy_share, rng.integers(4, 14, 2)
    noise, level = rng.standard_normal(tuple(grid)), float(rng.normal(0.6, 0.6))
    if not chosen:
        return depth, mask
    return _without(depth, mask, (_enlarged(noise, depth.shape) > level) & (mask == BACKGROUND))


def cropped(
    rng: np.random.Generator,
    crop: Crop,
    depth: FloatImage,
    mask: Mask,
    camera: Camera,
    wrist: Floats,
    elbow: Floats,
    hand: Floats,
    scale: float,
) -> tuple[FloatImage, Mask]:
    """Cut an image as a segmentation does. wrist: (3,) mm; elbow: (3,) unit vector towards it; hand: (V, 3) mm."""
    if crop == "none":
        return depth, mask
    x = (np.arange(camera.width) - camera.cx) / camera.fx * depth
    y = ((np.arange(camera.height) - camera.cy) / camera.fy)[:, None] * depth
    if crop == "cube":
        half = float(rng.uniform(*_CONFIG.cube_half_mm))
        middle = 0.5 * (hand.min(axis=0) + hand.max(axis=0)) + rng.uniform(-15.0, 15.0, 3)
        half = max(half, float(np.abs(hand - middle).max()) + 2.0)
        outside = [np.abs(each - at) > half for each, at in zip((x, y, depth), middle, strict=True)]
        return _without(depth, mask, outside[0] | outside[1] | outside[2])
    along = (x - wrist[0]) * elbow[0] + (y - wrist[1]) * elbow[1] + (depth - wrist[2]) * elbow[2]
    end = scale * float(rng.uniform(*_CONFIG.wrist_cut_mm))
    if rng.random() < _CONFIG.ragged_share:
        rough = float(rng.uniform(*_CONFIG.ragged_mm))
        grid = max(6, camera.height // 12), max(6, camera.width // 12)
        along = along + rough * (
            _enlarged(rng.standard_normal(grid), depth.shape) + 0.4 * rng.standard_normal(depth.shape)
        )
    limb = (mask == HAND) | (mask == FOREARM)
    return _without(depth, mask, (limb & (along > end)) | ~(limb | (mask == OBJECT)))


def _without(depth: FloatImage, mask: Mask, gone: BoolImage) -> tuple[FloatImage, Mask]:
    return np.where(gone, np.float32(0.0), depth), np.where(gone, np.uint8(BACKGROUND), mask)


def _enlarged(grid: Floats, shape: tuple[int, ...]) -> FloatImage:
    """A coarse grid (n, m), interpolated linearly to an image."""
    rows = np.linspace(0.0, grid.shape[0] - 1.001, shape[0])
    columns = np.linspace(0.0, grid.shape[1] - 1.001, shape[1])
    i, j = rows.astype(int), columns.astype(int)
    down, right = (rows - i)[:, None], columns - j
    tall = (1 - down) * grid[i] + down * grid[i + 1]
    return np.asarray((1 - right) * tall[:, j] + right * tall[:, j + 1], np.float32)
