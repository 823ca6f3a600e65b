"""Folders of scanning apps that keep ARKit's depth and confidence: Stray Scanner, and Polycam's raw data.

Stray Scanner: https://github.com/strayrobots/scanner/blob/main/docs/format.md. Polycam:
https://github.com/PolyCam/polyform. Both have depth in mm, of the colour camera's view but smaller, and maps of
confidence, in which 0 is low: these pixels are left out.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from handopt.errors import CameraError, SourceError
from handopt.files import UnreadableError, is_file, is_folder, read_json, read_text
from handopt.input.camera import CAMERA_KEYS, Camera, finite_number
from handopt.input.colour import SUFFIXES
from handopt.input.sequence.rgbd_folder import MOST_FRAMES, Lister, RgbdFolder
from handopt.input.sequence.stream_info import SourceOptions
from handopt.input.sidecar import find_sidecar

MATRIX_NAME, POSES_NAME = "camera_matrix.csv", "odometry.csv"
STRAY_PICTURE_PX: Final = (1920, 1440)
"""Width and height of rgb.mp4, to which camera_matrix.csv belongs: stray_visualize.py of kekeblom/StrayVisualizer."""
UNIT_MM: Final = 1.0
CONFIDENCE_NOTE: Final = "Pixels of low confidence, as ARKit has it, were left out."


def is_arkit_folder(folder: Path) -> bool:
    """Whether a folder is an export of Stray Scanner or of Polycam."""
    return is_file(folder / MATRIX_NAME) or _polycam(folder) is not None


def find_arkit_folder(folder: Path, options: SourceOptions, listed: Lister) -> RgbdFolder | None:
    """The frames of such a folder, None where a folder is none. Raises SourceError and CameraError."""
    keyframes = _polycam(folder)
    if not is_file(folder / MATRIX_NAME) and keyframes is None:
        return None
    root = folder if keyframes is None else keyframes
    if not is_folder(root / "depth"):
        raise SourceError(f"{root}: has no folder depth; export it again, with the depth of the LiDAR")
    files = tuple(listed(root / "depth"))
    if len(files) > MOST_FRAMES:
        raise SourceError(f"{root}: has more than {MOST_FRAMES} images; track parts of them")
    kind = "Stray Scanner" if keyframes is None else "Polycam"
    beside, notes = find_sidecar(files[0]), []
    if options.unit is None and (beside is None or beside.unit_mm is None):
        options = replace(options, unit=UNIT_MM)
        notes.append(f"One count is 1 mm, as in folders of {kind} (unit= changes this).")
    if options.camera is None and (beside is None or beside.camera is None):
        options = replace(options, camera=_stray_camera(root) if keyframes is None else _polycam_camera(root, files[0]))
    confidence = {each: root / "confidence" / f"{each.stem}.png" for each in files}
    confidence = {each: path for each, path in confidence.items() if is_file(path)}
    if confidence:
        notes.append(CONFIDENCE_NOTE)
    times = _stray_times(root, files) if keyframes is None else _polycam_times(files)
    pictures = {}
    if options.colour and keyframes is not None:
        places = {each: [root / "images" / f"{each.stem}{suffix}" for suffix in SUFFIXES] for each in files}
        pictures = {each: path for each, beside in places.items() for path in beside if is_file(path)}
    return RgbdFolder(files, options, tuple(notes), times, pictures, confidence)


def _polycam(folder: Path) -> Path | None:
    """The folder keyframes/ of Polycam's raw data, given itself or the folder above; None for another folder."""
    places = (folder, folder / "keyframes")
    return next((each for each in places if is_folder(each / "cameras") and is_folder(each / "depth")), None)


def _stray_camera(folder: Path) -> Camera:
    """The camera of rgb.mp4, which is scaled to the depth later. Raises CameraError."""
    path = folder / MATRIX_NAME
    rows = _rows(path)
    try:
        matrix = np.array([[finite_number(float(cell), "a cell") for cell in row] for row in rows])
    except (ValueError, CameraError) as error:
        raise CameraError(f"{path}: is no matrix of numbers ({error}); give camera=") from error
    if matrix.shape != (3, 3):
        raise CameraError(f"{path}: has the shape {matrix.shape}, expected (3, 3); give camera=")
    return Camera(matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2], *STRAY_PICTURE_PX, path.name)


def _polycam_camera(folder: Path, image: Path) -> Camera:
    """The camera of a picture, which is scaled to the depth later. Raises CameraError."""
    path = folder / "cameras" / f"{image.stem}.json"
    try:
        document = read_json(path)
        fx, fy, cx, cy, width, height = (finite_number(document[key], key) for key in CAMERA_KEYS)
    except (UnreadableError, KeyError, TypeError, CameraError) as error:
        raise CameraError(f"{path}: states no {', '.join(CAMERA_KEYS)} ({error}); give camera=") from error
    return Camera(fx, fy, cx, cy, int(width), int(height), path.name)


def _stray_times(folder: Path, files: Sequence[Path]) -> dict[Path, float]:
    """Times, s, of the frames that odometry.csv names. Raises SourceError."""
    path = folder / POSES_NAME
    if not is_file(path):
        return {}
    header, *rows = _rows(path)
    names = [each.strip() for each in header]
    if "timestamp" not in names or "frame" not in names:
        raise SourceError(f"{path}: has no columns timestamp and frame; export it again")
    time_at, frame_at = names.index("timestamp"), names.index("frame")
    try:
        taken = {int(row[frame_at]): finite_number(float(row[time_at]), "timestamp") for row in rows}
    except (ValueError, IndexError, CameraError) as error:
        raise SourceError(f"{path}: has a line without a time and a frame ({error}); export it again") from error
    return {each: taken[int(each.stem)] for each in files if each.stem.isdecimal() and int(each.stem) in taken}


def _polycam_times(files: Sequence[Path]) -> dict[Path, float]:
    """Times, s, which are the names of the files, in microseconds."""
    return {each: int(each.stem) * 1e-6 for each in files if each.stem.isdecimal() and len(each.stem) <= 18}


def _rows(path: Path) -> list[list[str]]:
    try:
        rows = [row for row in csv.reader(io.StringIO(read_text(path))) if row]
    except (UnreadableError, csv.Error) as error:
        raise SourceError(f"{path}: {error}; export it again") from error
    if not rows:
        raise SourceError(f"{path}: is empty; export it again")
    return rows
