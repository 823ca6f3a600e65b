"""`handopt model`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.console import Console
from handopt.cli.errors import naming_option
from handopt.cli.help import EXPERT, SectionedCommand, SectionedGroup, option
from handopt.cli.model_network import SUFFIX, describe_network, export
from handopt.cli.options import RIG_FILES, json_option, output_options, rig_options, verbosity_options
from handopt.cli.outputs import require_free_file
from handopt.cli.rigs import placed_keypoints
from handopt.files import is_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from handopt.rig import Rig

OWN = ("right", "left")


@click.group(
    cls=SectionedGroup,
    examples=(("print the joints, sizes and limits of a rig", "handopt model show hand.glb"),),
)
def model() -> None:
    """Inspect hand rigs and networks."""


model.add_command(export)


@model.command(
    cls=SectionedCommand,
    examples=(
        ("print the joints, sizes and limits of handopt's own right hand", "handopt model show right"),
        ("also draw your own hand from eight sides", "handopt model show myhand.glb -o myhand.png"),
        ("print what a network was trained on, and its scores", "handopt model show base.npz"),
    ),
)
@click.argument("rig", metavar="RIG|MODEL|right|left")
@rig_options
@option(
    EXPERT,
    "--save-joint-map",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write which joint of RIG was taken for which of a hand: a joint map (TOML), which you can edit and give back "
    "as --joint-map.",
)
@output_options("PNG", "Also draw the rig from eight sides into this picture.", replaces="a picture that exists")
@json_option("the rig or the network")
@verbosity_options
def show(rig: str, **arguments: Any) -> None:
    """Print joints, sizes, limits and mesh of a rig, and with -o draw it from eight sides.

    Of a network print what it was trained on, and its scores.

    RIG is a glTF, GLB, VRM or FBX file or a model of MANO, SMPL-H or SMPL-X, or right or left for handopt's own hands;
    MODEL is a .npz file of handopt train.
    """
    from handopt.cli.settings import ModelShowOptions
    from handopt.rig.joints import mapping_text
    from handopt.rig.mano_file import is_model_archive

    options = ModelShowOptions(**arguments)
    console = Console()
    output = options.output
    if Path(rig).suffix.lower() == SUFFIX and is_file(rig) and not is_model_archive(Path(rig)):
        if output is not None:
            raise click.UsageError("-o draws a rig: leave it out for a network")
        for line in describe_network(Path(rig), as_json=options.as_json):
            console.result(line)
        return
    saved = options.save_joint_map
    _check_output(output, overwrite=options.overwrite, others=saved is not None)
    if saved is not None:
        if saved.suffix.lower() != ".toml":
            raise click.UsageError(
                f"--save-joint-map {saved}: the map is TOML; call it {saved.with_suffix('.toml').name}"
            )
        require_free_file(saved, overwrite=options.overwrite)
    loaded = _load(rig, options.joint_map, options.limits, options.part)
    if saved is not None:
        saved.write_text(mapping_text(loaded.joint_names, loaded.source_names), encoding="utf-8")
    for line in [json.dumps(_document(loaded))] if options.as_json else describe(loaded):
        console.result(line)
    console.notes(placed_keypoints(loaded, None).notes)
    if saved is not None:
        console.say(f"{click.format_filename(saved)} is its joint map: edit it, and give it back as --joint-map.")
    if output is not None:
        _draw(loaded, output, console)
        console.say(f"{click.format_filename(output)} shows it from eight sides.")


def _check_output(output: Path | None, *, overwrite: bool, others: bool) -> None:
    """Refuse a picture that exists or is no PNG. others: whether another file is written. Raises UsageError."""
    if output is None:
        if overwrite and not others:
            raise click.UsageError("--overwrite needs -o PNG, where the picture is to be written")
        return
    if output.suffix.lower() != ".png":
        raise click.UsageError(f"-o {output}: the picture is a PNG; call it {output.with_suffix('.png').name}")
    require_free_file(output, overwrite=overwrite)


def describe(rig: "Rig") -> "Iterator[str]":
    """Tables of a rig as lines of text: mesh, sizes in mm, joints with their bones in mm, limits in degrees."""
    yield f"{rig.name}: a {rig.side} hand"
    if rig.licence:
        yield f"licence: {rig.licence}"
    closed = "closed" if rig.is_closed else "not closed"
    yield f"mesh: {len(rig.rest_mm)} vertices, {len(rig.faces)} faces, {closed}"
    yield from _sizes(rig)
    yield ""
    yield from _joints(rig)
    yield ""
    yield from _limits(rig)


def _load(rig: str, mapping: Path | None, limits: str, part: str | None) -> "Rig":
    """The rig in a file, or handopt's own hand of a side. Raises UsageError."""
    from handopt.errors import did_you_mean
    from handopt.rig import default_rig, load_rig
    from handopt.rig.joints import read_mapping

    if rig in OWN and mapping is None:
        return default_rig(rig, limits)
    path = Path(rig)
    if not is_file(path):
        raise click.UsageError(
            f"{path} is neither a file nor {' or '.join(OWN)}{did_you_mean(rig, OWN)}: RIG must be a file of a rig: "
            f"{RIG_FILES}"
        )
    if mapping is not None:
        with naming_option("--joint-map"):
            read_mapping(mapping)
    with naming_option("RIG", "--limits"):
        return load_rig(path, None, mapping, limits, part)


