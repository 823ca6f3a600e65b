"""`handopt track`."""

import json
import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from handopt.cli.fit_report import LOG_EVERY_S
from handopt.cli.inputs import require_writable
from handopt.cli.options import (
    Positive,
    SectionedCommand,
    as_options,
    compute_options,
    depth_options,
    hand_options,
    naming_option,
    one_line,
    option,
    show_traceback,
    verbosity_options,
)
from handopt.cli.rigs import load_model, own_rig
from handopt.cli.stop_signal import StopOnSignal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handopt.cli.settings import TrackOptions
    from handopt.errors import HandoptError
    from handopt.input.sequence import FrameSource, SequenceFrame
    from handopt.tracking.api import Tracking
    from handopt.tracking.track import Track

SAID_EVERY_S = 1.0
RANGES_SHOWN = 12


@click.command(cls=SectionedCommand, short_help="Follow a hand through a sequence.")
@click.argument("source", metavar="[SOURCE]", required=False, type=click.Path(exists=True, path_type=Path))
@depth_options
@option("Input", "--live", is_flag=True, help="Follow the hand before a RealSense camera until Ctrl-C.")
@option(
    "Input",
    "--fps",
    type=Positive(),
    metavar="N",
    help="Frames a second, in place of times in SOURCE.  [default: what SOURCE says, else 30]",
)
@option("Input", "--frames", type=click.IntRange(min=1), metavar="N", help="Only the first N frames.")
@hand_options(
    "auto tries both in the first frame.  [default: what the JSON file or --model says, else right]",
)
@option(
    "Track",
    "--smooth/--no-smooth",
    default=None,
    help="A final pass in both directions, which takes out jitter without lag, or each frame as it comes, with a "
    "causal filter.  [default: --smooth, but not with --live]",
)
@compute_options("Track")
@option(
    "Output",
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the track.  [default: handopt-out/<name>-track]",
)
@option("Output", "--overwrite", is_flag=True, help="Replace a track that exists.")
@option("Output", "--no-video", is_flag=True, help="Leave out track.mp4.")
@option("Output", "--json", "as_json", is_flag=True, help="Print every frame as a line of JSON.")
@verbosity_options
def track(source: Path | None, **arguments: Any) -> None:
    """Follow a hand through SOURCE: a folder of depth images in natural order, a .bag recording, a multi-page TIFF, or
    a .npy or .npz stack (frames, height, width).

    The folder of the track gets track.json, track.jsonl (a line for each frame), track.npz, hand.glb (animated,
    skinned), hand.bvh and track.mp4. One line goes to stdout: folder, frames, frames with the hand, frames found from
    scratch, frames a second, with tabs between them.

    Where the hand was not found, and where the track is doubtful (a confidence below 0.5), stderr says.

    The exit code is 0 if all frames were read, 1 if some were not or the source ended before its time, and 130 after
    Ctrl-C; what was tracked is kept.
    """
    from handopt.cli.settings import TrackOptions
    from handopt.errors import ObservationError, OutputError
    from handopt.storage.track_folder import check_free, save_track, write_video
    from handopt.tracking.api import track as track_source

    options = TrackOptions(**arguments)
    if (source is None) != options.live:
        raise click.UsageError("give a SOURCE, or --live for a camera" + (", not both" if source else ""))
    folder = options.output or Path("handopt-out") / f"{'live' if source is None else source.resolve().stem}-track"
    with naming_option("-o"):
        check_free(folder, overwrite=options.overwrite)
    require_writable(folder)
    rig = load_model(options)
    frames = _open(source, options)
    _note(frames.assumptions, options)
    smooth = not options.live if options.smooth is None else options.smooth
    side = options.hand or (rig.side if rig is not None else frames.hand) or "right"
    rig = rig or own_rig(side, options.limits)
    until = StopOnSignal()
    given = _Stoppable(frames, until, options.frames, live=options.live)
    with naming_option("--device", "--model"):
        tracking = track_source(
            cast("FrameSource", given),
            hand=side,
            rig=rig,
            smooth=smooth,
            device=options.device,
            seed=options.seed,
        )
    error, code = _follow(tracking, until, options)
    try:
        result = tracking.result
    except ObservationError as nothing:
        raise (error or nothing) from None  # where the source ended early, that is why
    _note([note for note in result.notes if note not in frames.assumptions], options)
    save_track(result, folder, video=False, overwrite=options.overwrite)
    errors = [] if error is None else [error]
    if not options.no_video:
        try:
            write_video(result, folder)
        except OutputError as problem:
            errors.append(problem)
    _print(result, folder, options)
    _finish(result, errors, quiet=options.quiet)
    sys.exit(code or bool(errors or result.errors))


def _open(source: Path | None, options: "TrackOptions") -> "FrameSource":
    from handopt.input.sequence import live_source, open_source
    from handopt.input.sequence.stream_info import SourceOptions

    asked = SourceOptions(options.camera, options.unit, options.encoding, options.fps)
    return live_source(asked) if source is None else open_source(source, asked)


