"""The images of a shape fit: each is fitted by itself first, and rejected where its fit or hand cannot be right."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from handopt.config import FitSettings
from handopt.errors import HandoptError, NumericalError, ObservationError, ShapeError
from handopt.fitting import FitInput, fit_images
from handopt.hand_model import Pose
from handopt.input.camera import Camera
from handopt.observation.crop import Crop
from handopt.observation.observation import Observation
from handopt.result import FitResult
from handopt.rig import Rig, with_shape
from handopt.rig.anatomy import MIRROR
from handopt.typing import AnyArray


@dataclass(frozen=True)
class SingleFitLimits:
    """Which images are used. Chosen by hand."""

    min_area_cm2: float = 25.0  # area of the observed hand
    min_pixels: int = 500  # of the observed hand
    doubtful: float = 0.2  # confidence of a fit below which its image is rejected, among confident fits
    confident: float = 0.5  # median confidence from which on the fits count as confident
    # How much more of an image the other hand must leave unexplained for the image to count as one of this hand.
    hand_margin: float = 0.05
    size_difference: float = 0.10  # largest relative difference of a hand's length from the median of all
    size_spread: float = 0.065  # largest standard deviation of the lengths' logarithms of one person's images


LIMITS: Final = SingleFitLimits()


@dataclass(frozen=True)
class ShapeInput:
    """A depth image (H, W) in mm with a name and its camera. assumptions: sentences on what was assumed of it.

    ignore: (H, W), nonzero on pixels to leave out. mirrored: whether the image is mirrored left to right; the camera is
    that of the true scene.
    """

    name: str
    depth_mm: AnyArray = field(repr=False)
    camera: Camera
    assumptions: tuple[str, ...] = ()
    ignore: AnyArray | None = field(default=None, repr=False)
    mirrored: bool = False

    def fit_input(self, hand: str, rig: Rig | None) -> FitInput:
        """What handopt.fit_many is given."""
        return FitInput(
            self.depth_mm, self.camera, hand, rig, image=self.name, notes=self.assumptions, ignore=self.ignore,
            mirrored=self.mirrored,
        )  # fmt: skip


@dataclass(frozen=True)
class RejectedImage:
    """An image that was not used, and a sentence that says why."""

    image: str
    reason: str


@dataclass(frozen=True)
class SingleFit:
    """An image with its own fit. pixels: of the observed hand."""

    name: str
    fit: FitResult
    pixels: int

    @property
    def mirrored(self) -> bool:
        """Whether it shows a left hand, which is fitted as a mirror image."""
        return self.fit.hand == "left"

    @property
    def view(self) -> tuple[Observation, Crop, bool]:
        """What handopt.objective.targets.build_targets fits."""
        return self.fit.observation, self.fit.crop, self.mirrored

    @property
    def size_mm(self) -> float:
        """Length of the bones from the wrist to the tip of the middle finger, mm."""
        joints = with_shape(self.fit.rig, self.fit.proportions).keypoints_mm * self.fit.scale
        chain = joints[[0, 9, 10, 11, 12]]
        return float(np.linalg.norm(np.diff(chain, axis=0), axis=1).sum())


def fit_each(
    frames: Sequence[ShapeInput],
    *,
    hand: str,
    rig: Rig | None,
    settings: FitSettings,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[SingleFit], list[RejectedImage]]:
    """Fit each image by itself, and say which images are rejected. Raises ObservationError where none can be used.

    hand: 'right', 'left', or 'auto' for the side that fits most of the images better
    """
    if not frames:
        raise ShapeError("frames: expected at least one image")
    names = [frame.name for frame in frames]
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise ShapeError(f"frames: several are named {twice[0]!r}; give each image a name of its own")
    fits, rejected = _fitted(frames, hand, rig, settings, progress)
    if hand == "auto" and fits:
        fits, others = _one_side(fits)
        rejected += others
        side = _hand_of(fits)
        if rig is not None and rig.side != side:
            rig = rig.mirrored()
        wrong = {single.name for single in fits if single.fit.hand != side}
        again, others = _fitted([frame for frame in frames if frame.name in wrong], side, rig, settings)
        rejected += others
        fitted_again = {single.name: single for single in again}
        fits = [
            fitted_again.get(single.name, single)
            for single in fits
            if single.name not in wrong or single.name in fitted_again
        ]
    if not fits:
        raise ObservationError(
            "none of the images shows enough of a hand: "
            + "; ".join(f"{each.image}: {each.reason}" for each in rejected)
        )
    return fits, rejected


def _fitted(
    frames: Sequence[ShapeInput],
    hand: str,
    rig: Rig | None,
    settings: FitSettings,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[SingleFit], list[RejectedImage]]:
    """The frames' own fits, and the images that are rejected. Raises HandoptError where settings are wrong."""
    fits, rejected = [], []
    inputs = (each.fit_input(hand, rig) for each in frames)
    for number, (frame, result) in enumerate(zip(frames, fit_images(inputs, settings), strict=True)):
        try:
            fits.append(_checked(frame, result))
        except (NumericalError, ObservationError) as error:
            rejected.append(RejectedImage(frame.name, str(error)))
        if progress is not None:
            progress(number + 1)
    return fits, rejected


