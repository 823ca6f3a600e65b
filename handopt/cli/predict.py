"""`handopt predict`."""

from pathlib import Path
from typing import Any

import click

from handopt.cli.console import Console
from handopt.cli.fit import fit_all
from handopt.cli.help import EXPERT, SectionedCommand, option
from handopt.cli.inputs import ImageArgument, check_sequence
from handopt.cli.options import (
    compute_options,
    depth_options,
    json_option,
    many_images_options,
    output_options,
    place_options,
    proposals_option,
    verbosity_options,
)
from handopt.cli.values import Choice, Positive

FIXED: dict[str, Any] = {
    **{"review": None, "max_hands": 1, "solver": None, "verify": False},
    **{"model": None, "joint_map": None, "part": None, "limits": "default", "renders": False, "video": False},
    **{"ply": False, "obj": False, "masks": False, "workers": None, "cluster": None, "shape": "scale", "view": False},
    **{"port": 0, "browser": False},
    "topic": None,
}
"""Options of handopt fit that say nothing where poses are only predicted."""
FIXED_OF_TRACKS: dict[str, Any] = {
    **{"model": None, "joint_map": None, "part": None, "limits": "default", "video": False, "max_hands": 1},
    **{"smooth": False, "delay": None, "stream": (), "view": False, "port": 0, "browser": True, "topic": None},
}
"""The same of handopt track."""
DEFAULT_FOLDER = "handopt-out"


@click.command(
    cls=SectionedCommand,
    examples=(
        ("a folder of images, by handopt's own network", "handopt predict frames -o poses --camera sr305"),
        ("a model of your own, refined by 5 steps", "handopt predict frames --model base.npz --refine 5"),
        ("the frames of a recording as one track", "handopt predict take.bag --track -o take-track"),
        ("the camera that is plugged in, printing each frame", "handopt predict --live --json"),
    ),
)  # fmt: skip
@click.argument("images", metavar="IMAGE...", nargs=-1, type=ImageArgument())
@depth_options
@place_options
@option("Hand", "--hand", type=Choice(["right", "left", "auto"]), help="Which hand it is; auto looks at both.")
@proposals_option("--model", "Network", "A model of handopt train.")
@option(
    "Network",
    "--refine",
    type=click.IntRange(0, 500),
    default=0,
    show_default=True,
    metavar="N",
    help="Refine each pose by N steps of Levenberg-Marquardt.",
)
@compute_options("Network")
@option(
    "Sequence",
    "--track",
    is_flag=True,
    help="Take IMAGE for one sequence, a folder of frames, a recording or a stack, and write a track as handopt track "
    "does, which is far faster: each frame is looked at where the hand was in the one before. Processes share what "
    "was recorded (--jobs).",
)
@option("Sequence", "--live", is_flag=True, help="Predict the hand before a RealSense camera until Ctrl-C, as a track.")
@option(
    "Sequence",
    "--fps",
    type=Positive(),
    metavar="N",
    help="Frames a second, in place of times in IMAGE.  [default: what IMAGE says, else 30]",
)
@option("Sequence", "--frames", type=click.IntRange(min=1), metavar="N", help="Only the first N frames.")
@output_options(
    "DIR", "Where each image gets a folder of results.", default=DEFAULT_FOLDER, replaces="results that exist"
)
@option("Output", "--update", is_flag=True, help="Replace only results whose image or settings have changed.")
@option("Output", "--overlay", is_flag=True, help="Also write overlay.png.")
@json_option("the result of each image")
@many_images_options
@option(EXPERT, "--batch", type=click.IntRange(min=1), metavar="N", help="Images that go together.  [default: 8]")
@verbosity_options
@click.pass_context
def predict(ctx: click.Context, /, images: tuple[tuple[Path, ...], ...], **arguments: Any) -> None:
    """Predict the hand's pose in each depth image in IMAGE... with a network alone: files, folders of them, patterns in
    quotes, or - for a list of them on standard input.

    The network sees where the joints are, and gives some poses; what is written is the one that is nearest to these
    joints, with its joints moved there as far as a hand allows. Folders, lines on stdout and a second run are those of
    handopt fit, which is slower and more accurate.
    """
    from handopt.cli.settings import FitOptions

    track, live = arguments.pop("track"), arguments.pop("live")
    of_sequences = {name: arguments.pop(name) for name in ("fps", "frames")}
    if track or live:
        ctx.exit(_sequence([path for word in images for path in word], live=live, **of_sequences, **arguments))
    given = [f"--{name}" for name, value in of_sequences.items() if value is not None]
    if given:
        raise click.UsageError(f"{' and '.join(given)} {'are' if len(given) > 1 else 'is'} for --track and --live")
    options = FitOptions(**arguments, **FIXED)
    if options.overwrite and options.update:
        raise click.UsageError("--overwrite and --update exclude each other")
    ctx.exit(fit_all(images, options))


def _sequence(paths: list[Path], *, live: bool, **arguments: Any) -> int:
    """Predict the frames of a sequence, or of a camera, as a track; returns the exit code. Raises UsageError."""
    from handopt.cli.settings import TrackOptions
    from handopt.cli.track import follow

    if live == bool(paths) or len(paths) > 1:
        raise click.UsageError("--track takes one IMAGE, a sequence; --live takes none")
    of_images = {"--update": "update", "--overlay": "overlay", "--recursive": "recursive", "--null": "null"}
    of_images |= {"--batch": "batch", "--mask": "mask", "--box": "box", "--center": "center"}
    refused = [name for name, key in of_images.items() if arguments.pop(key)]
    if refused:
        them = "it" if len(refused) == 1 else "them"
        raise click.UsageError(f"{' and '.join(refused)} cannot be used with --track or --live: leave {them} out")
    if live and arguments["jobs"]:
        raise click.UsageError("--jobs is for what was recorded: leave it out with --live")
    if paths:
        check_sequence(paths[0])
    named = arguments.pop("output")
    output = None if named == Path(DEFAULT_FOLDER) else named
    return follow(
        paths[0] if paths else None, TrackOptions(live=live, output=output, **arguments, **FIXED_OF_TRACKS), Console()
    )
