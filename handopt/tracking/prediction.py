"""A hand through the frames of a sequence as a network sees it: no fit, and no frame is smoothed with others.

A frame is looked at where the hand was in the one before, which costs less than half of looking at the whole image; the
whole image is observed where that fails, and where steps of Levenberg-Marquardt refine each pose.
"""

import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from os import PathLike
from typing import TYPE_CHECKING, Final

import numpy as np

from handopt.assess.confidence import PREDICTED, ConfidenceFeatures, confidence
from handopt.backend import Device, known_indices, one_cpu_thread, using
from handopt.config import FitSettings
from handopt.errors import ConfigError, NumericalError, ObservationError
from handopt.fitting import FitInput, fit_image
from handopt.input.camera import Camera
from handopt.input.sequence.base import FrameSource, split_ignored
from handopt.objective.unexplained import unexplained_fraction
from handopt.observation.surfaces import flipped, lifted_points
from handopt.proposals.features import SeenHand
from handopt.proposals.predict_pose import predict_pose
from handopt.result import FitResult
from handopt.rig import default_rig
from handopt.rig.anatomy import MIRROR
from handopt.tracking.api import Tracking, hand_of
from handopt.tracking.config import TrackingConfig
from handopt.tracking.delayed import DEFAULT_FPS
from handopt.tracking.depth_crops import SHOWN_HALF_MM, DepthCrops, crop_about
from handopt.tracking.frame_estimate import FrameEstimate
from handopt.tracking.frame_fit import FrameFitter
from handopt.tracking.frame_residuals import ShapeEstimate
from handopt.tracking.pose_estimate import Placed
from handopt.tracking.track import Track, Windows
from handopt.typing import Bools, FloatImage, Floats

if TYPE_CHECKING:
    from handopt.input.sequence.base import SequenceFrame

LOST: Final = 0.6
"""Share of what is seen near the last hand that a prediction leaves unexplained, above which the whole image is
observed again. By hand: good predictions leave 0.1 to 0.4, others most of it."""
WORSE: Final = 1.4
"""The same as a multiple of what was left when the whole image was observed last, for networks that are not so good."""
TURNS: Final = 2
"""Quarter turns in which the network looks at a frame near the one before: with four its joints are off by 3 % less,
with one by 7 % more (240 rendered views)."""
NOWHERE_MM: Final = (0.0, 0.0, 500.0)
"""Middle of what is shown of frames before the first one with a hand."""


@dataclass(frozen=True)
class Predicted:
    """A right hand, or the mirror image of a left one, in a frame. refitted: whether the whole image was observed."""

    placed: Placed
    scale: float
    joints_mm: Floats
    visible: Bools
    uncertainty_mm: Floats
    fraction: float
    confidence: float
    refitted: bool


