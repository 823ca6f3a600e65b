"""A hand through the frames of a sequence: forwards, and backwards again where the way there was wrong."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from handopt.config import FitSettings
from handopt.errors import ObservationError
from handopt.input.camera import Camera
from handopt.input.sequence.read_ahead import ReadAhead
from handopt.observation.candidates import length
from handopt.observation.surfaces import flipped
from handopt.rig import Rig, default_rig
from handopt.tracking.assemble import TrackedHand, assemble, rate
from handopt.tracking.beside import Beside, NextFrame
from handopt.tracking.confidence import causal_confidence
from handopt.tracking.config import TrackingConfig
from handopt.tracking.delayed import DEFAULT_FPS, delayed_estimate
from handopt.tracking.depth_crops import DepthCrops, crop_about
from handopt.tracking.frame_estimate import FrameEstimate
from handopt.tracking.frame_log import FrameLog
from handopt.tracking.intervals import Intervals, seconds_between
from handopt.tracking.live_search import LiveSearch
from handopt.tracking.pose_estimate import PoseEstimate, TrackedFrame, hidden_joint_jump
from handopt.tracking.side import SideVotes
from handopt.tracking.smoothing import filtered, pose_filter
from handopt.tracking.track import Track
from handopt.tracking.tracker import Tracker, TrackerState
from handopt.typing import FloatImage

if TYPE_CHECKING:
    from handopt.input.sequence.base import SequenceFrame

NOWHERE_MM = (0.0, 0.0, 500.0)
"""Middle of what is shown of frames before the first one with a hand."""


@dataclass
class Run:
    """Takes frames one by one; `track` is what came of them, at any time.

    camera: of the source. rig: of the hand's side, handopt's own if None. smooth: the two-sided pass at the end, and
    fits of earlier frames again; without it nothing waits for later frames, and jitter is filtered causally.
    fps: frames a second, for frames without a time, and as the usual interval; None goes by the frames.
    scratch: folder of the temporary file that keeps the depth around the hand; the system's if None.
    lookahead: what the frames come from, where they can be looked at before their turn: then fits from scratch run
    beside the track, which stays the same. None where they cannot, as those of a camera.
    live: whether they are those of a camera: then no frame waits for a fit from scratch.
    """

    camera: Camera
    hand: str = "right"
    rig: Rig | None = None
    smooth: bool = True
    settings: FitSettings = field(default_factory=FitSettings)
    fps: float | None = None
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    scratch: str | PathLike[str] | None = None
    lookahead: ReadAhead | None = None
    live: bool = False

    def __post_init__(self) -> None:
        """Prepare the tracker; with hand "auto" the first frames in which a hand is found decide."""
        remembered, smoothing = self.tracking.look_back.remembered, self.tracking.smoothing
        self._steps = FrameLog(self.scratch, remembered)
        self._crops = DepthCrops(remembered, self.scratch)
        self._recent: deque[tuple[int, FloatImage]] = deque(maxlen=remembered)
        self._tracker: Tracker | None = None
        self._state: TrackerState | None = None
        self._beside: Beside | LiveSearch | None = None
        self._side = ""
        self._votes: SideVotes | None = None
        self._warm = 0
        self._found = False
        self._range_mm: tuple[float, float] | None = None
        self._filter = pose_filter(smoothing)
        self._busy = 0.0
        self._intervals = Intervals(self.fps, remembered)
        if self.hand != "auto":
            self._begin(self.hand)
        else:
            self._votes = SideVotes(self.camera, self.rig, self.settings, self.tracking.side, live=self.live)

    def push(self, frame: "SequenceFrame") -> FrameEstimate:
        """Track the hand to the next frame."""
        started = time.perf_counter()
        depth = self._depth_of(frame)
        self._decide_side(depth)
        pose = None
        if self._beside is not None and self._state is not None:
            own = self._as_right(depth)
            given = NextFrame(len(self._steps), own, self._intervals.advance(frame, self._last_frame))
            self._state, pose = self._beside.step(self._state, given, lambda: self._upcoming(frame))
            pose = self._remember(own, frame, pose)
        else:
            self._keep(frame, None, None)
        self._found = self._found or pose is not None
        if not self._found:
            self._see(depth)
        estimate = self._estimate(frame, pose)
        self._busy += time.perf_counter() - started
        return estimate

    def skip(self, frame: "SequenceFrame", depth_mm: FloatImage | None = None) -> FrameEstimate:
        """Pass over the next frame without a search; with its depth (H, W), mm, a later look back may find the hand."""
        self._intervals.advance(frame, self._last_frame)
        own = None if depth_mm is None else self._as_right(depth_mm)
        if depth_mm is not None and own is not None:
            if self.smooth:
                self._recent.append((len(self._steps), own))
            if not self._found:
                self._see(depth_mm)
        self._keep(frame, None, own)
        return self._estimate(frame, None)

    def recover(self) -> None:
        """Find the hand of the last frame in those that were skipped before it; only with smooth."""
        if self.smooth and self.pose is not None:
            self._look_back(self.pose)

    def lose(self, count: int = 1) -> None:
        """Take the poses of the last frames back: the hand was not in them, and is searched for from scratch."""
        for back in range(1, min(count, len(self._steps)) + 1):
            self._steps[-back] = replace(self._steps[-back], pose=None)
        self._warm = 0
        self._filter.reset()
        if self._state is not None:
            self._state = replace(self._state, fit=None, before=None)

    @property
    def poses(self) -> list[PoseEstimate | None]:
        """What was found in each frame, of a right hand or of a left one's mirror image."""
        return [step.pose for step in self._steps]

    @property
    def pose(self) -> PoseEstimate | None:
        """What was found in the last frame."""
        return self._steps[-1].pose

    @property
    def has_hand(self) -> bool:
        """Whether there is a hand in any frame."""
        return any(step.pose is not None for step in self._steps)

    def _estimate(self, frame: "SequenceFrame", pose: PoseEstimate | None) -> FrameEstimate:
        """What the user gets of a frame."""
        facts = (len(self._steps) - 1, frame.name, frame.time_s, frame.problem, self._side or None)
        if pose is None:
            return FrameEstimate(*facts, tracked=False)
        placed = pose.placed.mirrored() if self._side == "left" else pose.placed
        recent = [step.pose for step in self._steps[-3 - self.tracking.confidence.usual_frames :]]
        return FrameEstimate(
            *facts, True, pose.refitted, causal_confidence(recent, self.tracking.confidence),
            pose.unexplained_fraction, pose.joint_visible, placed.rotation, placed.translation_mm, placed.angles_rad,
            pose.shape.scale, pose.shape.proportions, self._own, pose,
        )  # fmt: skip

    def _remember(self, depth: FloatImage, frame: "SequenceFrame", pose: PoseEstimate | None) -> PoseEstimate | None:
        """Keep a frame, filter it where nothing waits, and look back where that is due; its pose as it is kept."""
        before, found = self.pose if self._steps else None, pose
        if not self.smooth and pose is not None:
            pose = self._filtered(pose, frame)
        elif pose is None:
            self._filter.reset()
        self._keep(frame, pose, depth, found)
        if not self.smooth:
            return pose
        self._recent.append((len(self._steps) - 1, depth))
        if pose is None:
            self._warm = 0
            return None
        self._warm += 1
        settings = self.tracking.look_back
        due = self._warm >= settings.warm_up and (self._warm - settings.warm_up) % settings.every == 0
        if due or (before is not None and (pose.refitted or hidden_joint_jump(before, pose) > settings.jump_mm)):
            self._look_back(pose)
        return pose

    def _keep(
        self,
        frame: "SequenceFrame",
        pose: PoseEstimate | None,
        depth: FloatImage | None,
        around: PoseEstimate | None = None,
    ) -> None:
        """Keep a frame, and of its depth (H, W) the cube about a pose; without one about where the hand was last."""
        last = self._steps[-1] if self._steps else None
        center = around.middle_mm if around is not None else np.array(NOWHERE_MM) if last is None else last.center_mm
        if depth is None or self._tracker is None or (last is None and around is None):
            self._crops.append(self._crops.last())
        else:
            self._crops.append(crop_about(center, depth, self._tracker.camera))
        self._steps.append(TrackedFrame(frame.without_images(), pose, center))

    def _look_back(self, pose: PoseEstimate) -> None:
        """Fit earlier frames again, backwards from the last one, for as long as that explains them better."""
        assert self._tracker is not None
        assert self._state is not None
        settings, trusted = self.tracking.look_back, self.tracking.tracker.trusted_anchor
        state = self._tracker.reversed(self._state)
        worse = 0
        for index, depth in list(self._recent)[-2::-1]:
            step = self._steps[index]
            intervals = self._intervals.between(self._steps[index + 1].frame, step.frame)
            state, there = self._tracker.step(state, depth, intervals)
            if there is None:
                return
            here = step.pose
            if here is not None and (here.anchor_confidence >= trusted or pose.anchor_confidence < trusted):
                away = np.linalg.norm(there.joints_mm - here.joints_mm, axis=1)
                if away[there.joint_visible | here.joint_visible].max(initial=0.0) < settings.agrees_mm:
                    return
                state, better = self._tracker.prefers(state, depth, there, here)
                if not better:
                    worse += 1
                    if worse == settings.patience:
                        return
                    continue
            worse = 0
            there = replace(there, refitted=here is not None and here.refitted)
            self._crops.change(index, crop_about(there.middle_mm, depth, self._tracker.camera))
            self._steps[index] = replace(step, pose=there, center_mm=there.middle_mm)

    def _filtered(self, pose: PoseEstimate, frame: "SequenceFrame") -> PoseEstimate:
        """The pose after the causal filter, which starts again where the hand was found from scratch."""
        if pose.refitted:
            self._filter.reset()
        seconds = seconds_between(frame, self._last_frame) or 1.0 / (self.fps or DEFAULT_FPS)
        return replace(pose, placed=filtered(self._filter, pose.placed, seconds))

    @property
    def _last_frame(self) -> "SequenceFrame | None":
        return self._steps[-1].frame if self._steps else None

    def _depth_of(self, frame: "SequenceFrame") -> FloatImage:
        """The depth (H, W) of a frame; of one with a problem nothing is measured, whatever the source gives for it."""
        if frame.problem is None:
            return frame.depth_mm
        return np.zeros((self.camera.height, self.camera.width), np.float32)

    def _as_right(self, depth: FloatImage) -> FloatImage:
        """A depth image (H, W) in which the followed hand is a right one."""
        return flipped(depth) if self._side == "left" else depth

    def _upcoming(self, frame: "SequenceFrame") -> Iterator[NextFrame]:
        """What the tracker will get of the frames after one that it has, as far as they can be looked at."""
        intervals = self._intervals.copy()
        for number, after in enumerate(
            () if self.lookahead is None else self.lookahead.upcoming(), len(self._steps) + 1
        ):
            yield NextFrame(number, self._as_right(self._depth_of(after)), intervals.advance(after, frame))
            frame = after

    def _see(self, depth: FloatImage) -> None:
        """Note at which distances a frame without a hand shows something."""
        some = depth[::4, ::4]
        measured = some[some > 0]
        if not measured.size:
            return
        near, far = (float(each) for each in np.percentile(measured, (2, 98)))
        before = self._range_mm or (near, far)
        self._range_mm = min(near, before[0]), max(far, before[1])

    def _begin(self, side: str) -> None:
        rig = self.rig or default_rig("left" if side == "left" else "right")
        if rig.side != side:
            rig = rig.mirrored()
        self._side, self._own = side, rig
        right = rig.mirrored() if side == "left" else rig
        camera = self.camera.mirrored() if side == "left" else self.camera
        self._tracker, *others = (Tracker(right, camera, self.settings, self.tracking) for _ in range(1 + self.live))
        self._beside = LiveSearch(self._tracker, *others) if self.live else Beside(self._tracker)
        self._state = self._tracker.start()

    def _decide_side(self, depth: FloatImage) -> None:
        """With hand "auto", ask frames which hand it is."""
        if self._votes is None:
            return
        side = self._votes.decide(len(self._steps), depth)
        if side is not None and side != self._side:
            self._start_over(side)
        if self.lookahead is not None:
            upcoming = self.lookahead.upcoming
            first = len(self._steps) + 1
            self._votes.foresee(
                first - 1, lambda: ((at, self._depth_of(each)) for at, each in enumerate(upcoming(), first))
            )

    def _start_over(self, side: str) -> None:
        """Follow the other hand from here on; looking back finds it in the frames before."""
        if (side == "left") != (self._side == "left"):
            self._recent = deque(((index, flipped(own)) for index, own in self._recent), self._recent.maxlen)
        self._begin(side)
        self._steps.forget(np.array(NOWHERE_MM))
        self._crops.restart(len(self._steps))
        self._warm = 0
        self._filter.reset()

    def delayed(self, frame: int) -> FrameEstimate:
        """The hand in an earlier frame, smoothed with those around it that are known by now."""
        hand = self._hand()
        if hand is None:
            step = self._steps[frame].frame
            return FrameEstimate(frame, step.name, step.time_s, step.problem, None, tracked=False)
        return delayed_estimate(self._steps, hand, frame, self.fps, self.tracking)

    def _hand(self) -> TrackedHand | None:
        """Whose hand is followed, as it is known by now; None before that is decided."""
        if self._state is None or self._state.shape is None:
            return None
        return TrackedHand(self._own, self._side, self.camera, self._state.shape, self.smooth)

    def track(self, source: str, fps: float | None, notes: tuple[str, ...] = ()) -> Track:
        """The track of all frames so far. Raises ObservationError where no hand was found in any."""
        if not self.has_hand:
            count = len(self._steps)
            where = "the only frame" if count == 1 else f"any of {count} frames"
            raise ObservationError(f"no hand was found in {where} of {source}{self._advice()}")
        if fps is None:
            fps = rate(self._steps)
        if fps is None:
            fps, notes = DEFAULT_FPS, (*notes, f"No frame rate is known; {DEFAULT_FPS:g} frames a second were assumed.")
        hand = self._hand()
        assert hand is not None
        config = self.tracking.confidence
        track = assemble(self._steps, hand, source, fps, self._crops, notes, self._busy, config)
        model = self.settings.proposals
        track = track if model is None else replace(track, proposals=model.describe())
        return track.smooth(self.tracking.smoothing) if self.smooth else track

    def _advice(self) -> str:
        """What to change where there was no hand in any frame."""
        if not self._steps:
            return ": the source is empty, or was read before; open it again"
        if self._range_mm is None:
            return ": nothing is measured in them; check that they are depth images, and record or export them again"
        near, far = (length(each) for each in self._range_mm)
        away = near if near == far else f"{near} to {far}"
        return f"; check unit=, camera= and hand= (what the frames show lies {away} away)"
