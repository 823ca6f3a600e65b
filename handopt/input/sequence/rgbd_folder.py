"""Folders of RGB-D data sets: TUM's, with depth.txt, and Open3D's, with depth/ beside color/ or image/.

TUM: https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats. Open3D: the layout of its reconstruction system,
https://www.open3d.org/docs/release/tutorial/reconstruction_system/system_overview.html.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np

from handopt.errors import NoColourError, SourceError
from handopt.files import UnreadableError, is_file, is_folder, read_text
from handopt.input.camera import Camera
from handopt.input.colour import SUFFIXES
from handopt.input.sequence.stream_info import SourceOptions
from handopt.input.sidecar import find_sidecar
from handopt.input.timestamps import LATEST_S

LIST_NAME: Final = "depth.txt"
COLOUR_LIST_NAME: Final = "rgb.txt"
MOST_APART_S: Final = 0.02
"""Between a depth image and its picture, as the data sets' own associate.py has it, s."""
TUM_UNIT_MM: Final = 0.2
"""5000 counts a metre."""
OPEN3D_UNIT_MM: Final = 1.0
CAMERA_NAMES: Final = ("camera.json", "camera_intrinsic.json", "intrinsic.json")
COLOUR_NAMES: Final = ("color", "image", "rgb")
MOST_FRAMES: Final = 1_000_000
TUM_CAMERA: Final = Camera(525.0, 525.0, 319.5, 239.5, 640, 480, "the default of the TUM RGB-D data sets")
TUM_NOTE: Final = "The camera was assumed to be the default of the TUM RGB-D data sets (camera= changes this)."

Lister = Callable[[Path], Sequence[Path]]
"""Gives the depth images of a folder, in order."""


@dataclass(frozen=True)
class RgbdFolder:
    """Depth images of a data set's folder.

    times_s: when each was taken. options: with what the layout says. pictures: the colour picture of each, if asked.
    confidence: an image of the same size for each, which is 0 at pixels to leave out.
    """

    files: tuple[Path, ...]
    options: SourceOptions
    notes: tuple[str, ...] = ()
    times_s: Mapping[Path, float] = field(default_factory=dict)
    pictures: Mapping[Path, Path] = field(default_factory=dict)
    confidence: Mapping[Path, Path] = field(default_factory=dict)


def is_rgbd_folder(folder: Path) -> bool:
    """Whether a folder is laid out as those of TUM or Open3D are."""
    beside = any(is_folder(folder / name) for name in COLOUR_NAMES)
    return is_file(folder / LIST_NAME) or (is_folder(folder / "depth") and beside)


def find_rgbd_folder(folder: Path, options: SourceOptions, listed: Lister) -> RgbdFolder | None:
    """The frames of a TUM or Open3D folder, None where a folder is neither. listed: depth images of a folder, in order.

    Raises SourceError and CameraError.
    """
    if is_file(folder / LIST_NAME):
        times = _read_list(folder / LIST_NAME)
        found = _with_facts(folder, tuple(times), options, TUM_UNIT_MM, "TUM RGB-D", times)
        return replace(found, pictures=_nearest_pictures(folder, times)) if options.colour else found
    if is_folder(folder / "depth") and any(is_folder(folder / name) for name in COLOUR_NAMES):
        files = tuple(listed(folder / "depth"))
        found = _with_facts(folder, files, options, OPEN3D_UNIT_MM, "Open3D RGB-D", {})
        return replace(found, pictures=_pictures_in_order(folder, files)) if options.colour else found
    return None


def _with_facts(
    folder: Path,
    files: tuple[Path, ...],
    options: SourceOptions,
    unit_mm: float,
    kind: str,
    times: Mapping[Path, float],
) -> RgbdFolder:
    """Fill in the unit of the layout and the camera file at its top, where nobody says otherwise."""
    notes: list[str] = []
    beside = find_sidecar(files[0])
    if options.unit is None and (beside is None or beside.unit_mm is None):
        options = replace(options, unit=unit_mm)
        notes.append(f"One count is {unit_mm:g} mm, as in {kind} folders (unit= changes this).")
    if options.camera is None and (beside is None or beside.camera is None):
        found = next((folder / name for name in CAMERA_NAMES if is_file(folder / name)), None)
        if found is not None:
            options = replace(options, camera=str(found))
        elif kind == "TUM RGB-D":
            options = replace(options, camera=TUM_CAMERA)
            notes.append(TUM_NOTE)
    return RgbdFolder(files, options, tuple(notes), times)


def _nearest_pictures(folder: Path, times: Mapping[Path, float]) -> dict[Path, Path]:
    """The picture of rgb.txt that is nearest in time to each depth image, within MOST_APART_S. Raises SourceError."""
    pictures = _read_list(folder / COLOUR_LIST_NAME)
    names, taken = list(pictures), np.array(list(pictures.values()))
    found = {}
    for path, time_s in times.items():
        nearest = int(np.abs(taken - time_s).argmin())
        if abs(taken[nearest] - time_s) <= MOST_APART_S:
            found[path] = names[nearest]
    return found


def _pictures_in_order(folder: Path, files: Sequence[Path]) -> dict[Path, Path]:
    """The pictures of an Open3D folder, as many as depth images and in the same order. Raises SourceError."""
    beside = next(folder / name for name in COLOUR_NAMES if is_folder(folder / name))
    pictures = sorted(each for each in beside.iterdir() if each.suffix.lower() in SUFFIXES and is_file(each))
    if len(pictures) != len(files):
        raise NoColourError(f"{beside}: has {len(pictures)} pictures for {len(files)} depth images: leave colour out")
    return dict(zip(files, pictures, strict=True))


def _read_list(path: Path) -> dict[Path, float]:
    """The files that depth.txt or rgb.txt lists and their times, s. Raises SourceError."""
    try:
        lines = read_text(path).splitlines()
    except UnreadableError as error:
        raise SourceError(f"{path}: {error}; copy it again") from error
    times: dict[Path, float] = {}
    for number, line in enumerate(lines, 1):
        words = line.split(maxsplit=1)
        if not words or words[0].startswith("#"):
            continue
        time_s = _time(words[0])
        name = PurePosixPath(words[1].strip()) if len(words) == 2 else None
        if time_s is None or name is None:
            raise SourceError(f"{path}: line {number} is not a time in seconds and the name of a file; correct it")
        if name.is_absolute() or ".." in name.parts:
            raise SourceError(f"{path}: line {number} names a file outside of the folder; correct it")
        times[path.parent / name] = time_s
        if len(times) > MOST_FRAMES:
            raise SourceError(f"{path}: lists more than {MOST_FRAMES} images; track parts of them")
    if not times:
        raise SourceError(f"{path}: lists no images; give the folder of the depth images")
    values = list(times.values())
    if any(after <= before for before, after in pairwise(values)):
        raise SourceError(f"{path}: its times do not rise from line to line; sort it")
    return times


def _time(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) <= LATEST_S else None
