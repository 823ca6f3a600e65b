"""Counts by which sensors and their software say "nothing was measured here": constants in place of depths.

A count of the table is taken for such a constant only where the image favours that: it is the largest, nothing lies
just below it (a wall has noise), and, where a wall could be that far away, it lies in specks as well as in areas.
"""

from collections.abc import Collection
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from handopt.typing import AnyArray, BoolImage

SATURATED: Final = int(np.iinfo(np.uint16).max)
"""Always "no depth" in 16-bit files; the other constants need evidence."""
CONSTANTS: Final = MappingProxyType(
    {
        65535: "largest of 16 bits: RealSense (librealsense issue 3508), OAK-D (depthai-docs-website pull request 156)",
        32767: "largest of 15 bits, of software that keeps depth in signed integers; by hand",
        32002: "SoftKinetic DepthSense (Senz3D, DS325): saturated; from memory of its SDK, seen in no file",
        32001: "SoftKinetic DepthSense: 60 to 90 % of frames of the CVAR data set (Senz3D), counted; that it means too "
        "low a confidence is from memory",
        8191: "largest of 13 bits, of the Kinect for Windows SDK's packed pixels; from memory",
        4095: "largest of 12 bits: saturated pixels of TI's time of flight (voxelsdk issue 76), raw depth of HoloLens",
        4090: "HoloLens 2, articulated hand tracking: from here on invalid (HoloStreamer's README)",
        2047: "Kinect v1: the raw 11 bits of a pixel without depth (FREENECT_DEPTH_RAW_NO_VALUE in libfreenect.h)",
        2001: "Senz3D recordings that end at 2 m; by hand, of no document",
    }
)
"""Where each count stands for "no depth"."""
FARTHEST_WALL_MM: Final = 10_000.0
_CLEAR_BELOW: Final = 0.05  # by hand: the share of a constant below which nothing may lie; noise is 1 % of the distance
# By hand: pixels with at most 2 alike among the 8 beside them, and 5 that hold a depth, which dropout around a pixel of
# a wall is not. A rendered wall behind a hand has 0 to 5 of them.
_SPECKS: Final = 10
_ALIKE: Final = 2
_MEASURED: Final = 5


def no_depth_constants(counts: AnyArray, unit_mm: float = 1.0) -> tuple[int, ...]:
    """The counts of an image (H, W) that mean "no depth", largest first.

    unit_mm: mm per count, 1 where that is not known yet
    """
    if counts.dtype.kind in "ui" and counts.max(initial=0) not in CONSTANTS:
        return ()  # as most images are
    sixteen_bits = counts.dtype.kind == "u" and counts.dtype.itemsize == 2
    measured = np.isfinite(counts) & (counts > 0)
    rest = counts[measured]
    found: list[int] = []
    while rest.size and (largest := rest.max()) in CONSTANTS:
        value = int(largest)
        rest = rest[rest != value]
        below = rest.max(initial=0)
        clear = below < (1 - _CLEAR_BELOW) * value or below in CONSTANTS
        certain = value == SATURATED and sixteen_bits
        beyond_walls = value * unit_mm > FARTHEST_WALL_MM
        where = counts == value
        measured &= ~where
        if not (certain or (clear and (beyond_walls or _specks(where, measured) >= _SPECKS))):
            break
        found.append(value)
    return tuple(found)


def is_no_depth(counts: AnyArray, constants: Collection[int]) -> BoolImage:
    """Tell the pixels (H, W) that hold one of the constants."""
    where = np.zeros(counts.shape, np.bool_)
    for each in constants:
        where |= counts == each
    return where


def note_on(constants: Collection[int]) -> str:
    """The sentence that says what was taken for "no depth"; it is the same for all images of a folder."""
    return f"Pixels of {' and '.join(map(str, constants))} were taken as no depth."


def _specks(where: BoolImage, measured: BoolImage) -> int:
    """How many pixels of a mask (H, W), off the border, have at most 2 of it and 5 depths among the 8 beside them."""
    specks = where & (_beside(where) <= _ALIKE) & (_beside(measured) >= _MEASURED)
    return int(np.count_nonzero(specks[1:-1, 1:-1]))


def _beside(where: BoolImage) -> NDArray[np.uint8]:
    """How many of the 8 pixels beside each one belong to a mask (H, W)."""
    padded = np.pad(where, 1).astype(np.uint8)
    height, width = where.shape
    return np.asarray(
        sum(padded[i : i + height, j : j + width] for i in range(3) for j in range(3) if (i, j) != (1, 1))
    )
