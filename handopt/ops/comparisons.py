"""How posed hands compare with an image and with each other, on the CPU: passes over pixels or pairs, no gradients."""

from typing import Any, NamedTuple

import numpy as np

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
    real, whole_image = depth.dtype, observed.shape
    measured = _given("observed", observed, real, whole_image)
    wrong, whole, scratch = np.empty(count), np.empty(1), np.empty((4, height * width), real)
    launch(
        "unexplained_pixels",
        1,
        np.ascontiguousarray(depth),
        measured if behind is None else _given("behind", behind, real, (height, width)),
        measured,
        *(_given(name, mask, np.bool_, whole_image) for name, mask in (("hand", hand), ("free", free))),
        measured if evidence is None else _given("evidence", evidence, real, whole_image),
        *(scratch, wrong, whole, wrong_mm),
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
    arm, left, fingers_side = (np.empty(count, np.bool_) for _ in range(3))
    scratch, to_palm = np.empty((2, count), dtype), np.empty(count, dtype)
    launch(
        "divide_limb",
        1,
        np.ascontiguousarray(points_mm),
        *(_given(name, mask, np.bool_, (count,)) for name, mask in (("covered", covered), ("at_border", at_border))),
        *(_given("cm2", cm2, float, (count,)), _given("hand_mm", hand_mm, dtype, (3, 3))),
        *(np.array(tube.radius, dtype), scratch),
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
    real, count = seen_mm.dtype, (len(pixels),)
    areas = np.empty(5)
    launch(
        "limb_areas",
        1,
        *(np.ascontiguousarray(seen_mm), _given("pixels", pixels, np.int32, count)),
        _given("points", points, real, (*count, 3)),
        *(_given(name, each, float, count) for name, each in (("cm2", cm2), ("counted_cm2", counted_cm2))),
        *(_given("left", left, np.bool_, count), _given("to_palm", to_palm, real, count)),
        *(_given("mask", mask, np.bool_, seen_mm.shape), _given("nothing", nothing, np.bool_, (height * width,))),
        _given("depth_mm", depth_mm, real, seen_mm.shape),
        *(areas, *limits_mm, len(pixels), height, width),
    )
    return areas


def same_poses(joints_mm: Reals, images: Ints, most_mm: float) -> Bools:
    """Which of B poses of the same image are alike, (B, B): the mean distance of their joints is below most_mm.

    joints_mm: (B, J, 3); images: (B,) int32. Raises ShapeError.
    """
    count, joints, _ = joints_mm.shape
    same = np.empty((count, count), np.bool_)
    of = _given("images", images, np.int32, (count,))
    launch("same_poses", 1, np.ascontiguousarray(joints_mm), of, same, most_mm, count, joints)
    return same


def _given(name: str, array: AnyArray, kind: type | np.dtype[Any], shape: tuple[int, ...]) -> AnyArray:
    """An array as a kernel takes it: contiguous, and reals in its precision. Raises ShapeError."""
    kind = np.dtype(kind)
    if array.shape != shape or array.dtype.kind != kind.kind or (kind.kind == "i" and array.dtype != kind):
        raise ShapeError(f"{name}: expected {kind} of shape {shape}, got {array.dtype} of shape {array.shape}")
    return np.ascontiguousarray(array, kind)
