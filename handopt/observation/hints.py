"""Checking what the user gives the observation: the depth image, and hints on where the hand is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from handopt.errors import CameraError, DepthError, ObservationError, ShapeError
from handopt.input.camera import Camera
from handopt.typing import AnyArray, BoolImage, FloatImage, Vector


@dataclass(frozen=True, eq=False)
class Hints:
    """What the user knows of the hand's place; None is nothing.

    mask: (H, W) the pixels of the hand. allowed: (H, W) where it may be, less than or as much as the mask. place: (2,)
    pixel or (3,) point in mm of the palm.
    """

    mask: BoolImage | None = None
    allowed: BoolImage | None = None
    place: Vector | None = None

    def __bool__(self) -> bool:
        return self.allowed is not None or self.place is not None

    def rescaled(self, factor: float) -> "Hints":
        """Return the hints for the image with its depths multiplied by a factor."""
        if self.place is None or len(self.place) == 2:
            return self
        return replace(self, place=self.place * factor)

    def mirrored(self, width: int) -> "Hints":
        """Return what they are in the mirror image of an image of that width."""
        mask, allowed = (None if image is None else np.fliplr(image) for image in (self.mask, self.allowed))
        place = self.place
        if place is not None:
            place = np.array([width - 1 - place[0], place[1]] if len(place) == 2 else [-place[0], *place[1:]])
        return Hints(mask, allowed, place)


def checked_depth(depth_mm: ArrayLike, camera: Camera) -> tuple[FloatImage, tuple[str, ...]]:
    """Return the depth image as float32 with 0 where nothing was measured, and notes on what was changed.

    It may be the caller's own array, into which nothing may be written.
    Raises ShapeError, CameraError, DepthError, and ObservationError where nothing is measured.
    """
    given = np.asarray(depth_mm)
    if given.ndim != 2 or given.dtype.kind not in "iuf":
        raise ShapeError(f"depth_mm: expected an (H, W) array of real numbers, got {given.dtype} {given.shape}")
    if given.shape != (camera.height, camera.width):
        raise CameraError(
            f"the depth image is {given.shape[1]} x {given.shape[0]} pixels, but the camera ({camera.source}) is for "
            f"{camera.width} x {camera.height}; change camera="
        )
    with np.errstate(over="ignore"):
        depth = np.ascontiguousarray(given, np.float32)
    notes: tuple[str, ...] = ()
    least, most = (depth.min(), depth.max()) if depth.size else (0, 0)
    if not (np.isfinite(least) and np.isfinite(most)):
        finite = np.isfinite(depth)
        depth = np.where(finite, depth, np.float32(0))
        least, most = depth.min(), depth.max()
        notes = (f"{np.count_nonzero(~finite)} pixels of the depth image are not finite; they count as not measured.",)
    if least < 0:
        raise DepthError(f"the depth image goes down to {least:g} mm; depths must not be negative, check depth_mm=")
    if most == 0:
        raise ObservationError(
            "nothing is measured in the depth image: every pixel is 0 or not finite; check that it is the depth image, "
            "and record or export it again"
        )
    return depth, notes


def checked_hints(
    shape: tuple[int, int], mask: ArrayLike | None, box: Sequence[float] | None, center: Sequence[float] | None
) -> Hints:
    """Check hints for an image of shape (H, W). Raises ShapeError or ObservationError."""
    given = None if mask is None else _checked_mask(mask, shape)
    return Hints(given, _allowed(shape, given, box), None if center is None else _checked_center(center, shape))


def _checked_mask(mask: ArrayLike, shape: tuple[int, int]) -> BoolImage:
    """Return a mask as booleans."""
    return _of_image(np.asarray(mask), shape, "mask").astype(np.bool_)


def _of_image(given: AnyArray, shape: tuple[int, ...], name: str) -> AnyArray:
    """The pixels that were given, if they are of an image of shape (H, W). Raises ShapeError."""
    if given.shape != shape:
        has = " x ".join(map(str, given.shape[1::-1] if given.ndim == 2 else given.shape))
        raise ShapeError(f"{name}: it has {has} pixels, but the image {shape[1]} x {shape[0]}; change {name}=")
    if given.dtype.kind not in "biu":
        raise ShapeError(f"{name}: expected bool or whole numbers, got {given.dtype}; change {name}=")
    return given


def checked_ignore(ignore: ArrayLike, shape: tuple[int, ...]) -> BoolImage:
    """Return the pixels (H, W) to leave out as booleans. Raises ShapeError, and ObservationError if nothing is left."""
    given = _of_image(np.asarray(ignore), shape, "ignore")
    if given.all():
        raise ObservationError("every pixel is to be left out, which leaves nothing of the image; change ignore=")
    return given.astype(np.bool_)


def _allowed(shape: tuple[int, int], mask: BoolImage | None, box: Sequence[float] | None) -> BoolImage | None:
    """Return where the hand may be; None is everywhere."""
    if box is None:
        return mask
    edges = np.asarray(box, dtype=np.float64)
    if edges.shape != (4,) or not np.isfinite(edges).all():
        raise ShapeError(f"box: expected 4 numbers (x0, y0, x1, y1), got {box}; change box=")
    x0, y0, x1, y1 = (round(float(edge)) for edge in edges)
    if x1 <= x0 or y1 <= y0:
        raise ObservationError(f"the box ({x0}, {y0}, {x1}, {y1}) is empty; box= needs x0 < x1 and y0 < y1")
    allowed = np.zeros(shape, np.bool_)
    allowed[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = True
    if not allowed.any():
        raise ObservationError(
            f"the box ({x0}, {y0}, {x1}, {y1}) lies outside of the {shape[1]} x {shape[0]} image; change box="
        )
    return allowed if mask is None else allowed & mask


def _checked_center(center: Sequence[float], shape: tuple[int, int]) -> Vector:
    """Return (2,) a pixel of an image of shape (H, W), or (3,) a point."""
    place = np.asarray(center, dtype=np.float64)
    if place.shape not in ((2,), (3,)) or not np.isfinite(place).all():
        raise ShapeError(f"center: expected (u, v) in pixels or (x, y, z) in mm, got {center}; change center=")
    if len(place) == 3 and place[2] <= 0:
        raise ObservationError(f"the centre {center} lies behind the camera; center= needs z > 0")
    height, width = shape
    if len(place) == 2 and not (-0.5 <= place[0] <= width - 0.5 and -0.5 <= place[1] <= height - 0.5):
        raise ObservationError(f"the centre {center} lies outside of the {width} x {height} image; change center=")
    return place
