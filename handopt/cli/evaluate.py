"""`handopt eval`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.options import SectionedCommand, as_options, naming_option, option, verbosity_options

if TYPE_CHECKING:
    from handopt.evaluation import Evaluation
    from handopt.input.camera import Camera

PATH = click.Path(exists=True, path_type=Path)
COORDINATES = click.Choice(["auto", "uvd", "xyz", "camera"])
SETS = ("synthetic", "nyu", "icvl", "msra")
NAMES_SHOWN = 10


@click.command("eval", cls=SectionedCommand, short_help="Score results against labels.")
@click.argument("pred", metavar="PRED", type=PATH)
@click.argument("truth", metavar="TRUTH", type=PATH)
@option(
    "Input",
    "--format",
    "labels",
    type=click.Choice(SETS),
    help="What TRUTH is.  [default: told by its files]",
)
@option(
    "Input",
    "--coordinates",
    type=COORDINATES,
    default="auto",
    show_default=True,
    help="Joints of a text file TRUTH: uvd is pixels and mm, xyz the set's own axes in mm, camera x right, y down, z "
    "forward in mm.",
)
@option(
    "Input",
    "--pred-coordinates",
    type=COORDINATES,
    default="auto",
    show_default=True,
    help="The same of a text file PRED.",
)
@option(
    "Input",
    "--camera",
    metavar="CAMERA",
    help="Camera of u, v, d: a preset, a JSON file, or fx,fy,cx,cy.  [default: the preset nyu, icvl or msra]",
)
@option(
    "Input",
    "--names",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Image name of every line of a text file TRUTH, one a line.",
)
@option(
    "Output",
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write per_frame.csv, per_joint.csv, curve.csv, curve.png and summary.json.",
)
@option("Output", "--overwrite", is_flag=True, help="Replace an evaluation that exists.")
@option("Output", "--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@verbosity_options
@click.pass_context
def evaluate(ctx: click.Context, /, pred: Path, truth: Path, **options: Any) -> None:
    """Score the joints of PRED against the labels of TRUTH.

    PRED is a folder of handopt fit's results, a track (the folder of handopt track, its track.jsonl or its track.npz),
    or a text file in TRUTH's format. TRUTH is a folder of NAME.json files
    with 21 keypoints (or levels of them: easy, medium, hard), or labels of the NYU, ICVL or MSRA sets, whose joints
    are made from the keypoints. Frames are matched by the image's stem, or level/stem.

    Printed are the mean and median joint error, the share of frames whose worst joint is within D mm, both also for
    visible joints, and the error of each joint. A frame without a prediction counts as failed at every D. Where labels
    are those of a sequence (handopt synth --sequence), jitter and lag are printed too.

    The exit code is 0 if every frame of TRUTH has a prediction, 1 if some have none, 2 if nothing can be scored.
    """
    import handopt.evaluation
    from handopt.atomic_folder import check_free
    from handopt.evaluation.plot import plot_problem
    from handopt.evaluation.report import KIND, save_evaluation, table, to_json

    output = options["output"]
    if output is None and options["overwrite"]:
        raise click.UsageError("--overwrite needs -o DIR, where the evaluation is to be written")
    if output is not None:
        with naming_option("-o"):
            check_free(output, KIND, overwrite=options["overwrite"])
    with naming_option("PRED", "TRUTH"):
        evaluation = handopt.evaluation.evaluate(
            pred,
            truth,
            joint_set=options["labels"],
            coordinates=options["coordinates"],
            pred_coordinates=options["pred_coordinates"],
            camera=_camera(options["camera"], options["labels"]),
            names=options["names"],
        )
    if output is not None:
        save_evaluation(evaluation, output, overwrite=options["overwrite"])
        if (problem := plot_problem()) and not options["quiet"]:
            click.echo(f"Note: {problem}", err=True)
    if options["as_json"]:
        click.echo(to_json(evaluation))
    else:
        for line in table(evaluation):
            click.echo(line)
    _talk(evaluation, quiet=options["quiet"], verbose=options["verbose"] > 0)
    ctx.exit(1 if evaluation.missing else 0)


def _camera(spec: str | None, labels: str | None) -> "Camera | None":
    """The camera that --camera names; numbers alone are for images of the set's size."""
    from handopt.input.camera_spec import load_camera

    if spec is None:
        return None
    with naming_option("--camera"):
        if labels in (None, "synthetic") or "," not in spec:
            return load_camera(spec)
        size = load_camera(str(labels))
        return load_camera(spec, size.width, size.height)


def _talk(evaluation: "Evaluation", *, quiet: bool, verbose: bool) -> None:
    """Say on stderr what was assumed, which frames have no prediction, and which predictions no frame."""
    if quiet:
        return
    for note in evaluation.notes:
        click.echo(f"Note: {as_options(note)}", err=True)
    _list("Without a prediction, counted as failed", evaluation.missing, verbose)
    _list("Predictions of no frame of TRUTH, not used", evaluation.unused, verbose)


def _list(heading: str, names: tuple[str, ...], verbose: bool) -> None:
    shown = names if verbose else names[:NAMES_SHOWN]
    if names:
        more = f" and {len(names) - len(shown)} more (-v lists all)" if len(shown) < len(names) else ""
        click.echo(f"{heading} ({len(names)}): {', '.join(shown)}{more}", err=True)
