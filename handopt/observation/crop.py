"""The renderer's grid: a cube around the hand, its S x S pixels, and the resampling of a depth image onto them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.errors import ShapeError
from handopt.input.camera import Camera
from handopt.observation.free_space_mask import free_space_mask
from handopt.observation.settings import DEFAULT, FreeSpaceConfig
from handopt.observation.surfaces import flipped
from handopt.ops.surfaces import MAX_SAMPLES, resample_cells
from handopt.typing import BoolImage, FloatImage, Indices, Vector

MAX_SIZE = 4096
TIE_PX = 1e-6
"""Positions this near to the middle between two pixels are taken for lying in the middle, pixels."""


@dataclass(frozen=True)
class Crop:
    """A cube in front of a camera and the S x S grid over it.

    center_mm: centre of the cube in the camera frame. half_mm: half its edge. size: S. The grid covers the rectangle
    of half-widths fx half / Cz and fy half / Cz pixels around the projected centre, so its pixels are square in mm.
    Raises ShapeError.
    """

    center_mm: tuple[float, float, float]
    half_mm: float
    size: int
    camera: Camera

    def __post_init__(self) -> None:
        """Check the numbers and turn NumPy scalars into Python's own."""
        center = np.asarray(self.center_mm, dtype=np.float64)
        if center.shape != (3,) or not np.isfinite(center).all() or center[2] <= 0.0:
            raise ShapeError(f"center_mm: expected 3 finite numbers with z > 0, got {self.center_mm}")
        if not (np.isfinite(self.half_mm) and self.half_mm > 0.0):
            raise ShapeError(f"half_mm: expected a length > 0, got {self.half_mm}")
        if not 1 <= self.size <= MAX_SIZE or self.size != int(self.size):
            raise ShapeError(f"size: expected a whole number from 1 to {MAX_SIZE}, got {self.size}")
        object.__setattr__(self, "center_mm", tuple(float(value) for value in center))
        object.__setattr__(self, "half_mm", float(self.half_mm))
        object.__setattr__(self, "size", int(self.size))

    @property
    def mm_per_px(self) -> float:
        """Edge of a grid pixel in mm, at the centre's depth."""
        return 2.0 * self.half_mm / self.size

    @property
    def coefficients(self) -> Vector:
        """Return (ax, bx, ay, by, az, bz): column ax X/Z + bx, row ay Y/Z + by, depth az Z + bz, 0..1 in the cube."""
        x, y, z = self.center_mm
        scale = z / self.mm_per_px
        middle = 0.5 * (self.size - 1)
        depth_scale = 0.5 / self.half_mm
        depth_offset = depth_scale * (self.half_mm - z)
        return np.array([scale, middle - scale * x / z, scale, middle - scale * y / z, depth_scale, depth_offset])

    def image_coordinates(self) -> tuple[Vector, Vector]:
        """Return where the grid's rows and columns lie in the camera's image: (S,) v and (S,) u, in pixels."""
        return self._coordinates(np.arange(self.size, dtype=np.float64))

    def as_camera(self) -> Camera:
        """Return the camera whose image the grid is."""
        ax, bx, ay, by = (float(value) for value in self.coefficients[:4])
        return Camera(ax, ay, bx, by, self.size, self.size, "crop")

    def look_up(self, depth_mm: FloatImage) -> tuple[Indices, Indices, FloatImage]:
        """Return rows (S,) and columns (S,) of the nearest pixels of an image (H, W), mm, and the depth (S, S) there.

        Outside of the image and nearer than the cube it is 0; what lies an edge or more behind the centre is put there.
        """
        down, right = self.image_coordinates()
        v, u = np.rint(down).astype(np.int64), np.rint(right).astype(np.int64)
        height, width = depth_mm.shape
        depth = depth_mm[np.clip(v, 0, height - 1)[:, None], np.clip(u, 0, width - 1)].astype(np.float32)
        depth[(v < 0) | (v >= height)] = 0
        depth[:, (u < 0) | (u >= width)] = 0
        near, far = self.center_mm[2] - self.half_mm, self.center_mm[2] + 2 * self.half_mm
        depth[depth < near] = 0
        depth[depth > far] = np.float32(far)
        return v, u, depth

    def mirrored(self) -> "Crop":
        """Return the crop of the same cube in the mirror image (x -> -x)."""
        x, y, z = self.center_mm
        return Crop((-x, y, z), self.half_mm, self.size, self.camera.mirrored())

    def _coordinates(self, positions: Vector) -> tuple[Vector, Vector]:
        """Map grid positions, along rows and columns alike, to v and u."""
        ax, bx, ay, by, _, _ = self.coefficients
        camera = self.camera
        return camera.fy * (positions - by) / ay + camera.cy, camera.fx * (positions - bx) / ax + camera.cx


