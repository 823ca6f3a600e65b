"""`handopt video`."""

import sys
from pathlib import Path
from typing import Any

import click

from handopt.cli.options import Positive, SectionedCommand, one_line, option, show_traceback, verbosity_options
from handopt.errors import HandoptError

PANELS = ("depth", "fit", "overlay", "residual")
OTHER_VIDEOS = (".avi", ".mov", ".mkv", ".webm", ".m4v", ".wmv", ".apng", ".png")


class Panels(click.ParamType):  # type: ignore[type-arg]
    """Names of panels with commas between them."""

    name = "panels"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Parse "depth,fit"."""
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip() for name in str(value).split(","))
        unknown = [name for name in names if name not in PANELS]
        if unknown:
            self.fail(f"{', '.join(unknown) or 'nothing'} is no panel: choose from {', '.join(PANELS)}.", param, ctx)
        return names


@click.command(cls=SectionedCommand, short_help="Turn results into videos.")
@click.argument("results", metavar="RESULT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@option(
    "Picture",
    "--panels",
    type=Panels(),
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
    help="Frames a second.  [default: that of the track, 30 for an optimisation]",
)
@option(
    "Output",
    "--format",
    "kind",
    type=click.Choice(["mp4", "gif"]),
    help="What to write.  [default: as the name in -o ends, else mp4]",
)
@option(
    "Output",
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Folder of the videos, or a name that ends in .mp4 or .gif for a single one.  [default: beside each RESULT]",
)
@option("Output", "--overwrite", is_flag=True, help="Replace videos that exist.")
@verbosity_options
def video(results: tuple[Path, ...], **options: Any) -> None:
    """Turn each RESULT, a folder of handopt fit or handopt track, into a video.

    Side by side: the depth, the fitted hand, the fit over the depth, and the residual in mm, with their colour scales.
    A fit shows its iterations and the objective beside them, a track its frames. What is no result among others is
    skipped, so that handopt video fits/* can be said.

    One line for each goes to stdout: the video. The exit code is 1 if some could not be made.
    """
    places = _places(_folders(results, quiet=options["quiet"]), options)
    failed = 0
    for folder, path in places.items():
        try:
            _make(folder, path, options)
        except HandoptError as error:
            failed += 1
            show_traceback(click.get_current_context(), error)
            click.echo(f"Error: {one_line(error)}", err=True)
        else:
            click.echo(click.format_filename(path))
    if failed and len(places) > 1:
        click.echo(f"{failed} of {len(places)} videos failed.", err=True)
    if failed:
        sys.exit(1)


def _folders(results: tuple[Path, ...], *, quiet: bool) -> list[Path]:
    """The folders among what is named, each once; files of a result stand for it. Others are skipped with a note, as a
    pattern takes what lies beside results too; they are errors where nothing else is named.
    """
    from handopt.draw.film import SOURCE_NAMES

    folders: dict[Path, Path] = {}
    others: list[Path] = []
    for each in results:
        if each.name in SOURCE_NAMES and each.is_file():
            folders.setdefault(each.parent.resolve(), each.parent)
        elif each.is_file() or (each.is_dir() and not any((each / name).is_file() for name in SOURCE_NAMES)):
            others.append(each)
        else:
            folders.setdefault(each.resolve(), each)
    if not folders:
        names = ", ".join(map(click.format_filename, others[:3])) + (", …" if len(others) > 3 else "")
        raise click.UsageError(f"{names}: no result; give folders that handopt track or handopt fit wrote")
    if others and not quiet:
        first = click.format_filename(others[0])
        which = f"{first} is no result and was" if len(others) == 1 else f"{first} and {len(others) - 1} more were"
        click.echo(f"Note: {which} skipped.", err=True)
    return list(folders.values())


def _places(folders: list[Path], options: dict[str, Any]) -> dict[Path, Path]:
    """The video of each result, by default beside it, as the user named it. Raises UsageError."""
    output, ending = options["output"], f".{options['kind'] or 'mp4'}"
    suffix = "" if output is None or output.is_dir() else output.suffix.lower()
    named = suffix in (".mp4", ".gif")
    if suffix in OTHER_VIDEOS:
        raise click.UsageError(f"-o {output}: only .mp4 and .gif can be written")
    if named and options["kind"] and suffix != ending:
        raise click.UsageError(f"-o {output} is no {options['kind']}: leave out --format or name it {ending}")
    if named and len(folders) > 1:
        raise click.UsageError(f"-o {output} is one video for {len(folders)} results: give a folder")
    places: dict[Path, Path] = {}
    for folder in folders:
        name = folder.name if folder.name not in ("", "..") else folder.resolve().name
        beside = folder.parent if folder.name not in ("", "..") else folder / ".."
        path = output if named else (output or beside) / f"{name}{ending}"
        if path in places.values():
            raise click.UsageError(f"two results would be {path}: make them one by one, each with its own -o")
        places[folder] = path
    return places


def _make(folder: Path, path: Path, options: dict[str, Any]) -> None:
    from tqdm import tqdm

    from handopt.draw.film import load_film
    from handopt.draw.video import write_video
    from handopt.errors import OutputError

    if path.exists() and not options["overwrite"]:
        raise OutputError(f"{path} exists and was kept: replace it with --overwrite or choose another with -o")
    film = load_film(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path.parent}: {error.strerror}; choose another with -o") from error
    hidden = options["quiet"] or not sys.stderr.isatty()
    with tqdm(total=len(film), unit=" frame", file=sys.stderr, leave=False, dynamic_ncols=True, disable=hidden) as bar:
        write_video(
            film, path, fps=options["fps"], size=options["size"], panels=options["panels"],
            turntable=options["turntable"], progress=bar.update,
        )  # fmt: skip
