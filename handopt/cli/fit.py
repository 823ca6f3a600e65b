"""`handopt fit`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.fit_report import Report
from handopt.cli.inputs import STANDARD_INPUT, ImageArgument, find_images
from handopt.cli.job import make_job
from handopt.cli.options import (
    Numbers,
    SectionedCommand,
    as_options,
    compute_options,
    depth_options,
    hand_options,
    option,
    verbosity_options,
)

if TYPE_CHECKING:
    from handopt.batch.outcome import Outcome
    from handopt.cli.settings import FitOptions

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(cls=SectionedCommand, short_help="Fit the hand to depth images.")
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=ImageArgument())
@depth_options
@option("Input", "--mask", type=FILE, metavar="FILE", help="Image or .npy, nonzero on the hand; for a single image.")
@option(
    "Input",
    "--box",
    type=Numbers(4),
    metavar="X0,Y0,X1,Y1",
    help="Pixels between which the hand lies; for a single image.",
)
@option(
    "Input",
    "--center",
    type=Numbers(2, 3),
    metavar="U,V|X,Y,Z",
    help="The palm's centre, as a pixel or in mm; for a single image.",
)
@hand_options("auto tries both.  [default: what the JSON file or --model says, else right]")
@option(
    "Fit",
    "--shape",
    type=click.Choice(["none", "scale", "proportions", "vertices"]),
    help="What may change besides the pose: the hand's size, also the proportions of fingers and palm, also its "
    "surface.  [default: proportions; none where --model is a hand of handopt shape]",
)
@option(
    "Fit",
    "--solver",
    type=click.Choice(["auto", "lm", "gradient"]),
    help="auto: a tournament of Levenberg-Marquardt, judged by a z-buffer; lm: the same, judged by its own cost; "
    "gradient: descent on the rendered depth, as in the paper.  [default: what --config says, else auto]",
)
@option("Fit", "--config", type=FILE, metavar="FILE", help="TOML file with weights, stages and other settings.")
@compute_options("Fit")
@option(
    "Output",
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default="handopt-out",
    show_default=True,
    metavar="DIR",
    help="Where each image gets a folder of results.",
)
@option("Output", "--overwrite", is_flag=True, help="Replace results that exist.")
@option(
    "Output",
    "--update",
    is_flag=True,
    help="Replace only results of another content of the image, of other settings, or without a file that is asked "
    "for now.",
)
@option(
    "Output",
    "--renders/--no-renders",
    default=None,
    help="Also write a render of every iteration.  [default: of a single image]",
)
@option("Output", "--no-overlay", is_flag=True, help="Leave out overlay.png, which takes a tenth of the time.")
@option("Output", "--video", is_flag=True, help="Also write optimisation.mp4.")
@option("Output", "--ply", is_flag=True, help="Also write mesh.ply.")
@option("Output", "--obj", is_flag=True, help="Also write mesh.obj.")
@option("Output", "--json", "as_json", is_flag=True, help="Print the result of each image as a line of JSON.")
@option("Many images", "-r", "--recursive", is_flag=True, help="Look into folders of folders as well.")
@option("Many images", "-0", "--null", is_flag=True, help="The list on standard input is that of find -print0.")
@option(
    "Many images",
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes on this machine.  [default: one a core, and one for each 8 images at most]",
)
@option(
    "Many images",
    "--batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Images that a process fits together, which is faster.  [default: 8, on a GPU 32]",
)
@option(
    "Many images",
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="The same with so many workers of Dask, each on a core or GPU of its own.",
)
@option(
    "Many images",
    "--cluster",
    metavar="ADDRESS",
    help="Work on a Dask cluster: address of its scheduler, or its scheduler file. All see the same files.",
)
@verbosity_options
@click.pass_context
def fit(ctx: click.Context, /, images: tuple[tuple[Path, ...], ...], **arguments: Any) -> None:
    """Fit the hand to each depth image in IMAGE...: files, folders of them, patterns in quotes, or - for a list of them
    on standard input.

    Each image gets a folder with result.json, mesh.glb, overlay.png, history.csv, trace.npz and, if it is a single
    image, renders/. One line for each goes
    to stdout: folder, status, median residual, overlap of the silhouettes, seconds, with tabs between them. Of several
    images OUTPUT/summary.jsonl tells how each ended: done, failed or skipped. What is done already is not done again.

    The exit code is 0 if all images are done, and 1 if some are not; those that are are kept.
    """
    from contextlib import closing, nullcontext

    from handopt.batch.outcome import DONE, Task
    from handopt.batch.run import RunSettings, run
    from handopt.batch.summary import Summary
    from handopt.cli.settings import FitOptions
    from handopt.storage.naming import result_folders

    options = FitOptions(**arguments)
    _check_exclusive(options)
    given = [path for word in images for path in word]
    output = options.output
    bases = find_images(given, recursive=options.recursive, null=options.null, output=output)
    paths = list(bases)
    job = make_job(options, len(paths))
    where = RunSettings(options.jobs, options.workers, options.cluster)
    tasks = [Task(image, folder) for image, folder in result_folders(paths, output, bases).items()]
    several = len(paths) > 1 or str(given[0]) == STANDARD_INPUT or given[0].is_dir()
    with (
        Report(len(paths), verbosity=options.verbosity, as_json=options.as_json) as report,
        Summary(output, paths) if several else nullcontext() as summary,
        closing(run(job, tasks, where, progress=report.progress, notify=report.talk)) as outcomes,
    ):
        report.weights(vars(job.settings.config.weights))
        left = len(tasks)
        for outcome in map(_with_options, outcomes):
            left -= 1
            if summary is not None:
                summary.add(outcome)
            report.outcome(outcome)
            if outcome.full and left:
                report.stopped(left)
                break
        report.summary()
    ctx.exit(0 if report.counts[DONE] == len(tasks) else 1)


def _check_exclusive(options: "FitOptions") -> None:
    """Refuse options that say differently where to work, or what to do with results that exist."""
    places = {"--jobs": options.jobs, "--workers": options.workers, "--cluster": options.cluster}
    existing = {"--overwrite": options.overwrite, "--update": options.update}
    for group in (places, existing):
        given = [name for name, value in group.items() if value]
        if len(given) > 1:
            raise click.UsageError(f"{' and '.join(given)} exclude each other")


def _with_options(outcome: "Outcome") -> "Outcome":
    """An outcome whose error names options of the command line, for people and for summary.jsonl."""
    return outcome if outcome.error is None else replace(outcome, error=as_options(outcome.error))
