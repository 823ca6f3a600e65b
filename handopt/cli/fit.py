"""`handopt fit`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.console import Console
from handopt.cli.errors import as_options, naming_option
from handopt.cli.fit_report import Report
from handopt.cli.help import EXPERT, SectionedCommand, option
from handopt.cli.inputs import STANDARD_INPUT, ImageArgument, Problem, find_images
from handopt.cli.job import make_job
from handopt.cli.local_page import page_options
from handopt.cli.options import (
    FILE,
    compute_options,
    depth_options,
    hand_options,
    json_option,
    keypoints_option,
    many_images_options,
    output_options,
    place_options,
    proposals_option,
    renders_option,
    verbosity_options,
    video_option,
)
from handopt.cli.recordings import check_pictures, with_frames
from handopt.cli.values import Choice
from handopt.files import is_folder

if TYPE_CHECKING:
    from handopt.batch.outcome import Outcome
    from handopt.cli.fit_page import FitPage
    from handopt.cli.settings import FitOptions


@click.command(
    cls=SectionedCommand,
    examples=(
        ("one image, with open.json or camera.json beside it", "handopt fit open.png"),
        ("a folder of images of a preset camera, and a video of each fit",
         "handopt fit frames -o fits --camera sr305 --video"),
        ("only what is new or has changed since the last run", "handopt fit frames -o fits --update"),
        ("a folder, with each result in 3D in a browser as it comes", "handopt fit frames --view"),
        ("what was corrected in handopt report", "handopt fit --review fits/review.jsonl -o fits"),
        ("a list of images, the results as JSON", "find . -name '*.png' -print0 | handopt fit - -0 --json"),
    ),
)  # fmt: skip
@click.argument("images", metavar="IMAGE...", nargs=-1, type=ImageArgument())
@depth_options
@place_options
@option("Input", "--topic", metavar="NAME", help="Topic of the depth images, where a ROS bag has several.")
@option(
    "Input",
    "--review",
    type=FILE,
    metavar="FILE",
    help="Fit again, in place of IMAGE, what was corrected in handopt report: the other hand, or another place of the "
    "palm. Give the options of the first run as well.",
)
@hand_options("auto tries both.  [default: what the JSON file or --model says, else auto]")
@keypoints_option
@option(
    "Fit",
    "--max-hands",
    type=click.IntRange(min=1, max=16),
    default=1,
    show_default=True,
    metavar="N",
    help="Fit up to N hands of each image, in OUTPUT/IMAGE/right and left, or right-1 and right-2. --hand is then the "
    "side of all, --mask and --center show the first.",
)
@option(
    "Fit",
    "--shape",
    type=Choice(["none", "scale", "proportions", "vertices"]),
    help="What may change besides the pose: the hand's size, also the proportions of fingers and palm, also its "
    "surface.  [default: proportions; none where --model is a hand of handopt shape]",
)
@proposals_option("--proposals", "Fit", "Start from the poses of this model of handopt train.")
@compute_options("Fit")
@option(
    EXPERT,
    "--solver",
    type=Choice(["auto", "lm", "gradient"]),
    help="auto: a tournament of Levenberg-Marquardt, judged by a z-buffer; lm: the same, judged by its own cost; "
    "gradient: descent on the rendered depth, as in the paper.  [default: what --config says, else auto]",
)
@option(
    "Page", "--view", is_flag=True, help="Show each result in 3D in a browser as soon as it is there, until Ctrl-C."
)
@page_options
@output_options(
    "DIR",
    "Where each image gets a folder of results.",
    default="handopt-out",
    replaces="results that exist",
)
@option(
    "Output",
    "--update",
    is_flag=True,
    help="Replace only results whose image or settings have changed, that are damaged, or that lack a file that is "
    "asked for now.",
)
@option(
    EXPERT,
    "--verify",
    is_flag=True,
    help="Make nothing: compare each result with its digests, and with the content of its image.",
)
@renders_option("of a single image", default=None)
@option(
    "Output",
    "--overlay/--no-overlay",
    default=True,
    help="Write overlay.png, which takes a tenth of the time.  [default: --overlay]",
)
@option(
    "Output",
    "--colour",
    is_flag=True,
    help="Show the fit in overlay.png over the colour picture: of colour/ beside an image, or of a recording. "
    "Overlays of fits that are kept stay as they are (--overwrite).",
)
@video_option("optimisation.mp4", default=False)
@option("Output", "--ply", is_flag=True, help="Also write mesh.ply.")
@option("Output", "--obj", is_flag=True, help="Also write mesh.obj.")
@option(
    "Output",
    "--masks",
    is_flag=True,
    help="Also write mask.png: which pixels are the hand's, its forearm's, or of what it holds (see handopt synth).",
)
@json_option("the result of each image")
@many_images_options
@option(
    EXPERT,
    "--batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Images that a process fits together, which is faster.  [default: 8, on a GPU 32]",
)
@option(
    EXPERT,
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of Dask workers on this machine, each on its own core or GPU.",
)
@option(
    EXPERT,
    "--cluster",
    metavar="ADDRESS",
    help="Work on a Dask cluster: address of its scheduler, or its scheduler file. All see the same files.",
)
@verbosity_options
@click.pass_context
def fit(ctx: click.Context, /, images: tuple[tuple[Path, ...], ...], **arguments: Any) -> None:
    """Fit the hand to each depth image in IMAGE...: files, folders of them, patterns in quotes, or - for a list of them
    on standard input. Or to each frame of a recording: a ROS bag, .bag, .mkv, .r3d, or a TUM or Open3D folder, whose
    frames are written to OUTPUT/NAME-frames first.

    Each image gets a folder with result.json, mesh.glb, overlay.png, history.csv, trace.npz and, if it is a single
    image, renders/. One line for each goes to stdout: folder, status, median residual, overlap of the silhouettes,
    confidence of the visible joints, seconds and the hand, with tabs between them; with --max-hands a line for each
    hand, which has a folder of its own in that of its image. Of several images
    OUTPUT/summary.jsonl tells how each ended: done, failed or skipped. A second run goes on where the first ended: what
    is done already is not done again.
    """
    from handopt.cli.settings import FitOptions

    options = FitOptions(**arguments)
    _check_exclusive(options)
    ctx.exit(fit_all(images, options) if options.review is None else _fit_again(images, options))


def fit_all(images: tuple[tuple[Path, ...], ...], options: "FitOptions") -> int:
    """Fit all images as the options say, or predict them; returns the exit code."""
    from contextlib import closing, nullcontext

    from handopt.batch.outcome import DONE, Task
    from handopt.batch.run import RunSettings, run
    from handopt.batch.summary import Summary
    from handopt.storage.naming import result_folders

    console = Console()
    if not images:
        raise click.UsageError("Missing argument 'IMAGE...'.")
    given, options = with_frames([path for word in images for path in word], options, console)
    output = options.output
    problems: list[Problem] = []
    bases = find_images(given, recursive=options.recursive, null=options.null, output=output, problems=problems)
    paths = list(bases)
    if options.colour:
        check_pictures(paths, console)
    job = make_job(options, len(paths))
    where = RunSettings(options.jobs, options.workers, options.cluster)
    tasks = [Task(image, folder) for image, folder in result_folders(paths, output, bases).items()]
    several = len(paths) > 1 or str(given[0]) == STANDARD_INPUT or is_folder(given[0])
    with (
        _page(options, console) if options.view else nullcontext() as page,  # its end waits for Ctrl-C: after all else
        Report(len(paths), console, as_json=options.as_json) as report,
        Summary(output, paths) if several and not options.verify else nullcontext() as summary,
        closing(run(job, tasks, where, progress=report.progress, notify=report.say)) as outcomes,
    ):
        report.weights(vars(job.settings.config.weights))
        for problem in problems:
            report.problem(problem.path, problem.error)
        left = len(tasks)
        for outcome in map(_with_options, outcomes):
            left -= 1
            if summary is not None:
                summary.add(outcome)
            report.outcome(outcome)
            if page is not None:
                page.add(outcome)
            if outcome.full and left:
                report.stopped(left)
                break
        report.summary()
    return 0 if report.counts[DONE] == len(tasks) and not problems else 1


def _page(options: "FitOptions", console: Console) -> "FitPage":
    """The page of --view. Raises UsageError where its port is taken."""
    from handopt.cli.fit_page import FitPage

    return FitPage(options.output, options.port, console, browser=options.browser)


def _fit_again(images: tuple[tuple[Path, ...], ...], options: "FitOptions") -> int:
    """Fit what was corrected in a review; returns the exit code. What an earlier run did is not done again."""
    from handopt.batch.outcome import DONE, Task
    from handopt.batch.run import RunSettings, run
    from handopt.viewer.review import OTHER_HAND, PALM, read_review

    given = {"IMAGE": images, "--center": options.center, "--box": options.box, "--mask": options.mask}
    clashing = [name for name, value in given.items() if value]
    if clashing or options.review is None:
        raise click.UsageError(f"--review says what is to be fitted and where: leave out {' and '.join(clashing)}")
    with naming_option("--review"):
        decisions = [each for each in read_review(options.review).values() if each.decision in (OTHER_HAND, PALM)]
    console = Console()
    for each in (each for each in decisions if each.image is None):
        console.note(f"{each.folder} cannot be fitted again, as its result does not name its image.")
    corrected = [each for each in decisions if each.image is not None]
    if not corrected:
        console.note(f"{options.review} holds no fit that was corrected.")
        return 0
    where = RunSettings(options.jobs, options.workers, options.cluster)
    with Report(len(corrected), console, as_json=options.as_json) as report:
        for each in corrected:
            own = replace(
                options, hand=each.corrected_hand, center=each.center_px, update=not options.overwrite, renders=False
            )
            task = Task(Path(each.image or ""), options.output / each.folder)
            for outcome in map(_with_options, run(make_job(own, 1), [task], where)):
                report.outcome(outcome)
        report.summary()
    return 0 if report.counts[DONE] == len(corrected) else 1


def _check_exclusive(options: "FitOptions") -> None:
    """Refuse options that say differently where to work, or what to do with results that exist."""
    places = {"--jobs": options.jobs, "--workers": options.workers, "--cluster": options.cluster}
    existing = {"--overwrite": options.overwrite, "--update": options.update, "--verify": options.verify}
    for group in (places, existing):
        given = [name for name, value in group.items() if value]
        if len(given) > 1:
            raise click.UsageError(f"{' and '.join(given)} exclude each other")
    if not options.view and (options.port or not options.browser):
        raise click.UsageError("--port and --no-browser are for --view: give that as well")
    if options.view and (options.verify or options.review):
        raise click.UsageError("--view shows new results: leave it out with --verify and --review")


def _with_options(outcome: "Outcome") -> "Outcome":
    """An outcome whose error names options of the command line, for people and for summary.jsonl."""
    return outcome if outcome.error is None else replace(outcome, error=as_options(outcome.error))
