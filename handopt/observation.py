"""What a depth image shows of a hand: its pixels, the forearm cut off at the wrist, its points, and its crop."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from handopt.camera import Camera
from handopt.crop import Crop, Grid, resample
from handopt.errors import CameraError, DepthError, ObservationError, ShapeError
from handopt.palms import CENTER_REACH_MM, DISTANCE_MM, Palm, inscribed_palm, palms_at, propose_palms
from handopt.segmentation import BALL_MM, CUT_MM, Candidate, grow, in_pixels
from handopt.surfaces import BoolImage, FloatImage, Frame, Vector, take_apart, window_around

MAX_CANDIDATES = 3
MIN_HAND_CM2 = 35.0
MIN_HINTED_CM2 = 8.0
MAX_HAND_CM2 = 330.0
MAX_MASK_CM2 = 1000.0
MASKED_SURFACE_CM2 = 4.0
MAX_SCORE_GAP = 6.0
MIN_SCORE = -0.5
DISTINCT_MM = 60.0
SKIN_TO_PALM_MM = 15.0
CROP_SHIFT_MM = (50.0, 50.0, 40.0)
HINTS = "say where the hand is with --box, --center or --mask"


@dataclass(frozen=True, eq=False)
class Observation:
    """One hand, as a depth image shows it.

    depth_mm: (H, W) float32 without flying pixels, 0 = none. mask: (H, W) measured pixels of the hand, not of the
    forearm. arm: (H, W) what was cut off at the wrist, or belongs to the same surface: evidence neither for nor against
    the hand. center_mm: (3,) centre of the palm, 15 mm under the skin. points_mm: (N, 3) float32, the pixels of the
    mask. arm_direction: unit vector from the palm to the forearm, None where no forearm is in view. touches_border: the
    hand leaves the image. score: plausibility, comparable within one image. notes: sentences on what was done. Points
    and directions are in the camera frame.
    """

    camera: Camera
    depth_mm: FloatImage
    mask: BoolImage
    arm: BoolImage
    center_mm: Vector
    points_mm: FloatImage
    arm_direction: Vector | None
    touches_border: bool
    score: float
    notes: tuple[str, ...]

    def crop(self, size: int = 120, half_mm: float = 125.0) -> Crop:
        """Return the cube around the hand: centred on the extent of its points, at most 50 mm from the palm's centre.

        size: grid pixels along a side. half_mm: half the cube's edge. Raises ShapeError.
        """
        low, high = np.percentile(self.points_mm, (0.5, 99.5), axis=0)
        middle = 0.5 * (low + high)
        shift = np.clip(middle - self.center_mm, -np.array(CROP_SHIFT_MM), CROP_SHIFT_MM)
        x, y, z = self.center_mm + shift
        return Crop((float(x), float(y), float(z)), half_mm, size, self.camera)

    def grid(self, crop: Crop) -> Grid:
        """Resample the observation to a crop's grid; see handopt.crop.resample."""
        return resample(crop, self.depth_mm, self.mask, self.arm)


def observe(
    depth_mm: ArrayLike,
    camera: Camera,
    *,
    mask: ArrayLike | None = None,
    box: Sequence[float] | None = None,
    center: Sequence[float] | None = None,
) -> list[Observation]:
    """Find the hand in a depth image: up to 3 candidates, most plausible first.

    depth_mm: (H, W) mm, 0, NaN or infinite = none. mask: (H, W) bool, the pixels of the hand; they are taken as they
    are, less flying pixels. box: (x0, y0, x1, y1) pixels, the hand lies in columns x0 <= u < x1 and rows y0 <= v < y1.
    center: (u, v) pixel or (x, y, z) mm of the palm. With a mask or a centre there is one candidate.

    Raises ObservationError where there is no hand; DepthError, CameraError or ShapeError where an argument makes no
    sense.
    """
    depth, notes = _checked_depth(depth_mm, camera)
    given = None if mask is None else _checked_mask(mask, depth.shape)
    place = None if center is None else _checked_center(center)
    frame = take_apart(depth, camera, _allowed(depth.shape, given, box))
    _check_distance(frame)
    palms = None if place is None else _palms_given(frame, place)
    if given is not None:
        palm = inscribed_palm(frame) if palms is None else palms[0]
        return [_observe_mask(frame, palm, place, notes)]
    palms = propose_palms(frame) if palms is None else palms
    nearest = min((float(palm.center_mm[2]) for palm in palms), default=0.0)
    candidates = [candidate for palm in palms if (candidate := grow(frame, palm, nearest)) is not None]
    hinted = box is not None or place is not None
    chosen = _choose([candidate for candidate in candidates if _plausible(candidate, hinted)])
    if not chosen:
        raise ObservationError(_no_hand(frame, candidates, hinted))
    return [_from_candidate(candidate, place, notes) for candidate in chosen]


