"""`handopt track`."""

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from handopt.cli.console import Console, generalised
from handopt.cli.errors import naming_option
from handopt.cli.help import SectionedCommand, option
from handopt.cli.inputs import check_sequence
from handopt.cli.job import check_camera, check_device, check_ignore, load_config
from handopt.cli.live_output import LiveOutput, live_page
from handopt.cli.local_page import page_options
from handopt.cli.options import (
    compute_options,
    depth_options,
    hand_options,
    json_option,
    keypoints_option,
    output_options,
    proposals_option,
    verbosity_options,
    video_option,
)
from handopt.cli.outputs import existing_place, require_place
from handopt.cli.rigs import load_model, load_proposals, own_rig
from handopt.cli.stop_signal import StopOnSignal
from handopt.cli.track_frames import Stoppable, predicting, reporter
from handopt.cli.track_output import (
    add_video,
    pictures_of,
    print_track,
    results_of,
    say_doubts,
    say_errors,
    write_tracks,
)
from handopt.cli.values import Positive
from handopt.files import resolved

if TYPE_CHECKING:
    from collections.abc import Generator

    from handopt.cli.settings import TrackOptions
    from handopt.errors import HandoptError
    from handopt.input.sequence import FrameSource
    from handopt.input.sequence.stream_info import SourceOptions
    from handopt.tracking.api import Tracking
    from handopt.tracking.hands_api import HandsTracking
    from handopt.typing import Bytes


@click.command(
    cls=SectionedCommand,
    examples=(
        ("track a folder of frames into handopt-out/walk-track, for Blender too", "handopt track walk"),
        ("a recording of a RealSense camera, its first 300 frames", "handopt track take.bag --frames 300"),
        ("a stack of frames in mm, with the camera's intrinsics",
         "handopt track depth.npy --camera 475,475,320,240 --unit 1"),
        ("the camera that is plugged in, until Ctrl-C, printing each frame", "handopt track --live --json"),
        ("the same, with the hand in a browser", "handopt track --live --view"),
    ),
)  # fmt: skip
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
@option("Input", "--topic", metavar="NAME", help="Topic of the depth images, where a ROS bag has several.")
@option("Input", "--frames", type=click.IntRange(min=1), metavar="N", help="Only the first N frames.")
@hand_options(
    "auto tries both in the first frames with a hand.  [default: what the JSON files or --model say, else auto]",
)
@keypoints_option
@option(
    "Track",
    "--max-hands",
    type=click.IntRange(min=1, max=16),
    default=1,
    show_default=True,
    metavar="N",
    help="Follow up to N hands, in OUTPUT/right and left, or right-1 and right-2. --hand is then the side of all.",
)
@option(
    "Track",
    "--smooth/--no-smooth",
    default=None,
    help="A final pass in both directions, which takes out jitter without lag, or each frame as it comes, with a "
    "causal filter.  [default: --smooth, but not with --live]",
)
@option(
    "Track",
    "--delay",
    type=click.IntRange(1, 600),
    metavar="K",
    help="With --json, --stream and --view: give each frame smoothed, as soon as K frames after it are known.",
)
@proposals_option("--proposals", "Track", "Search from the poses of this model of handopt train.")
@compute_options("Track")
@option("Page", "--view", is_flag=True, help="Show the hand in a browser while it is tracked.")
@page_options
@option(
    "Output",
    "--stream",
    multiple=True,
    metavar="ADDRESS",
    help="Send each frame as soon as it is known: to udp://HOST:PORT as JSON, to osc://HOST:PORT, or to the clients of "
    "ws://HOST:PORT, which is served. May be given several times.",
)
@output_options("DIR", "Folder of the track.  [default: handopt-out/<name>-track]", replaces="a track that exists")
@video_option("track.mp4", default=True)
@option("Output", "--colour", is_flag=True, help="Show the hand in track.mp4 over the colour pictures in SOURCE.")
@json_option("each frame")
@verbosity_options
def track(source: Path | None, **arguments: Any) -> None:
    """Follow a hand through SOURCE: a folder of depth images in natural order, a .bag recording, a ROS bag, a TUM or
    Open3D folder, a multi-page TIFF, or a .npy or .npz stack (frames, height, width).

    The folder of the track gets track.json, track.jsonl (a line for each frame), track.npz, hand.glb (animated,
    skinned), hand.bvh and track.mp4. One line goes to stdout: folder, frames, frames with the hand, frames found from
    scratch, frames a second, with tabs between them; with --max-hands a line for each hand, which has a folder of its
    own in that of the track.

    With --json each frame is printed instead: when it is known with --no-smooth and --live, K frames later and smoothed
    with --delay K, else at the end, smoothed.

    Where the hand was not found, and where the track is doubtful (a confidence below 0.5), stderr says. What was
    tracked before the source ended, or before Ctrl-C, is kept.
    """
    from handopt.cli.settings import TrackOptions

    options = TrackOptions(**arguments)
    _check_options(source, options)
    sys.exit(follow(source, options, Console()))


