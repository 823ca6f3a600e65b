"""The frames that a track is given, until it is to end, who predicts them, and how many of them come in a second."""

import time
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

from handopt.cli.console import Console
from handopt.cli.live_output import LiveOutput
from handopt.cli.stop_signal import StopOnSignal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handopt.cli.settings import TrackOptions
    from handopt.input.sequence import FrameSource, SequenceFrame
    from handopt.tracking.api import Tracking

RATE_EVERY_S: Final = 1.0


class Stoppable:
    """A source that ends at a signal, or after some frames; frames of files are read ahead."""

    def __init__(self, source: "FrameSource", until: StopOnSignal, options: "TrackOptions", output: LiveOutput) -> None:
        self._source, self._until, self._options, self._output = source, until, options, output

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __iter__(self) -> "Iterator[SequenceFrame]":
        from handopt.input.sequence.prefetch import prefetch

        live = self._options.live
        given = self._until.frames(self._source if live else prefetch(self._source))
        for frame in islice(given, self._options.frames):
            if live:  # frames of files are taken before their turn
                self._output.latency.frame_taken()
            yield frame


def predicting(
    frames: "FrameSource", given: Stoppable, until: StopOnSignal, options: "TrackOptions", settings: dict[str, Any]
) -> "Tracking":
    """What predicts the hand frame by frame, or parts of the sequence in several processes. given: the same frames."""
    from handopt.batch.sequence import predict_in_processes, processes_for
    from handopt.cli.job import fit_settings
    from handopt.input.sequence.base import is_seekable
    from handopt.tracking.prediction import predict_source

    how = fit_settings(options, settings["config"], "scale")
    how = replace(how, proposals=settings["proposals"], refine=options.refine)
    asked = {"hand": settings["hand"], "settings": how, "scratch": settings["scratch"], "frames": options.frames}
    jobs = processes_for(frames, options.jobs, options.frames, how.device)
    if is_seekable(frames) and jobs > 1:
        return predict_in_processes(frames, jobs, given=until.frames, **asked)
    return predict_source(cast("FrameSource", given), **asked)


def reporter(console: Console) -> "Callable[[bool], None]":
    """What to call with whether the hand was in a frame of a camera: it says every second how many are followed."""
    since, frames = time.perf_counter(), list[bool]()

    def report(tracked: bool) -> None:
        nonlocal since
        frames.append(tracked)
        seconds = time.perf_counter() - since
        if seconds >= RATE_EVERY_S:
            state = "hand followed" if all(frames) else "hand lost" if any(frames) else "no hand"
            console.status(f"{len(frames) / seconds:5.1f} frames/s   {state:14}")
            since = time.perf_counter()
            frames.clear()

    return report
