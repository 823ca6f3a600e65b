"""What `handopt track` leaves at its end: folders, videos, lines on stdout, and what is said of doubtful frames."""

import json
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from handopt.cli.console import Console
from handopt.cli.errors import EXIT_INTERRUPTED, Interrupted
from handopt.cli.stop_signal import StopOnSignal

if TYPE_CHECKING:
    from collections.abc import Generator

    from handopt.cli.settings import TrackOptions
    from handopt.errors import HandoptError
    from handopt.input.sequence.base import SequenceFrame
    from handopt.input.sequence.stream_info import SourceOptions
    from handopt.tracking.api import Tracking
    from handopt.tracking.hands_api import HandsTracking
    from handopt.tracking.track import Track
    from handopt.typing import Bytes

RANGES_SHOWN = 12


def results_of(
    tracking: "Tracking | HandsTracking", until: StopOnSignal, error: "HandoptError | None", console: Console
) -> "list[Track]":
    """The track of each hand. Raises ObservationError, or what ended the source early, where there is none."""
    from handopt.errors import ObservationError
    from handopt.tracking.hands_api import HandsTracking

    try:
        return tracking.results if isinstance(tracking, HandsTracking) else [tracking.result]
    except ObservationError as nothing:
        if until.stopped:
            console.error(Interrupted().message, kind="")
            sys.exit(until.exit_code or EXIT_INTERRUPTED)
        raise (error or nothing) from None  # where the source ended early, that is why


def write_tracks(results: "list[Track]", folder: Path, options: "TrackOptions") -> "dict[str, Track]":
    """Write the tracks; each by the name of its folder in that of all, which is empty where one hand is followed."""
    from handopt.storage.track_folder import save_track, save_tracks

    if options.max_hands > 1:
        return save_tracks(results, folder, video=False, overwrite=options.overwrite)
    save_track(results[0], folder, video=False, overwrite=options.overwrite)
    return {"": results[0]}


def add_video(
    result: "Track", folder: Path, console: Console, pictures: "Generator[Bytes | None] | None" = None
) -> "list[HandoptError]":
    """Write track.mp4; the error if that fails, as the track is there without it. pictures: of the frames in order."""
    from handopt.errors import OutputError
    from handopt.storage.track_folder import write_video

    try:
        with console.bar(len(result), "frame", "track.mp4") as bar:
            write_video(result, folder, bar.advance, pictures)
    except OutputError as problem:
        return [problem]
    return []


def pictures_of(source: Path, asked: "SourceOptions") -> "Generator[Bytes | None]":
    """The colour pictures of a source's frames, which is read once more. Raises SourceError where it has none."""
    from handopt.errors import SourceError
    from handopt.input.sequence import open_source

    frames = cast("Generator[SequenceFrame]", iter(open_source(source, replace(asked, colour=True))))
    with closing(frames):
        try:
            for frame in frames:
                yield frame.colour
        except SourceError:  # where it ends when it is tracked, which was said
            return


def print_track(result: "Track", folder: Path, console: Console, which: dict[str, str], *, as_json: bool) -> None:
    """Print the line of a track, or with as_json a line for each frame. which: the hand, where there are several."""
    if as_json:
        joints = result.joints_mm()
        for frame in range(len(result)):
            console.result(json.dumps({**which, **result.line(frame, joints)}, allow_nan=False))
        return
    rate = len(result) / max(result.seconds, 1e-9)
    counts = (len(result), int(result.tracked.sum()), int(result.refitted.sum()))
    console.result("\t".join((click.format_filename(folder), *map(str, counts), f"{rate:.1f} frames/s")))


def _listed(parts: list[str]) -> str:
    more = f" and {len(parts) - RANGES_SHOWN} more stretches" if len(parts) > RANGES_SHOWN else ""
    return ", ".join(parts[:RANGES_SHOWN]) + more


def say_doubts(result: "Track", console: Console) -> None:
    """Say in which frames a hand was not found, or is doubtful."""
    from handopt.tracking.confidence import ranges

    missing = ~result.tracked
    missing[list(result.errors)] = False  # these were named as they came
    for what, rows in (("The hand was not found", missing), ("Doubtful", result.doubtful)):
        if rows.any():
            console.say(f"{what} in {rows.sum()} of {len(result)} frames: {_listed(ranges(rows))}.")


def say_errors(errors: "list[HandoptError]", result: "Track", console: Console) -> None:
    """Say what is missing. result: any of the tracks."""
    for error in errors:
        console.error(error)
    if result.errors:
        console.error(f"{len(result.errors)} of {len(result)} frames could not be read.", kind="")
