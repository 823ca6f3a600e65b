"""`handopt export`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.console import Console
from handopt.cli.errors import naming_option
from handopt.cli.help import SectionedCommand, option
from handopt.cli.options import FILE, json_option, output_options, verbosity_options
from handopt.cli.outputs import remove_leftovers, require_writable
from handopt.cli.values import Choice

if TYPE_CHECKING:
    from handopt.cli.settings import ExportOptions
    from handopt.export.labels.formats import Exported

PATH = click.Path(exists=True, path_type=Path)
LABELS = ("csv", "parquet", "npz", "coco", "freihand", "interhand", "nyu", "icvl", "msra", "dexycb")
MOTION = ("glb", "bvh", "vrma", "usd", "amass")
MANO = "mano"


@click.command(
    cls=SectionedCommand,
    examples=(
        ("all joints of a folder of fits as a table", "handopt export fits -o joints.csv"),
        (
            "labels for training, of the sure fits only, with crops",
            "handopt export fits -o coco --format coco --min-confidence 0.9 --crop 128",
        ),
        ("what was accepted in handopt report", "handopt export fits -o good.csv --review fits/review.jsonl"),
        ("a character whose hand moves as in a track", "handopt export walk-track -o moved.glb --rig character.glb"),
        (
            "MANO's parameters of a folder of fits",
            "handopt export fits -o poses.npz --format mano --mano MANO_RIGHT.pkl",
        ),
        ("a track in the files of FreiHAND", "handopt export walk-track -o walk-labels --format freihand"),
    ),
)
@click.argument("results", metavar="RESULTS...", nargs=-1, required=True, type=PATH)
@option(
    "Output",
    "--format",
    type=Choice((*LABELS, *MOTION, MANO)),
    metavar="FORMAT",
    help="What to write: a table (csv, parquet), arrays (npz), the labels of a data set (coco, freihand, interhand, "
    "nyu, icvl, msra, dexycb), the motion of a track (glb, bvh, vrma, usd, amass), or MANO's parameters (mano).  "
    "[default: as the name in -o ends, else csv]",
)
@option(
    "Content",
    "--min-confidence",
    type=click.FloatRange(0.0, 1.0),
    default=0.0,
    show_default=True,
    metavar="P",
    help="Leave out hands of a lower confidence.",
)
@option(
    "Content",
    "--review",
    type=FILE,
    metavar="FILE",
    help="Only the fits below RESULTS, a single folder, that were accepted in handopt report.",
)
@option("Content", "--root-relative", is_flag=True, help="Joints relative to the wrist, in csv, parquet and npz.")
@option(
    "Content",
    "--crop",
    type=click.IntRange(16, 512),
    metavar="PX",
    help="Also write normalised crops of the depth around each hand, PX x PX, with their transforms.",
)
@option(
    "Motion",
    "--rig",
    "character",
    type=FILE,
    metavar="FILE",
    help="Character (.glb, .vrm) whose hand moves, for glb and bvh.",
)
@option(
    "Motion",
    "--joint-map",
    type=FILE,
    metavar="FILE",
    help='TOML or JSON file of lines like wrist = "name of a bone", for a --rig whose bones have other names.',
)
@option(
    "MANO",
    "--mano",
    type=FILE,
    metavar="FILE",
    help="Your MANO_RIGHT.pkl or MANO_LEFT.pkl, for --format mano. For hands of both sides the other lies beside it.",
)
@output_options(
    "PATH",
    "Folder of the labels; or a name that ends in .csv, .parquet, .npz or .json (COCO), or for motion in .glb, .vrm, "
    ".bvh, .vrma, .usdc or, with --format amass or mano, .npz.  [required]",
    replaces="an export that exists",
)
@json_option("what was written")
@verbosity_options
def export(results: tuple[Path, ...], **arguments: Any) -> None:
    """Write the hands of RESULTS, folders of handopt fit or handopt track or folders of them, as labels.

    Or write the motion of one track, for 3D programs. handopt/export/README.md describes each format and the order of
    its joints. handopt eval reads all labels as TRUTH.

    One line goes to stdout: what was written.
    """
    from handopt.cli.settings import ExportOptions
    from handopt.files import is_folder

    options = ExportOptions(**arguments)
    console = Console()
    output = options.output
    if output is None:
        raise click.UsageError("-o PATH is missing: where the labels are to be written")
    for folder in (output, output.parent):
        remove_leftovers(folder)
    require_writable(output.parent if output.suffix and not is_folder(output) else output)
    if _motion(results, output, options, console):
        return
    only = None if options.review is None else _accepted(results, options.review, console)
    done = (_mano if options.format == MANO else _labels)(results, output, options, console, only)
    document = {"path": str(done.path), "hands": done.hands, "left_out": done.left_out}
    console.result(json.dumps(document) if options.as_json else click.format_filename(done.path))
    console.notes(done.notes)
    if done.left_out:
        console.say(f"{done.left_out} hands of a confidence below {options.min_confidence:g} were left out.")


def _motion(results: tuple[Path, ...], output: Path, options: "ExportOptions", console: Console) -> bool:
    """Write motion if that is asked for, and return whether it was. Raises UsageError."""
    from handopt.export.motion.formats import export_motion, motion_format

    with naming_option(""):
        if options.mano is not None and options.format != MANO:
            raise click.UsageError("--mano is for MANO's parameters: use --format mano, or leave it out")
        if options.format == MANO:
            return False
        chosen = motion_format(output, options.format)
        if chosen is None:
            if options.character is not None or options.joint_map is not None:
                raise click.UsageError("--rig and --joint-map are for motion: use --format glb or bvh")
            return False
        if len(results) > 1:
            raise click.UsageError("motion is of one track: give one of RESULTS")
        if options.min_confidence or options.root_relative or options.crop or options.review:
            raise click.UsageError(
                "--min-confidence, --review, --root-relative and --crop are for labels: leave them out"
            )
        notes = export_motion(
            results[0],
            output,
            format=chosen,
            character=options.character,
            joint_map=options.joint_map,
            overwrite=options.overwrite,
        )
    document = {"path": str(output), "format": chosen}
    console.result(json.dumps(document) if options.as_json else click.format_filename(output))
    console.notes(notes)
    return True


def _accepted(results: tuple[Path, ...], review: Path, console: Console) -> frozenset[str]:
    """Names of the fits below the folder of all that were accepted. Raises UsageError where there is none."""
    from handopt.files import is_file, is_folder
    from handopt.storage.fit_folder import RESULT_NAME
    from handopt.viewer.review import ACCEPT, read_review

    if len(results) > 1 or not is_folder(results[0]):
        raise click.UsageError("--review is of one folder of fits: give that folder alone as RESULTS")
    with naming_option("--review"):
        decisions = read_review(review).values()
    accepted = {each.folder for each in decisions if each.decision == ACCEPT}
    found = frozenset(name for name in accepted if is_file(results[0] / name / RESULT_NAME))
    for name in accepted - found:
        console.note_about(name, "was accepted but not found in RESULTS")
    console.say_groups("fit")
    if not found:
        raise click.UsageError(f"--review {review}: no fit in {results[0]} was accepted")
    console.say(f"{len(found)} of {len(decisions)} reviewed fits were accepted.")
    return found


def _mano(
    results: tuple[Path, ...],
    output: Path,
    options: "ExportOptions",
    console: Console,
    only: frozenset[str] | None,
) -> "Exported":
    """Write MANO's parameters. Raises UsageError, whose message names what to change."""
    from handopt.export.mano import export_mano

    if options.root_relative or options.crop or options.character is not None or options.joint_map is not None:
        raise click.UsageError(
            "--root-relative, --crop, --rig and --joint-map are not for --format mano: leave them out"
        )
    with naming_option(""), console.parts("hand") as progress:
        return export_mano(
            results,
            output,
            mano=options.mano,
            min_confidence=options.min_confidence,
            only=only,
            overwrite=options.overwrite,
            progress=progress,
        )


def _labels(
    results: tuple[Path, ...],
    output: Path,
    options: "ExportOptions",
    console: Console,
    only: frozenset[str] | None = None,
) -> "Exported":
    """Write labels. Raises UsageError, whose message names what to change."""
    from handopt.export.labels import export_labels

    with naming_option(""), console.parts("file") as progress:
        return export_labels(
            results,
            output,
            format=options.format,
            min_confidence=options.min_confidence,
            only=only,
            root_relative=options.root_relative,
            crop=options.crop,
            overwrite=options.overwrite,
            progress=progress,
        )
