"""What a depth image shows of a hand: its pixels, the forearm cut off at the wrist, its points, and its crop."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from handopt.errors import ObservationError
from handopt.input.camera import Camera
from handopt.observation.candidates import (
    WHERE,
    check_distance,
    competitors_of,
    find_hands,
    length,
    proposals_given,
)
from handopt.observation.crop import Crop, Grid, resample
from handopt.observation.hints import Hints, checked_depth, checked_hints, checked_ignore
from handopt.observation.palm_proposals import PalmProposal, inscribed_palm
from handopt.observation.segmentation import Candidate
from handopt.observation.settings import DEFAULT, ObservationConfig
from handopt.observation.surfaces import (
    LabelledDepth,
    flipped,
    segment_surfaces,
    subsampled,
    subsampled_camera,
    window_around,
)
from handopt.observation.upsample import in_pixels
from handopt.rig.anatomy import MIRROR, PALM_DEPTH_MM
from handopt.typing import BoolImage, FloatImage, Vector


@dataclass(frozen=True, eq=False)
class Observation:
    """One hand, as a depth image shows it.

    depth_mm: (H, W) float32, 0 = none, without flying pixels in the window around the hand. mask: (H, W) measured
    pixels of the hand, not of the forearm. arm: (H, W) what was cut off at the wrist, or belongs to the same surface:
    it says nothing for or against the hand. center_mm: (3,) centre of the palm, 15 mm under the skin. points_mm: (N, 3)
    float32, the pixels of the mask, row by row. arm_direction: unit vector from the palm to the forearm, None if no
    forearm is in view. touches_border: the hand leaves the image. score: plausibility, see hand_probability. notes:
    sentences on what was done. competitors: how many other places of the image look like a hand. score_margin: by how
    much the score exceeds that of the best other place, negative if that is better, inf if there is none. config: the
    numbers that it was made with. ignored: (H, W) pixels that the user left out, which say nothing either, None for
    none. Points and directions are in the camera frame. With a mask that was given, the score
    is that of a hand beyond doubt, and there are no competitors.
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
    competitors: int = 0
    score_margin: float = float("inf")
    config: ObservationConfig = field(default=DEFAULT, repr=False)
    ignored: BoolImage | None = None

    @property
    def hand_probability(self) -> float:
        """How much it looks like a hand, 0 to 1: 0.5 if as many hands as other things have that score.

        The scores of hands are 1.5 to 6, of forearms, heads, bodies and walls seldom more than 1. A mask that was given
        counts as a hand.
        """
        scale = self.config.score
        return float(1.0 / (1.0 + np.exp(-scale.slope * (self.score - scale.even))))

    @property
    def area_cm2(self) -> float:
        """Area of the hand's pixels, projected to planes parallel to the image: 90 to 170 for most open hands."""
        z = self.points_mm[:, 2].astype(np.float64)
        mm2 = float(np.square(z).sum()) / (self.camera.fx * self.camera.fy)
        return mm2 / 100.0

    @property
    def border_share(self) -> float:
        """Share of the hand's outline that lies on the image's border, 0 to 1; up to 0.1 is a finger's or an arm's."""
        inner = np.zeros_like(self.mask)
        inner[1:-1, 1:-1] = self.mask[:-2, 1:-1] & self.mask[2:, 1:-1] & self.mask[1:-1, :-2] & self.mask[1:-1, 2:]
        outline = self.mask & ~inner
        cut = outline.copy()
        cut[1:-1, 1:-1] = False
        return int(np.count_nonzero(cut)) / max(1, int(np.count_nonzero(outline)))

    def crop(self, size: int = 120, half_mm: float = 125.0) -> Crop:
        """Return the cube around the hand: centred on the extent of its points, at most 50 mm from the palm's centre.

        size: grid pixels along a side. half_mm: half the cube's edge. Raises ShapeError.
        """
        last = len(self.points_mm) - 1
        low, high = round(0.005 * last), last - round(0.005 * last)
        ordered = np.partition(self.points_mm, (low, high), axis=0).astype(np.float64)
        middle = 0.5 * (ordered[low] + ordered[high])
        most = np.array(self.config.crop_shift_mm)
        shift = np.clip(middle - self.center_mm, -most, most)
        x, y, z = self.center_mm + shift
        return Crop((float(x), float(y), float(z)), half_mm, size, self.camera)

    def mirrored(self) -> "Observation":
        """Return the observation of the mirror image (x -> -x): what it shows of a left hand is a right hand.

        Its points are in the order of its own pixels, as if the mirror image had been observed.
        """
        depth, mask, arm = flipped(self.depth_mm), flipped(self.mask), flipped(self.arm)
        camera = self.camera.mirrored()
        direction = None if self.arm_direction is None else self.arm_direction * MIRROR
        return replace(
            self,
            camera=camera,
            depth_mm=depth,
            mask=mask,
            arm=arm,
            center_mm=self.center_mm * MIRROR,
            points_mm=_points(camera, depth, mask),
            arm_direction=direction,
            ignored=None if self.ignored is None else flipped(self.ignored),
        )

    def grid(self, crop: Crop) -> Grid:
        """Resample the observation to a crop's grid; see handopt.observation.crop.resample."""
        return resample(crop, self.depth_mm, self.mask, self.arm, self.config.free_space, ignored=self.ignored)


