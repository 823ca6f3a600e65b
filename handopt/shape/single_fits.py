"""The images that a hand's shape is taken from: each fitted by itself first, and left out if it does not fit in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handopt.config import FitSettings
from handopt.errors import HandoptError, ObservationError, ShapeError
from handopt.fitting import FitInput, fit_images
from handopt.hand_model import Pose
from handopt.input.camera import Camera
from handopt.observation.crop import Crop
from handopt.observation.observe import Observation
from handopt.result import FitResult
from handopt.rig import Rig, with_proportions
from handopt.rig.anatomy import MIRROR

MIN_AREA_CM2: Final = 25.0
MIN_PIXELS: Final = 500
DOUBTFUL: Final = 0.2
SURE: Final = 0.5
OTHER_HAND: Final = 0.05
"""Share of an image that the other side must leave unexplained on top for the image to be of another hand."""
SIZE_APART: Final = 0.10
"""Relative difference of a hand's size from the median of all above which an image is left out."""
SIZES_SPREAD: Final = 0.065
"""Standard deviation of the sizes' logarithms above which the images show different people."""


@dataclass(frozen=True)
class ShapeInput:
    """A depth image (H, W) in mm with a name and its camera. assumptions: sentences on what was guessed."""

    name: str
    depth_mm: NDArray[Any] = field(repr=False)
    camera: Camera
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class RejectedImage:
    """An image that was not used, and why: a sentence."""

    name: str
    reason: str


@dataclass(frozen=True)
class SingleFit:
    """An image with the fit that was made of it alone."""

    name: str
    fit: FitResult
    pixels: int

    @property
    def mirrored(self) -> bool:
        """Whether it shows a left hand, which is fitted in the mirror."""
        return self.fit.hand == "left"

    @property
    def view(self) -> tuple[Observation, Crop, bool]:
        """What gather_evidence needs of it."""
        return self.fit.observation, self.fit.crop, self.mirrored

    @property
    def size_mm(self) -> float:
        """Length of the bones from the wrist to the middle finger's tip."""
        joints = with_proportions(self.fit.rig, self.fit.proportions).keypoints_mm * self.fit.scale
        chain = joints[[0, 9, 10, 11, 12]]
        return float(np.linalg.norm(np.diff(chain, axis=0), axis=1).sum())


def take_all(
    frames: Sequence[ShapeInput],
    *,
    hand: str,
    rig: Rig | None,
    settings: FitSettings,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[SingleFit], list[RejectedImage]]:
    """Fit each image by itself. Raises ObservationError where not one of them can be used.

    hand: 'right', 'left', or 'auto' for the side that fits most of the images better
    """
    if not frames:
        raise ShapeError("frames: expected at least one image")
    takes, left_out = _taken(frames, hand, rig, settings, progress)
    if hand == "auto" and takes:
        takes, others = _one_side(takes)
        left_out += others
        side = _side_of(takes)
        if rig is not None and rig.side != side:
            rig = rig.mirrored()
        wrong = {take.name for take in takes if take.fit.hand != side}
        again, others = _taken([frame for frame in frames if frame.name in wrong], side, rig, settings)
        left_out += others
        mended = {take.name: take for take in again}
        takes = [mended.get(take.name, take) for take in takes if take.name not in wrong or take.name in mended]
    if not takes:
        raise ObservationError(
            "none of the images shows enough of a hand: "
            + "; ".join(f"{each.name}: {each.reason}" for each in left_out)
        )
    return takes, left_out


def _taken(
    frames: Sequence[ShapeInput],
    hand: str,
    rig: Rig | None,
    settings: FitSettings,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[SingleFit], list[RejectedImage]]:
    """Fit frames by themselves; those that cannot be used, and why. Raises HandoptError where settings are wrong."""
    takes, left_out = [], []
    inputs = (
        FitInput(each.depth_mm, each.camera, hand, rig, image=each.name, notes=each.assumptions) for each in frames
    )
    for number, (frame, result) in enumerate(zip(frames, fit_images(inputs, settings), strict=True)):
        try:
            takes.append(_take(frame, result))
        except ObservationError as error:
            left_out.append(RejectedImage(frame.name, str(error)))
        if progress is not None:
            progress(number + 1)
    return takes, left_out


