"""A folder of labelled images: LEVEL/NNN.png and NNN.json, LEVEL.camera.json, and synth.json about them all.

Images of level wild have a camera each, in NNN.json, and NNN_mask.png if wanted.

Where all images show one person, subject.glb is that hand: its rest mesh and joints in real size.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

from handopt import atomic_folder
from handopt.errors import ConfigError
from handopt.export.rig_gltf import write_rig
from handopt.input.pixel_labels import PIXEL_LABELS
from handopt.synth.generate import Sample, Settings, generate, true_rig
from handopt.synth.labels import FORMAT, labels
from handopt.synth.poses import LEVELS, Level, check_level
from handopt.synth.sequence import Timing, generate_sequence
from handopt.synth.wild import WILD, WildSample, WildSettings, generate_wild, wild_true_rig
from handopt.synth.wild_labels import wild_labels

INFO_NAME: Final = "synth.json"
SUBJECT_NAME: Final = "subject.glb"
_IMAGE_NAME = re.compile(r"\d{3,}(\.png|\.json|_mask\.png)")
_COMPRESSION = 1  # noise hardly compresses, and more takes most of the time


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
    folder = Path(folder)
    if count < 1:
        raise ConfigError(f"count is {count}, expected at least 1 image")
    check_free(folder, overwrite=overwrite)
    with atomic_folder.written_aside(folder, overwrite) as partial:
        (partial / WILD).mkdir()
        for index in range(count):
            write_wild_sample(partial / WILD, generate_wild(settings, index), masks=masks)
            if progress is not None:
                progress()
        if settings.camera is not None:
            _write_json(partial / f"{WILD}.camera.json", settings.camera.to_dict())
        if settings.subject_seed is not None:
            write_rig(wild_true_rig(settings), partial / SUBJECT_NAME)
        info = {
            "format": FORMAT,
            "versions": {"handopt": version("handopt")},
            "levels": [WILD],
            "count": count,
            "settings": settings.to_dict(),
            "mask_labels": PIXEL_LABELS,
        }
        _write_json(partial / INFO_NAME, info)
    return {WILD: folder / WILD}


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
    folder = Path(folder)
    if count < 1:
        raise ConfigError(f"count is {count}, expected at least 1 image")
    for level in levels:
        check_level(level)
    check_free(folder, overwrite=overwrite)
    with atomic_folder.written_aside(folder, overwrite) as partial:
        for level in levels:
            (partial / level).mkdir()
            for sample, place in _samples(settings, level, count, timing):
                write_sample(partial / level, sample, settings, place)
                if progress is not None:
                    progress()
            _write_json(partial / f"{level}.camera.json", settings.camera.to_dict())
        if settings.subject_seed is not None:
            write_rig(true_rig(settings), partial / SUBJECT_NAME)
        info = {
            "format": FORMAT,
            "versions": {"handopt": version("handopt")},
            "levels": list(levels),
            "count": count,
            "settings": settings.to_dict(),
            **({} if timing is None else {"sequence": timing.to_dict()}),
        }
        _write_json(partial / INFO_NAME, info)
    return {level: folder / level for level in levels}


def _samples(
    settings: Settings, level: Level, count: int, timing: Timing | None
) -> Iterator[tuple[Sample, dict[str, Any] | None]]:
    """The images of a level in order, each with its place in a sequence if there is one."""
    if timing is not None:
        yield from generate_sequence(settings, level, count, timing)
        return
    for index in range(count):
        yield generate(settings, level, index), None


def write_sample(folder: Path, sample: Sample, settings: Settings, place: dict[str, Any] | None) -> None:
    """Write an image and its labels as NNN.png and NNN.json; place: of a frame in its sequence."""
    from PIL import Image

    stem = f"{sample.index:03d}"
    Image.fromarray(sample.counts).save(folder / f"{stem}.png", compress_level=_COMPRESSION)
    sequence = {} if place is None else {"sequence": place}
    _write_json(folder / f"{stem}.json", {**labels(sample, settings), **sequence})


def write_wild_sample(folder: Path, wild: WildSample, *, masks: bool = False) -> None:
    """Write an image of level wild and its labels as NNN.png and NNN.json, and NNN_mask.png if wanted."""
    from PIL import Image

    stem = f"{wild.sample.index:03d}"
    Image.fromarray(wild.sample.counts).save(folder / f"{stem}.png", compress_level=_COMPRESSION)
    if masks:
        Image.fromarray(wild.mask).save(folder / f"{stem}_mask.png")
    _write_json(folder / f"{stem}.json", wild_labels(wild))


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
