"""What an adaptation learns from, of each frame: the network's view, what losses compare with, and a tracked pose.

Left hands are stored as the right hands of the mirror image.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handopt.backend import Device
from handopt.config import Config, FitSettings
from handopt.errors import CameraError, DepthError, HandoptError, NumericalError, ObservationError, ShapeError
from handopt.fit_input import FitInput, check_input
from handopt.fitting import fit_images
from handopt.input.camera import Camera
from handopt.input.sequence.base import SequenceFrame
from handopt.learning.images import Arrays, images_of
from handopt.objective.descent_objective import MAX_POINTS
from handopt.objective.targets import PADDING_Z, build_targets
from handopt.observation.hints import checked_ignore
from handopt.observation.observation import Observation
from handopt.observation.observe import observe
from handopt.observation.surfaces import flipped
from handopt.optimise.first_look import cut_to_size
from handopt.optimise.predicted_views import predicted_views
from handopt.proposals.features import centered_view, to_view
from handopt.proposals.model_file import PoseModel
from handopt.result import FitResult
from handopt.rig import default_rig
from handopt.rig.joints import palm_of
from handopt.tracking.api import track
from handopt.tracking.track import Track
from handopt.typing import AnyArray, BoolImage, FloatImage, Floats, Vector

SPLATS: Final = 1600
"""Observed points of the renderer that are kept of a frame; a hand seen from near has about 1,000."""
PROPORTIONS: Final = 13
OF_A_FRAME: Final = (ObservationError, DepthError, CameraError, ShapeError, NumericalError)
"""Errors that leave out a frame; others, such as a broken installation, end the adaptation."""
ASKED: Final = 3
"""Frames of a take that are asked which hand they show."""
ELSEWHERE_MM: Final = 60.0
"""Distance of the palm that handopt predict looks at from that of the track, from which on it is another place."""


@dataclass(frozen=True, eq=False)
class AdaptFrame:
    """A depth frame (H, W) mm to adapt to, 0 where nothing is measured.

    name: what messages call it; ignore: (H, W) pixels to leave out; problem: why it could not be read; mirrored: as in
    handopt.fit; take: what differs for frames that do not follow these, as those of another recording; time_s: of the
    frame in its take, None where nobody knows
    """

    name: str
    depth_mm: FloatImage
    camera: Camera
    ignore: BoolImage | None = None
    problem: str | None = None
    mirrored: bool = False
    take: str = ""
    time_s: float | None = None


@dataclass(frozen=True)
class FittedFrames:
    """The frames of a part that can be used. arrays: a row of each; problems: name and reason of the others.

    other_side: about how many of them look more like the other hand, as a few say that were asked
    """

    arrays: Arrays
    problems: tuple[tuple[str, str], ...]
    other_side: int


def fit_frames(frames: Sequence[AdaptFrame], first: int, side: str, model: PoseModel | None, seed: int) -> FittedFrames:
    """Follow the hand through frames, and keep of each that shows it what an adaptation needs.

    Frames that follow one another explain each other: in five of eight rendered sequences of a child's hand tracks are
    3 mm off in every frame, single fits 3 to 22 mm, in a twelfth of the time. Where the hand is far from where it was,
    frames are mostly fitted from scratch.
    first: number of the first frame. side: 'right' or 'left'. model: whose poses fits from scratch start from
    """
    settings = FitSettings("proportions", Config(), "cpu", seed, model)
    rows: list[dict[str, AnyArray]] = []
    problems: list[tuple[str, str]] = []
    prepared: list[_Frame] = []
    for number, frame in enumerate(frames, first):
        try:
            prepared.append(_prepared(frame, number, side))
        except OF_A_FRAME as error:
            problems.append(_problem(frame.name, error))
    takes: dict[Any, list[_Frame]] = {}
    for each in prepared:
        takes.setdefault((each.take, each.intrinsics), []).append(each)
    other = 0
    for together in takes.values():
        followed, left_out, others = _followed(together, settings)
        rows += followed
        problems += left_out
        other += others
    rows.sort(key=lambda row: int(row["number"]))
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]} if rows else {}
    return FittedFrames(arrays, tuple(problems), other)


@dataclass(frozen=True, eq=False)
class _Frame:
    """A frame as an image of a right hand. number: among all frames."""

    number: int
    name: str
    given: FitInput
    take: str
    time_s: float | None

    @property
    def intrinsics(self) -> tuple[float, ...]:
        """Of its camera, whatever that is called."""
        camera = self.given.camera
        return camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height

    @property
    def known_mm(self) -> FloatImage:
        """Its depth (H, W) mm, NaN where pixels are left out."""
        depth = np.asarray(self.given.depth_mm, np.float32)
        return depth if self.given.ignore is None else np.where(self.given.ignore, np.float32(np.nan), depth)


def _prepared(frame: AdaptFrame, number: int, side: str) -> _Frame:
    """Raises what OF_A_FRAME names where a frame cannot be used."""
    if frame.problem is not None:
        raise ObservationError(frame.problem)
    given = _input(frame, side)
    check_input(given)
    given = given.undistorted().unmirrored()
    shape, camera = np.shape(given.depth_mm), given.camera
    if shape != (camera.height, camera.width):
        raise ShapeError(f"expected {camera.width} x {camera.height} pixels as in camera, got shape {shape}")
    if given.ignore is not None:
        given = replace(given, ignore=checked_ignore(given.ignore, shape))
    return _Frame(number, frame.name, given, frame.take, frame.time_s)


def _problem(name: str, error: Exception) -> tuple[str, str]:
    return name, str(error).removeprefix(f"{name}: ")


def _followed(
    frames: list[_Frame], settings: FitSettings
) -> tuple[list[dict[str, AnyArray]], list[tuple[str, str]], int]:
    """Rows of the frames of one camera in which the hand is found, name and reason of the others, and how many frames
    look more like the other hand."""
    asked = {"hand": "right", "device": settings.device, "seed": settings.seed, "proposals": settings.proposals}
    images = [SequenceFrame(at, each.name, each.known_mm, each.time_s) for at, each in enumerate(frames)]
    following = track(images, camera=frames[0].given.camera, **asked)
    try:
        for _ in following:
            pass
        found = following.result
    except OF_A_FRAME as error:
        return [], [(each.name, str(error)) for each in frames], 0
    rows, problems = [], []
    joints = found.joints_mm()
    for at, frame in enumerate(frames):
        try:
            if not found.tracked[at]:
                raise ObservationError("no hand was found in it")
            rows.append({"number": np.asarray(frame.number, np.int64), **_row(frame, found, at, joints[at], settings)})
        except OF_A_FRAME as error:
            problems.append(_problem(frame.name, error))
    return rows, problems, _of_other_hand([frames[at] for at in np.flatnonzero(found.tracked)], len(rows), settings)


def _of_other_hand(frames: list[_Frame], count: int, settings: FitSettings) -> int:
    """How many of a count of frames look more like the other hand, if they do so as often as a few that are asked."""
    some = [frames[at] for at in np.linspace(0, len(frames) - 1, min(ASKED, len(frames))).astype(int)] if count else []
    found = [each for each in fit_images([each.given for each in some], settings) if isinstance(each, FitResult)]
    other = sum(any("looks more like" in note for note in each.notes) for each in found)
    return round(count * other / len(found)) if found else 0


def _input(frame: AdaptFrame, side: str) -> FitInput:
    """A frame as an image of a right hand."""
    given = FitInput(frame.depth_mm, frame.camera, "right", ignore=frame.ignore, mirrored=frame.mirrored)
    if side == "right":
        return given
    ignore = None if frame.ignore is None else flipped(frame.ignore)
    return replace(given, depth_mm=flipped(frame.depth_mm), camera=frame.camera.mirrored(), ignore=ignore)


def _row(frame: _Frame, found: Track, at: int, joints_mm: Floats, settings: FitSettings) -> dict[str, AnyArray]:
    """One frame's arrays. Raises ObservationError where too little of the hand is in view."""
    observation = _observed(frame.given, palm_of(joints_mm), settings)
    view = centered_view(observation)
    labels = {
        "rotation": view.rotation @ found.rotation[at],
        "angles": found.angles_rad[at],
        "wrist": view.rotation @ joints_mm[0] - [0.0, 0.0, view.distance_mm],
        "scale": np.asarray(found.scale),
        "proportions": found.proportions if len(found.proportions) else np.zeros(PROPORTIONS),
        "view": view.rotation,
        "distance": np.asarray(view.distance_mm),
        "joints": joints_mm,
        "keypoints": to_view(joints_mm @ view.rotation.T, view.distance_mm),
        "confidence": np.asarray(found.confidence[at]),
        "camera_centre": np.asarray(observation.center_mm),
    }
    row: dict[str, AnyArray] = {name: np.asarray(each, np.float32) for name, each in labels.items()}
    target = _target(cut_to_size(observation, found.scale), settings.config, settings.seed)
    return {**row, **images_of(view), "visible": found.joint_visible[at].astype(bool), **target}