def _take(frame: ShapeInput, result: FitResult | HandoptError) -> SingleFit:
    if isinstance(result, HandoptError):
        raise result
    pixels, area = len(result.observation.points_mm), result.observation.area_cm2
    if pixels < MIN_PIXELS or area < MIN_AREA_CM2:
        raise ObservationError(
            f"only {pixels} pixels ({area:.0f} cm²) show the hand, {MIN_PIXELS} and {MIN_AREA_CM2:.0f} cm² are needed"
        )
    return SingleFit(frame.name, result, pixels)


def _side_of(takes: Sequence[SingleFit]) -> str:
    """The side that most takes have, by the sum of how much better it explains each image."""
    votes = sum((take.fit.hand_margin or 0.0) * (1 if take.fit.hand == "right" else -1) for take in takes)
    return "right" if votes >= 0 else "left"


def _one_side(takes: list[SingleFit]) -> tuple[list[SingleFit], list[RejectedImage]]:
    """Leave out the takes that clearly show the other hand than most."""
    side = _side_of(takes)
    clear = [take.fit.hand != side and (take.fit.hand_margin or 0.0) > OTHER_HAND for take in takes]
    kept = [take for take, other in zip(takes, clear, strict=True) if not other]
    reasons = [
        RejectedImage(take.name, f"it shows a {take.fit.hand} hand, most images a {side} one")
        for take, other in zip(takes, clear, strict=True)
        if other
    ]
    return kept, reasons


def outliers(takes: Sequence[SingleFit]) -> list[RejectedImage]:
    """Takes whose own fit is doubtful among sure ones, or whose hand is of another size.

    Raises ObservationError where the images do not show one hand.
    """
    if len(takes) < 2:
        return []
    sure = np.array([take.fit.confidence for take in takes])
    left_out = {}
    if np.median(sure) >= SURE:
        for take in takes:
            if take.fit.confidence < DOUBTFUL:
                left_out[take.name] = f"its own fit is doubtful (confidence {take.fit.confidence:.2f})"
    rest = [take for take in takes if take.name not in left_out]
    sizes = np.array([take.size_mm for take in rest])
    middle = float(np.median(sizes))
    apart = np.abs(np.log(sizes / middle))
    kept = sizes[apart <= SIZE_APART]
    if len(rest) > 1 and (2 * len(kept) <= len(rest) or np.log(kept).std() > SIZES_SPREAD):
        order = np.argsort(sizes)
        low, high = rest[order[0]], rest[order[-1]]
        raise ObservationError(
            f"the images do not show one hand: its length is {sizes.min():.0f} mm in {low.name} and "
            f"{sizes.max():.0f} mm in {high.name}; give the images of one person's hand, or remove those whose fit is "
            "wrong (handopt fit shows it)"
        )
    for take, size, off in zip(rest, sizes, apart, strict=True):
        if off > SIZE_APART and len(rest) > 2:
            left_out[take.name] = f"its hand is {size:.0f} mm long, that of the other images {middle:.0f} mm"
    return [RejectedImage(name, reason) for name, reason in left_out.items()]


def poses_of(takes: Sequence[SingleFit]) -> Pose:
    """The takes' poses as those of right hands, on the host, image by image."""

    def stacked(values: Sequence[Any]) -> Any:
        return np.stack([np.asarray(each, np.float32) for each in values])

    flips = [np.diag(MIRROR) if take.mirrored else np.eye(3) for take in takes]
    pairs = list(zip(takes, flips, strict=True))
    return Pose(
        angles=stacked([take.fit.angles_rad for take in takes]),
        rotation=stacked([flip @ take.fit.rotation @ flip for take, flip in pairs]),
        translation=stacked([flip @ take.fit.translation_mm for take, flip in pairs]),
        scale=stacked([take.fit.scale for take in takes]),
        image=np.arange(len(takes), dtype=np.int32),
        proportions=stacked([take.fit.proportions for take in takes]),
    )
