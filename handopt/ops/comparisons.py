"""How posed hands compare with an image and with each other, on the CPU: passes over pixels or pairs, no gradients."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from handopt.backend import launch
from handopt.errors import ShapeError
from handopt.typing import AnyArray, BoolImage, Bools, FloatImage, Floats, Ints, Reals


class LimbTube(NamedTuple):
    """Where a limb is divided at a wrist, see handopt.observation.limb: distances in mm, an area in cm2.

    radius: of the forearm at the wrist, and its growth along the axis; bend: a cosine
    """

    reach: float
    bend: float
    near_wrist: float
    at_wrist: float
    axis_reach: float
    least_cm2: float
    before: float
    entry: float
    radius: tuple[float, float]


def unexplained_pixels(
    depth: FloatImage,
    observed: FloatImage,
    hand: BoolImage,
    free: BoolImage,
    evidence: FloatImage | None,
    *,
    wrong_mm: float,
    step: int = 1,
    behind: FloatImage | None = None,
) -> tuple[Floats, float]:
    """What each of K meshes leaves unexplained of an image, in pixels (K,), and how many pixels count.

    depth: (K, h, w) mm of the meshes on every step-th row and column of the image, 0 = none; behind: (h, w) mm of what
    all of them have besides; observed: (H, W) mm; hand, free: (H, W), where the hand is, and where it cannot be;
    evidence: (H, W) how much a pixel of the hand counts. Where both are, the difference counts up to wrong_mm.
    Raises ShapeError.
    """
    count, height, width = depth.shape
    columns = observed.shape[1]
    if (height, width) != tuple(-(-size // step) for size in observed.shape):
        raise ShapeError(f"depth: expected every {step}-th row and column of {observed.shape}, got {depth.shape}")
    for name, array, kind in (("hand", hand, np.bool_), ("free", free, np.bool_), ("evidence", evidence, depth.dtype)):
        if array is not None:
            _check(name, array, kind, observed.shape)
    if behind is not None:
        _check("behind", behind, depth.dtype, (height, width))
    wrong, whole, scratch = np.empty(count), np.empty(1), np.empty((4, height * width), depth.dtype)
    measured = np.ascontiguousarray(observed, depth.dtype)
    launch(
        "unexplained_pixels",
        1,
        *(np.ascontiguousarray(depth), measured if behind is None else behind, measured, hand, free),
        *(measured if evidence is None else evidence, scratch, wrong, whole, wrong_mm),
        *(int(behind is not None), int(evidence is not None), step, count, height, width, columns),
    )
    return wrong, float(whole[0])


def divide_limb(
    points_mm: Reals, covered: Bools, at_border: Bools, cm2: Floats, hand_mm: Reals, tube: LimbTube
) -> tuple[Bools, Bools, Bools, Reals]:
    """Divide a limb at the wrist of a posed hand: which pixels (N,) are forearm, are left, are left at the border.

    points_mm: (N, 3); covered: (N,), where the hand is seen; at_border: (N,); cm2: (N,); hand_mm: (3, 3) the wrist, the
    unit vector from the knuckles to it, and the palm. Also gives the distance (N,) to the palm, mm. Raises ShapeError.
    """
    (count, _), dtype = points_mm.shape, points_mm.dtype
    for name, array, kind in (("covered", covered, np.bool_), ("at_border", at_border, np.bool_), ("cm2", cm2, float)):
        _check(name, array, kind, (count,))
    _check("hand_mm", hand_mm, dtype, (3, 3))
    arm, left, fingers_side = (np.empty(count, np.bool_) for _ in range(3))
    scratch, to_palm = np.empty((2, count), dtype), np.empty(count, dtype)
    launch(
        "divide_limb",
        1,
        *(np.ascontiguousarray(points_mm), covered, at_border, cm2, hand_mm, np.array(tube.radius, dtype), scratch),
        *(arm, left, fingers_side, to_palm, *tube[:-1], count),
    )
    return arm, left, fingers_side, to_palm


def limb_areas(
    seen_mm: FloatImage,
    depth_mm: FloatImage,
    mask: BoolImage,
    nothing: Bools,
    limb: tuple[Ints, Reals, Floats, Floats],
    divided: tuple[Bools, Reals],
    limits_mm: tuple[float, float, float],
) -> Floats:
    """Areas of a limb (5,) by what a posed hand makes of them, cm2, but the last one.

    What the hand covers; what it leaves near it and far from it; what is wrong of the covered; and the sum of the
    squares of its depth, mm2, where it is proven not to be.

    seen_mm: (h, w) of the hand, 0 = none; depth_mm: (h, w); mask: (h, w) of the limb; nothing: (h w,), where nothing is
    measured; limb: its pixels (N,), points (N, 3) mm, their area and what counts of it (N,) cm2; divided: what is left
    (N,), and how far from the palm (N,) mm; limits_mm: differences of depth count up to the first, the second is the
    fingers' reach, and a measurement so far behind the hand as the third says that the hand is not there
    """
    (height, width), (pixels, points, cm2, counted_cm2), (left, to_palm) = seen_mm.shape, limb, divided
    _check("depth_mm", depth_mm, seen_mm.dtype, seen_mm.shape)
    _check("mask", mask, np.bool_, seen_mm.shape)
    _check("points", points, seen_mm.dtype, (len(pixels), 3))
    _check("pixels", pixels, np.int32, (len(pixels),))
    for name, area in (("cm2", cm2), ("counted_cm2", counted_cm2)):
        _check(name, area, float, (len(pixels),))
    _check("nothing", nothing, np.bool_, (height * width,))
    areas = np.empty(5)
    launch(
        "limb_areas",
        1,
        *(np.ascontiguousarray(seen_mm), pixels, points, cm2, counted_cm2, left, to_palm, mask, nothing, depth_mm),
        *(areas, *limits_mm, len(pixels), height, width),
    )
    return areas


def same_poses(joints_mm: Reals, images: Ints, most_mm: float) -> Bools:
    """Which of B poses of the same image are alike, (B, B): the mean distance of their joints is below most_mm.

    joints_mm: (B, J, 3); images: (B,) int32. Raises ShapeError.
    """
    count, joints, _ = joints_mm.shape
    _check("images", images, np.int32, (count,))
    same = np.empty((count, count), np.bool_)
    launch("same_poses", 1, np.ascontiguousarray(joints_mm), images, same, most_mm, count, joints)
    return same


def _check(name: str, array: AnyArray, kind: NDArray[np.generic] | type | np.dtype, shape: tuple[int, ...]) -> None:
    if array.dtype != kind or array.shape != shape or not array.flags.c_contiguous:
        raise ShapeError(f"{name}: expected contiguous {np.dtype(kind)} {shape}, got {array.dtype} {array.shape}")
