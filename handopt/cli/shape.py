"""`handopt shape`."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.inputs import ImageArgument, find_images, require_writable
from handopt.cli.job import check_camera, check_device, fit_settings, load_config, make_reader
from handopt.cli.options import (
    SectionedCommand,
    as_options,
    compute_options,
    depth_options,
    hand_options,
    naming_option,
    one_line,
    option,
    verbosity_options,
)
from handopt.cli.rigs import load_model
from handopt.input.reader import Reader

if TYPE_CHECKING:
    from handopt.cli.settings import ShapeOptions
    from handopt.config import FitSettings
    from handopt.rig import Rig
    from handopt.shape import RejectedImage, ShapeInput, ShapeResult

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(cls=SectionedCommand, short_help="Make a personal hand from depth images.")
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=ImageArgument())
@depth_options
@hand_options(
    "auto takes the one that fits the images better.  [default: what the JSON files or --model say, else right]",
    "The rig to begin with, glTF or GLB.",
)
@option("Fit", "--config", type=FILE, metavar="FILE", help="TOML file with weights, rounds and other settings.")
@compute_options("Fit")
@option(
    "Output",
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default="myhand.glb",
    show_default=True,
    metavar="GLB",
    help="The personal rig; a folder of the same name without .glb holds the rest.",
)
@option("Output", "--overwrite", is_flag=True, help="Replace a hand that exists.")
@option("Output", "--no-renders", is_flag=True, help="Leave out the renders of every iteration.")
@option("Output", "--video", is_flag=True, help="Also write turntable.mp4, and optimisation.mp4 of each image.")
@option("Output", "--json", "as_json", is_flag=True, help="Print measurements.json on one line.")
@verbosity_options
def shape(images: tuple[tuple[Path, ...], ...], **arguments: Any) -> None:
    """Make a personal hand from depth images of one person's one hand: files, or folders of them.

    All images are fitted with one rest mesh and a pose of each. The result is a rig, which --model of the other
    commands accepts, and beside it a folder with measurements.json, rest.obj, rest.ply (coloured by how well each place
    was seen), history.csv, turntable.png and fits/ with the fit of each image. Images that do not fit in are left out,
    and named on standard error. One line for each measurement goes to stdout: name, mm, standard deviation, and that of
    the generic hand, with tabs between them.

    One image gives what it shows; ten to twenty from several sides, with the hand bent and open, give the hand.
    """
    from handopt.cli.settings import ShapeOptions
    from handopt.storage.hand_folder import check_free, save_shape

    options = ShapeOptions(**arguments)
    output = options.output
    paths = list(find_images([path for word in images for path in word]))
    with naming_option("-o"):
        check_free(output, overwrite=options.overwrite)
    require_writable(output.parent)
    rig, settings = _settings(options)
    talk = _Talk(options.quiet, options.verbose)
    frames, hands, unread = _read(paths, make_reader(options, options.hand, rig), talk)
    hand = _one_hand(frames, hands, options.hand)
    result = _fitted(frames, hand, rig, options.limits, settings, talk)
    for each in result.rejected_images:
        talk.left_out(each)
    result = replace(result, rejected_images=(*unread, *result.rejected_images))
    folder = save_shape(
        result, output, renders=not options.no_renders, video=options.video, overwrite=options.overwrite
    )
    talk.say(result.status)
    talk.say(f"{click.format_filename(output)} is the rig, {click.format_filename(folder)} shows how it came about.")
    _print(result, options.as_json)


def _settings(options: "ShapeOptions") -> "tuple[Rig | None, FitSettings]":
    """Check the options and load what they name. Raises UsageError."""
    check_camera(options.camera)
    config = load_config(options.config)
    check_device(options.device)
    return load_model(options), fit_settings(options, config)


def _read(
    paths: Sequence[Path], reader: Reader, talk: "_Talk"
) -> "tuple[list[ShapeInput], list[str], list[RejectedImage]]":
    """Read all images that can be read: frames, the hand that each is said to show, and those that cannot."""
    from handopt.errors import CameraError, DepthError, ObservationError
    from handopt.shape import RejectedImage, ShapeInput

    frames, hands, unread = [], [], []
    said: dict[str, list[str]] = {}
    for path in paths:
        name = click.format_filename(path)
        try:
            read = reader.read(path)
        except (DepthError, CameraError) as error:
            unread.append(RejectedImage(name, one_line(error).removeprefix(f"{name}: ")))
            talk.left_out(unread[-1])
            continue
        frames.append(ShapeInput(name, read.depth_mm, read.camera, read.assumptions))
        hands.append(read.hand)
        for sentence in read.assumptions:
            said.setdefault(sentence, []).append(name)
    for sentence, names in said.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        talk.say(f"{names[0]}{more}: {sentence}")
    if not frames:
        raise ObservationError("none of the images can be used, for the reasons above")
    return frames, hands, unread


def _one_hand(frames: "Sequence[ShapeInput]", hands: Sequence[str], asked: str | None) -> str:
    """The side that all images are said to show. Raises UsageError where they are of both."""
    if asked is not None or len(set(hands)) == 1:
        return asked or hands[0]
    named = {hand: [frame.name for frame, other in zip(frames, hands, strict=True) if other == hand] for hand in hands}
    parts = ", ".join(f"{len(names)} of a {hand} hand (such as {names[0]})" for hand, names in sorted(named.items()))
    raise click.UsageError(
        f"the images are of different hands, as the files beside them say: {parts}; give the images of one hand, or "
        "--hand where the files are wrong"
    )


def _fitted(
    frames: "Sequence[ShapeInput]", hand: str, rig: "Rig | None", limits: str, settings: "FitSettings", talk: "_Talk"
) -> "ShapeResult":
    from handopt.rig import default_rig
    from handopt.shape import fit_shape

    rig = rig or default_rig("left" if hand == "left" else "right", limits)
    with talk.bars() as progress:
        return fit_shape(
            frames,
            hand=hand,
            rig=rig,
            config=settings.config,
            device=settings.device,
            seed=settings.seed,
            progress=progress,
        )


def _print(result: "ShapeResult", as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result.to_dict(), allow_nan=False))
        return
    for each in result.measurements:
        click.echo(f"{each.name}\t{each.value_mm:.1f}\t{each.deviation_mm:.1f}\t{each.generic_mm:.1f}")


class _Talk:
    """What the command says on stderr while it works."""

    def __init__(self, quiet: bool, verbose: int) -> None:
        self._quiet, self._verbose = quiet, verbose

    def say(self, line: str) -> None:
        """Print a line unless -q was given."""
        if not self._quiet:
            click.echo(as_options(line), err=True)

    def left_out(self, image: "RejectedImage") -> None:
        """Name an image that is not used."""
        click.echo(f"Left out: {image.image}: {as_options(image.reason)}", err=True)

    def bars(self) -> "_Bars":
        """A progress bar for each part of the work, where somebody watches."""
        return _Bars(not self._quiet and sys.stderr.isatty())


class _Bars:
    """One tqdm bar at a time, each for a part of the work."""

    def __init__(self, watched: bool) -> None:
        self._watched, self._part = watched, ""
        self._bar: Any = None

    def __enter__(self) -> Callable[[str, int, int], None]:
        """What to call with the part, how much of it is done and how much there is."""
        return self._show

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def _show(self, part: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if not self._watched:
            return
        if part != self._part:
            self.__exit__()
            self._part = part
            self._bar = tqdm(total=total, desc=part, file=sys.stderr, leave=False, dynamic_ncols=True)
        self._bar.update(done - self._bar.n)
