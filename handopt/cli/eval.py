"""`handopt eval`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.console import Console
from handopt.cli.errors import naming_option
from handopt.cli.help import EXPERT, SectionedCommand, option
from handopt.cli.options import FILE, camera_option, json_option, output_options, verbosity_options
from handopt.cli.outputs import require_place
from handopt.cli.values import Choice

if TYPE_CHECKING:
    from handopt.input.camera import Camera

PATH = click.Path(exists=True, path_type=Path)
COORDINATES = Choice(["auto", "uvd", "xyz", "camera"])
SETS = ("synthetic", "nyu", "icvl", "msra", "freihand", "coco", "dexycb", "interhand")
NAMES_SHOWN = 10


@click.command(
    "eval",
    cls=SectionedCommand,
    examples=(
        ("score the fits of synthetic images", "handopt eval fits synthetic"),
        ("score a track, and write tables and a curve into scores/", "handopt eval walk-track walk -o scores"),
        ("score predictions in a text file against NYU's labels", "handopt eval mine.txt joints.txt --format nyu"),
    ),
)
@click.argument("pred", metavar="PRED", type=PATH)
@click.argument("truth", metavar="TRUTH", type=PATH)
@option(
    "Input",
    "--format",
    "labels",
    type=Choice(SETS),
    help="What TRUTH is.  [default: inferred from its files]",
)
@camera_option(
    "Input", "Camera of u, v, d: a preset, a JSON file, or fx,fy,cx,cy.  [default: the preset nyu, icvl or msra]"
)
@option(
    "Input", "--names", type=FILE, metavar="FILE", help="Image name of every line of a text file TRUTH, one a line."
)
@option(
    EXPERT,
    "--coordinates",
    type=COORDINATES,
    default="auto",
    show_default=True,
    help="Joints of a text file TRUTH: uvd is pixels and mm, xyz the set's own axes in mm, camera x right, y down, z "
    "forward in mm.",
)
@option(
    EXPERT,
    "--pred-coordinates",
    type=COORDINATES,
    default="auto",
    show_default=True,
    help="The same of a text file PRED.",
)
@output_options(
    "DIR",
    "Also write per_frame.csv, per_joint.csv, curve.csv, curve.png and summary.json.",
    replaces="an evaluation that exists",
)
@json_option("the summary")
@verbosity_options
@click.pass_context
def evaluate(ctx: click.Context, /, pred: Path, truth: Path, **arguments: Any) -> None:
    """Score the joints of PRED against the labels of TRUTH.

    PRED is a folder of handopt fit's results, a track (the folder of handopt track, its track.jsonl or its track.npz),
    a text file in TRUTH's format, or pred.json of FreiHAND. TRUTH is a folder of NAME.json files with 21 keypoints (or
    levels of them: easy, medium, hard), labels of the NYU, ICVL or MSRA sets, whose joints are made from the keypoints,
    labels of FreiHAND, DexYCB or InterHand2.6M or in the format of COCO, or what handopt export wrote. Frames are
    matched by the image's stem, or level/stem.

    Printed are the mean and median joint error, the share of frames whose worst joint is within D mm, both also for
    visible joints, and the error of each joint. A frame without a prediction counts as failed at every D. Where labels
    are those of a sequence (handopt synth --sequence), jitter and lag are printed too.

    Exit code 1 also means that frames of TRUTH have no prediction, 2 that nothing can be scored.
    """
    import handopt.evaluation
    from handopt.atomic_folder import check_free
    from handopt.cli.settings import EvalOptions
    from handopt.evaluation.plot import plot_problem
    from handopt.evaluation.report import KIND, save_evaluation, table, to_json

    options = EvalOptions(**arguments)
    console = Console()
    output = options.output
    if output is None and options.overwrite:
        raise click.UsageError("--overwrite needs -o DIR, where the evaluation is to be written")
    if output is not None:
        require_place(output, lambda: check_free(output, KIND, overwrite=options.overwrite))
    with naming_option("PRED", "TRUTH"), console.parts("file") as progress:
        evaluation = handopt.evaluation.evaluate(
            pred,
            truth,
            joint_set=options.labels,
            coordinates=options.coordinates,
            pred_coordinates=options.pred_coordinates,
            camera=_camera(options.camera, options.labels),
            names=options.names,
            progress=progress,
        )
    if output is not None:
        save_evaluation(evaluation, output, overwrite=options.overwrite)
        if problem := plot_problem():
            console.note(problem)
    for line in [to_json(evaluation, indent=None)] if options.as_json else table(evaluation):
        console.result(line)
    console.notes(evaluation.notes)
    _list(console, "Without a prediction, counted as failed", evaluation.missing)
    _list(console, "Predictions of no frame of TRUTH, not used", evaluation.unused)
    ctx.exit(1 if evaluation.missing else 0)


def _camera(spec: str | None, labels: str | None) -> "Camera | None":
    """The camera that --camera names; numbers alone are for images of the set's size."""
    from handopt.input.camera_spec import load_camera

    if spec is None:
        return None
    with naming_option("--camera"):
        if labels not in ("nyu", "icvl", "msra") or "," not in spec:
            return load_camera(spec)
        size = load_camera(str(labels))
        return load_camera(spec, size.width, size.height)


def _list(console: Console, heading: str, names: tuple[str, ...]) -> None:
    shown = names if console.verbosity >= 1 else names[:NAMES_SHOWN]
    if names:
        more = f" and {len(names) - len(shown)} more (-v lists all)" if len(shown) < len(names) else ""
        console.say(f"{heading} ({len(names)}): {', '.join(shown)}{more}")