def follow(source: Path | None, options: "TrackOptions", console: Console) -> int:
    """Follow a hand through a source, or a camera if None, and write its track; returns the exit code."""
    from handopt.storage.track_folder import check_free

    folder = options.output or Path("handopt-out") / f"{'live' if source is None else resolved(source).stem}-track"
    require_place(folder, lambda: check_free(folder, overwrite=options.overwrite))
    until = StopOnSignal()
    output = LiveOutput(options.stream, console, prints=_prints_at_once(options))
    with output:
        tracking = _tracking(source, options, until, console, output, folder)
        if options.view:
            output.show_in(live_page(folder.name, options.port, console, browser=options.browser))
        error, code = _follow(tracking, until, options, console, output)
    output.say(options.delay)
    results = results_of(tracking, until, error, console)
    if until.stopped:
        console.say(f"Stopped after {until.count} frames, which are written now.")
        left = () if source is None else (f"Stopped after {until.count} frames; what follows is not in it.",)
        results = [replace(result, notes=(*result.notes, *left)) for result in results]
    errors = [] if error is None else [error]
    for name, result in write_tracks(results, folder, options).items():
        place = folder / name
        if name:
            console.say(f"{click.format_filename(place)}:")
        said = *tracking.source.assumptions, *result.rig.notes
        console.notes(note for note in result.notes if note not in said)
        if options.video:
            errors += add_video(result, place, console, _pictures(source, options))
        if not _prints_at_once(options):
            print_track(result, place, console, {"hand": name} if name else {}, as_json=options.as_json)
        say_doubts(result, console)
    say_errors(errors, results[0], console)
    return code or int(bool(errors or results[0].errors))


def _check_options(source: Path | None, options: "TrackOptions") -> None:
    """Refuse options that do not go together, and what is no sequence. Raises UsageError."""
    if (source is None) != options.live:
        raise click.UsageError("give a SOURCE, or --live for a camera" + (", not both" if source else ""))
    if not options.view and (options.port or not options.browser):
        raise click.UsageError("--port and --no-browser are for --view: give that as well")
    if options.view and options.max_hands > 1:
        raise click.UsageError("--view shows one hand: leave out --max-hands, or show the tracks with handopt view")
    if options.colour and (options.live or not options.video):
        raise click.UsageError("--colour is for track.mp4 of a recording: leave it out")
    if options.delay is not None and options.smooth is False:
        raise click.UsageError("--delay smooths with later frames: leave out --no-smooth")
    if options.delay is not None and options.max_hands > 1:
        raise click.UsageError("--delay is for one hand: leave out --max-hands")
    if source is not None:
        check_sequence(source)


def _tracking(
    source: Path | None,
    options: "TrackOptions",
    until: StopOnSignal,
    console: Console,
    output: LiveOutput,
    folder: Path,
) -> "Tracking | HandsTracking":
    """What tracks the hands frame by frame. folder: of the results. Raises UsageError, SourceError, CameraError and
    DepthError.
    """
    from handopt.tracking.api import hand_of
    from handopt.tracking.api import track as track_source
    from handopt.tracking.hands_api import track_hands

    check_camera(options.camera)
    config, rig = load_config(options.config), load_model(options)
    check_device(options.device)
    check_ignore(options.ignore)
    if source is not None and options.colour:
        _check_pictures(source, options, console)
    frames = _opened(source, _asked(options))
    console.notes((*frames.assumptions, *(() if rig is None else rig.notes)))
    side = hand_of(options.hand, rig, frames) if options.max_hands == 1 else options.hand or "auto"
    given = Stoppable(frames, until, options, output)
    settings: dict[str, Any] = {
        "hand": side,
        "rig": rig or own_rig(side, options.limits),
        "smooth": _smooths(options),
        "config": config,
        "device": options.device,
        "seed": options.seed,
        "proposals": load_proposals(options.proposals, "--proposals" if options.refine is None else "--model"),
        "scratch": existing_place(folder),
    }
    with naming_option("--device", "--model"):
        if options.refine is not None:
            return predicting(frames, given, until, options, settings)
        if options.max_hands > 1:
            return track_hands(cast("FrameSource", given), options.max_hands, **settings)
        return track_source(cast("FrameSource", given), delay=options.delay, **settings)


