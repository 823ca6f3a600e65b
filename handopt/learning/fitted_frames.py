"""What an adaptation learns from, of each frame: the network's view, what losses compare with, and a fit.

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
from handopt.fit_input import FitInput
from handopt.fitting import fit_images
from handopt.input.camera import Camera
from handopt.learning.images import Arrays, images_of
from handopt.objective.descent_objective import MAX_POINTS
from handopt.objective.targets import PADDING_Z, build_targets
from handopt.observation.surfaces import flipped
from handopt.proposals.features import centered_view, to_view
from handopt.proposals.model_file import PoseModel
from handopt.result import FitResult
from handopt.rig import default_rig
from handopt.typing import AnyArray, BoolImage, FloatImage

SPLATS: Final = 1600
"""Observed points of the renderer that are kept of a frame; a hand seen from near has about 1,000."""
PROPORTIONS: Final = 13
OF_A_FRAME: Final = (ObservationError, DepthError, CameraError, ShapeError, NumericalError)
"""Errors that leave out a frame; others, such as a broken installation, end the adaptation."""


@dataclass(frozen=True, eq=False)
class AdaptFrame:
    """A depth frame (H, W) mm to adapt to, 0 where nothing is measured.

    name: what messages call it; ignore: (H, W) pixels to leave out; problem: why it could not be read; mirrored: as in
    handopt.fit
    """

    name: str
    depth_mm: FloatImage
    camera: Camera
    ignore: BoolImage | None = None
    problem: str | None = None
    mirrored: bool = False


@dataclass(frozen=True)
class FittedFrames:
    """The frames of a block that can be used. arrays: a row of each; problems: name and reason of the others.

    other_side: how many of the fits look more like the other hand
    """

    arrays: Arrays
    problems: tuple[tuple[str, str], ...]
    other_side: int


def fit_frames(frames: Sequence[AdaptFrame], first: int, side: str, model: PoseModel | None, seed: int) -> FittedFrames:
    """Fit frames, and keep of each that shows a hand what an adaptation needs.

    first: number of the first frame. side: 'right' or 'left'. model: whose poses the fits start from
    """
    settings = FitSettings("proportions", Config(), "cpu", seed, model)
    found = fit_images([_input(each, side) for each in frames], settings)
    rows: list[dict[str, AnyArray]] = []
    problems, other = [], 0
    for number, (frame, result) in enumerate(zip(frames, found, strict=True), first):
        try:
            if frame.problem is not None:
                raise ObservationError(frame.problem)
            if isinstance(result, HandoptError):
                raise result
            rows.append({"number": np.asarray(number, np.int64), **_row(result, settings.config, seed)})
            other += any("looks more like" in note for note in result.notes)
        except OF_A_FRAME as error:
            problems.append((frame.name, str(error).removeprefix(f"{frame.name}: ")))
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]} if rows else {}
    return FittedFrames(arrays, tuple(problems), other)


def _input(frame: AdaptFrame, side: str) -> FitInput:
    """A frame as an image of a right hand."""
    given = FitInput(frame.depth_mm, frame.camera, "right", ignore=frame.ignore, mirrored=frame.mirrored)
    if side == "right":
        return given
    ignore = None if frame.ignore is None else flipped(frame.ignore)
    return replace(given, depth_mm=flipped(frame.depth_mm), camera=frame.camera.mirrored(), ignore=ignore)


def _row(result: FitResult, config: Config, seed: int) -> dict[str, AnyArray]:
    """One frame's arrays. Raises ObservationError where too little of the hand is in view."""
    observation = result.observation
    view = centered_view(observation)
    labels = {
        "rotation": view.rotation @ result.rotation,
        "angles": result.angles_rad,
        "wrist": view.rotation @ result.joints_mm[0] - [0.0, 0.0, view.distance_mm],
        "scale": np.asarray(result.scale),
        "proportions": result.proportions if len(result.proportions) else np.zeros(PROPORTIONS),
        "view": view.rotation,
        "distance": np.asarray(view.distance_mm),
        "joints": result.joints_mm,
        "keypoints": to_view(result.joints_mm @ view.rotation.T, view.distance_mm),
        "confidence": np.asarray(result.confidence),
        "camera_centre": np.asarray(observation.center_mm),
    }
    row: dict[str, AnyArray] = {name: np.asarray(each, np.float32) for name, each in labels.items()}
    return {**row, **images_of(view), "visible": result.joint_visible.astype(bool), **_target(result, config, seed)}


def _target(result: FitResult, config: Config, seed: int) -> dict[str, AnyArray]:
    """What the self-supervised loss compares with, as 16-bit numbers; lengths relative to the hand's centre."""
    observation = result.observation
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
