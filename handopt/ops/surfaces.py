"""Passes over the pixels of a depth image, on the CPU: flying pixels, components, planes, grids, without gradients."""

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from handopt.backend import launch
from handopt.errors import ShapeError
from handopt.typing import AnyArray, BoolImage, Box, FloatImage, Floats, Indices, LabelImage, Value

MAX_SAMPLES: Final = 4
"""Pixels along a side of a cell of a grid that are looked up."""
Real = TypeVar("Real", np.float32, np.float64)
_FLOAT = np.empty(0, np.float32)  # of kernels that have no reals among their arguments


def drop_flying_pixels(depth_mm: FloatImage, steps: FloatImage, min_support: int) -> None:
    """Set flying pixels and speckle to 0 in depth_mm (H, W) and to NaN in steps (H, W), in place.

    steps: differ by at most 1 between neighbours on one surface, NaN where nothing is measured. A flying pixel lies
    strictly between its left and right, or upper and lower, neighbours and on neither's surface; a speckle shares its
    surface with fewer than min_support of its 8 neighbours. Raises ShapeError.
    """
    _check("depth_mm", depth_mm, depth_mm.dtype, steps.shape)
    _check("steps", steps, depth_mm.dtype, depth_mm.shape)
    height, width = depth_mm.shape
    launch("drop_flying", 1, depth_mm, steps, np.empty((3, width + 2), steps.dtype), min_support, height, width)


def label_components(steps: FloatImage, max_gap_px: int) -> LabelImage:
    """Label pixels (H, W) that hang together: int32 from 2 on in the order of their first pixels, 0 for NaN.

    Neighbours in a row or column hang together where their steps differ by at most 1, and so do pixels with up to
    max_gap_px pixels of NaN in a row or column between them. Raises ShapeError.
    """
    _check("steps", steps, steps.dtype, steps.shape)
    height, width = steps.shape
    labels, scratch = np.empty(steps.shape, np.int32), np.empty(height * width + width + 1, np.int32)
    launch("label_surfaces", 1, steps, scratch, labels, max_gap_px, height, width)
    return labels


def squares_by_label(depth_mm: FloatImage, labels: LabelImage, count: int) -> Floats:
    """The sum of depth^2 over the pixels of each label (count,), float64; 0 for label 0.

    depth_mm, labels: (H, W), labels below count. Raises ShapeError.
    """
    _check("depth_mm", depth_mm, depth_mm.dtype, labels.shape)
    _check("labels", labels, np.int32, depth_mm.shape)
    sums = np.zeros(count)
    launch("label_areas", 1, depth_mm, labels, sums, depth_mm.size)
    return sums


def pixels_on_plane(
    depth_mm: FloatImage, left: BoolImage, plane: Floats, thickness_mm: float, noise_per_mm: float
) -> BoolImage:
    """Which pixels of left (H, W) lie on a plane 1/z = a u + b v + c, to thickness_mm + noise_per_mm z^2.

    depth_mm: (H, W); plane: (3,), a, b and c per mm, for columns u and rows v. Raises ShapeError.
    """
    _check("depth_mm", depth_mm, depth_mm.dtype, left.shape)
    _check("left", left, np.bool_, depth_mm.shape)
    inside = np.empty(depth_mm.shape, np.bool_)
    launch(
        *("plane_pixels", 1, depth_mm, left, plane.astype(depth_mm.dtype), inside),
        *(thickness_mm, noise_per_mm, *depth_mm.shape),
    )
    return inside


def pixels_going_with(
    depth_mm: FloatImage,
    block: Box,
    nearest: tuple[Indices, Indices],
    samples: tuple[FloatImage, FloatImage, FloatImage],
    step_mm: float,
) -> BoolImage:
    """Which pixels (H, W) of a block of a depth image go with their nearest sample.

    nearest: the sample's row of each row of the block, and its column of each column; samples: (h, w) mm each, the
    least and greatest depth that goes with a sample, and a depth from which it has to differ by more than step_mm.
    Raises ShapeError.
    """
    _check("depth_mm", depth_mm, depth_mm.dtype, depth_mm.shape)
    low, high, others = (np.ascontiguousarray(each, depth_mm.dtype) for each in samples)
    v, u = (each.astype(np.int32) for each in nearest)
    (top, left), going = (side.start for side in block), np.zeros(depth_mm.shape, np.bool_)
    launch(
        *("going_with", 1, depth_mm, low, high, others, v, u, going, step_mm, top, left),
        *(len(v), len(u), depth_mm.shape[1], low.shape[1]),
    )
    return going


