"""A folder of labelled images: LEVEL/NNN.png and NNN.json, LEVEL.camera.json, and synth.json about them all.

Images of level wild have a camera each, in NNN.json, and NNN_mask.png if wanted.

Where all images show one person, subject.glb is that hand: its rest mesh and joints in real size.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from handopt import atomic_folder
from handopt.errors import ConfigError
from handopt.export.rig_gltf import write_rig
from handopt.input.pixel_labels import PIXEL_LABELS
from handopt.rig import Rig
from handopt.synth.generate import Sample, Settings, generate, true_rig
from handopt.synth.labels import FORMAT, labels
from handopt.synth.poses import LEVELS, Level, check_level
from handopt.synth.sequence import Timing, generate_sequence
from handopt.synth.wild import WILD, WildSettings, generate_wild, wild_true_rig
from handopt.synth.wild_labels import wild_labels
from handopt.typing import Mask

INFO_NAME: Final = "synth.json"
SUBJECT_NAME: Final = "subject.glb"
_IMAGE_NAME = re.compile(r"\d{3,}(\.png|\.json|_mask\.png)")
_COMPRESSION = 1  # noise hardly compresses, and more takes most of the time
_Name = TypeVar("_Name", bound=str)
_Image = tuple[Sample, dict[str, Any], Mask | None]
"""An image, its labels, and its mask."""


def write_wild(
    folder: Path,
    settings: WildSettings,
    count: int,
    *,
    masks: bool = False,
    overwrite: bool = False,
    progress: Callable[[], None] | None = None,
) -> dict[Literal["wild"], Path]:
    """Make `count` images of level wild and write them into a new folder, complete or not at all.

    masks: whether to write NNN_mask.png, 8 bits, with the values of PIXEL_LABELS. progress: called after each image.
    Returns the folder of the level. Raises ConfigError and OutputError.
    """

    def images(_level: str) -> Iterator[_Image]:
        for index in range(count):
            wild = generate_wild(settings, index)
            yield wild.sample, wild_labels(wild), wild.mask if masks else None

    rig = None if settings.subject_seed is None else wild_true_rig(settings)
    levels: tuple[Literal["wild"], ...] = (WILD,)
    more = {"mask_labels": PIXEL_LABELS}
    _write(folder, settings, levels, count, images, rig, more, overwrite=overwrite, progress=progress)
    return {WILD: Path(folder) / WILD}


def write_dataset(
    folder: Path,
    settings: Settings,
    levels: Sequence[Level],
    count: int,
    *,
    overwrite: bool = False,
    progress: Callable[[], None] | None = None,
    timing: Timing | None = None,
) -> dict[Level, Path]:
    """Make `count` images of each level and write them into a new folder, complete or not at all.

    progress: called after each image. timing: of a sequence, whose frames the images of each level are, or None.
    Returns the folder of each level. Raises ConfigError and OutputError.
    """
    for level in levels:
        check_level(level)

    def images(level: Level) -> Iterator[_Image]:
        for sample, place in _samples(settings, level, count, timing):
            sequence = {} if place is None else {"sequence": place}
            yield sample, {**labels(sample, settings), **sequence}, None

    rig = None if settings.subject_seed is None else true_rig(settings)
    more = {} if timing is None else {"sequence": timing.to_dict()}
    _write(folder, settings, levels, count, images, rig, more, overwrite=overwrite, progress=progress)
    return {level: Path(folder) / level for level in levels}


def _write(
    folder: Path,
    settings: Settings | WildSettings,
    levels: Sequence[_Name],
    count: int,
    images: Callable[[_Name], Iterator[_Image]],
    rig: Rig | None,
    more: dict[str, Any],
    *,
    overwrite: bool,
    progress: Callable[[], None] | None,
) -> None:
    """Write the images of all levels, their cameras, the one subject's rig, and INFO_NAME, with more values in it."""
    folder = Path(folder)
    if count < 1:
        raise ConfigError(f"count is {count}, expected at least 1 image")
    check_free(folder, overwrite=overwrite)
    with atomic_folder.written_aside(folder, overwrite) as partial:
        for level in levels:
            (partial / level).mkdir()
            for sample, known, mask in images(level):
                write_sample(partial / level, sample, known, mask)
                if progress is not None:
                    progress()
            if settings.camera is not None:
                _write_json(partial / f"{level}.camera.json", settings.camera.to_dict())
        if rig is not None:
            write_rig(rig, partial / SUBJECT_NAME)
        info = {
            "format": FORMAT,
            "versions": {"handopt": version("handopt")},
            "levels": list(levels),
            "count": count,
            "settings": settings.to_dict(),
            **more,
        }
        _write_json(partial / INFO_NAME, info)


def _samples(
    settings: Settings, level: Level, count: int, timing: Timing | None
) -> Iterator[tuple[Sample, dict[str, Any] | None]]:
    """The images of a level in order, each with its place in a sequence if there is one."""
    if timing is not None:
        yield from generate_sequence(settings, level, count, timing)
        return
    for index in range(count):
        yield generate(settings, level, index), None


def write_sample(folder: Path, sample: Sample, known: dict[str, Any], mask: Mask | None) -> None:
    """Write an image and its labels as NNN.png and NNN.json, and its mask, if there is one, as NNN_mask.png."""
    from PIL import Image

    stem = f"{sample.index:03d}"
    Image.fromarray(sample.counts).save(folder / f"{stem}.png", compress_level=_COMPRESSION)
    if mask is not None:
        Image.fromarray(mask).save(folder / f"{stem}_mask.png")
    _write_json(folder / f"{stem}.json", known)


def check_free(folder: Path, *, overwrite: bool = False) -> None:
    """Refuse a place that is taken: without overwrite by anything, with it by all but a folder of ours.

    Raises OutputError.
    """
    atomic_folder.check_free(
        folder,
        atomic_folder.Kind("synthetic images", INFO_NAME, "handopt.synth/", _unknown_file),
        overwrite=overwrite,
    )


def _unknown_file(folder: Path) -> str | None:
    """The name of something that is not ours in a folder or in the folders of its levels."""
    levels = (*LEVELS, WILD)
    ours = {INFO_NAME, SUBJECT_NAME, *levels, *(f"{level}.camera.json" for level in levels)}
    for path in sorted(folder.iterdir()):
        if path.name not in ours:
            return path.name
        if path.is_dir():
            for inside in sorted(path.iterdir()):
                if not _IMAGE_NAME.fullmatch(inside.name):
                    return f"{path.name}/{inside.name}"
    return None


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, allow_nan=False) + "\n", encoding="utf-8")
