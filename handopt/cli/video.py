"""`handopt video`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.console import Console, group_of
from handopt.cli.help import SectionedCommand, option
from handopt.cli.options import json_option, output_options, verbosity_options
from handopt.cli.outputs import exists, remove_leftovers
from handopt.cli.results import Result, find_results, name_of
from handopt.cli.values import Choice, Positive, Words
from handopt.files import is_file, is_folder

if TYPE_CHECKING:
    from handopt.cli.settings import VideoOptions
    from handopt.draw.film import Film

PANELS = ("depth", "fit", "overlay", "residual")
OTHER_VIDEOS = (".avi", ".mov", ".mkv", ".webm", ".m4v", ".wmv", ".apng", ".png")


@click.command(
    cls=SectionedCommand,
    examples=(
        ("a video of each result in a folder, beside it", "handopt video handopt-out"),
        ("a track as a GIF of two panels", "handopt video walk-track -o walk.gif --panels overlay,fit --fps 25"),
        ("all videos in a folder of their own", "handopt video fits/* -o videos"),
    ),
)
@click.argument("results", metavar="RESULT...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@option(
    "Picture",
    "--panels",
    type=Words("panel", PANELS),
    default=",".join(PANELS),
    show_default=True,
    metavar="NAMES",
    help="Which panels, in which order.",
)
@option("Picture", "--turntable", is_flag=True, help="One more panel, with the hand turning about the vertical.")
@option(
    "Picture",
    "--size",
    type=click.IntRange(80, 1080),
    default=300,
    show_default=True,
    metavar="PX",
    help="Edge of a panel in pixels.",
)
@option(
    "Picture",
    "--fps",
    type=Positive(),
    metavar="N",
    help="Frames a second, up to 50 in a GIF.  [default: that of the track; an optimisation takes some 8 s]",
)
@option(
    "Output",
    "--format",
    "kind",
    type=Choice(["mp4", "gif"]),
    help="What to write.  [default: as the name in -o ends, else mp4]",
)
@output_options(
    "PATH",
    "Folder of the videos, or a name that ends in .mp4 or .gif for a single one.  [default: beside each RESULT]",
    replaces="videos that exist",
)
@json_option("each video")
@verbosity_options
def video(results: tuple[Path, ...], **arguments: Any) -> None:
    """Turn each RESULT, a folder of handopt fit or handopt track, or a folder of such folders, into a video.

    Side by side: the depth, the fitted hand, the fit over the depth, and the residual in mm, with their colour scales.
    A fit shows its iterations and the objective beside them, a track its frames. Whatever
    else a pattern such as fits/* names is skipped. Videos that exist are kept, and the others are made.

    One line for each goes to stdout: the video.
    """
    from handopt.cli.settings import VideoOptions

    options = VideoOptions(**arguments)
    console = Console()
    asked = _places(find_results(results, console), options)
    places, skipped = _missing(asked, options, console)
    total, failed = len(asked), 0
    for folder, path in places.items():
        try:
            frames = _make(folder, path, options, console)
        except BrokenPipeError:
            raise
        except Exception as error:  # one bad result must not stop the rest
            failed += 1
            console.failed(error, folder, several=total > 1)
            continue
        document = {"result": str(folder), "video": str(path), "frames": frames}
        console.result(json.dumps(document) if options.as_json else click.format_filename(path))
    console.say_groups("result")
    for count, verb in ((skipped, "were skipped"), (failed, "failed")):
        if count and total > 1:
            console.error(f"{count} of {total} videos {verb}.", kind="")
    if failed or skipped:
        sys.exit(1)


def _places(results: list[Result], options: "VideoOptions") -> dict[Path, Path]:
    """The video of each result, by default beside it, as the user named it. Raises UsageError."""
    output, ending = options.output, f".{options.kind or 'mp4'}"
    suffix = "" if output is None or is_folder(output) else output.suffix.lower()
    named = suffix in (".mp4", ".gif")
    if suffix in OTHER_VIDEOS:
        raise click.UsageError(f"-o {output}: only .mp4 and .gif can be written")
    if named and options.kind and suffix != ending:
        raise click.UsageError(f"-o {output} does not end in {ending}: leave out --format or name it {ending}")
    if named and len(results) > 1:
        raise click.UsageError(f"-o {output} is one video for {len(results)} results: give a folder")
    places: dict[Path, Path] = {}
    for result in results:
        folder = result.folder
        beside = folder.parent if folder.name not in ("", "..") else folder / ".."
        if output is not None and named:
            path = output
        else:
            path = beside / name_of(folder) if output is None else output / result.place
            path = path.with_name(f"{path.name}{ending}")
        if path in places.values():
            raise click.UsageError(f"two results would be {path}: make them one by one, each with its own -o")
        places[folder] = path
    return places


def _missing(places: dict[Path, Path], options: "VideoOptions", console: Console) -> tuple[dict[Path, Path], int]:
    """The videos to be made, all with --overwrite, and how many are older than their results and were skipped.

    Raises UsageError where -o names a file that exists.
    """
    for parent in {path.parent for path in places.values()}:
        remove_leftovers(parent)
    kept = {folder: path for folder, path in places.items() if path.exists() or path.is_symlink()}
    if options.overwrite or not kept:
        return places, 0
    if options.output is not None and options.output in kept.values():
        raise click.UsageError(exists(click.format_filename(options.output)))
    old = [path for folder, path in kept.items() if _is_older(path, folder)]
    one, all_of_them = (
        exists("older than its result,", "and kept: replace it"),
        exists("older than their results,", "and kept: replace them"),
    )
    for path in old:
        console.error_about(click.format_filename(path), one, all_of_them, label="Skipped")
    console.say_groups("video")
    made = [click.format_filename(path) for path in kept.values() if path not in old]
    if made:
        verb = "exists and was kept: replace it" if len(made) == 1 else "exist and were kept: replace them"
        console.note(f"{exists(group_of(made, 'video'), verb)}.")
    return {folder: path for folder, path in places.items() if folder not in kept}, len(old)


def _is_older(video: Path, folder: Path) -> bool:
    """Whether a video was made before the result that it shows."""
    from handopt.draw.film import SOURCE_NAMES

    try:
        made = video.stat().st_mtime
        return any((folder / name).stat().st_mtime > made for name in SOURCE_NAMES if is_file(folder / name))
    except OSError:
        return False


def _make(folder: Path, path: Path, options: "VideoOptions", console: Console) -> int:
    """Write a video, and return how many frames it has. Raises ConfigError and OutputError."""
    from handopt.draw.film import load_film
    from handopt.draw.video import write_video
    from handopt.errors import OutputError

    film = load_film(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path.parent}: {error.strerror}; choose another with -o") from error
    _note_rate(film, path, options.fps, console)
    with console.bar(len(film), "frame", click.format_filename(path.name)) as bar:
        write_video(
            film,
            path,
            fps=options.fps,
            size=options.size,
            panels=options.panels,
            turntable=options.turntable,
            progress=bar.advance,
        )
    return len(film)


def _note_rate(film: "Film", path: Path, fps: float | None, console: Console) -> None:
    """Say where a GIF gets fewer frames a second than it should."""
    from handopt.draw.video import DEFAULT_FPS, GIF_FPS

    rate = fps or film.fps or DEFAULT_FPS
    if path.suffix.lower() == ".gif" and rate > GIF_FPS:
        console.note(
            f"{click.format_filename(path)} leaves out some frames and keeps time: viewers slow GIFs of more than "
            f"{GIF_FPS:g} frames a second down, and these are {rate:g}; --format mp4 has them all."
        )
