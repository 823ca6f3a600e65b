"""What a depth image shows of a hand: its pixels, the forearm cut off at the wrist, its points, and its crop."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from handopt.errors import ObservationError
from handopt.input.camera import Camera
from handopt.input.subsample import step_of, subsampled, subsampled_camera
from handopt.observation.candidates import (
    WHERE,
    check_distance,
    competitors_of,
    find_hands,
    length,
    palms_of,
    proposals_given,
)
from handopt.observation.hints import Hints, checked_depth, checked_hints, checked_ignore
from handopt.observation.limb import HandAndArm
from handopt.observation.observation import Observation, note_on_cut
from handopt.observation.palm_proposals import PalmProposal, inscribed_palm
from handopt.observation.segmentation import Candidate
from handopt.observation.settings import DEFAULT, ObservationConfig
from handopt.observation.surfaces import (
    LabelledDepth,
    flipped,
    lifted_points,
    segment_surfaces,
    window_around,
)
from handopt.observation.upsample import in_pixels
from handopt.rig.anatomy import PALM_DEPTH_MM
from handopt.typing import BoolImage, FloatImage, Vector

ROWS_AT_ONCE = 8
"""Rows of an image that are compared with its mirror image at once."""


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
    image = _Image.of(depth_mm, camera, mask, box, center, ignore)
    return image.finished(_search(*image.upright, image.notes, config))


def observe_other_sizes(
    depth_mm: ArrayLike,
    camera: Camera,
    usual: Observation,
    *,
    box: Sequence[float] | None = None,
    center: Sequence[float] | None = None,
    ignore: ArrayLike | None = None,
) -> list[Observation]:
    """Find hands of other sizes in a depth image, the best of each size that is about as plausible as the usual one.

    A reading of size s is that of the image with its depths divided by s: its lengths are those of a hand of usual
    size, and what is fitted to it is multiplied by s. usual: the best observation of the image as it is, and where its
    config comes from. The other arguments, and what is raised for them, are those of observe.
    """
    image = _Image.of(depth_mm, camera, None, box, center, ignore)
    depth, upright, hints = image.upright
    config = usual.config
    found: list[Observation] = []
    for size in config.readings.other_sizes:
        try:
            here = _search(depth / np.float32(size), upright, hints.rescaled(1 / size), image.notes, config)[0]
        except ObservationError:
            continue
        if here.score > usual.score - config.readings.size_score:
            found.append(replace(here, size=size))
    return image.finished(found)


@dataclass(frozen=True, eq=False)
class _Image:
    """A checked image. turned: whether its mirror image is looked at instead."""

    depth_mm: FloatImage
    camera: Camera
    hints: Hints
    ignored: BoolImage | None
    notes: tuple[str, ...]
    turned: bool

    @classmethod
    def of(
        cls,
        depth_mm: ArrayLike,
        camera: Camera,
        mask: ArrayLike | None,
        box: Sequence[float] | None,
        center: Sequence[float] | None,
        ignore: ArrayLike | None,
    ) -> "_Image":
        depth, notes = checked_depth(depth_mm, camera)
        hints = checked_hints((camera.height, camera.width), mask, box, center)
        ignored = None if ignore is None else checked_ignore(ignore, depth.shape)
        if ignored is not None:
            depth = np.where(ignored, np.float32(0), depth)
            if not depth.any():
                raise ObservationError("ignore leaves out every pixel that is measured; change ignore=")
        return cls(depth, camera, hints, ignored, notes, _is_turned(depth))

    @property
    def upright(self) -> tuple[FloatImage, Camera, Hints]:
        """The image of the two that is looked at."""
        if not self.turned:
            return self.depth_mm, self.camera, self.hints
        return flipped(self.depth_mm), self.camera.mirrored(), self.hints.mirrored(self.camera.width)

    def finished(self, found: list[Observation]) -> list[Observation]:
        """Turn observations back, and say what was left out."""
        if self.turned:
            found = [replace(each.mirrored(), camera=self.camera) for each in found]
        return found if self.ignored is None else [_leaving_out(each, self.ignored) for each in found]


def _leaving_out(observation: Observation, ignored: BoolImage) -> Observation:
    """An observation made without pixels (H, W), behind which its hand may go on."""
    limb = observation.limb
    if limb is not None:
        limb = limb.across(subsampled(ignored, limb.step), observation.center_mm)
    return replace(observation, ignored=ignored, limb=limb)


def _is_turned(depth_mm: FloatImage) -> bool:
    """Tell an image from its mirror image: where they differ first, it has the larger value."""
    height, width = depth_mm.shape
    half = width // 2
    for start in range(0, height if half else 0, ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        left, right = depth_mm[rows, :half], depth_mm[rows, : -half - 1 : -1]
        row, column = divmod(int((left != right).argmax()), half)
        if left[row, column] != right[row, column]:
            return bool(left[row, column] > right[row, column])
    return False


def _search(
    depth: FloatImage, camera: Camera, hints: Hints, notes: tuple[str, ...], config: ObservationConfig
) -> list[Observation]:
    """Find hands in a checked depth image: in a subsampled copy of it first, and if there is none, in all of it."""
    if hints.mask is not None:
        frame = segment_surfaces(depth, camera, hints.allowed, planes=False, config=config)
        return [_observe_mask(frame, hints, notes)]
    least = step_of(depth.shape)  # bounds memory
    step = max(least, round(float(np.sqrt(camera.fx * camera.fy)) / config.search_focal_px))
    try:
        return _search_subsampled(depth, camera, hints, notes, step, config)
    except ObservationError:
        if step == least:
            raise
        return _search_subsampled(depth, camera, hints, notes, least, config)


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
    palms_mm = palms_of(candidates)
    return [
        replace(_with_competitors(observation, *competitors_of(one, candidates)), palms_mm=palms_mm)
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
    if not arm.any():
        cut = "No forearm is in view; nothing was cut off at the wrist."
    else:
        cut = note_on_cut(config.segmentation.cut_mm)
    direction = None if candidate.arm is None else candidate.arm.direction
    center = _palm_center(camera, candidate.palm, hints.place)
    found = _observation(camera, clean, mask, arm, center, direction, candidate.score, (*notes, cut), config)
    frame = candidate.window.frame
    of_candidate = np.zeros(len(frame.area_cm2), np.bool_)
    of_candidate[candidate.labels] = True
    return replace(found, limb=HandAndArm(frame, of_candidate.take(frame.surfaces), step))


def _observe_mask(frame: LabelledDepth, hints: Hints, notes: tuple[str, ...]) -> Observation:
    """Take a mask that the user gave for the hand; what its surfaces continue in is the forearm."""
    config = frame.config
    check_distance(frame)
    area = float(frame.area_cm2.sum())
    if not config.candidates.min_hinted_cm2 <= area <= config.max_mask_cm2:
        raise ObservationError(f"the mask covers {area:.3g} cm2, which is no hand; check mask= and depth_mm=")
    palm = inscribed_palm(frame) if hints.place is None else proposals_given(frame, hints.place, 1)[0]
    mask = frame.labels > 0
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
        points_mm=lifted_points(camera, depth_mm, mask),
        arm_direction=arm_direction,
        touches_border=border,
        score=score,
        notes=notes,
        config=config,
    )


def _palm_center(camera: Camera, palm: PalmProposal, place: Vector | None) -> Vector:
    """Return the centre of a palm, 15 mm under the skin, at the pixel or the point that the user gave if any."""
    if place is not None and len(place) == 3:
        return place
    center = palm.center_mm
    if place is not None:
        ray = np.array([(place[0] - camera.cx) / camera.fx, (place[1] - camera.cy) / camera.fy, 1.0])
        center = ray * palm.center_mm[2]
    return np.asarray(center * (1.0 + PALM_DEPTH_MM / float(np.linalg.norm(center))))