def _checked(frame: ShapeInput, result: FitResult | HandoptError) -> SingleFit:
    if isinstance(result, HandoptError):
        raise result
    pixels, area = len(result.observation.points_mm), result.observation.area_cm2
    if pixels < LIMITS.min_pixels or area < LIMITS.min_area_cm2:
        raise ObservationError(
            f"only {pixels} pixels ({area:.0f} cm²) show the hand, {LIMITS.min_pixels} and "
            f"{LIMITS.min_area_cm2:.0f} cm² are needed"
        )
    return SingleFit(frame.name, result, pixels)


def _hand_of(fits: Sequence[SingleFit]) -> str:
    """The hand that most images show, each counted by how much better this hand explains it than the other."""
    votes = sum((single.fit.hand_margin or 0.0) * (1 if single.fit.hand == "right" else -1) for single in fits)
    return "right" if votes >= 0 else "left"


def _one_side(fits: list[SingleFit]) -> tuple[list[SingleFit], list[RejectedImage]]:
    """Reject the images that clearly show the other hand than most."""
    side = _hand_of(fits)
    clear = [single.fit.hand != side and (single.fit.hand_margin or 0.0) > LIMITS.hand_margin for single in fits]
    kept = [single for single, other in zip(fits, clear, strict=True) if not other]
    reasons = [
        RejectedImage(single.name, f"it shows a {single.fit.hand} hand, most images a {side} one")
        for single, other in zip(fits, clear, strict=True)
        if other
    ]
    return kept, reasons


def outliers(fits: Sequence[SingleFit]) -> list[RejectedImage]:
    """Images whose own fit is doubtful among confident ones, or whose hand has another size.

    Raises ObservationError where the images do not show one hand.
    """
    if len(fits) < 2:
        return []
    sure = np.array([single.fit.confidence for single in fits])
    rejected = {}
    if np.median(sure) >= LIMITS.confident:
        for single in fits:
            if single.fit.confidence < LIMITS.doubtful:
                rejected[single.name] = f"its own fit is doubtful (confidence {single.fit.confidence:.2f})"
    rest = [single for single in fits if single.name not in rejected]
    sizes = np.array([single.size_mm for single in rest])
    middle = float(np.median(sizes))
    apart = np.abs(np.log(sizes / middle))
    kept = sizes[apart <= LIMITS.size_difference]
    if len(rest) > 1 and (2 * len(kept) <= len(rest) or np.log(kept).std() > LIMITS.size_spread):
        order = np.argsort(sizes)
        low, high = rest[order[0]], rest[order[-1]]
        raise ObservationError(
            f"the images do not show one hand: its length is {sizes.min():.0f} mm in {low.name} and "
            f"{sizes.max():.0f} mm in {high.name}; give the images of one person's hand, or remove those whose fit is "
            "wrong (handopt fit shows it)"
        )
    for single, size, off in zip(rest, sizes, apart, strict=True):
        if off > LIMITS.size_difference and len(rest) > 2:
            rejected[single.name] = f"its hand is {size:.0f} mm long, that of the other images {middle:.0f} mm"
    return [RejectedImage(name, reason) for name, reason in rejected.items()]


def poses_of(fits: Sequence[SingleFit]) -> Pose:
    """The poses of all fits as right hands, on the host, image by image."""

    def stacked(values: Sequence[Any]) -> Any:
        return np.stack([np.asarray(each, np.float32) for each in values])

    flips = [np.diag(MIRROR) if single.mirrored else np.eye(3) for single in fits]
    pairs = list(zip(fits, flips, strict=True))
    return Pose(
        angles=stacked([single.fit.angles_rad for single in fits]),
        rotation=stacked([flip @ single.fit.rotation @ flip for single, flip in pairs]),
        translation=stacked([flip @ single.fit.translation_mm for single, flip in pairs]),
        scale=stacked([single.fit.scale for single in fits]),
        image=np.arange(len(fits), dtype=np.int32),
        proportions=stacked([single.fit.proportions for single in fits]),
    )