class PredictionRun:
    """Takes frames one by one; `track` is what came of them, at any time."""

    def __init__(
        self,
        camera: Camera,
        hand: str,
        settings: FitSettings,
        scratch: str | PathLike[str] | None = None,
    ) -> None:
        """camera: of the source. hand: with "auto" the first frame in which a hand is found decides.

        settings: with refine, the steps of Levenberg-Marquardt, 0 for none, and proposals, the model.
        scratch: folder of the temporary file that keeps the depth around the hand.
        """
        self._source_camera, self._side = camera, hand
        self._settings = settings
        self._crops = DepthCrops(1, scratch)
        self._rows: list[Predicted | None] = []
        self._names: list[str] = []
        self._times: list[float | None] = []
        self._errors: dict[int, str] = {}
        self._centers: list[Floats] = []
        self._found: FitResult | None = None
        self._fitter: FrameFitter | None = None
        self._mesh: FloatImage | None = None
        self._busy = 0.0

    @property
    def _camera(self) -> Camera:
        return self._source_camera.mirrored() if self._side == "left" else self._source_camera

    def push(self, frame: "SequenceFrame") -> FrameEstimate:
        """Predict the hand in the next frame."""
        started = time.perf_counter()
        depth = frame.depth_mm
        if frame.problem is not None:  # whatever the source gives for it, nothing is measured
            depth = np.zeros((self._source_camera.height, self._source_camera.width), np.float32)
            self._errors[len(self._rows)] = frame.problem
        own, row = depth, None
        with using(Device("cpu")), one_cpu_thread(), known_indices():
            if self._side != "auto":
                own = flipped(depth) if self._side == "left" else depth
                row = self._near(own)
            if row is None and (depth > 0).any():
                row = self._anywhere(depth)
                own = flipped(depth) if self._side == "left" else depth
        self._keep(frame, row, own)
        self._busy += time.perf_counter() - started
        return self._estimate(frame, row)

    def _near(self, depth: FloatImage) -> Predicted | None:
        """The hand near where it was in the last frame; None where it was in none, or is lost."""
        last, found = self._rows[-1] if self._rows else None, self._found
        if last is None or found is None or self._settings.refine:
            return None
        if self._fitter is None:
            rig = default_rig("right")
            self._fitter = FrameFitter(rig, self._camera, self._settings.config, TrackingConfig(), Device("cpu"))
        fitter = self._fitter
        shape = _of_size(fitter.prior, last.scale)
        cut = fitter.cut_out(depth, last.placed, shape, self._mesh)
        if cut is None:
            return None
        camera, grid = cut.crop.as_camera(), cut.grid
        seen = SeenHand(camera, grid.depth_mm, grid.hand, lifted_points(camera, grid.depth_mm, grid.hand))
        try:
            predicted = predict_pose(seen, self._settings.proposals, turns=TURNS)
        except ObservationError:
            return None
        pose, visible = predicted.pose, predicted.visible
        placed, scale = Placed(pose.rotation[0], pose.translation_mm[0], pose.angles_rad[0]), float(pose.scale[0])
        shape = _of_size(shape, scale)
        vertices, joints = fitter.model.meshes(fitter.model.poses([placed], shape), shape)
        if not vertices[0, :, 2].min() > 0:
            return None
        fraction = float(unexplained_fraction(vertices, default_rig("right").faces, cut.crop, grid)[0])
        if not fraction < max(LOST, WORSE * found.unexplained_fraction):
            return None
        likely = found.observation.hand_probability
        self._mesh = vertices[0]
        features = ConfidenceFeatures.of(fraction, fraction, joints[0], visible, [], likely, None)
        sure = confidence(features, PREDICTED)
        return Predicted(placed, scale, joints[0], visible, predicted.radius_mm, fraction, sure, refitted=False)

    def _anywhere(self, depth: FloatImage) -> Predicted | None:
        """The hand in a whole frame; None where there is none."""
        depth, ignored = split_ignored(depth)
        try:
            result = fit_image(FitInput(depth, self._source_camera, self._side, ignore=ignored), self._settings)
        except (ObservationError, NumericalError):
            return None
        self._side, self._found, self._mesh = result.hand, result, None
        pose = (result.rotation, result.translation_mm, result.angles_rad)
        placed = Placed(*(np.asarray(each, np.float64) for each in pose))
        flip = MIRROR if result.hand == "left" else np.ones(3)
        return Predicted(
            placed.mirrored() if result.hand == "left" else placed, result.scale, result.joints_mm * flip,
            result.joint_visible, np.asarray(result.joint_uncertainty_mm, np.float64), result.unexplained_fraction,
            result.confidence, refitted=True,
        )  # fmt: skip

    def _keep(self, frame: "SequenceFrame", row: Predicted | None, depth: FloatImage) -> None:
        if row is not None:
            middle = np.asarray(0.5 * (row.joints_mm.min(axis=0) + row.joints_mm.max(axis=0)))
        else:
            middle = self._centers[-1] if self._centers else np.array(NOWHERE_MM)
        self._crops.append(crop_about(middle, depth, self._camera) if self._found else self._crops.last())
        self._rows.append(row)
        self._names.append(frame.name)
        self._times.append(frame.time_s)
        self._centers.append(middle)

    def _estimate(self, frame: "SequenceFrame", row: Predicted | None) -> FrameEstimate:
        side = None if self._side == "auto" else self._side
        facts = (len(self._rows) - 1, frame.name, frame.time_s, frame.problem, side)
        if row is None:
            return FrameEstimate(*facts, tracked=False)
        placed = row.placed.mirrored() if side == "left" else row.placed
        return FrameEstimate(
            *facts, True, row.refitted, row.confidence, row.fraction, row.visible, placed.rotation,
            placed.translation_mm, placed.angles_rad, row.scale, np.zeros(13), default_rig(side or "right"),
            uncertainty_mm=row.uncertainty_mm,
        )  # fmt: skip

    def delayed(self, frame: int) -> FrameEstimate:
        """Predictions know nothing of later frames. Raises ConfigError."""
        raise ConfigError(f"frame {frame}: delay= smooths with later frames, which a prediction does not do")

    def track(self, source: str, fps: float | None, notes: tuple[str, ...] = ()) -> Track:
        """The track of all frames so far, in one size, the median. Raises ObservationError without a hand."""
        rows, count = self._rows, len(self._rows)
        seen = [each for each in rows if each is not None]
        if not seen:
            where = "the only frame" if count == 1 else f"any of {count} frames"
            raise ObservationError(f"no hand was found in {where} of {source}; check unit=, camera= and hand=")
        times = np.array([np.nan if each is None else each for each in self._times], np.float64)
        known = bool(np.isfinite(times).all() and (np.diff(times) > 0).all())
        if fps is None and known and count > 1:
            fps = float(1 / np.median(np.diff(times)))
        if fps is None:
            fps, notes = DEFAULT_FPS, (*notes, f"No frame rate is known; {DEFAULT_FPS:g} frames a second were assumed.")
        left, model = self._side == "left", self._settings.proposals
        poses = list(_carried(rows, seen[0]))
        placed = [each.placed.mirrored() if left else each.placed for each in poses]
        there = np.array([each is not None for each in rows])
        unknown = np.where(there, 1.0, np.nan)
        flip = MIRROR if left else np.ones(3)
        return Track(
            hand=self._side, rig=default_rig(self._side), camera=self._source_camera, fps=fps, source=source,
            names=tuple(self._names), time_s=times if known else np.arange(count) / fps, tracked=there,
            bridged=np.zeros(count, np.bool_), refitted=np.array([each is not None and each.refitted for each in rows]),
            errors=dict(self._errors), unexplained_fraction=unknown * [each.fraction for each in poses],
            confidence=unknown * [each.confidence for each in poses],
            joint_uncertainty_mm=unknown[:, None] * np.array([each.uncertainty_mm for each in poses]),
            rotation=np.array([each.rotation for each in placed]),
            translation_mm=np.array([each.translation_mm for each in placed]),
            angles_rad=np.array([each.angles_rad for each in placed]),
            joint_visible=there[:, None] & np.array([each.visible for each in poses]),
            scale=float(np.median([each.scale for each in seen])), proportions=np.zeros(13),
            information=np.repeat(there[:, None].astype(np.float64), 51, axis=1),
            windows=Windows(self._crops.frames(mirrored=left), np.stack(self._centers) * flip, SHOWN_HALF_MM),
            notes=(*notes, "A network predicted each frame; nothing was fitted or smoothed."), seconds=self._busy,
            versions={"python": platform.python_version(), "handopt": version("handopt")},
            proposals=None if model is None else model.describe(),
        )  # fmt: skip


def _of_size(shape: ShapeEstimate, scale: float) -> ShapeEstimate:
    """A hand of the generic proportions."""
    return ShapeEstimate(np.r_[np.log(scale), np.zeros(len(shape.mean) - 1)], shape.precision)


def _carried(rows: list[Predicted | None], first: Predicted) -> Iterator[Predicted]:
    """What each frame shows, or the last one before it that shows something."""
    last = first
    for each in rows:
        last = last if each is None else each
        yield last


def predict_source(
    source: FrameSource, *, hand: str | None, settings: FitSettings, scratch: str | PathLike[str] | None = None
) -> Tracking:
    """Predict the hand in the frames of an opened source, one after the other, as handopt.track follows it.

    settings: with refine, and proposals, the model. Returns an iterator over FrameEstimates with the Track of the
    frames so far, unsmoothed, as `result`; see handopt.track for what the iterator raises.
    """
    run = PredictionRun(source.camera, hand_of(hand, None, source), settings, scratch)
    return Tracking(run, source, iter(source))