def _observed(given: FitInput, palm_mm: Vector, settings: FitSettings) -> Observation:
    """The hand as handopt predict sees it, where its palm is; else what is about that palm. Raises ObservationError."""
    image = np.asarray(given.depth_mm), given.camera
    try:
        observations = observe(*image, ignore=given.ignore)
        (seen,) = predicted_views(observations, [False], settings.config, settings.proposals)
        observation = seen.view[0]
        if np.linalg.norm(observation.center_mm - palm_mm) < ELSEWHERE_MM:
            return observation
    except ObservationError:
        pass
    return observe(*image, center=palm_mm.tolist(), ignore=given.ignore)[0]


def _target(observation: Observation, config: Config, seed: int) -> dict[str, AnyArray]:
    """What the self-supervised loss compares with, as 16-bit numbers; lengths relative to the hand's centre."""
    rng, spacing = np.random.default_rng(seed), default_rig("right").vertex_spacing_mm
    crop = observation.crop(config.crop_px, config.crop_half_mm)
    targets = build_targets([(observation, crop, False)], spacing, config, rng, Device("cpu"), np.float32)
    splats = np.full((SPLATS, 3), PADDING_Z, np.float16)
    drawn = targets.splats[0]
    if len(drawn) > SPLATS:
        drawn = drawn[np.linspace(0, len(drawn) - 1, SPLATS).astype(np.int64)]
    splats[: len(drawn)] = drawn
    return {
        "points": (targets.points[0, :MAX_POINTS] - targets.centre[0]).astype(np.float16),
        "splats": splats,
        "field": targets.field[0].astype(np.float16),
        "weight": targets.weight[0].astype(np.float16),
        "coefficients": np.asarray(targets.coefficients[0], np.float32),
        "mm_per_px": np.asarray(targets.mm_per_px[0], np.float32),
        "centre": np.asarray(targets.centre[0], np.float32),
    }


def likely_side(frames: Iterable[AdaptFrame], deciding: int, seed: int) -> str:
    """Which hand most frames show, as fits of both sides say; frames without a hand are passed over.

    deciding: how many frames with a hand are enough. Raises HandoptError where no frame shows a hand.
    """
    settings = FitSettings("proportions", Config(), "cpu", seed, None)
    left: list[bool] = []
    looked_at, reason = 0, ""
    remaining = iter(frames)
    while len(left) < deciding and (block := list(islice(remaining, deciding))):
        looked_at += len(block)
        given = [replace(_input(each, "right"), hand="auto") for each in block if each.problem is None]
        for found in fit_images(given, settings):
            if isinstance(found, FitResult):
                left.append(found.hand == "left")
            else:
                reason = reason or str(found)
    if not left:
        raise HandoptError(
            f"none of the first {looked_at} frames shows a hand ({reason or 'they cannot be read'}): give frames with "
            "a hand, or say which one it is with hand='right' or hand='left'"
        )
    return "left" if sum(left) > len(left) / 2 else "right"


def rows_of(arrays: Arrays, rows: NDArray[Any] | slice) -> Arrays:
    """Some rows of all arrays."""
    return {name: each[rows] for name, each in arrays.items()}
