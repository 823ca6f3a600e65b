"""Tracks of `handopt track` as predictions."""

import math
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from handopt.errors import LabelError
from handopt.evaluation.documents import camera_of, points, read_json
from handopt.evaluation.frames import Frames, check_millimetres, parts_of
from handopt.evaluation.mapping import map_keypoints
from handopt.files import UnreadableError, is_file, is_folder, parse_json, read_text
from handopt.input.arrays import ArraySpec, read_arrays
from handopt.rig.joints import KEYPOINT_NAMES
from handopt.tracking.track import FAMILY, INFO_NAME, LINES_NAME
from handopt.typing import Floats

MAX_LINES_BYTES: Final = 512 * 2**20
ARRAYS: Final = {
    "header": ArraySpec("text", ()),
    "time_s": ArraySpec("number", ("T",)),
    "joints_mm": ArraySpec("number", ("T", len(KEYPOINT_NAMES), 3), gaps=True),
    "confidence": ArraySpec("number", ("T",), 0, 1, gaps=True, optional=True),
}
"""What is read of a track.npz."""


def is_track(path: Path) -> bool:
    """Whether a path is a track's folder, its lines or its arrays."""
    if is_folder(path):
        return is_file(path / INFO_NAME) and is_file(path / LINES_NAME)
    return path.suffix in (".jsonl", ".npz")


def hands_of(folder: Path) -> list[Path]:
    """The tracks of several hands that lie in a folder of nothing else; none elsewhere."""
    try:
        inside = sorted(path for path in folder.iterdir() if is_folder(path))
    except OSError:
        return []
    return inside if all(path.name.startswith(("right", "left")) and is_track(path) for path in inside) else []


def read_track(path: Path, truth: Frames) -> Frames:
    """A track mapped to the truth's joints: a folder of `handopt track`, its track.jsonl, or its track.npz.

    Frames of a folder of images are known by their names, those of other sources, and of track.npz, by their place.
    Raises LabelError.
    """
    if path.suffix == ".npz":
        return _frames(path, truth, *_arrays(path), names=None)
    lines = path / LINES_NAME if is_folder(path) else path
    joints, confidence, times, names = _lines(lines)
    info = lines.with_name(INFO_NAME)
    header = read_json(info, "PRED") if is_file(info) else {}
    source = str(header.get("source", "")) if isinstance(header, dict) else ""
    named = all("[" not in name and PurePosixPath(name).suffix for name in names)
    camera = camera_of(header.get("camera")) if isinstance(header, dict) else None
    frames = _frames(
        path, truth, joints, confidence, times, names=[f"{source}/{name}" for name in names] if named else None
    )
    return replace(frames, cameras=(camera,) * len(joints))


def _frames(
    path: Path, truth: Frames, joints: Floats, confidence: Floats, time_s: Floats, names: list[str] | None
) -> Frames:
    columns = [truth.joint_set.joints.index(name) for name in truth.joints]
    millimetres = map_keypoints(joints, truth.joint_set)[:, columns]
    called = tuple(f"{path.name}[{row}]" for row in range(len(joints))) if names is None else tuple(names)
    check_millimetres(millimetres, called, predicted=True)
    return Frames(
        truth.joint_set, called, tuple((parts_of(name),) for name in called), truth.joints, millimetres,
        confidence=confidence, ordered=names is None, time_s=time_s,
    )  # fmt: skip


def _lines(file: Path) -> tuple[Floats, Floats, Floats, list[str]]:
    joints, confidence, times, names = [], [], [], []
    try:
        text = read_text(file, MAX_LINES_BYTES)
    except UnreadableError as error:
        raise LabelError(f"{file} cannot be read ({error.reason}); change PRED") from error
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{file}, line {number}"
        try:
            frame: Any = parse_json(line)
        except UnreadableError as error:
            raise LabelError(f"{where} {error}; is it truncated? track again") from error
        if not isinstance(frame, dict) or not {"name", "time_s", "joints_mm"} <= frame.keys():
            raise LabelError(f"{where} is no frame of handopt track; give the folder of a track")
        none = frame["joints_mm"] is None
        joints.append(np.full((21, 3), np.nan) if none else points(frame["joints_mm"], 21, f"{where}: joints_mm"))
        sure = frame.get("confidence")
        confidence.append(float(sure) if isinstance(sure, int | float) else np.nan)
        time_s = frame["time_s"]
        if isinstance(time_s, bool) or not isinstance(time_s, int | float) or not math.isfinite(time_s):
            raise LabelError(f"{where}: time_s is {time_s!r}, expected seconds; track again")
        times.append(float(time_s))
        names.append(str(frame["name"]))
    if not joints:
        raise LabelError(f"{file} holds no frames; change PRED")
    return np.stack(joints), np.array(confidence), np.array(times), names


def _arrays(file: Path) -> tuple[Floats, Floats, Floats]:
    try:
        arrays, _ = read_arrays(file, ARRAYS)
        header = parse_json(str(arrays["header"]))
        if not isinstance(header, dict) or not str(header.get("format", "")).startswith(FAMILY):
            raise UnreadableError(f"lacks a header of the format {FAMILY}")
    except UnreadableError as error:
        raise LabelError(f"{file} is no track of handopt ({error.reason}); give track.npz or its folder") from error
    joints, times = (np.asarray(arrays[name], np.float64) for name in ("joints_mm", "time_s"))
    confidence = arrays.get("confidence", np.full(len(joints), np.nan))
    return joints, np.asarray(confidence, np.float64), times