def extreme_filter(image: NDArray[Real], size: int, *, largest: bool) -> NDArray[Real]:
    """The greatest or the least value of size x size pixels around each (H, W), of those within the image.

    What scipy.ndimage.maximum_filter and minimum_filter give. image: float32 or float64 without NaN; size: odd
    Raises ShapeError.
    """
    image = np.ascontiguousarray(image)
    _check("image", image, image.dtype, image.shape)
    if size < 1 or size % 2 == 0:
        raise ShapeError(f"size: expected an odd number of pixels, got {size}")
    height, width = image.shape
    out, scratch = np.empty_like(image), np.empty((height + size + 1, width + size), image.dtype)
    launch("extreme_filter", 1, image, scratch, out, size, int(largest), height, width)
    return out


def distance_inside(mask: BoolImage, *, border: bool = False) -> Floats:
    """The distance (H, W) px of each pixel to the nearest one outside of the mask, 0 there; float64, exact.

    What scipy.ndimage.distance_transform_edt gives, but infinite where the mask is all of the image. border: whether
    what lies around the image is outside of the mask. Raises ShapeError.
    """
    mask = np.ascontiguousarray(mask)
    _check("mask", mask, np.bool_, mask.shape)
    if not border and mask.all():
        return np.full(mask.shape, np.inf)
    height, width = mask.shape
    distance, scratch = np.empty(mask.shape), np.empty(height * width + 2 * width, np.int32)
    launch("distance_transform", 1, _FLOAT, mask, scratch, distance, int(border), height, width)
    return distance


def label_regions(mask: BoolImage) -> tuple[LabelImage, int]:
    """The regions of a mask (H, W) that hang together over edges, int32 from 1, 0 outside, and how many there are.

    What scipy.ndimage.label gives: they are numbered in the order of their first pixels. Raises ShapeError.
    """
    _check("mask", mask, np.bool_, mask.shape)
    outside, labels, count = ~mask, np.empty(mask.shape, np.int32), np.zeros(1, np.int32)
    launch("label_regions", 1, _FLOAT, outside, np.empty(mask.size + 1, np.int32), labels, count, *mask.shape)
    return labels, int(count[0])


def fill_regions(mask: BoolImage, most: int) -> BoolImage:
    """A mask (H, W) with the regions outside of it that have at most so many pixels, if there are two. ShapeError."""
    mask = np.ascontiguousarray(mask)
    _check("mask", mask, np.bool_, mask.shape)
    filled = np.empty_like(mask)
    launch("fill_regions", 1, _FLOAT, mask, np.empty(3 * mask.size + 2, np.int32), filled, most, *mask.shape)
    return filled


def hand_creases(depth_mm: FloatImage, hand: BoolImage, least_mm: float, step: int, aslant: int) -> BoolImage:
    """Where a hand (H, W) is farther by more than least_mm than the middle of two of its pixels on opposite sides.

    These lie `step` pixels away along a row or column, or `aslant` pixels, at most as many, along both. Depths are
    means of 3 x 3 pixels of the hand. depth_mm: (H, W). Raises ShapeError.
    """
    _check("depth_mm", depth_mm, depth_mm.dtype, hand.shape)
    _check("hand", hand, np.bool_, depth_mm.shape)
    if not 1 <= aslant <= step:
        raise ShapeError(f"aslant: expected 1 to {step}, got {aslant}")
    height, width = hand.shape
    smooth, weight = np.empty(hand.shape, depth_mm.dtype), np.empty((2, height, width), depth_mm.dtype)
    creases, sums = np.empty(hand.shape, np.bool_), np.empty(width)
    launch(
        *("hand_creases", 1, depth_mm, hand, smooth, weight, sums, creases),
        *(least_mm, step, aslant, height, width),
    )
    return creases