def observe(
    depth_mm: ArrayLike,
    camera: Camera,
    *,
    mask: ArrayLike | None = None,
    box: Sequence[float] | None = None,
    center: Sequence[float] | None = None,
    ignore: ArrayLike | None = None,
    config: ObservationConfig = DEFAULT,
) -> list[Observation]:
    """Find the hand in a depth image: up to 3 candidates, most plausible first.

    depth_mm: (H, W) mm, 0, NaN or infinite = none. mask: (H, W) bool, the pixels of the hand; they are taken as they
    are, less flying pixels. box: (x0, y0, x1, y1) pixels, the hand lies in columns x0 <= u < x1 and rows y0 <= v < y1.
    center: (u, v) pixel or (x, y, z) mm of the palm. With a mask or a centre there is one candidate. ignore:
    (H, W) bool, pixels to leave out: what is there is unknown. config: the tuned numbers, for experiments.

    The mirror image (with a mirrored camera and mirrored hints) gives the mirrored observations: of an
    image and its mirror image the same one is always looked at.

    Raises ObservationError if there is no hand; DepthError, CameraError or ShapeError if an argument makes no sense.
    """
    depth, notes = checked_depth(depth_mm, camera)
    hints = checked_hints((camera.height, camera.width), mask, box, center)
    ignored = None if ignore is None else checked_ignore(ignore, depth.shape)
    if ignored is not None:
        depth = np.where(ignored, np.float32(0), depth)
        if not depth.any():
            raise ObservationError("ignore leaves out every pixel that is measured; change ignore=")
    if _is_turned(depth):
        mirrored = _search(flipped(depth), camera.mirrored(), hints.mirrored(camera.width), notes, config)
        found = [replace(observation.mirrored(), camera=camera) for observation in mirrored]
    else:
        found = _search(depth, camera, hints, notes, config)
    return [replace(observation, ignored=ignored) for observation in found]


def _is_turned(depth_mm: FloatImage) -> bool:
    """Tell an image from its mirror image: where they differ first, it has the larger value."""
    half = depth_mm.shape[1] // 2
    left, right = depth_mm[:, :half], depth_mm[:, : -half - 1 : -1]
    differ = left != right
    row, column = divmod(int(differ.argmax()), half) if half else (0, 0)
    return bool(half and left[row, column] > right[row, column])


def _search(
    depth: FloatImage, camera: Camera, hints: Hints, notes: tuple[str, ...], config: ObservationConfig
) -> list[Observation]:
    """Find hands in a checked depth image: in a subsampled copy of it first, and if there is none, in all of it."""
    if hints.mask is not None:
        frame = segment_surfaces(depth, camera, hints.allowed, planes=False, config=config)
        return [_observe_mask(frame, hints, notes)]
    step = max(1, round(float(np.sqrt(camera.fx * camera.fy)) / config.search_focal_px))
    try:
        return _search_subsampled(depth, camera, hints, notes, step, config)
    except ObservationError:
        if step == 1:
            raise
        return _search_subsampled(depth, camera, hints, notes, 1, config)


def _search_subsampled(
    depth: FloatImage, camera: Camera, hints: Hints, notes: tuple[str, ...], step: int, config: ObservationConfig
) -> list[Observation]:
    """Find hands in every step-th row and column of a depth image, and return them at its full resolution."""
    frame = segment_surfaces(
        subsampled(depth, step),
        subsampled_camera(camera, step),
        None if hints.allowed is None else subsampled(hints.allowed, step),
        config=config,
    )
    chosen, candidates = find_hands(frame, hints, step)
    found = [_from_candidate(candidate, depth, camera, step, hints, notes) for candidate in chosen]
    if hints.place is not None:
        return found
    return [
        _with_competitors(observation, *competitors_of(one, candidates))
        for observation, one in zip(found, chosen, strict=True)
    ]


