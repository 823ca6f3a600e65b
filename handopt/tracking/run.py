"""Following a hand through a source of frames, forwards, and back again where the way there was wrong."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from handopt.backend import resolve_device
from handopt.config import Config
from handopt.errors import HandoptError, ObservationError
from handopt.input.camera import Camera
from handopt.observation.crop import Crop
from handopt.rig import Rig, default_rig
from handopt.tracking.assemble import Followed, TrackedFrame, assemble, rate
from handopt.tracking.estimate import FrameEstimate, Placed
from handopt.tracking.smoothing import OneEuro
from handopt.tracking.track import Track
from handopt.tracking.tracker import SURE, Tracker

if TYPE_CHECKING:
    from handopt.input.sequence.base import FrameSource, SequenceFrame

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
Progress = Callable[["SequenceFrame", "FrameEstimate | None"], None]

DEFAULT_FPS = 30.0
REMEMBERED = 60
"""Frames that can be gone back to."""
WARM_UP = 15
"""After so many frames what is known of the hand is good enough to look at the first ones again."""
JUMP_MM = 14.0
AGREES_MM = 8.0
PATIENCE = 4
LOOK_BACK = 24
"""Every so many frames the way back is tried; it mostly agrees at once."""
SHOWN_PX, SHOWN_HALF_MM = 160, 150.0
USUAL_SPEED = np.array([1.0] * 4 + [150.0] * 3 + [2.0] * 45)
"""Of quaternions, mm and rad a second, for the causal filter."""


@dataclass
class Run:
    """Takes frames one by one; `track` is what came of them, at any time.

    camera: of the source. rig: of the hand's side, handopt's own if None. smooth: the two-sided pass at the end, and
    frames gone back to; without it nothing waits for later frames, and jitter is filtered causally. fps: frames a
    second, for frames without a time, and as the usual interval; None goes by the frames.
    """

    camera: Camera
    hand: str = "right"
    rig: Rig | None = None
    smooth: bool = True
    config: Config = field(default_factory=Config)
    device: str = "auto"
    seed: int = 0
    fps: float | None = None

    def __post_init__(self) -> None:
        """Prepare the tracker; with hand "auto" the first frame decides."""
        self._steps: list[TrackedFrame] = []
        self._recent: deque[tuple[int, Image]] = deque(maxlen=REMEMBERED)
        self._tracker: Tracker | None = None
        self._side = ""
        self._warm = 0
        self._filter = OneEuro(USUAL_SPEED)
        self._busy = 0.0
        self._gone: deque[float] = deque(maxlen=REMEMBERED)
        if self.hand != "auto":
            self._begin(self.hand)

    def take(self, frame: "SequenceFrame") -> FrameEstimate | None:
        """Follow the hand to the next frame; what is found is of a right hand in the mirror image of a left one."""
        started = time.perf_counter()
        depth = frame.depth_mm
        if self._tracker is None:
            self._begin(self._guess(depth) or "")
        found = None
        if self._tracker is not None:
            own = np.ascontiguousarray(depth[:, ::-1]) if self._side == "left" else depth
            found = self._tracker.follow(own, self._intervals(frame))
            self._remember(own, frame, found)
        else:
            self._steps.append(TrackedFrame(_without_depth(frame), None, _nothing_seen()))
        self._busy += time.perf_counter() - started
        return found

    @property
    def found(self) -> list[FrameEstimate | None]:
        """What was found in each frame."""
        return [step.found for step in self._steps]

    def _remember(self, depth: Image, frame: "SequenceFrame", found: FrameEstimate | None) -> None:
        assert self._tracker is not None
        before = self._steps[-1].found if self._steps else None
        seen = _seen(depth, self._tracker.camera, found, self._steps)
        if not self.smooth and found is not None:
            found = self._filtered(found, frame)
        elif found is None:
            self._filter.forget()
        self._steps.append(TrackedFrame(_without_depth(frame), found, seen))
        if not self.smooth:
            return
        self._recent.append((len(self._steps) - 1, depth))
        if found is None:
            self._warm = 0
            return
        self._warm += 1
        due = self._warm >= WARM_UP and (self._warm - WARM_UP) % LOOK_BACK == 0
        if due or (before is not None and (found.refitted or _jumped(before, found))):
            self._go_back(found)

    def _go_back(self, found: FrameEstimate) -> None:
        """Follow the hand backwards from a frame for as long as that explains earlier ones better."""
        assert self._tracker is not None
        backwards = self._tracker.from_here(found)
        worse = 0
        for index, depth in list(self._recent)[-2::-1]:
            steps = self._intervals(self._steps[index + 1].frame, self._steps[index].frame)
            other, there = self._steps[index].found, backwards.follow(depth, steps)
            if there is None:
                return
            if other is not None and (other.anchor_confidence >= SURE or found.anchor_confidence < SURE):
                apart = np.linalg.norm(there.joints_mm - other.joints_mm, axis=1)
                if apart[there.visible | other.visible].max(initial=0.0) < AGREES_MM:
                    return
                if not backwards.prefers(depth, there, other):
                    worse += 1
                    if worse == PATIENCE:
                        return
                    continue
            worse = 0
            self._steps[index].found = replace(there, refitted=other is not None and other.refitted)

    def _filtered(self, found: FrameEstimate, frame: "SequenceFrame") -> FrameEstimate:
        """The pose after the causal filter; a hand found from scratch starts it afresh."""
        from scipy.spatial.transform import Rotation

        if found.refitted:
            self._filter.forget()
        placed = found.placed
        quaternion = Rotation.from_matrix(placed.rotation).as_quat()
        last = self._filter.value
        if last is not None and quaternion @ last[:4] < 0:
            quaternion = -quaternion
        vector = np.concatenate([quaternion, placed.translation_mm, placed.angles_rad.ravel()])
        vector = self._filter(vector, self._since(frame) or 1.0 / (self.fps or DEFAULT_FPS))
        rotation = Rotation.from_quat(vector[:4]).as_matrix()
        return replace(found, placed=Placed(rotation, vector[4:7], vector[7:].reshape(15, 3)))

    def _since(self, frame: "SequenceFrame", before: "SequenceFrame | None" = None) -> float | None:
        """Seconds since another frame, else the last one; None where nothing says."""
        if before is None and self._steps:
            before = self._steps[-1].frame
        if before is None or before.time_s is None or frame.time_s is None or frame.time_s <= before.time_s:
            return None
        return frame.time_s - before.time_s

    def _intervals(self, frame: "SequenceFrame", before: "SequenceFrame | None" = None) -> float:
        """How long after another frame, else the last one, in usual intervals."""
        gone = self._since(frame, before)
        if gone is None:
            return 1.0
        if before is None:
            self._gone.append(gone)
        usual = 1.0 / self.fps if self.fps else float(np.median(self._gone))
        return gone / usual

    def _begin(self, side: str) -> None:
        if not side:
            return
        rig = self.rig or default_rig("left" if side == "left" else "right")
        if rig.side != side:
            rig = rig.mirrored()
        self._side, self._own = side, rig
        right = rig.mirrored() if side == "left" else rig
        camera = self.camera.mirrored() if side == "left" else self.camera
        self._tracker = Tracker(right, camera, self.config, resolve_device(self.device), self.seed)

    def _guess(self, depth: Image) -> str | None:
        """Which hand a frame shows, where it shows one."""
        from handopt.fitting import fit

        if not (depth > 0).any():
            return None
        try:
            return fit(depth, self.camera, hand="auto", rig=self.rig, config=self.config, device=self.device).hand
        except ObservationError:
            return None

    def track(self, source: str, fps: float | None, notes: tuple[str, ...] = ()) -> Track:
        """The track of all frames so far. Raises ObservationError where no hand was found in any."""
        found = self.found
        if self._tracker is None or not any(each is not None for each in found):
            raise ObservationError(
                f"no hand was found in any of {len(found)} frames of {source}; check --unit, --camera and --hand"
            )
        if fps is None:
            fps = rate(self._steps)
        if fps is None:
            fps, notes = DEFAULT_FPS, (*notes, "The frames were taken for 30 a second (--fps changes this).")
        hand = Followed(self._own, self._side, self.camera, self._tracker.shape, self.smooth)
        track = assemble(self._steps, hand, source, fps, SHOWN_HALF_MM, notes, self._busy)
        return track.smooth() if self.smooth else track


def follow(run: Run, frames: "Iterable[SequenceFrame]", progress: Progress | None = None) -> HandoptError | None:
    """Take all frames of a source; an error that ends them before their time is returned, and what came before kept."""
    try:
        for frame in frames:
            found = run.take(frame)
            if progress is not None:
                progress(frame, found)
    except HandoptError as error:
        return error
    return None


def track(
    source: "FrameSource", *, hand: str | None = None, rig: Rig | None = None, smooth: bool = True, device: str = "auto",
    seed: int = 0, progress: Progress | None = None,
) -> tuple[Track, HandoptError | None]:  # fmt: skip
    """Follow a hand through a source: the track, and the error that ended the source early, if one did.

    hand: 'right', 'left', 'auto', or None for what the source says, else right. smooth: see Run.
    Raises ObservationError where no hand was found in any frame.
    """
    from handopt.input.sequence.prefetch import prefetch

    side = hand or source.hand or (rig.side if rig is not None else "right")
    run = Run(source.camera, side, rig, smooth, device=device, seed=seed, fps=source.fps)
    error = follow(run, prefetch(source), progress)
    return run.track(source.name, source.fps, source.assumptions), error


def _jumped(before: FrameEstimate, now: FrameEstimate) -> bool:
    away = np.linalg.norm(now.joints_mm - before.joints_mm, axis=1)
    return bool((away - np.median(away)).max() > JUMP_MM)


def _without_depth(frame: "SequenceFrame") -> "SequenceFrame":
    return replace(frame, depth_mm=np.zeros((0, 0), np.float32))


def _seen(
    depth: Image, camera: Camera, found: FrameEstimate | None, steps: list[TrackedFrame]
) -> "tuple[NDArray[np.uint16], Floats]":
    """What to show of a frame: the cube about the hand, or about where it was."""
    if found is not None:
        center = 0.5 * (found.joints_mm.min(axis=0) + found.joints_mm.max(axis=0))
    elif steps:
        center = steps[-1].seen[1]
    else:
        return _nothing_seen()
    x, y, z = (float(value) for value in center)
    crop = Crop((x, y, z), SHOWN_HALF_MM, SHOWN_PX, camera)
    return np.clip(crop.look_up(depth)[2], 0, 65535).astype(np.uint16), center


def _nothing_seen() -> "tuple[NDArray[np.uint16], Floats]":
    return np.zeros((SHOWN_PX, SHOWN_PX), np.uint16), np.array([0.0, 0.0, 500.0])
