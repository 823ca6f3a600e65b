"""`handopt predict`."""

from pathlib import Path
from typing import Any

import click

from handopt.cli.fit import fit_all
from handopt.cli.help import EXPERT, SectionedCommand, option
from handopt.cli.inputs import ImageArgument
from handopt.cli.options import (
    compute_options,
    depth_options,
    json_option,
    many_images_options,
    output_options,
    proposals_option,
    verbosity_options,
)
from handopt.cli.values import Choice

FIXED: dict[str, Any] = {
    **{"mask": None, "box": None, "center": None, "review": None, "max_hands": 1, "solver": None, "verify": False},
    **{"model": None, "joint_map": None, "part": None, "limits": "default", "renders": False, "video": False},
    **{"ply": False, "obj": False, "workers": None, "cluster": None, "shape": "scale", "view": False, "port": 0},
    "browser": False,
    "topic": None,
}
"""Options of handopt fit that say nothing where poses are only predicted."""


@click.command(
    cls=SectionedCommand,
    short_help="Let a network see the hand, without a fit.",
    examples=(
        ("a folder of images, by handopt's own network", "handopt predict frames -o poses --camera sr305"),
        ("a model of your own, refined by 5 steps", "handopt predict frames --model base.npz --refine 5"),
    ),
)  # fmt: skip
@click.argument("images", metavar="IMAGE...", nargs=-1, type=ImageArgument())
@depth_options
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
@output_options(
    "DIR", "Where each image gets a folder of results.", default="handopt-out", replaces="results that exist"
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

    Of each side and each place where the hand may be the likeliest pose is taken, and of these the one that leaves the
    least of the image unexplained. Folders, lines on stdout and a second run are those of handopt fit, which is slower
    and more accurate.
    """
    from handopt.cli.settings import FitOptions

    options = FitOptions(**arguments, **FIXED)
    if options.overwrite and options.update:
        raise click.UsageError("--overwrite and --update exclude each other")
    ctx.exit(fit_all(images, options))
