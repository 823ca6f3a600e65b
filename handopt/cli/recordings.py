"""Recordings and RGB-D folders as inputs of `handopt fit`: their frames are written as depth images first."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from handopt.cli.console import Console
from handopt.files import UnreadableError, read_json

if TYPE_CHECKING:
    from handopt.cli.settings import FitOptions
    from handopt.input.sequence.base import FrameSource, SequenceFrame
    from handopt.typing import AnyArray

SOURCE_NAME: Final = ".source.json"
"""File in the folder of the frames that says what they were made of."""
FINEST_MM: Final = 0.1
"""Frames of floating point numbers are kept in steps of 0.1 mm, up to 6.5 m."""


def with_frames(given: list[Path], options: "FitOptions", console: Console) -> "tuple[list[Path], FitOptions]":
    """The inputs and options, with the folder of its frames in place of a recording.

    The frames lie in OUTPUT/NAME-frames and are written once. Camera, unit, distortion and mirroring are those of the
    recording then. Raises UsageError where a recording is not the only input, and what open_source raises.
    """
    from handopt.input.sequence.open import is_recording

    recordings = [path for path in given if is_recording(path)]
    if not recordings:
        if options.topic is not None:
            raise click.UsageError("--topic is for a ROS bag: leave it out")
        return given, options
    if len(given) > 1:
        raise click.UsageError(f"{click.format_filename(recordings[0])} is a recording: fit it on its own")
    frames = _frames(recordings[0], options, console)
    return [frames], replace(options, camera=None, unit=None, encoding="auto", mirrored=None)


def check_pictures(images: list[Path], console: Console) -> None:
    """Refuse images none of which has a colour picture, and say how many have none. Raises UsageError."""
    from handopt.input.colour import FOLDER, find_picture

    bare = [image for image in images if find_picture(image) is None]
    if bare and len(bare) == len(images):
        raise click.UsageError(
            f"--colour: {click.format_filename(bare[0])} has no colour picture, which would have its name and lie in "
            f"the folder {FOLDER} beside it: leave --colour out"
        )
    if bare:
        console.note(f"{len(bare)} of {len(images)} images have no colour picture: their overlays show the depth.")


def _frames(path: Path, options: "FitOptions", console: Console) -> Path:
    """The folder of a recording's frames, written unless an earlier run did so with the same options."""
    from handopt.atomic_folder import written_aside
    from handopt.input.sequence import open_source
    from handopt.input.sequence.stream_info import SourceOptions

    folder = options.output / f"{path.resolve().stem}-frames"
    told = {"camera": options.camera, "unit": options.unit, "mirrored": options.mirrored, "topic": options.topic}
    told |= {"colour": True} if options.colour else {}
    facts = {"recording": str(path.resolve()), "written_ns": path.stat().st_mtime_ns, **told}
    if _facts_of(folder) == facts:
        return folder
    source = open_source(
        path,
        SourceOptions(
            options.camera,
            options.unit,
            options.encoding,
            mirrored=options.mirrored,
            topic=options.topic,
            colour=options.colour,
        ),
    )
    console.notes(source.assumptions)
    with written_aside(folder, overwrite=folder.exists()) as partial, console.bar(source.length, "frame") as bar:
        count = _write(source, partial, console, bar.advance)
        (partial / SOURCE_NAME).write_text(json.dumps(facts) + "\n", encoding="utf-8")
    console.say_groups("frame")
    console.say(f"{count} frames are in {click.format_filename(folder)}.")
    return folder


def _facts_of(folder: Path) -> Any:
    try:
        return read_json(folder / SOURCE_NAME)
    except UnreadableError:
        return None


def _write(source: "FrameSource", folder: Path, console: Console, advance: Any) -> int:
    """Write each frame as PNG, and their camera; returns how many there are."""
    from PIL import Image

    from handopt.input.colour import FOLDER

    unit_mm = source.unit_mm if source.unit_mm <= 1.0 else FINEST_MM
    document: dict[str, Any] = {"camera": source.camera.to_dict(), "unit_mm": unit_mm}
    if source.hand in ("right", "left"):
        document["hand"] = source.hand
    (folder / "camera.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    count = 0
    for frame in source:
        if frame.problem is None and (frame.depth_mm > 0).any():
            Image.fromarray(_counts(frame, unit_mm)).save(folder / f"{frame.index:06d}.png", compress_level=1)
            if frame.colour is not None:
                (folder / FOLDER).mkdir(exist_ok=True)
                Image.fromarray(frame.colour).save(folder / FOLDER / f"{frame.index:06d}.png", compress_level=1)
            count += 1
        else:
            reason = "nothing is measured in it" if frame.problem is None else frame.problem.partition(": ")[2]
            console.error_about(frame.name, reason or str(frame.problem), label="Skipped")
        advance()
    if count == 0:
        raise click.ClickException(f"{source.name}: no frame of it has depth")
    return count


def _counts(frame: "SequenceFrame", unit_mm: float) -> "AnyArray":
    import numpy as np

    counts = np.rint(frame.depth_mm.astype(np.float64) / unit_mm)
    counts[~((counts > 0) & (counts < np.iinfo(np.uint16).max))] = 0
    return counts.astype(np.uint16)
