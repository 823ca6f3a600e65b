"""Where the hands of a depth image may be: palms are proposed on every surface, and a hand is grown around each of them.

Lengths are in mm, areas in cm2 of the plane parallel to the image (a slanted surface counts less), points in the camera frame.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handopt.camera import Camera
from handopt.surfaces import BoolImage, FloatImage, LabelImage, drop_flying, label_surfaces, linked

BALL_MM = 160.0
CUT_MM = 75.0
COARSE_MM = 3.2
DISTANCE_MM = (120.0, 3000.0)
PALM_RADIUS_MM = (12.0, 62.0)
MIN_SURFACE_CM2 = 20.0
FINGER_RADIUS_MM = 13.0
MAX_COARSE_PX = 40_000
PIECE_CM2 = (0.15, 60.0)
PIECE_DEPTH_MM = (-60.0, 110.0)
MAX_HOLE_MM2 = 150.0

Points = NDArray[np.float32]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """A depth image taken apart into surfaces.

    depth_mm: (H, W) without flying pixels. surfaces: (H, W) labels from 1. labels: the same where the hand may be, else 0.
    area_cm2: (labels,) area of each surface where the hand may be.
    """

    camera: Camera
    depth_mm: FloatImage
    surfaces: LabelImage
    labels: LabelImage
    area_cm2: NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """Every `stride`-th pixel of a rectangle of a frame, with its points (h, w, 3)."""

    frame: Frame
    rows: slice
    columns: slice
    depth_mm: FloatImage
    labels: LabelImage
    points_mm: Points

    @property
    def stride(self) -> int:
        """Step between pixels, in pixels of the frame."""
        return int(self.rows.step)

    @property
    def pixel_cm2(self) -> FloatImage:
        """Return (h, w) the area that each pixel of the window stands for."""
        camera = self.frame.camera
        scale = np.float32(self.stride * self.stride / (100.0 * camera.fx * camera.fy))
        return np.asarray(scale * self.depth_mm * self.depth_mm)

    @property
    def border(self) -> BoolImage:
        """Return (h, w) True at the border of the image."""
        height, width = self.frame.depth_mm.shape
        v, u = np.arange(height)[self.rows], np.arange(width)[self.columns]
        return np.asarray(
            ((v < self.stride) | (v >= height - self.stride))[:, None] | (u < self.stride) | (u >= width - self.stride)
        )


@dataclass(frozen=True)
class Palm:
    """A place where a palm may be: a point on the surface `label`, and the radius of the disc that fits there."""

    center_mm: Vector
    radius_mm: float
    label: int
    at_end: bool = False


def take_apart(depth_mm: FloatImage, camera: Camera, allowed: BoolImage | None = None) -> Frame:
    """Drop flying pixels and label the surfaces of a depth image.

    depth_mm: (H, W) mm, 0 = none. allowed: (H, W) where the hand may be; None is everywhere.
    """
    focal = float(np.sqrt(camera.fx * camera.fy))
    clean = drop_flying(depth_mm, focal)
    surfaces = label_surfaces(clean, focal)
    labels = surfaces if allowed is None else np.where(allowed, surfaces, np.int32(0))
    area = np.bincount(labels.ravel(), np.square(clean).ravel()) / (100.0 * camera.fx * camera.fy)
    area[0] = 0.0
    return Frame(camera, clean, surfaces, labels, area)


def open_window(frame: Frame, rows: tuple[float, float], columns: tuple[float, float], stride: int) -> Window:
    """Cut rows [r0, r1) and columns [c0, c1) out of a frame, clipped to it, keeping every stride-th pixel."""
    height, width = frame.depth_mm.shape
    r0, c0 = max(0, int(rows[0])), max(0, int(columns[0]))
    cut = (
        slice(r0, max(r0 + 1, min(height, int(rows[1]) + 1)), stride),
        slice(c0, max(c0 + 1, min(width, int(columns[1]) + 1)), stride),
    )
    depth = frame.depth_mm[cut]
    camera = frame.camera
    x = ((np.arange(width)[cut[1]] - camera.cx) / camera.fx).astype(np.float32)
    y = ((np.arange(height)[cut[0]] - camera.cy) / camera.fy).astype(np.float32)
    points = np.stack([depth * x, depth * y[:, None], depth], axis=-1)
    return Window(frame, cut[0], cut[1], depth, frame.labels[cut], points)


def window_around(frame: Frame, center_mm: Vector, radius_mm: float, stride: int | None = None) -> Window:
    """Open the window that shows everything within radius_mm of a point."""
    camera = frame.camera
    u, v = camera.project(center_mm)
    near = max(float(center_mm[2]) - 0.5 * radius_mm, 0.5 * float(center_mm[2]))
    half_u, half_v = camera.fx * radius_mm / near, camera.fy * radius_mm / near
    if stride is None:
        stride = coarse_stride(camera, float(center_mm[2]))
    return open_window(frame, (v - half_v, v + half_v), (u - half_u, u + half_u), stride)


def coarse_stride(camera: Camera, z_mm: float) -> int:
    """Return the step in pixels that comes closest to 3.2 mm at a distance."""
    return max(1, round(COARSE_MM * camera.fx / z_mm))