def _follow(tracking: "Tracking", until: StopOnSignal, options: "TrackOptions") -> "tuple[HandoptError | None, int]":
    """Take the frames, with a bar on a terminal, and the rate of a camera.

    Returns why they ended early, and the exit code of a user who had enough of them.
    """
    from tqdm import tqdm

    from handopt.errors import HandoptError

    live, quiet = options.live, options.quiet
    limit = options.frames
    length = tracking.source.length
    total = limit if length is None else min(length, limit or length)
    rate = _Rate(sys.stderr.isatty(), shown=live and not quiet)
    hidden = quiet or live or not sys.stderr.isatty()
    log = _Log(shown=not (quiet or live or sys.stderr.isatty()))
    with tqdm(total=total, unit=" frame", file=sys.stderr, leave=False, dynamic_ncols=True, disable=hidden) as bar:
        error = None
        try:
            with until:
                for estimate in tracking:
                    if estimate.error is not None:
                        bar.clear()
                        click.echo(f"Error: {as_options(estimate.error)}", err=True)
                    bar.update()
                    rate.count(estimate.tracked)
                    log.count(total)
        except HandoptError as problem:
            error = problem
    rate.end()
    if until.stopped and not quiet:
        click.echo(f"Stopped after {until.count} frames, which are written now.", err=True)
    return error, 0 if live else until.exit_code


class _Stoppable:
    """A source that ends at a signal, or after some frames; frames of files are read ahead."""

    def __init__(self, source: "FrameSource", until: StopOnSignal, limit: int | None, *, live: bool) -> None:
        self._source, self._until, self._limit, self._live = source, until, limit, live

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __iter__(self) -> "Iterator[SequenceFrame]":
        from handopt.input.sequence.prefetch import prefetch

        given = self._until.frames(self._source if self._live else prefetch(self._source))
        return islice(given, self._limit)


class _Log:
    """Says now and then in a pipe how far the track is."""

    def __init__(self, *, shown: bool) -> None:
        self._shown, self._frames = shown, 0
        self._started = self._logged = time.perf_counter()

    def count(self, total: int | None) -> None:
        """A frame was taken, of so many."""
        self._frames += 1
        now = time.perf_counter()
        if self._shown and now - self._logged >= LOG_EVERY_S and self._frames != total:
            self._logged = now
            of = "" if total is None else f" of {total}"
            click.echo(f"{self._frames}{of} frames, {self._frames / (now - self._started):.1f} a second", err=True)


class _Rate:
    """Says every second how many frames a second are followed."""

    def __init__(self, terminal: bool, *, shown: bool) -> None:
        self._end = "\r" if terminal else "\n"
        self._shown = shown
        self._since, self._frames, self._found = time.perf_counter(), 0, 0

    def count(self, found: bool) -> None:
        """A frame was taken."""
        self._frames += 1
        self._found += found
        seconds = time.perf_counter() - self._since
        if self._shown and seconds >= SAID_EVERY_S:
            state = "hand followed" if self._found == self._frames else "no hand" if not self._found else "hand lost"
            click.echo(f"{self._frames / seconds:5.1f} frames/s   {state:14}{self._end}", err=True, nl=False)
            self._since, self._frames, self._found = time.perf_counter(), 0, 0

    def end(self) -> None:
        """Leave the line."""
        if self._shown and self._end == "\r":
            click.echo("", err=True)


def _print(result: "Track", folder: Path, options: "TrackOptions") -> None:
    if options.as_json:
        joints = result.joints_mm()
        for frame in range(len(result)):
            click.echo(json.dumps(result.line(frame, joints), allow_nan=False))
        return
    rate = len(result) / max(result.seconds, 1e-9)
    counts = (len(result), int(result.tracked.sum()), int(result.refitted.sum()))
    click.echo("\t".join((click.format_filename(folder), *map(str, counts), f"{rate:.1f} frames/s")))


def _listed(parts: list[str]) -> str:
    more = f" and {len(parts) - RANGES_SHOWN} more stretches" if len(parts) > RANGES_SHOWN else ""
    return ", ".join(parts[:RANGES_SHOWN]) + more


def _finish(result: "Track", errors: "list[HandoptError]", *, quiet: bool) -> None:
    """Say which frames are not found or doubtful, and what is missing."""
    from handopt.tracking.confidence import ranges

    if not quiet:
        for what, rows in (("The hand was not found", ~result.tracked), ("Doubtful", result.doubtful)):
            if rows.any():
                click.echo(f"{what} in {rows.sum()} of {len(result)} frames: {_listed(ranges(rows))}.", err=True)
    for error in errors:
        show_traceback(click.get_current_context(), error)
        click.echo(f"Error: {one_line(error)}", err=True)
    if result.errors:
        click.echo(f"{len(result.errors)} of {len(result)} frames could not be read.", err=True)


def _note(sentences: Any, options: "TrackOptions") -> None:
    if not options.quiet:
        for sentence in sentences:
            click.echo(f"Note: {as_options(sentence)}", err=True)
