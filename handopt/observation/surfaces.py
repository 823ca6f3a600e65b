"""Surfaces in a depth image: which neighbours lie on one surface, flying pixels, depth-connected components, windows.

Lengths are in mm, areas in cm2 of the plane parallel to the image (a slanted surface counts less), points in the camera
frame.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from handopt.input.camera import Camera
from handopt.observation.planes import large_planes
from handopt.observation.settings import DEFAULT, ObservationConfig, SurfaceConfig
from handopt.ops.surfaces import drop_flying_pixels, label_components, mirror_columns, squares_by_label
from handopt.typing import BoolImage, Box, FloatImage, LabelImage, Points, Value, Vector


@dataclass(frozen=True)
class LabelledDepth:
    """A depth image whose pixels are labelled by the surface that they lie on.

    depth_mm: (H, W) without flying pixels. surfaces: (H, W) labels from 1, 0 = none. labels: the same where the hand
    may be, else 0. area_cm2: (labels,) area of each surface where the hand may be. config: the observation's numbers.
    """

    camera: Camera
    depth_mm: FloatImage
    surfaces: LabelImage
    labels: LabelImage
    area_cm2: Vector
    config: ObservationConfig = DEFAULT


@dataclass(frozen=True)
class Window:
    """Every `stride`-th pixel of a rectangle of a frame, with its points (h, w, 3)."""

    frame: LabelledDepth
    rows: slice
    columns: slice
    depth_mm: FloatImage
    labels: LabelImage
    points_mm: Points

    def part(self, box: Box) -> "Window":
        """Return the window of a box of its pixels; the box has no step."""
        rows, columns = (
            slice(whole.start + cut.start * whole.step, whole.start + cut.stop * whole.step, whole.step)
            for whole, cut in zip((self.rows, self.columns), box, strict=True)
        )
        return Window(self.frame, rows, columns, self.depth_mm[box], self.labels[box], self.points_mm[box])

    @property
    def stride(self) -> int:
        """Step between pixels, in pixels of the frame."""
        return int(self.rows.step)

    def pixel_mm(self, z_mm: float) -> float:
        """Edge of a pixel of the window at a distance."""
        return self.stride * z_mm / self.frame.camera.fx

    @cached_property
    def pixel_cm2(self) -> FloatImage:
        """Return (h, w) the area that each pixel of the window stands for."""
        camera = self.frame.camera
        scale = np.float32(self.stride * self.stride / (100.0 * camera.fx * camera.fy))
        return np.asarray(scale * self.depth_mm * self.depth_mm)

    @cached_property
    def border(self) -> BoolImage:
        """Return (h, w) True at the border of the image."""
        height, width = self.frame.depth_mm.shape
        v, u = np.arange(height)[self.rows], np.arange(width)[self.columns]
        return np.asarray(
            ((v < self.stride) | (v >= height - self.stride))[:, None] | (u < self.stride) | (u >= width - self.stride)
        )


def surface_steps(depth_mm: FloatImage, focal: float, config: SurfaceConfig = DEFAULT.surfaces) -> FloatImage:
    """Return (H, W) a function of depth that differs by at most 1 between neighbours on one surface; NaN for depth 0.

    One step is 8 mm plus 4 pixel widths, so it grows with distance as a pixel does: 11 mm at 300 mm, 13 mm at 600 mm,
    16 mm at 1 m for a focal length of 475 px. A surface seen at 75 degrees still holds together. The function is the
    integral of dz / (8 + 4 z / focal).
    """
    steps = np.log(config.step_mm + (config.step_per_px / focal) * depth_mm) * np.float32(focal / config.step_per_px)
    np.copyto(steps, np.nan, where=depth_mm <= 0)
    return np.asarray(steps)


def drop_flying(depth_mm: FloatImage, focal: float, config: SurfaceConfig = DEFAULT.surfaces) -> FloatImage:
    """Return the depth image without flying pixels and speckle (set to 0).

    depth_mm: (H, W) mm, 0 = none. focal: pixels. A flying pixel lies strictly between its left and right, or upper
    and lower, neighbours, on neither's surface: the sensor mixed two surfaces. A speckle shares its surface with
    fewer than 3 of its 8 neighbours.
    """
    clean = np.array(depth_mm, order="C")
    drop_flying_pixels(clean, surface_steps(clean, focal, config), config.min_support)
    return clean


def label_surfaces(depth_mm: FloatImage, focal: float, config: SurfaceConfig = DEFAULT.surfaces) -> LabelImage:
    """Label the depth-connected components of an image: (H, W) int32 from 1, 0 where there is no measurement.

    A surface holds together across gaps of 1 or 2 pixels that were not measured.
    """
    return label_components(surface_steps(np.ascontiguousarray(depth_mm), focal, config), config.max_gap_px)


def segment_surfaces(
    depth_mm: FloatImage,
    camera: Camera,
    allowed: BoolImage | None = None,
    *,
    planes: bool = True,
    config: ObservationConfig = DEFAULT,
) -> LabelledDepth:
    """Drop flying pixels and label the surfaces of a depth image.

    depth_mm: (H, W) mm, 0 = none. allowed: (H, W) where the hand may be; None is everywhere. planes: whether to look
    for large planes; they get the last label and no area, since they cannot be hands.
    """
    steps = surface_steps(depth_mm, float(np.sqrt(camera.fx * camera.fy)), config.surfaces)
    clean = depth_mm.copy()
    drop_flying_pixels(clean, steps, config.surfaces.min_support)
    flat = large_planes(clean, camera, config.planes) if planes else None
    if flat is not None:
        steps[flat] = np.nan
    surfaces = label_components(steps, config.surfaces.max_gap_px)
    count = int(surfaces.max()) + 1
    if flat is not None:
        surfaces[flat] = count
    labels = surfaces if allowed is None else np.where(allowed, surfaces, np.int32(0))
    area = squares_by_label(clean, labels, count + 1) / (100.0 * camera.fx * camera.fy)
    area[count] = 0.0
    return LabelledDepth(camera, clean, surfaces, labels, area, config)


def flipped(image: NDArray[Value]) -> NDArray[Value]:
    """Return the mirror image (columns W - 1 - u), as a copy."""
    return mirror_columns(image)


def lifted_points(camera: Camera, depth_mm: FloatImage, mask: BoolImage) -> FloatImage:
    """Lift the pixels of a mask to points (N, 3) float32, row by row."""
    rows, columns = np.divmod(np.flatnonzero(mask), camera.width)
    z = depth_mm[rows, columns]
    x = ((np.arange(camera.width) - camera.cx) / camera.fx).astype(np.float32)
    y = ((np.arange(camera.height) - camera.cy) / camera.fy).astype(np.float32)
    return np.stack([z * x[columns], z * y[rows], z], axis=-1)


def open_window(frame: LabelledDepth, rows: tuple[float, float], columns: tuple[float, float], stride: int) -> Window:
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
    points = np.empty((*depth.shape, 3), np.float32)
    np.multiply(depth, x, out=points[..., 0])
    np.multiply(depth, y[:, None], out=points[..., 1])
    points[..., 2] = depth
    return Window(frame, cut[0], cut[1], depth, frame.labels[cut], points)


def window_around(frame: LabelledDepth, center_mm: Vector, radius_mm: float, stride: int | None = None) -> Window:
    """Open the window that shows everything within radius_mm of a point."""
    camera = frame.camera
    u, v = camera.project(center_mm)
    near = max(float(center_mm[2]) - 0.5 * radius_mm, 0.5 * float(center_mm[2]))
    half_u, half_v = camera.fx * radius_mm / near, camera.fy * radius_mm / near
    if stride is None:
        stride = coarse_stride(camera, float(center_mm[2]), frame.config.surfaces)
    return open_window(frame, (v - half_v, v + half_v), (u - half_u, u + half_u), stride)


def whole_window(frame: LabelledDepth) -> Window:
    """Open the window on all of a frame."""
    height, width = frame.depth_mm.shape
    return open_window(frame, (0, height), (0, width), 1)


def bounding_box(mask: BoolImage, margin_px: int) -> Box:
    """Return the box of a mask's True pixels (there must be some) and of a margin around, within the image."""
    sides = []
    for axis in (1, 0):
        line = np.flatnonzero(mask.any(axis=axis))
        sides.append(slice(max(0, int(line[0]) - margin_px), min(mask.shape[1 - axis], int(line[-1]) + 1 + margin_px)))
    return sides[0], sides[1]


def coarse_stride(camera: Camera, z_mm: float, config: SurfaceConfig = DEFAULT.surfaces) -> int:
    """Return the step in pixels that comes closest to the samples of coarse windows at a distance."""
    return max(1, round(config.coarse_mm * camera.fx / z_mm))
