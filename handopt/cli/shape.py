"""`handopt shape`."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.console import Console, generalised
from handopt.cli.errors import one_line
from handopt.cli.help import SectionedCommand
from handopt.cli.inputs import ImageArgument, Problem, find_images
from handopt.cli.job import check_camera, check_device, check_ignore, fit_settings, load_config, make_reader
from handopt.cli.options import (
    RIG_FILES,
    compute_options,
    depth_options,
    hand_options,
    json_option,
    output_options,
    renders_option,
    verbosity_options,
    video_option,
)
from handopt.cli.outputs import require_place
from handopt.cli.rigs import load_model
from handopt.input.reader import Reader

if TYPE_CHECKING:
    from handopt.cli.settings import ShapeOptions
    from handopt.config import FitSettings
    from handopt.rig import Rig
    from handopt.shape import RejectedImage, ShapeInput, ShapeResult


@click.command(
    cls=SectionedCommand,
    examples=(
        ("make mine.glb and the folder mine/ from a folder of images", "handopt shape images -o mine.glb"),
        ("fit other images with it, which leaves only the pose to find", "handopt fit other --model mine.glb"),
    ),
)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=ImageArgument())
@depth_options
@hand_options(
    "auto takes the one that fits the images better.  [default: what the JSON files or --model say, else auto]",
    f"The rig to begin with: {RIG_FILES}.",
)
@compute_options("Fit")
@output_options(
    "GLB",
    "The personal rig; a folder of the same name without .glb holds the rest.",
    default="myhand.glb",
    replaces="a hand that exists",
)
@renders_option("--renders", default=True)
@video_option("turntable.mp4, and optimisation.mp4 of each image", default=False)
@json_option("measurements.json")
@verbosity_options
@click.pass_context
def shape(ctx: click.Context, /, images: tuple[tuple[Path, ...], ...], **arguments: Any) -> None:
    """Make a personal hand from depth images of one person's one hand: files, or folders of them.

    All images are fitted with one rest mesh and a pose of each. The result is a rig, which --model of the other
    commands accepts, and beside it a folder with measurements.json, rest.obj, rest.ply (coloured by how well each place
    was seen), history.csv, turntable.png and fits/ with the fit of each image. Images that cannot be read, or do not
    fit in, are left out and named on standard error. One line for each measurement goes to stdout: name, mm, standard
    deviation, and that of the generic hand, with tabs between them.

    One image gives what it shows; ten to twenty from several sides, with the hand bent and open, give the hand.
    """
    from handopt.cli.settings import ShapeOptions
    from handopt.storage.hand_folder import check_free, save_shape

    options = ShapeOptions(**arguments)
    console = Console()
    output = options.output
    problems: list[Problem] = []
    paths = list(find_images([path for word in images for path in word], problems=problems))
    require_place(output, lambda: check_free(output, overwrite=options.overwrite))
    rig, settings = _settings(options)
    frames, hands, unread = _read(paths, problems, make_reader(options, options.hand, rig), console)
    hand = _one_hand(frames, hands, options.hand)
    result = _fitted(frames, hand, rig, options.limits, settings, console)
    for each in result.rejected_images:
        _left_out(each, console)
    console.say_groups("image")
    result = replace(result, rejected_images=(*unread, *result.rejected_images))
    with console.parts("image") as progress:
        folder = save_shape(
            result,
            output,
            renders=options.renders,
            video=options.video,
            overwrite=options.overwrite,
            progress=progress,
        )
    console.say(result.status)
    console.say(f"{click.format_filename(output)} is the rig, {click.format_filename(folder)} shows how it came about.")
    _print(result, console, as_json=options.as_json)
    ctx.exit(1 if unread else 0)


def _settings(options: "ShapeOptions") -> "tuple[Rig | None, FitSettings]":
    """Check the options and load what they name. Raises UsageError."""
    check_camera(options.camera)
    check_ignore(options.ignore)
    config = load_config(options.config)
    check_device(options.device)
    return load_model(options), fit_settings(options, config)


def _read(
    paths: Sequence[Path], problems: Sequence[Problem], reader: Reader, console: Console
) -> "tuple[list[ShapeInput], list[str], list[RejectedImage]]":
    """Read all images that can be read: frames, the hand that each is said to show, and those that cannot."""
    from handopt.errors import CameraError, DepthError, ObservationError
    from handopt.shape import RejectedImage, ShapeInput

    frames, hands = [], []
    unread = [RejectedImage(click.format_filename(each.path), each.error) for each in problems]
    for each in unread:
        _left_out(each, console)
    for path in paths:
        name = click.format_filename(path)
        try:
            read = reader.read(path)
        except (DepthError, CameraError) as error:
            console.traceback(error)
            unread.append(RejectedImage(name, one_line(error).removeprefix(f"{name}: ")))
            _left_out(unread[-1], console)
            continue
        frames.append(ShapeInput(name, read.depth_mm, read.camera, read.assumptions, read.ignore, read.mirrored))
        hands.append(read.hand)
        for sentence in read.assumptions:
            console.note_about(name, sentence, generalised(sentence, path))
    console.say_groups("image")
    if not frames:
        raise ObservationError("none of the images can be used, for the reasons above")
    return frames, hands, unread


def _left_out(image: "RejectedImage", console: Console) -> None:
    """Remember an image that is not used, which is said also with -q."""
    console.error_about(image.image, image.reason, generalised(image.reason, Path(image.image)), label="Left out")


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
    frames: "Sequence[ShapeInput]", hand: str, rig: "Rig | None", limits: str, settings: "FitSettings", console: Console
) -> "ShapeResult":
    from handopt.rig import default_rig
    from handopt.shape import fit_shape

    rig = rig or default_rig("left" if hand == "left" else "right", limits)
    with console.parts() as progress:
        return fit_shape(
            frames,
            hand=hand,
            rig=rig,
            config=settings.config,
            device=settings.device,
            seed=settings.seed,
            progress=progress,
        )


def _print(result: "ShapeResult", console: Console, *, as_json: bool) -> None:
    if as_json:
        console.result(json.dumps(result.to_dict(), allow_nan=False))
        return
    for each in result.measurements:
        console.result(f"{each.name}\t{each.value_mm:.1f}\t{each.deviation_mm:.1f}\t{each.generic_mm:.1f}")