@dataclass(frozen=True, eq=False)
class Grid:
    """A depth image on the renderer's grid.

    depth_mm: (S, S) float32, 0 where the hand is not. hand: (S, S). free: (S, S) where the hand is proven not to be.
    evidence: (S, S) how much it counts that a pose leaves a pixel of the hand unexplained, None where all do in full.
    """

    depth_mm: FloatImage
    hand: BoolImage
    free: BoolImage
    evidence: FloatImage | None = None

    def mirrored(self) -> "Grid":
        """Return the mirror image."""
        evidence = None if self.evidence is None else flipped(self.evidence)
        return Grid(flipped(self.depth_mm), flipped(self.hand), flipped(self.free), evidence)


def resample(
    crop: Crop,
    depth_mm: FloatImage,
    mask: BoolImage,
    arm: BoolImage,
    free_space: FreeSpaceConfig = DEFAULT.free_space,
    *,
    ignored: BoolImage | None = None,
    evidence: FloatImage | None = None,
) -> Grid:
    """Resample a depth image onto a crop's grid; every value is one of the measurements, nothing is interpolated.

    depth_mm: (H, W) mm, 0 = none. mask, arm: (H, W) pixels of the hand, and pixels that say nothing. ignored: (H, W)
    pixels that were left out, of which nothing is known, None for none. evidence: (H, W) how much pixels count, None
    where all do in full. Up to 4 x 4 pixels are looked up per grid pixel, each the nearest to a regular sub-position,
    as many as the camera has there. A grid pixel belongs to the hand where most of them do (where half of them do, in
    every other row), so the silhouette neither grows nor shrinks; its depth is the lower median of those, which is on
    one of the two surfaces where an edge crosses the pixel.

    handopt.observation.free_space_mask says where a grid pixel is free; the arm, what is nearer than the hand,
    and what lies outside of the image are not. The mirror image gives the mirrored grid.
    """
    samples = _samples_per_pixel(crop)
    positions = (np.arange(crop.size * samples) + 0.5) / samples - 0.5
    down, right = crop._coordinates(positions)
    rows, columns = nearest_pixels(down, depth_mm.shape[0]), nearest_pixels(right, depth_mm.shape[1])
    depth = np.ascontiguousarray(depth_mm, np.float32)
    hidden = None if ignored is None else np.ascontiguousarray(ignored)
    masks = np.ascontiguousarray(mask), np.ascontiguousarray(arm)
    cells = resample_cells(depth, *masks, hidden, rows, columns, samples)
    count, median = cells.count, cells.median_mm
    near, far = crop.center_mm[2] - crop.half_mm, crop.center_mm[2] + crop.half_mm
    even = np.arange(crop.size)[:, None] % 2 == 0
    seen = (2 * count > samples**2) | ((2 * count == samples**2) & even)
    hand = seen & (median >= near) & (median < far)
    hand_depth = np.where(hand, median, np.float32(0))
    unknown = (count > 0) | cells.outside | cells.ignored
    ratio = crop.center_mm[2] / (min(crop.camera.fx, crop.camera.fy) * crop.mm_per_px)
    seen_mm = np.where(seen, median, np.float32(0))
    images = seen_mm, cells.other_mm, cells.arm, unknown
    free = free_space_mask(*images, crop.mm_per_px, pixel_ratio=ratio, config=free_space)
    counts: NDArray[Any] | None = None
    if evidence is not None:
        total = _sum_of_hand(evidence, depth_mm, mask, (rows, columns), samples)
        counts = total / np.maximum(count, 1)
    return Grid(hand_depth, hand, free, counts)


def _sum_of_hand(
    image: FloatImage, depth_mm: FloatImage, mask: BoolImage, places: tuple[Indices, Indices], samples: int
) -> NDArray[Any]:
    """The sum (S, S) of an image (H, W) over the measured pixels of the hand in each cell of a grid."""
    rows, columns = places
    height, width = image.shape
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    pixels = np.ix_(np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1))
    counted = np.where(inside & mask[pixels] & (depth_mm[pixels] > 0), image[pixels], np.float32(0))
    size = len(rows) // samples
    blocks = counted.reshape(size, samples, size, samples).transpose(0, 2, 1, 3)
    return np.asarray(blocks.reshape(size, size, samples * samples).sum(axis=-1))


def nearest_pixels(positions: Vector, size: int) -> Indices:
    """Return the pixels nearest to positions along an axis of that size; of two, the one nearer to the middle."""
    middle = 0.5 * (size - 1)
    off = positions - middle
    half = 0.5 * (1 - size % 2)
    inward = np.ceil(np.abs(off) + half - 0.5 - TIE_PX) - half
    return np.rint(middle + np.sign(off) * inward).astype(np.int64)


def _samples_per_pixel(crop: Crop) -> int:
    """Return how many image pixels a grid pixel covers along a side, from 1 to 4."""
    image_px = crop.mm_per_px * max(crop.camera.fx, crop.camera.fy) / crop.center_mm[2]
    return int(np.clip(round(image_px), 1, MAX_SAMPLES))