def nearest_outside(mask: BoolImage) -> tuple[Floats, LabelImage]:
    """As distance_inside, and the index (H, W) of that nearest pixel in the flattened image.

    Of several it is the one in the leftmost column, and there the upper one, as in scipy.ndimage. There must be one.
    Raises ShapeError.
    """
    mask = np.ascontiguousarray(mask)
    _check("mask", mask, np.bool_, mask.shape)
    if mask.all():
        raise ShapeError("mask: expected a pixel outside of it")
    height, width = mask.shape
    nearest: LabelImage = np.empty(mask.shape, np.int32)
    distance: Floats = np.empty(mask.shape)
    scratch = np.empty(height * width + 2 * width, np.int32)
    launch("nearest_outside", 1, _FLOAT, mask, scratch, nearest, distance, height, width)
    return distance, nearest


@dataclass(frozen=True)
class Cells:
    """What the pixels of each cell of a grid show, (S, S) each.

    count: int32, measured pixels of the hand; median_mm: their lower median, inf where there is none; other_mm: the
    least depth of other pixels, inf where there is none; arm, outside, ignored: whether one is of the arm, lies outside
    of the image, or is ignored
    """

    count: LabelImage
    median_mm: FloatImage
    other_mm: FloatImage
    arm: BoolImage
    outside: BoolImage
    ignored: BoolImage


def resample_cells(
    depth_mm: FloatImage,
    hand: BoolImage,
    arm: BoolImage,
    ignored: BoolImage | None,
    rows: Indices,
    columns: Indices,
    samples: int,
) -> Cells:
    """Look up samples x samples pixels of an image (H, W) for each cell of a grid.

    depth_mm: float32, 0 = none; rows, columns: (S samples,), where they lie; samples: up to MAX_SAMPLES.
    Raises ShapeError.
    """
    shape = depth_mm.shape
    for name, image, dtype in (("depth_mm", depth_mm, np.float32), ("hand", hand, np.bool_), ("arm", arm, np.bool_)):
        _check(name, image, dtype, shape)
    if ignored is not None:
        _check("ignored", ignored, np.bool_, shape)
    if not 1 <= samples <= MAX_SAMPLES or len(rows) != len(columns) or len(rows) % samples:
        raise ShapeError(f"samples: expected up to {MAX_SAMPLES} for each cell along both sides, got {samples}")
    size = len(rows) // samples
    inside = (
        np.where((places >= 0) & (places < length), places, -1).astype(np.int32)
        for places, length in zip((rows, columns), shape, strict=True)
    )
    count, flags = np.empty((size, size), np.int32), np.empty((size, size), np.uint8)
    median, other = np.empty((size, size), np.float32), np.empty((size, size), np.float32)
    v, u = inside
    out = median, other, count, flags
    hidden = arm if ignored is None else ignored
    numbers = int(ignored is not None), size, samples, shape[1]
    launch("resample_cells", size * size, depth_mm, hand, arm, hidden, v, u, *out, *numbers)
    return Cells(count, median, other, *((flags & bit).astype(np.bool_) for bit in (1, 2, 4)))


def mirror_columns(image: NDArray[Value]) -> NDArray[Value]:
    """The mirror image (H, W), columns in reverse order, as a copy."""
    if image.ndim != 2 or image.dtype.itemsize not in (1, 4) or not image.flags.c_contiguous:
        return np.ascontiguousarray(image[:, ::-1])
    mirrored = np.empty_like(image)
    launch("mirror_columns", 1, _FLOAT, image, mirrored, image.dtype.itemsize, *image.shape)
    return mirrored


def _check(name: str, image: AnyArray, dtype: object, shape: tuple[int, ...]) -> None:
    real = dtype in (np.float32, np.float64, np.int32, np.bool_)
    if image.ndim != 2 or image.shape != shape or image.dtype != dtype or not real or not image.flags.c_contiguous:
        raise ShapeError(
            f"{name}: expected a C-contiguous image {shape} of {dtype}, got {image.dtype} {image.shape}, "
            f"{'C-contiguous' if image.flags.c_contiguous else 'not contiguous'}"
        )