def _checked_depth(depth_mm: ArrayLike, camera: Camera) -> tuple[FloatImage, tuple[str, ...]]:
    """Return the depth image as float32 with 0 where nothing was measured, and notes on what was changed."""
    given = np.asarray(depth_mm)
    if given.ndim != 2 or given.dtype.kind not in "iuf":
        raise ShapeError(f"depth_mm: expected an (H, W) array of real numbers, got {given.dtype} {given.shape}")
    if given.shape != (camera.height, camera.width):
        raise CameraError(
            f"the depth image is {given.shape[1]} x {given.shape[0]} pixels, but the camera ({camera.source}) is for "
            f"{camera.width} x {camera.height}; change --camera"
        )
    with np.errstate(over="ignore"):
        depth = given.astype(np.float32)
    finite = np.isfinite(depth)
    notes: tuple[str, ...] = ()
    if not finite.all():
        depth = np.where(finite, depth, np.float32(0))
        notes = (f"{np.count_nonzero(~finite)} pixels of the depth image are not finite; they count as not measured.",)
    if depth.min() < 0:
        raise DepthError(f"the depth image goes down to {depth.min():g} mm; depths must not be negative, check --unit")
    return depth, notes


def _checked_mask(mask: ArrayLike, shape: tuple[int, ...]) -> BoolImage:
    """Return a mask as booleans."""
    given = np.asarray(mask)
    if given.shape != shape or given.dtype.kind not in "biu":
        raise ShapeError(f"mask: expected bool {shape}, got {given.dtype} {given.shape}; change --mask")
    return given.astype(np.bool_)


