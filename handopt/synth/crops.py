"""What is missing from images: beyond the sensor's range, on dark or shiny things, and outside of a segmentation."""

from typing import Final, Literal

import numpy as np

from handopt.input.camera import Camera
from handopt.input.pixel_labels import BACKGROUND, FOREARM, HAND, OBJECT, Mask
from handopt.typing import BoolImage, FloatImage, Floats

Crop = Literal["none", "wrist", "cube"]
CROP_SHARES: Final[dict[Crop, float]] = {"none": 0.79, "wrist": 0.13, "cube": 0.08}
"""wrist: only the hand and what it holds, cut off near the wrist, straight or ragged, as in MSRA's set; cube: what is
in a cube around the hand, as in many preprocessed sets."""
NEAR_SHARE: Final = 0.6
FAR_SHARE: Final = 0.35
PATCHY_SHARE: Final = 0.4
NEAR_MM: Final = (80.0, 250.0)
FAR_MM: Final = (40.0, 900.0)
"""Behind the farthest point of the hand, where a sensor's range ends."""
WRIST_CUT_MM: Final = (-25.0, 45.0)
"""Past the wrist towards the elbow."""
CUBE_HALF_MM: Final = (110.0, 190.0)
_RAGGED_MM = (3.0, 12.0)
_SPARED_MM = 15.0


def ranged(rng: np.random.Generator, depth: FloatImage, mask: Mask, hand: Floats) -> tuple[FloatImage, Mask]:
    """Take away what is too near or too far for a sensor, never of the hand, whose vertices are (V, 3)."""
    near, far = rng.random() < NEAR_SHARE, rng.random() < FAR_SHARE
    low = min(float(rng.uniform(*NEAR_MM)), float(hand[:, 2].min()) - _SPARED_MM) if near else 0.0
    high = float(hand[:, 2].max()) + float(np.exp(rng.uniform(*np.log(FAR_MM)))) if far else np.inf
    return _without(depth, mask, (depth < low) | (depth > high))


def patchy(rng: np.random.Generator, depth: FloatImage, mask: Mask) -> tuple[FloatImage, Mask]:
    """Sometimes take patches of the background away: dark, shiny, or beyond what the light reaches."""
    chosen, grid = rng.random() < PATCHY_SHARE, rng.integers(4, 14, 2)
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
        half = float(rng.uniform(*CUBE_HALF_MM))
        middle = 0.5 * (hand.min(axis=0) + hand.max(axis=0)) + rng.uniform(-15.0, 15.0, 3)
        half = max(half, float(np.abs(hand - middle).max()) + 2.0)
        outside = [np.abs(each - at) > half for each, at in zip((x, y, depth), middle, strict=True)]
        return _without(depth, mask, outside[0] | outside[1] | outside[2])
    along = (x - wrist[0]) * elbow[0] + (y - wrist[1]) * elbow[1] + (depth - wrist[2]) * elbow[2]
    end = scale * float(rng.uniform(*WRIST_CUT_MM))
    if rng.random() < 0.5:
        rough = float(rng.uniform(*_RAGGED_MM))
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