def _asked(options: "TrackOptions") -> "SourceOptions":
    """What the options say of the source."""
    from handopt.input.sequence.stream_info import SourceOptions

    return SourceOptions(
        *(options.camera, options.unit, options.encoding, options.fps, options.ignore, options.mirrored, options.hand),
        topic=options.topic,
    )


def _pictures(source: Path | None, options: "TrackOptions") -> "Generator[Bytes | None] | None":
    """The colour pictures of the frames, from the first one; None where they are not asked for."""
    return pictures_of(source, _asked(options)) if source is not None and options.colour else None


def _check_pictures(source: Path, options: "TrackOptions", console: Console) -> None:
    """Refuse a source without colour before it is tracked. Raises UsageError."""
    from handopt.errors import HandoptError, NoColourError

    pictures = pictures_of(source, _asked(options))
    try:
        if next(pictures, None) is None:
            console.note("The first frame has no colour picture; frames without one are shown over their depth.")
    except NoColourError as error:
        raise click.UsageError(f"--colour: {error}") from error
    except HandoptError:
        pass  # what else is wrong is said where the source is opened
    finally:
        pictures.close()


def _opened(source: Path | None, asked: "SourceOptions") -> "FrameSource":
    """The source, or the camera. Raises UsageError where --ignore does not go with it, else as open_source."""
    from handopt.errors import DepthError
    from handopt.input.sequence import live_source, open_source

    try:
        return live_source(asked) if source is None else open_source(source, asked)
    except DepthError as error:
        if not str(error).startswith("ignore="):
            raise
        with naming_option("--ignore"):
            raise


def _smooths(options: "TrackOptions") -> bool:
    """Whether frames are smoothed with later ones."""
    return not options.live or options.delay is not None if options.smooth is None else options.smooth


def _prints_at_once(options: "TrackOptions") -> bool:
    """Whether lines are printed while frames are tracked; without a delay a smoothed track is known at its end."""
    return options.as_json and (options.delay is not None or not _smooths(options))


def _follow(
    tracking: "Tracking | HandsTracking",
    until: StopOnSignal,
    options: "TrackOptions",
    console: Console,
    output: LiveOutput,
) -> "tuple[HandoptError | None, int]":
    """Take the frames. Returns why they ended early, and the exit code of a user who had enough of them."""
    from handopt.errors import HandoptError

    length, limit = tracking.source.length, options.frames
    total = limit if length is None else min(length, limit or length)
    error, report = None, reporter(console)
    with nullcontext() if options.live else console.bar(total, "frame") as bar:
        try:
            with until:
                output.latency.frame_taken()
                for frame in tracking:
                    estimates = frame if isinstance(frame, tuple) else (frame,)
                    for estimate in estimates:
                        output.emit(estimate)
                    if estimates[0].error is not None:
                        _unread(estimates[0].error, console, live=options.live)
                    if bar is None:
                        report(any(estimate.tracked for estimate in estimates))
                    else:
                        bar.advance()
                        output.latency.frame_taken()
        except HandoptError as problem:
            error = problem
    console.end_status()
    console.say_groups("frame")
    return error, 0 if options.live else until.exit_code


def _unread(error: str, console: Console, *, live: bool) -> None:
    """Say why a frame could not be read; of files remember it, so that equal errors become one line."""
    name, _, sentence = error.partition(": ")
    if live or not sentence:
        console.error(error)
    else:
        console.error_about(name, sentence, generalised(sentence, Path(name)))