def _allowed(shape: tuple[int, ...], mask: BoolImage | None, box: Sequence[float] | None) -> BoolImage | None:
    """Return where the hand may be; None is everywhere."""
    if box is None:
        return mask
    edges = np.asarray(box, dtype=np.float64)
    if edges.shape != (4,) or not np.isfinite(edges).all():
        raise ShapeError(f"box: expected 4 numbers (x0, y0, x1, y1), got {box}; change --box")
    x0, y0, x1, y1 = (round(float(edge)) for edge in edges)
    if x1 <= x0 or y1 <= y0:
        raise ObservationError(f"the box ({x0}, {y0}, {x1}, {y1}) is empty; --box needs x0 < x1 and y0 < y1")
    allowed = np.zeros(shape, np.bool_)
    allowed[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = True
    if not allowed.any():
        raise ObservationError(
            f"the box ({x0}, {y0}, {x1}, {y1}) lies outside of the {shape[1]} x {shape[0]} image; change --box"
        )
    return allowed if mask is None else allowed & mask


def _check_distance(frame: Frame) -> None:
    """Refuse a frame in which nothing is at a distance where a hand can be measured."""
    depths = frame.depth_mm[frame.labels > 0]
    if not len(depths):
        raise ObservationError("nothing is measured where the hand is looked for; check --mask, --box and --unit")
    near, far = np.percentile(depths[:: max(1, len(depths) // 20_000)], (2, 98))
    if near > DISTANCE_MM[1] or far < DISTANCE_MM[0]:
        raise ObservationError(
            f"the nearest surface is {_length(near)} away and the farthest {_length(far)}, but a hand is measured at "
            f"{_length(DISTANCE_MM[0])} to {_length(DISTANCE_MM[1])}; check --unit, the length of one count in mm"
        )


def _checked_center(center: Sequence[float]) -> Vector:
    """Return (2,) a pixel or (3,) a point."""
    place = np.asarray(center, dtype=np.float64)
    if place.shape not in ((2,), (3,)) or not np.isfinite(place).all():
        raise ShapeError(f"center: expected (u, v) in pixels or (x, y, z) in mm, got {center}; change --center")
    if len(place) == 3 and place[2] <= 0:
        raise ObservationError(f"the centre {center} lies behind the camera; --center needs z > 0")
    return place


def _palms_given(frame: Frame, place: Vector) -> list[Palm]:
    """Return the palms that may be meant by a centre that the user gave."""
    palms = palms_at(frame, place)
    if not palms:
        raise ObservationError(
            f"nothing is measured within {CENTER_REACH_MM:g} mm of the centre {tuple(place.tolist())}; change --center"
        )
    return palms


def _plausible(candidate: Candidate, hinted: bool) -> bool:
    """Tell whether a candidate can be a hand at all; where the user gave a hint, almost anything can."""
    if hinted:
        return candidate.area_cm2 >= MIN_HINTED_CM2
    return MIN_HAND_CM2 <= candidate.area_cm2 <= MAX_HAND_CM2 and candidate.score >= MIN_SCORE


def _choose(candidates: list[Candidate]) -> list[Candidate]:
    """Return the best candidates that lie apart from each other."""
    chosen: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda candidate: -candidate.score):
        apart = all(np.linalg.norm(candidate.palm.center_mm - other.palm.center_mm) > DISTINCT_MM for other in chosen)
        if apart and len(chosen) < MAX_CANDIDATES and (not chosen or candidate.score > chosen[0].score - MAX_SCORE_GAP):
            chosen.append(candidate)
    return chosen


def _from_candidate(candidate: Candidate, place: Vector | None, notes: tuple[str, ...]) -> Observation:
    """Turn a candidate into an observation at the resolution of the image."""
    mask, arm = in_pixels(candidate)
    if candidate.arm is None:
        cut = "No forearm is in view; nothing was cut off at the wrist."
    else:
        cut = f"The forearm was cut off {CUT_MM:g} mm past the centre of the palm."
    direction = None if candidate.arm is None else candidate.arm.direction
    center = _palm_center(candidate.window.frame.camera, candidate.palm, place)
    return _observation(candidate.window.frame, mask, arm, center, direction, candidate.score, (*notes, cut))


def _observe_mask(frame: Frame, palm: Palm, place: Vector | None, notes: tuple[str, ...]) -> Observation:
    """Take a mask that the user gave for the hand; what its surfaces continue in is the forearm."""
    mask = frame.labels > 0
    area = float(frame.area_cm2.sum())
    if not MIN_HINTED_CM2 <= area <= MAX_MASK_CM2:
        raise ObservationError(f"the mask covers {area:.3g} cm2, which is no hand; check --mask and --unit")
    window = window_around(frame, palm.center_mm, BALL_MM, stride=1)
    block = np.s_[window.rows, window.columns]
    surfaces = np.flatnonzero(frame.area_cm2 >= max(MASKED_SURFACE_CM2, 0.1 * area))
    arm = np.zeros(mask.shape, np.bool_)
    arm[block] = np.isin(frame.surfaces[block], surfaces) & ~mask[block]
    direction = None
    if np.count_nonzero(arm[block]) and float(window.pixel_cm2[arm[block]].sum()) >= MASKED_SURFACE_CM2:
        ray = (window.points_mm[arm[block]] - palm.center_mm).mean(axis=0, dtype=np.float64)
        direction = ray / np.linalg.norm(ray)
    note = "The mask was taken for the hand as it is, without flying pixels."
    return _observation(frame, mask, arm, _palm_center(frame.camera, palm, place), direction, 0.0, (*notes, note))


def _observation(
    frame: Frame,
    mask: BoolImage,
    arm: BoolImage,
    center_mm: Vector,
    arm_direction: Vector | None,
    score: float,
    notes: tuple[str, ...],
) -> Observation:
    """Put an observation together."""
    rows, columns = np.nonzero(mask)
    z = frame.depth_mm[rows, columns]
    camera = frame.camera
    points = np.stack([(columns - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z, z], axis=-1)
    border = bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())
    if border:
        notes = (*notes, "The hand touches the border of the image; a part of it may be missing.")
    return Observation(
        camera=camera,
        depth_mm=frame.depth_mm,
        mask=mask,
        arm=arm,
        center_mm=center_mm,
        points_mm=points.astype(np.float32),
        arm_direction=arm_direction,
        touches_border=border,
        score=score,
        notes=notes,
    )


def _palm_center(camera: Camera, palm: Palm, place: Vector | None) -> Vector:
    """Return the centre of a palm, 15 mm under the skin, at the pixel or the point that the user gave if any."""
    if place is not None and len(place) == 3:
        return place
    center = palm.center_mm
    if place is not None:
        ray = np.array([(place[0] - camera.cx) / camera.fx, (place[1] - camera.cy) / camera.fy, 1.0])
        center = ray * palm.center_mm[2]
    return np.asarray(center * (1.0 + SKIN_TO_PALM_MM / float(np.linalg.norm(center))))


def _no_hand(frame: Frame, candidates: list[Candidate], hinted: bool) -> str:
    """Say why no hand was found and what to change."""
    near, far = np.percentile(frame.depth_mm[frame.labels > 0], (2, 98))
    reach = f"{_length(DISTANCE_MM[0])} to {_length(DISTANCE_MM[1])}"
    best = max(candidates, key=lambda candidate: candidate.score, default=None)
    if hinted:
        what = "no hand was found there; change --box or --center, give --mask"
    elif best is None:
        what = f"no hand was found: no surface at {reach} has a palm; {HINTS}"
    else:
        z = _length(float(best.palm.center_mm[2]))
        what = (
            f"no hand was found: the most likely place, {z} away, shows {best.area_cm2:.3g} cm2 unlike a hand; {HINTS}"
        )
    return f"{what}, or check --unit (what is measured there lies {_length(near)} to {_length(far)} away)"


def _length(mm: float) -> str:
    """Write a length as one reads it."""
    return f"{mm / 1000:.3g} m" if mm >= 1000 else f"{mm:.3g} mm"
