"""A hand through the frames of a sequence as a network sees it: no fit, and no frame is smoothed with others.

A sequence whose frames can be read from any one on has parts, in each of which the hand is looked for anew: so each can
be predicted without the others (handopt.batch.sequence), with the same result.
"""

import platform
import time
from collections.abc import Iterator
from importlib.metadata import version
from itertools import pairwise
from os import PathLike
from typing import Final

import numpy as np

from handopt.config import FitSettings
from handopt.errors import ConfigError, ObservationError
from handopt.input.camera import Camera
from handopt.input.sequence.base import FrameSource, SequenceFrame, is_seekable
from handopt.rig import default_rig
from handopt.rig.anatomy import MIRROR
from handopt.tracking.api import Tracking, hand_of
from handopt.tracking.delayed import DEFAULT_FPS
from handopt.tracking.depth_crops import SHOWN_HALF_MM, DepthCrops
from handopt.tracking.frame_estimate import FrameEstimate
from handopt.tracking.predictor import Predicted, PredictedFrame, Predictor
from handopt.tracking.track import Track, Windows
from handopt.typing import Floats

NOWHERE_MM: Final = (0.0, 0.0, 500.0)
"""Middle of what is shown of frames before the first one with a hand."""
PART_FRAMES: Final = 240
"""Frames of a part of a sequence, about: to look for the hand anew takes about 0.1 s, as long as 8 frames."""


def parts_of(count: int) -> list[range]:
    """The parts of a sequence of so many frames: equally long, and an even number of them where there are several."""
    number = 2 * round(count / (2 * PART_FRAMES)) or 1
    edges = [count * each // number for each in range(number + 1)]
    return [range(first, stop) for first, stop in pairwise(edges)]


def parts_of_source(source: FrameSource, frames: int | None = None) -> list[range]:
    """The parts of an opened source, or of its first frames; none where it can only be read from its beginning."""
    if source.length is None or not is_seekable(source):
        return []
    return parts_of(min(source.length, frames or source.length))


class PredictionRun:
    """Takes frames one by one; `track` is what came of them, at any time. seconds: what they took."""

    def __init__(
        self,
        camera: Camera,
        hand: str,
        settings: FitSettings,
        scratch: str | PathLike[str] | None = None,
        parts: list[range] | None = None,
    ) -> None:
        """camera: of the source. hand: with "auto" the first frame in which a hand is found decides.

        settings: with refine, the steps of Levenberg-Marquardt, 0 for none, and proposals, the model.
        scratch: folder of the temporary file that keeps the depth around the hand. parts: of the sequence.
        """
        self._source_camera, self._side = camera, hand
        self._settings = settings
        self._predictor = Predictor(camera, hand, settings)
        self._anew = {part.start for part in parts or ()}
        self._crops = DepthCrops(1, scratch)
        self._rows: list[Predicted | None] = []
        self._names: list[str] = []
        self._times: list[float | None] = []
        self._errors: dict[int, str] = {}
        self._centers: list[Floats] = []
        self.seconds = 0.0

    def push(self, frame: SequenceFrame) -> FrameEstimate:
        """Predict the hand in the next frame."""
        started = time.perf_counter()
        if len(self._rows) in self._anew:
            self._predictor.forget()
        estimate = self.add(self._predictor.predict(frame))
        self.seconds += time.perf_counter() - started
        return estimate

    def add(self, predicted: PredictedFrame) -> FrameEstimate:
        """Add the next frame, which was predicted elsewhere."""
        frame, middle, crop = predicted.frame, predicted.middle_mm, predicted.crop
        if frame.problem is not None:
            self._errors[len(self._rows)] = frame.problem
        if middle is None:  # nothing was seen of the hand yet, in this part of the sequence
            middle = self._centers[-1] if self._centers else np.array(NOWHERE_MM)
        self._crops.append(self._crops.last() if crop is None else crop)
        self._side = predicted.side
        self._rows.append(predicted.hand)
        self._names.append(frame.name)
        self._times.append(frame.time_s)
        self._centers.append(middle)
        return self._estimate(frame, predicted.hand)

    def _estimate(self, frame: SequenceFrame, row: Predicted | None) -> FrameEstimate:
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
            notes=(*notes, "A network predicted each frame; nothing was fitted or smoothed."), seconds=self.seconds,
            versions={"python": platform.python_version(), "handopt": version("handopt")},
            proposals=None if model is None else model.describe(),
        )  # fmt: skip


def _carried(rows: list[Predicted | None], first: Predicted) -> Iterator[Predicted]:
    """What each frame shows, or the last one before it that shows something."""
    last = first
    for each in rows:
        last = last if each is None else each
        yield last


def predict_source(
    source: FrameSource,
    *,
    hand: str | None,
    settings: FitSettings,
    scratch: str | PathLike[str] | None = None,
    frames: int | None = None,
) -> Tracking:
    """Predict the hand in the frames of an opened source, one after the other, as handopt.track follows it.

    settings: with refine, and proposals, the model. frames: how many will be taken, None for all. Returns an iterator
    over FrameEstimates with the Track of the frames so far, unsmoothed, as `result`; see handopt.track for what the
    iterator raises.
    """
    parts = parts_of_source(source, frames)
    run = PredictionRun(source.camera, hand_of(hand, None, source), settings, scratch, parts)
    return Tracking(run, source, iter(source))
