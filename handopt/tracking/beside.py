"""Fits from scratch on other threads, while a track goes on with the frames that follow.

What such a fit finds is mostly no better than what the track has. So the track goes on as if that were certain. Where
the fit does say otherwise, the frames in between are tracked again from what it found: a track is the same to the bit
whether it was made so, on however many threads, and however long the fits take.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from handopt.backend import cpu_threads, known_indices, one_cpu_thread, some_cpu_threads
from handopt.result import FitResult
from handopt.tracking.pose_estimate import PoseEstimate
from handopt.tracking.tracker import Tracker, TrackerState
from handopt.typing import FloatImage, Floats


@dataclass(frozen=True)
class NextFrame:
    """A frame that is to come. number: of the frame. depth_mm: (H, W) as the tracker gets it. intervals: as step's."""

    number: int
    depth_mm: FloatImage
    intervals: float


@dataclass(frozen=True)
class _Step:
    """A step that was taken before its turn."""

    before: TrackerState
    frame: NextFrame
    after: TrackerState
    pose: PoseEstimate | None


class Beside:
    """Steps a tracker through a recording, with fits from scratch on other threads."""

    def __init__(self, tracker: Tracker) -> None:
        """tracker: whose steps are taken; it is not changed."""
        self._tracker = tracker
        self._threads = max(1, cpu_threads()) if tracker.on_cpu else 1
        self._pool = ThreadPoolExecutor(self._threads, "handopt-fit")
        self._steps: dict[int, _Step] = {}
        self._fits: dict[tuple[int, bytes], Future[FitResult | None]] = {}

    def step(
        self, state: TrackerState, frame: NextFrame, upcoming: Callable[[], Iterator[NextFrame]]
    ) -> tuple[TrackerState, PoseEstimate | None]:
        """What Tracker.step gives. upcoming: the frames after this one, each read when it is asked for."""
        taken = self._steps.pop(frame.number, None)
        if taken is not None and taken.frame.intervals == frame.intervals and same(taken.before, state):
            return taken.after, taken.pose
        self._steps.clear()
        # Before the first frame with a hand, one is expected: nothing can go on before it is found.
        waits = self._threads == 1 or (state.fit is None and state.frames == 0)
        asked = 0

        def alone(depth_mm: FloatImage, hint: Floats | None) -> FitResult | None:
            nonlocal asked
            asked += 1
            begun = self._fits.get(_key(frame, hint))
            if begun is None and (waits or asked > 1 or next(upcoming(), None) is None):
                with some_cpu_threads(self._threads):
                    return self._tracker.fit_alone(depth_mm, hint)
            begun = begun or self._begin(frame, hint, 1 if state.fit is None else self._threads - 1)
            if asked == 1:
                self._go_on(state, frame, upcoming(), begun)
            return begun.result()

        done = self._tracker.step(state, frame.depth_mm, frame.intervals, alone)
        for key in [each for each in self._fits if each[0] <= frame.number]:
            self._fits.pop(key).cancel()
        return done

    def _begin(self, frame: NextFrame, hint: Floats | None, threads: int) -> "Future[FitResult | None]":
        """Begin a fit of a frame. threads: of the kernels that compute poses."""

        def fitted() -> FitResult | None:
            with one_cpu_thread(), known_indices(), some_cpu_threads(threads):
                return self._tracker.fit_alone(frame.depth_mm, hint)

        begun = self._pool.submit(fitted)
        self._fits[_key(frame, hint)] = begun
        return begun

    def _go_on(
        self, state: TrackerState, frame: NextFrame, upcoming: Iterator[NextFrame], fit: "Future[FitResult | None]"
    ) -> None:
        """Take steps before their turn, as if the fit of a frame found nothing, until it is there."""
        hints: list[Floats | None] = []

        def nothing(_depth_mm: FloatImage, hint: Floats | None) -> None:
            hints.append(hint)

        state, _ = self._tracker.step(state, frame.depth_mm, frame.intervals, nothing)
        for each in upcoming:
            if fit.done():
                return
            hints.clear()
            before = state
            state, pose = self._tracker.step(before, each.depth_mm, each.intervals, nothing)
            if not hints:
                self._steps[each.number] = _Step(before, each, state, pose)
                continue
            if _key(each, hints[0]) not in self._fits:
                self._begin(each, hints[0], 1)
            if pose is not None or len(self._fits) >= self._threads:
                return


def same(one: Any, other: Any) -> bool:
    """Whether two states, or parts of them, are the same to the bit."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if is_dataclass(one):
        return all(same(getattr(one, each.name), getattr(other, each.name)) for each in fields(one))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    return bool(one == other)


def _key(frame: NextFrame, hint: Floats | None) -> tuple[int, bytes]:
    """Of a fit: frame and hint."""
    return frame.number, b"" if hint is None else hint.tobytes()
