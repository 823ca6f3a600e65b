"""`handopt.track_hands`: follow several hands through a path, a source of frames, or an iterable of depth images."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from handopt.config import Config
from handopt.fit_hands import check_max_hands
from handopt.fitting import settings_of
from handopt.input.camera import Camera
from handopt.input.sequence.base import FrameSource, SequenceFrame
from handopt.proposals.model_file import PoseModel
from handopt.rig import Rig
from handopt.tracking.api import Frames, Given, hand_of
from handopt.tracking.config import TrackingConfig
from handopt.tracking.frame_estimate import FrameEstimate
from handopt.tracking.hands_run import HandsRun
from handopt.typing import AnyArray

if TYPE_CHECKING:
    from handopt.tracking.track import Track


class HandsTracking(Iterator[tuple[FrameEstimate, ...]]):
    """A sequence on its way: an iterator over its frames, with the tracks of the hands in the frames so far."""

    def __init__(self, run: HandsRun, source: FrameSource, frames: Iterator[SequenceFrame]) -> None:
        """Made by `track_hands`."""
        self.source = source
        self._run, self._frames = run, frames
        self._count = 0
        self._results: tuple[int, list[Track]] | None = None

    def __iter__(self) -> "HandsTracking":
        """The iterator itself."""
        return self

    def __next__(self) -> tuple[FrameEstimate, ...]:
        """The hands found so far in the next frame, told apart by `number`; before any is, one that is not tracked.

        Raises SourceError where the source fails; what came before is kept.
        """
        estimates = self._run.push(next(self._frames))
        self._count += 1
        return estimates

    @property
    def frame_count(self) -> int:
        """Number of frames so far."""
        return self._count

    @property
    def results(self) -> "list[Track]":
        """A track of each hand in the frames so far, smoothed unless `smooth` is off, the first that was found first.

        Raises ObservationError without a hand.
        """
        if self._results is None or self._results[0] != self._count:
            source = self.source
            self._results = self._count, self._run.tracks(source.name, source.fps, source.assumptions)
        return self._results[1]

    def finish(self) -> "list[Track]":
        """Take all frames that are left; the tracks of all. Raises SourceError and ObservationError."""
        for _ in self:
            pass
        return self.results


def track_hands(
    source: str | os.PathLike[str] | FrameSource | Frames,
    max_hands: int = 2,
    *,
    camera: Camera | str | None = None,
    unit: float | None = None,
    fps: float | None = None,
    ignore: str | os.PathLike[str] | AnyArray | None = None,
    mirrored: bool | None = None,
    topic: str | None = None,
    hand: str | None = None,
    rig: Rig | None = None,
    smooth: bool = True,
    config: Config | None = None,
    device: str = "auto",
    seed: int = 0,
    proposals: PoseModel | None = None,
    tracking: TrackingConfig | None = None,
    scratch: str | os.PathLike[str] | None = None,
) -> HandsTracking:
    """Follow up to max_hands hands through a sequence of depth images, each in what the others leave of a frame.

    >>> tracking = handopt.track_hands("frames/", max_hands=2)
    >>> for estimates in tracking:
    ...     for estimate in estimates:
    ...         print(estimate.frame, estimate.number, estimate.hand, estimate.joints_mm)
    >>> handopt.save_tracks(tracking.results, "wave")

    What is a hand of its own is decided as by `handopt.fit_hands`. While fewer than max_hands are followed, further
    ones, and those that were lost, are searched for every few frames. Where hands touch each other, confidences stay
    below 0.9.
    max_hands: at least 1. hand: the side of all hands; without it each is the one that fits better, also where rig is
    given or the source names one. The other arguments, and what is raised, are those of `handopt.track`; ConfigError
    also for max_hands.

    Returns an iterator that gives a tuple of FrameEstimates for each frame as it comes, and whose `results` are the
    tracks of the frames so far.
    """
    check_max_hands(max_hands)
    opened, frames = Given(camera, unit, fps, ignore, mirrored, topic).opened(source, hand)
    side = (hand or "auto") if max_hands > 1 else hand_of(hand, rig, opened)
    settings = settings_of("proportions", config, device, seed, proposals)
    given = tracking or TrackingConfig()
    run = HandsRun(opened.camera, max_hands, side, rig, smooth, settings, opened.fps, given, scratch)
    return HandsTracking(run, opened, frames)