def _with_competitors(observation: Observation, competitors: list[Candidate], score_margin: float) -> Observation:
    """Say in an observation which other places look like a hand."""
    notes = observation.notes
    if competitors:
        away = length(float(np.linalg.norm(competitors[0].palm.center_mm - observation.center_mm)))
        notes = (*notes, f"Another hand-like candidate is in view, {away} away; if that is meant, {WHERE}.")
    return replace(observation, competitors=len(competitors), score_margin=score_margin, notes=notes)


def _from_candidate(
    candidate: Candidate, depth: FloatImage, camera: Camera, step: int, hints: Hints, notes: tuple[str, ...]
) -> Observation:
    """Turn a candidate into an observation at the resolution of the image."""
    config = candidate.window.frame.config
    clean, mask, arm = in_pixels(candidate, depth, camera, step)
    if hints.allowed is not None:
        mask &= hints.allowed
    if candidate.arm is None:
        cut = "No forearm is in view; nothing was cut off at the wrist."
    else:
        cut = f"The forearm was cut off {config.segmentation.cut_mm:g} mm past the centre of the palm."
    direction = None if candidate.arm is None else candidate.arm.direction
    center = _palm_center(camera, candidate.palm, hints.place)
    return _observation(camera, clean, mask, arm, center, direction, candidate.score, (*notes, cut), config)


def _observe_mask(frame: LabelledDepth, hints: Hints, notes: tuple[str, ...]) -> Observation:
    """Take a mask that the user gave for the hand; what its surfaces continue in is the forearm."""
    config = frame.config
    check_distance(frame)
    palm = inscribed_palm(frame) if hints.place is None else proposals_given(frame, hints.place, 1)[0]
    mask = frame.labels > 0
    area = float(frame.area_cm2.sum())
    if not config.candidates.min_hinted_cm2 <= area <= config.max_mask_cm2:
        raise ObservationError(f"the mask covers {area:.3g} cm2, which is no hand; check mask= and depth_mm=")
    window = window_around(frame, palm.center_mm, config.segmentation.ball_mm, stride=1)
    block = np.s_[window.rows, window.columns]
    surfaces = np.flatnonzero(frame.area_cm2 >= max(config.masked_surface_cm2, 0.1 * area))
    arm = np.zeros(mask.shape, np.bool_)
    arm[block] = np.isin(frame.surfaces[block], surfaces) & ~mask[block]
    direction = None
    if np.count_nonzero(arm[block]) and float(window.pixel_cm2[arm[block]].sum()) >= config.masked_surface_cm2:
        ray = (window.points_mm[arm[block]] - palm.center_mm).mean(axis=0, dtype=np.float64)
        direction = ray / np.linalg.norm(ray)
    notes = (*notes, "The mask was used as it is, without flying pixels.")
    center = _palm_center(frame.camera, palm, hints.place)
    return _observation(frame.camera, frame.depth_mm, mask, arm, center, direction, config.mask_score, notes, config)


def _observation(
    camera: Camera,
    depth_mm: FloatImage,
    mask: BoolImage,
    arm: BoolImage,
    center_mm: Vector,
    arm_direction: Vector | None,
    score: float,
    notes: tuple[str, ...],
    config: ObservationConfig,
) -> Observation:
    """Put an observation together."""
    border = bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())
    if border:
        notes = (*notes, "The hand touches the border of the image; a part of it may be missing.")
    return Observation(
        camera=camera,
        depth_mm=depth_mm,
        mask=mask,
        arm=arm,
        center_mm=center_mm,
        points_mm=_points(camera, depth_mm, mask),
        arm_direction=arm_direction,
        touches_border=border,
        score=score,
        notes=notes,
        config=config,
    )


def _points(camera: Camera, depth_mm: FloatImage, mask: BoolImage) -> FloatImage:
    """Lift the pixels of a mask to points (N, 3) float32, row by row."""
    rows, columns = np.divmod(np.flatnonzero(mask), camera.width)
    z = depth_mm[rows, columns]
    x = ((np.arange(camera.width) - camera.cx) / camera.fx).astype(np.float32)
    y = ((np.arange(camera.height) - camera.cy) / camera.fy).astype(np.float32)
    return np.stack([z * x[columns], z * y[rows], z], axis=-1)


def _palm_center(camera: Camera, palm: PalmProposal, place: Vector | None) -> Vector:
    """Return the centre of a palm, 15 mm under the skin, at the pixel or the point that the user gave if any."""
    if place is not None and len(place) == 3:
        return place
    center = palm.center_mm
    if place is not None:
        ray = np.array([(place[0] - camera.cx) / camera.fx, (place[1] - camera.cy) / camera.fy, 1.0])
        center = ray * palm.center_mm[2]
    return np.asarray(center * (1.0 + PALM_DEPTH_MM / float(np.linalg.norm(center))))
