"""`handopt compare`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.console import Console
from handopt.cli.errors import naming_option, one_line
from handopt.cli.help import SectionedCommand, option
from handopt.cli.inputs import check_sequence
from handopt.cli.job import check_camera, check_device, check_ignore, fit_settings, load_config
from handopt.cli.options import (
    compute_options,
    depth_options,
    json_option,
    output_options,
    verbosity_options,
    video_option,
)
from handopt.cli.outputs import require_place
from handopt.cli.rigs import named_network
from handopt.cli.values import Choice
from handopt.files import resolved

if TYPE_CHECKING:
    from handopt.cli.settings import CompareOptions
    from handopt.proposals.model_file import PoseModel
    from handopt.tracking.track import Track


@click.command(
    cls=SectionedCommand,
    examples=(
        ("handopt's own network and one that was adapted", "handopt compare handopt mine.npz walk -o walk-compared"),
        ("two models on the first 300 frames",
         "handopt compare base.npz mine.npz take.bag --frames 300"),
    ),
)  # fmt: skip
@click.argument("base", metavar="BASE")
@click.argument("adapted", metavar="ADAPTED")
@click.argument("source", metavar="SEQUENCE", type=click.Path(exists=True, path_type=Path))
@depth_options
@option("Input", "--topic", metavar="NAME", help="Topic of the depth images, where a ROS bag has several.")
@option("Input", "--frames", type=click.IntRange(min=1), metavar="N", help="Only the first N frames.")
@option(
    "Input",
    "--labels",
    type=click.Path(exists=True, path_type=Path),
    metavar="TRUTH",
    help="Labels of the frames, as handopt eval takes them.  [default: SEQUENCE where its files have labels]",
)
@option(
    "Hand",
    "--hand",
    type=Choice(["right", "left", "auto"]),
    help="Which hand it is.  [default: what the JSON files say, else auto]",
)
@compute_options("Network")
@output_options("DIR", "Folder of the comparison.  [default: handopt-out/<name>-compared]", replaces="a comparison")
@video_option("comparison.mp4", default=True)
@json_option("comparison.json")
@verbosity_options
def compare(base: str, adapted: str, source: Path, **arguments: Any) -> None:
    """Compare what two networks, BASE and ADAPTED, see in the frames of SEQUENCE: files of handopt train or handopt
    adapt, or the word handopt for its own network.

    Neither is refined or smoothed. The folder gets comparison.json (means), comparison.csv (each frame), comparison.png
    (curves, with Matplotlib), comparison.mp4 (the hands side by side) and the tracks of both, base and adapted.
    Measured are the mean joint error where there are labels, the difference between the rendered hand and the depth
    image, and jitter, the mean acceleration of the joints.

    Two lines go to stdout, one for each model: its name, then error, residual and acceleration in mm, with tabs between
    them.
    """
    from handopt.atomic_folder import check_free
    from handopt.cli.settings import CompareOptions
    from handopt.storage.comparison_folder import COMPARISON, NAMES, save_comparison

    options, console = CompareOptions(**arguments), Console()
    check_camera(options.camera)
    check_ignore(options.ignore)
    check_device(options.device)
    check_sequence(source)
    folder = options.output or Path("handopt-out") / f"{resolved(source).stem}-compared"
    require_place(folder, lambda: check_free(folder, COMPARISON, overwrite=options.overwrite))
    models = [named_network(word, name) for word, name in ((base, "BASE"), (adapted, "ADAPTED"))]
    first = _predicted(source, models[0], NAMES[0], options, console)
    # Both are asked for the same side, which is else that of the first frame in which a model finds a hand
    tracks = first, _predicted(source, models[1], NAMES[1], replace(options, hand=first.hand), console)
    truth = options.labels or _labels_of(source)
    with naming_option("--labels"):
        summary = save_comparison(
            tracks, (base, adapted), folder, truth=truth, video=options.video,
            overwrite=options.overwrite,
        )  # fmt: skip
    video = ", both tracks and a video" if options.video else " and both tracks"
    console.say(
        f"{click.format_filename(folder)} has numbers, curves{video}. Of each model are printed: mean joint error "
        "(- without labels), residual and acceleration, mm."
    )
    if options.as_json:
        console.result(json.dumps(summary, allow_nan=False))
        return
    for name in NAMES:
        values = (summary[name][each] for each in ("error_mm", "residual_mm", "acceleration_mm"))
        console.result("\t".join((name, *("-" if each is None else f"{each:.2f}" for each in values))))


def _predicted(
    source: Path, model: "PoseModel | None", name: str, options: "CompareOptions", console: Console
) -> "Track":
    """The track of a model. Raises SourceError, ObservationError and what open_source raises."""
    from itertools import islice

    from handopt.errors import SourceError
    from handopt.input.sequence import open_source
    from handopt.input.sequence.stream_info import SourceOptions
    from handopt.tracking.prediction import predict_source

    asked = SourceOptions(
        *(options.camera, options.unit, options.encoding, None, options.ignore, options.mirrored, options.hand),
        topic=options.topic,
    )
    opened = open_source(source, asked)
    if name == "base":
        console.notes(opened.assumptions)
    how = replace(fit_settings(options, load_config(options.config), "scale"), proposals=model, refine=0)
    tracking = predict_source(opened, hand=options.hand, settings=how)
    total = options.frames if opened.length is None else min(opened.length, options.frames or opened.length)
    with console.bar(total, "frame", name) as bar:
        try:
            for _ in islice(tracking, options.frames):
                bar.advance()
        except SourceError as error:
            if not len(tracking.result):
                raise
            console.note(f"{one_line(error)}: the frames before it are compared.")
    return tracking.result


def _labels_of(source: Path) -> Path | None:
    """The sequence itself where its files have labels."""
    from handopt.errors import LabelError
    from handopt.evaluation.labels import read_labels

    if not source.is_dir():
        return None
    try:
        read_labels(source)
    except LabelError:
        return None
    return source
