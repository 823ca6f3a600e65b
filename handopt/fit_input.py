"""What a fit is given: a depth image and what is known of it, checked."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.assess.config import ASSESS
from handopt.assess.pixel_agreement import PixelAgreement
from handopt.errors import CameraError, ConfigError, ShapeError
from handopt.input.camera import Camera
from handopt.input.ignore import IGNORED_NOTE
from handopt.input.reader import undistorted
from handopt.observation.hints import checked_hints
from handopt.observation.surfaces import flipped
from handopt.optimise.starts import Start
from handopt.rig import Rig

HANDS = ("right", "left", "auto")
CLEAR_MARGIN = 0.03
"""Limb fraction by which the other hand must fit better for a note to say so. By hand."""
MIRRORED_NOTE = "The image is a mirror image, and was mirrored back: results and pictures are of the true hand."


@dataclass(frozen=True, eq=False)
class FitInput:
    """A depth image, and what is known of it: the arguments of the same names of handopt.fit."""

    depth_mm: NDArray[Any] = field(repr=False)
    camera: Camera
    hand: str | None = None
    rig: Rig | None = None
    mask: NDArray[Any] | None = field(default=None, repr=False)
    box: Sequence[float] | None = None
    center: Sequence[float] | None = None
    start: Start | None = None
    image: str | None = None
    notes: Sequence[str] = ()
    ignore: NDArray[Any] | None = field(default=None, repr=False)
    mirrored: bool = False

    def undistorted(self) -> "FitInput":
        """The same input without the distortion of its lens, which a note says; hints are of the straightened image.

        Raises CameraError where the lens cannot be inverted in the image.
        """
        shape = self.camera.height, self.camera.width
        images = [np.asarray(each) for each in (self.depth_mm, self.ignore) if each is not None]
        if self.camera.distortion is None or any(each.shape != shape for each in images):
            return self  # an image of another size is refused later
        depth_mm, *left_out = images
        ignored = left_out[0] if left_out else None
        depth_mm, ignored, camera = undistorted(depth_mm, ignored, self.camera, self.mirrored)
        notes = (*self.notes, camera.assumptions[-1])
        return replace(self, depth_mm=depth_mm, ignore=ignored, camera=camera, notes=notes)

    def unmirrored(self) -> "FitInput":
        """The same input with the image mirrored back if it is a mirror image, and with it the hints in its pixels.

        Raises ShapeError and ObservationError for hints that make no sense, in the numbers that were given.
        """
        if not self.mirrored:
            return self
        shape, last = (self.camera.height, self.camera.width), self.camera.width - 1
        if np.shape(self.depth_mm) == shape:  # an image of another size is refused later
            checked_hints(shape, self.mask, self.box, self.center)
        mask, ignore = (None if each is None else _turned(each) for each in (self.mask, self.ignore))
        box, center = self.box, self.center
        if box is not None and len(box) == 4:
            box = (last + 1 - box[2], box[1], last + 1 - box[0], box[3])
        if center is not None and len(center) == 2:
            center = (last - center[0], center[1])
        return replace(self, depth_mm=_turned(self.depth_mm), mask=mask, ignore=ignore, box=box, center=center)


def check_input(given: Any) -> None:
    """Refuse what is easily mistaken for an image or a camera."""
    if not isinstance(given, FitInput):
        raise ShapeError(f"images: expected handopt.FitInput, got {type(given).__name__}")
    camera: Any = given.camera
    if not isinstance(camera, Camera):
        kind = type(camera).__name__
        raise CameraError(f"camera: expected a handopt.Camera, got {kind}; handopt.load_camera makes one of a preset")
    if hasattr(given.depth_mm, "depth_mm"):
        raise ShapeError(f"depth_mm: expected an array, got {type(given.depth_mm).__name__}; give its .depth_mm")
    if isinstance(given.depth_mm, str | PathLike):
        raise ShapeError("depth_mm: expected an array, got the name of a file, which handopt.read_depth reads")


def notes_on(given: FitInput) -> list[str]:
    """What was done to the image before the hand was looked for."""
    notes = [] if given.ignore is None else [IGNORED_NOTE]
    return [*notes, *([MIRRORED_NOTE] if given.mirrored else [])]


def notes_on_side(given: FitInput, margin: float | None) -> list[str]:
    """Whether the image speaks against the hand that the user named. margin: of that hand over the other."""
    if given.hand == "auto" or margin is None or margin > -CLEAR_MARGIN:
        return []
    other = "right" if given.hand == "left" else "left"
    return [f"The image looks more like a {other} hand than like a {given.hand} one (hand= changes this)."]


def notes_on_presence(agreement: PixelAgreement | None, unexplained_fraction: float) -> list[str]:
    """Whether what was fitted looks like a hand at all. agreement: None where nobody was asked."""
    if agreement is None or agreement.presence >= ASSESS.least_presence:
        return []
    if unexplained_fraction < ASSESS.well_explained:
        return []
    return ["What was fitted does not look like a hand (box=, center= or mask= says where the hand is)."]


def side_of(given: FitInput) -> str:
    """Which hand an image is taken to show: 'right', 'left' or 'auto'. Raises ConfigError."""
    rig = given.rig
    hand = given.hand or ("auto" if rig is None else rig.side)
    if hand not in HANDS:
        raise ConfigError(f"hand: expected one of {', '.join(HANDS)}, got {hand!r}; change hand=")
    if rig is not None and hand not in ("auto", rig.side):
        raise ConfigError(f"hand: the rig {rig.name} is a {rig.side} hand; use hand={rig.side!r} or another rig=")
    return hand


def _turned(image: NDArray[Any]) -> NDArray[Any]:
    """The mirror image of an image (H, W); anything else as it is."""
    array = np.asarray(image)
    return flipped(array) if array.ndim == 2 else array