def _sizes(rig: "Rig") -> "Iterator[str]":
    import numpy as np

    along_axes = rig.rest_mm @ rig.bind[0, :, :3]
    width, thickness, length = np.ptp(along_axes, axis=0)
    yield f"extent: {length:.0f} mm along the hand, {width:.0f} mm across, {thickness:.0f} mm from palm to back"
    wrist, index, middle, pinky = (rig.keypoints_mm[k] for k in (0, 5, 12, 17))
    reach, palm = np.linalg.norm(middle - wrist), np.linalg.norm(index - pinky)
    yield f"skeleton: {reach:.0f} mm from the wrist to the middle finger's tip, {palm:.0f} mm from index to pinky mcp"


def _joints(rig: "Rig") -> "Iterator[str]":
    width, sources = max(map(len, rig.joint_names)), _sources(rig)
    yield f"{'joint':<{width}}  {'parent':<{width}}  bone mm  in the file"
    for joint, (name, parent, source) in enumerate(zip(rig.joint_names, rig.parents, sources, strict=True)):
        above, bone = ("-", "-") if parent < 0 else (rig.joint_names[parent], f"{_bone(rig, joint, int(parent)):.1f}")
        yield f"{name:<{width}}  {above:<{width}}  {bone:>7}  {source or '(made)'}"


def _sources(rig: "Rig") -> tuple[str, ...]:
    """What the file calls each joint, empty for those that were made."""
    return rig.source_names or ("",) * len(rig.joint_names)


def _limits(rig: "Rig") -> "Iterator[str]":
    import numpy as np

    from handopt.rig.joints import ANGLE_NAMES
    from handopt.rig.model import AXES

    yield f"limits: {rig.limits.name}, in degrees ('-' does not move)"
    yield f"{'joint':<12}" + "".join(f"{axis:>15}" for axis in AXES)
    lower, upper = np.degrees(rig.limits.lower), np.degrees(rig.limits.upper)
    for row, name in enumerate(ANGLE_NAMES):
        ranges = [
            f"{low:.0f} to {high:.0f}" if free else "-"
            for low, high, free in zip(lower[row], upper[row], rig.limits.free[row], strict=True)
        ]
        yield f"{name:<12}" + "".join(f"{each:>15}" for each in ranges)


def _document(rig: "Rig") -> dict[str, Any]:
    """What describe says, as JSON values: lengths in mm, limits in degrees."""
    import numpy as np

    from handopt.rig.joints import ANGLE_NAMES
    from handopt.rig.model import AXES

    lower, upper = np.degrees(rig.limits.lower), np.degrees(rig.limits.upper)
    joints = [
        {
            "name": name,
            "parent": None if parent < 0 else rig.joint_names[parent],
            "bone_mm": None if parent < 0 else round(float(_bone(rig, joint, int(parent))), 3),
            "in_file": source or None,
        }
        for joint, (name, parent, source) in enumerate(zip(rig.joint_names, rig.parents, _sources(rig), strict=True))
    ]
    limits = {
        name: {
            axis: [round(float(lower[row, column]), 3), round(float(upper[row, column]), 3)]
            for column, axis in enumerate(AXES)
            if rig.limits.free[row, column]
        }
        for row, name in enumerate(ANGLE_NAMES)
    }
    return {
        "name": rig.name,
        "hand": rig.side,
        "licence": rig.licence,
        "vertices": len(rig.rest_mm),
        "faces": len(rig.faces),
        "closed": bool(rig.is_closed),
        "joints": joints,
        "limits": {"name": rig.limits.name, "degrees": limits},
    }


def _bone(rig: "Rig", joint: int, parent: int) -> "np.floating":
    """Length in mm between a joint and its parent."""
    import numpy as np

    return np.linalg.norm(rig.bind[joint, :, 3] - rig.bind[parent, :, 3])


def _draw(rig: "Rig", path: Path, console: Console) -> None:
    """Draw the picture, which appears complete or not at all. Raises OutputError."""
    from handopt.atomic_folder import written_file
    from handopt.draw import turntable
    from handopt.errors import OutputError

    try:
        with written_file(path) as partial, console.bar(turntable.VIEWS, "view") as bar:
            turntable.write_turntable(rig, partial, bar.advance)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another with -o") from error
