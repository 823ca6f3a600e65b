"""`handopt model`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.options import SectionedCommand, as_options, naming_option, option, rig_options, verbosity_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handopt.rig import Rig

OWN = ("right", "left")


@click.group()
def model() -> None:
    """Inspect hand rigs."""


@model.command(cls=SectionedCommand)
@click.argument("rig", metavar="RIG|right|left")
@rig_options
@option(
    "Output",
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PNG",
    help="Where to write the picture.  [default: <name>-turntable.png]",
)
@option("Output", "--overwrite", is_flag=True, help="Replace a picture that exists.")
@verbosity_options
def show(rig: str, joint_map: Path | None, limits: str, output: Path | None, **options: Any) -> None:
    """Print joints, sizes, limits and mesh of a rig, and draw it from eight sides.

    RIG is a glTF or GLB file, or right or left for handopt's own hands. A picture that exists is kept.
    """
    from handopt.rig import default_rig

    if output is not None and output.suffix.lower() != ".png":
        raise click.UsageError(f"-o {output}: the picture is a PNG; call it {output.with_suffix('.png').name}")
    quiet, kept = options["quiet"], not options["overwrite"]
    if output is not None and output.exists() and kept:
        raise click.UsageError(f"{output} exists and was kept: replace it with --overwrite or choose another with -o")
    loaded = default_rig(rig, limits) if rig in OWN and joint_map is None else _load(Path(rig), joint_map, limits)
    for line in describe(loaded):
        click.echo(line)
    if not quiet:
        for note in loaded.notes:
            click.echo(f"Note: {as_options(note)}", err=True)
    path = output or Path(f"{loaded.name}-turntable.png")
    shown = click.format_filename(path)
    if output is None and path.exists() and kept:
        click.echo(f"Note: {shown} exists and was kept; --overwrite draws it again.", err=True)
        return
    _write(loaded, path)
    if not quiet:
        click.echo(f"{shown} shows it from eight sides.", err=True)


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


def _load(path: Path, mapping: Path | None, limits: str) -> "Rig":
    from handopt.rig import load_rig
    from handopt.rig.joints import read_mapping

    if not path.is_file():
        raise click.UsageError(f"{path} is neither a file nor {' or '.join(OWN)}: RIG must be a glTF or GLB file")
    if mapping is not None:
        with naming_option("--joint-map"):
            read_mapping(mapping)
    with naming_option("RIG", "--limits"):
        return load_rig(path, None, mapping, limits)


def _sizes(rig: "Rig") -> "Iterator[str]":
    import numpy as np

    along_axes = rig.rest_mm @ rig.bind[0, :, :3]
    width, thickness, length = np.ptp(along_axes, axis=0)
    yield f"extent: {length:.0f} mm along the hand, {width:.0f} mm across, {thickness:.0f} mm from palm to back"
    wrist, index, middle, pinky = (rig.keypoints_mm[k] for k in (0, 5, 12, 17))
    reach, palm = np.linalg.norm(middle - wrist), np.linalg.norm(index - pinky)
    yield f"skeleton: {reach:.0f} mm from the wrist to the middle finger's tip, {palm:.0f} mm from index to pinky mcp"


def _joints(rig: "Rig") -> "Iterator[str]":
    import numpy as np

    width = max(map(len, rig.joint_names))
    yield f"{'joint':<{width}}  {'parent':<{width}}  bone mm"
    for joint, (name, parent) in enumerate(zip(rig.joint_names, rig.parents, strict=True)):
        if parent < 0:
            yield f"{name:<{width}}  {'-':<{width}}        -"
            continue
        bone = np.linalg.norm(rig.bind[joint, :, 3] - rig.bind[parent, :, 3])
        yield f"{name:<{width}}  {rig.joint_names[parent]:<{width}}  {bone:7.1f}"


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


def _write(rig: "Rig", path: Path) -> None:
    """Write the picture aside and rename it, so that it appears complete or not at all. Raises OutputError."""
    import secrets
    from contextlib import suppress

    from handopt.draw.turntable import write_turntable
    from handopt.errors import OutputError

    partial = path.with_name(f".handopt-{secrets.token_hex(6)}.partial")
    try:
        write_turntable(rig, partial)
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another with -o") from error
    finally:
        with suppress(OSError):
            partial.unlink()
