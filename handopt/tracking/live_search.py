"""Fits from scratch beside the track of a camera, which never waits for them.

The track goes on from what it has. When a fit is there, its hand is followed through the frames that came meanwhile, on
the same thread and with most of them left out; as soon as it has caught up, the better of the two is taken.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from handopt.assess.config import ASSESS
from handopt.backend import cpu_threads, some_cpu_threads
from handopt.tracking.beside import NextFrame
from handopt.tracking.pose_estimate import PoseEstimate
from handopt.tracking.tracker import Tracker, TrackerState
from handopt.typing import FloatImage, Floats

REMEMBERED: Final = 120
"""Frames that a fit may take. What took longer is too old to be followed from."""
STRIDE: Final = 3
"""Of so many frames one is looked at on the way to the newest one; predictions are for up to 4 intervals."""


@dataclass(frozen=True)
class _CaughtUp:
    """What came of a fit from scratch: the state after a frame."""

    state: TrackerState
    number: int


class LiveSearch:
    """Steps a tracker through the frames of a camera. When fits are ready depends on the machine, and so does a track.

    Fits are waited for until a first one has found a hand, on one thread, and on a GPU.
    """

    def __init__(self, tracker: Tracker, chaser: Tracker) -> None:
        """tracker: whose steps are taken. chaser: one of the same hand and camera, for the other thread."""
        self._tracker, self._chaser = tracker, chaser
        self._threads = max(1, cpu_threads()) if tracker.on_cpu else 1
        self._pool = ThreadPoolExecutor(1, "handopt-fit")
        self._lock = threading.Lock()
        self._frames: deque[NextFrame] = deque(maxlen=REMEMBERED)
        self._search: Future[_CaughtUp | None] | None = None

    def step(
        self, state: TrackerState, frame: NextFrame, _upcoming: Callable[[], Iterator[NextFrame]] | None = None
    ) -> tuple[TrackerState, PoseEstimate | None]:
        """The state after the next frame, and the hand in it as far as it is known by now."""
        if self._threads == 1 or state.shape is None:
            return self._tracker.step(state, frame.depth_mm, frame.intervals)
        known, is_new = self._with_what_was_found(state)
        wanted = False

        def later(_depth_mm: FloatImage, _hint: Floats | None) -> None:
            nonlocal wanted
            wanted = True

        after, pose = self._tracker.step(known, frame.depth_mm, frame.intervals, later)
        with self._lock:
            self._frames.append(frame)
        if wanted and self._search is None:
            self._search = self._pool.submit(self._searched, known, frame)
        if pose is not None and is_new:
            pose = replace(pose, refitted=True)
        return after, pose

    def _searched(self, state: TrackerState, frame: NextFrame) -> _CaughtUp | None:
        """Take a step with its fits from scratch, and follow the hand to the newest frame; None for nothing new."""
        with some_cpu_threads(self._threads - 1):
            before = None if state.estimate is None else state.estimate.anchor_confidence
            state, pose = self._chaser.step(state, frame.depth_mm, frame.intervals)
            number = frame.number
            while pose is not None and (pose.refitted or pose.anchor_confidence != before or number > frame.number):
                with self._lock:
                    passed = [each for each in self._frames if each.number > number]
                if passed and passed[0].number > number + 1:
                    return None
                if not passed:
                    return _CaughtUp(state, number)
                state, pose = self._pass(self._chaser, state, passed[:STRIDE])
                number += len(passed[:STRIDE])
        return None

    @staticmethod
    def _pass(
        tracker: Tracker, state: TrackerState, frames: list[NextFrame]
    ) -> tuple[TrackerState, PoseEstimate | None]:
        """Step over frames to the last of them, without a fit from scratch."""
        intervals = sum(each.intervals for each in frames)
        return tracker.step(state, frames[-1].depth_mm, intervals, lambda _depth_mm, _hint: None)

    def _with_what_was_found(self, state: TrackerState) -> tuple[TrackerState, bool]:
        """A state, or that of a fit from scratch, if there is one by now that is better; and whether it is that."""
        if self._search is None or not self._search.done():
            return state, False
        found, self._search = self._search.result(), None
        if found is None:
            return state, False
        passed = [each for each in self._frames if each.number > found.number]
        other = found.state if not passed else self._pass(self._tracker, found.state, passed)[0]
        here, there = state.estimate, other.estimate
        if there is None:
            return state, False
        other = replace(other, frames=state.frames)
        if here is None or state.fit is None:
            return other, True
        away = np.linalg.norm(there.joints_mm - here.joints_mm, axis=1)
        if away[here.joint_visible].max(initial=0.0) < ASSESS.distinct_mm:
            sure = max(here.anchor_confidence, there.anchor_confidence)
            return replace(state, fit=replace(state.fit, estimate=replace(here, anchor_confidence=sure))), False
        _, better = self._tracker.prefers(other, self._frames[-1].depth_mm, there, here)
        return (other, True) if better else (state, False)
