"""From the estimates of all frames to a track."""

import platform
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import islice
from typing import Final

import numpy as np

from handopt.assess.config import ASSESS
from handopt.input.camera import Camera
from handopt.rig import Rig
from handopt.rig.anatomy import MIRROR
from handopt.tracking.confidence import confidence, features, spread_mm2, uncertainty_mm
from handopt.tracking.config import TrackConfidenceConfig
from handopt.tracking.depth_crops import SHOWN_HALF_MM, DepthCrops
from handopt.tracking.frame_residuals import ShapeEstimate
from handopt.tracking.pose_estimate import Placed, TrackedFrame
from handopt.tracking.track import Track, Windows
from handopt.typing import AnyArray, Floats, Indices

_CHUNK: Final = 64
_NO_COVARIANCE: Final = np.zeros((0, 0), np.float32)


@dataclass(frozen=True)
class TrackedHand:
    """Whose hand was tracked: its own rig and its side, before which camera, and its shape.

    kept_in_place: whether the middle of the joints stays where each frame had it.
    """

    rig: Rig
    side: str
    camera: Camera
    shape: ShapeEstimate
    kept_in_place: bool


def assemble(
    steps: Iterable[TrackedFrame],
    hand: TrackedHand,
    source: str,
    fps: float,
    crops: DepthCrops,
    notes: tuple[str, ...],
    seconds: float,
    config: TrackConfidenceConfig,
) -> Track:
    """The track of all frames, not smoothed; each step is taken once, in order. crops: what is shown of each."""
    left = hand.side == "left"
    flip = MIRROR if left else np.ones(3)
    steps, information, spread = _without_covariances(steps, hand, config)
    found = [step.pose for step in steps]
    count = len(steps)
    rotation, translation = np.repeat(np.eye(3)[None], count, axis=0), np.zeros((count, 3))
    angles, visible = np.zeros((count, 15, 3)), np.zeros((count, 21), np.bool_)
    fraction, joints = np.full(count, np.nan), np.zeros((count, 21, 3))
    last: Placed | None = None
    for row, each in enumerate(found):
        if each is not None:
            last = each.placed
            visible[row], fraction[row], joints[row] = each.joint_visible, each.unexplained_fraction, each.joints_mm
        if last is not None:
            own = last.mirrored() if left else last
            rotation[row], translation[row], angles[row] = own.rotation, own.translation_mm, own.angles_rad
    tracked = np.array([each is not None for each in found])
    sureness = confidence(features(found, causal=not hand.kept_in_place, config=config), config)
    track = Track(
        hand=hand.side, rig=hand.rig, camera=hand.camera, fps=fps, source=source,
        names=tuple(step.frame.name for step in steps), time_s=times(steps, fps),
        tracked=tracked, bridged=np.zeros(count, np.bool_),
        refitted=np.array([each is not None and each.refitted for each in found]),
        errors={row: step.frame.problem for row, step in enumerate(steps) if step.frame.problem is not None},
        unexplained_fraction=fraction, confidence=sureness, joint_uncertainty_mm=uncertainty_mm(spread, visible),
        rotation=rotation, translation_mm=translation, angles_rad=angles,
        joint_visible=visible, scale=hand.shape.scale, proportions=hand.shape.proportions, information=information,
        windows=Windows(
            crops.frames(mirrored=left), np.stack([step.center_mm for step in steps]) * flip, SHOWN_HALF_MM,
        ),
        notes=(*notes, *hand.rig.notes, *uneven(steps, fps), *_doubts(sureness[tracked], config)), seconds=seconds,
        versions={"python": platform.python_version(), "handopt": version("handopt")},
    )  # fmt: skip
    # Frames were fitted with the shape as it was known by then: the middle of the joints stays where it was.
    if hand.kept_in_place:
        shift = (joints * flip - np.nan_to_num(track.joints_mm())).mean(axis=1)
        track.translation_mm[tracked] += shift[tracked]
    return track


def _without_covariances(
    steps: Iterable[TrackedFrame], hand: TrackedHand, config: TrackConfidenceConfig
) -> tuple[list[TrackedFrame], Floats, Floats]:
    """All frames without their covariances, which are read a few at a time, and what these say.

    That is the information (T, 51) about each pose, and the spread of each joint (T, 21), mm^2, as spread_mm2 has it.
    """
    right = hand.rig.mirrored() if hand.side == "left" else hand.rig
    free = np.flatnonzero(np.asarray(hand.rig.limits.free).ravel())
    light, information, spread = list[TrackedFrame](), [np.zeros((0, 51))], [np.zeros((0, 21))]
    given = iter(steps)
    while some := list(islice(given, _CHUNK)):
        poses = [step.pose for step in some]
        spread.append(spread_mm2(poses, right, hand.shape.scale, hand.shape.proportions, config))
        information.append(
            np.stack([np.zeros(51) if each is None else _information(each.covariance, free) for each in poses])
        )
        light += [
            step if step.pose is None
            else replace(step, pose=replace(step.pose, covariance=_NO_COVARIANCE, shape=hand.shape))
            for step in some
        ]  # fmt: skip
    return light, np.concatenate(information), np.concatenate(spread)


def times(steps: list[TrackedFrame], fps: float) -> Floats:
    """When each frame was taken (T,), s: as frames say where they all do and time goes on, else by the rate."""
    given = np.array([np.nan if step.frame.time_s is None else step.frame.time_s for step in steps], np.float64)
    sound = np.isfinite(given).all() and (np.diff(given) > 0).all()
    return given if sound else np.arange(len(steps)) / fps


def uneven(steps: list[TrackedFrame], fps: float) -> tuple[str, ...]:
    """What to say of times that cannot be used."""
    given = [step.frame.time_s for step in steps if step.frame.time_s is not None]
    if not given or (len(given) == len(steps) and (np.diff(given) > 0).all()):
        return ()
    return (f"Some frames have no time, or none after that of the frame before; {fps:g} frames a second were assumed.",)


def rate(steps: Iterable[TrackedFrame]) -> float | None:
    """Frames a second by the frames' own times, None where these say nothing."""
    known = np.array([step.frame.time_s for step in steps if step.frame.time_s is not None])
    gone = np.diff(known)
    return float(1.0 / np.median(gone)) if len(gone) and (gone > 0).all() else None


def _doubts(sureness: Floats, config: TrackConfidenceConfig) -> tuple[str, ...]:
    """What to say of a start that may be wrong."""
    start = sureness[: config.start_frames]
    if len(start) == 0 or np.median(start) >= ASSESS.doubtful:
        return ()
    return (
        f"The start is doubtful: the first frames with a hand have a confidence of {np.median(start):.2f}. Look at the "
        "video; where the wrong thing is followed, leave out the first frames, or check side, camera and unit.",
    )


def _information(covariance: AnyArray, free: Indices) -> Floats:
    """Inverse variances of the pose's parameters (51,), 0 where an angle is not free."""
    information = np.zeros(6 + 45)
    inverse = 1 / np.maximum(np.diag(covariance).astype(np.float64), 1e-12)
    information[:6], information[6 + free] = inverse[:6], inverse[6:]
    return information
