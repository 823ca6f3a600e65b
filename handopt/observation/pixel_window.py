"""The window of a depth image that the network of pixel labels sees: a square around a guessed palm.

Its pixels are square in mm at the palm's depth; each is the nearest pixel of the image. Nothing is cut away.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handopt.errors import ShapeError
from handopt.input.camera import Camera
from handopt.observation.crop import nearest_pixels
from handopt.typing import FloatImage, Floats, Indices, Vector

SIZE: Final = 160
"""Pixels along a side of a window. Chosen by hand: a finger is 7 pixels wide. Fixed by the trained network."""
MM_PER_PX: Final = 2.25
"""Edge of a window's pixel at the palm's depth, mm: 360 mm show a large open hand around a guess that is 70 mm off.
Fixed by the trained network."""
MIDDLE_PX: Final = 0.5 * (SIZE - 1)
"""Row and column of the palm that was guessed."""
REACH_MM: Final = 200.0
"""Offsets in depth beyond this look alike, mm. Fixed by the trained network."""
OFFSET_SCALE_MM: Final = 100.0
"""Offset in depth that the network sees as 1, mm. Fixed by the trained network."""
CHANNELS: Final = 2
"""Of the network's input: whether a pixel is measured, and its offset."""


@dataclass(frozen=True, eq=False)
class PixelWindow:
    """A window of a depth image.

    palm_mm: (3,) the guess, camera frame. size: by how much a hand is larger than the default rig's, so that all hands
    look alike: a world of another size has the same image. rows, columns: (S,) pixels of the image that are looked up,
    perhaps outside of it. offset_mm: (S, S) float32, depth minus the guess's depth over the size, NaN where nothing is
    measured.
    """

    palm_mm: Vector
    size: float
    rows: Indices
    columns: Indices
    offset_mm: FloatImage

    def looked_up(self, image: FloatImage) -> FloatImage:
        """An image (H, W, ...) of the same camera as the window shows it, (S, S, ...), 0 outside of it."""
        return _looked_up(image, self.rows, self.columns)


def pixel_window(
    depth_mm: FloatImage, camera: Camera, palm_mm: ArrayLike, size: float = 1.0, pixels: int = SIZE
) -> PixelWindow:
    """Cut the window around a palm (3,) mm of a hand of a size out of a depth image (H, W) mm, 0 = none.

    pixels: along a side. Raises ShapeError.
    """
    palm = np.asarray(palm_mm, np.float64)
    if palm.shape != (3,) or not np.isfinite(palm).all() or palm[2] <= 0:
        raise ShapeError(f"palm_mm: expected 3 finite numbers with z > 0, got {palm_mm!r}")
    height, width = depth_mm.shape
    steps = (np.arange(pixels) - 0.5 * (pixels - 1)) * (MM_PER_PX * size)
    columns = nearest_pixels(camera.fx * (palm[0] + steps) / palm[2] + camera.cx, width)
    rows = nearest_pixels(camera.fy * (palm[1] + steps) / palm[2] + camera.cy, height)
    depth = _looked_up(depth_mm, rows, columns)
    return PixelWindow(palm, size, rows, columns, offset_from(depth, palm, size))


def offset_from(depth_mm: FloatImage, palm_mm: Vector, size: float) -> FloatImage:
    """Depths (...) mm, 0 = none, relative to a palm's (3,), of a hand of the default size; NaN where there is none."""
    offset = np.where(depth_mm > 0, (depth_mm - np.float32(palm_mm[2])) / np.float32(size), np.float32(np.nan))
    return np.asarray(offset, np.float32)


def network_input(offset_mm: NDArray[Any]) -> FloatImage:
    """The network's input (..., S, S, 2) for offsets (..., S, S) mm: whether a pixel is measured, and its offset."""
    seen = np.isfinite(offset_mm)
    offset = np.clip(np.where(seen, offset_mm, 0.0), -REACH_MM, REACH_MM) / OFFSET_SCALE_MM
    return np.stack([seen, offset], axis=-1).astype(np.float32)


def to_camera(window: PixelWindow, points: Floats) -> Floats:
    """Points (..., 3) of the camera frame, mm, for points of a window.

    A window's point is where its ray meets the plane of the palm's depth, to the right and down from the palm, and its
    own depth minus the palm's, in mm of a hand of the default size.
    """
    x, y, z = window.palm_mm
    right, down, behind = (window.size * points[..., axis] for axis in range(3))
    ahead = (z + behind) / z
    return np.stack([(x + right) * ahead, (y + down) * ahead, z + behind], axis=-1)


def _looked_up(image: FloatImage, rows: Indices, columns: Indices) -> FloatImage:
    height, width = image.shape[:2]
    found = image.take(np.clip(rows, 0, height - 1), axis=0).take(np.clip(columns, 0, width - 1), axis=1)
    found[(rows < 0) | (rows >= height)] = 0
    found[:, (columns < 0) | (columns >= width)] = 0
    return found
