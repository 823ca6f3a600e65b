"""Tracks of `handopt track` as predictions."""

import json
import math
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from handopt.errors import LabelError
from handopt.evaluation.documents import points, read_json
from handopt.evaluation.frames import Frames, check_millimetres, parts_of
from handopt.evaluation.mapping import map_keypoints
from handopt.rig.joints import KEYPOINT_NAMES
from handopt.tracking.track import FAMILY, INFO_NAME, LINES_NAME
from handopt.typing import Floats


def is_track(path: Path) -> bool:
    """Whether a path is a track's folder, its lines or its arrays."""
    if path.is_dir():
        return (path / INFO_NAME).is_file() and (path / LINES_NAME).is_file()
    return path.suffix in (".jsonl", ".npz")


def read_track(path: Path, truth: Frames) -> Frames:
    """A track mapped to the truth's joints: a folder of `handopt track`, its track.jsonl, or its track.npz.

    Frames of a folder of images are known by their names, those of other sources, and of track.npz, by their place.
    Raises LabelError.
    """
    if path.suffix == ".npz":
        return _frames(path, truth, *_arrays(path), names=None)
    lines = path / LINES_NAME if path.is_dir() else path
    joints, confidence, times, names = _lines(lines)
    info = lines.with_name(INFO_NAME)
    header = read_json(info, "PRED") if info.is_file() else {}
    source = str(header.get("source", "")) if isinstance(header, dict) else ""
    named = all("[" not in name and PurePosixPath(name).suffix for name in names)
    return _frames(
        path, truth, joints, confidence, times, names=[f"{source}/{name}" for name in names] if named else None
    )


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
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise LabelError(f"{file} cannot be read ({error}); change PRED") from error
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{file}, line {number}"
        try:
            frame: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LabelError(f"{where} is not valid JSON ({error}); is it truncated? track again") from error
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
        with np.load(file, allow_pickle=False) as arrays:
            header = json.loads(str(arrays["header"]))
            if not str(header.get("format", "")).startswith(FAMILY):
                raise KeyError("format")
            joints, times = arrays["joints_mm"].astype(np.float64), arrays["time_s"].astype(np.float64)
            confidence = arrays["confidence"] if "confidence" in arrays.files else np.full(len(joints), np.nan)
    except OSError as error:
        raise LabelError(f"{file} cannot be read ({error.strerror or error}); change PRED") from error
    except Exception as error:  # NumPy and zlib raise almost anything on damaged files
        raise LabelError(f"{file} is no track of handopt ({error}); give track.npz or its folder") from error
    if joints.shape != (len(times), len(KEYPOINT_NAMES), 3):
        raise LabelError(f"{file}: joints_mm has shape {joints.shape}; give a track of handopt")
    return joints, np.asarray(confidence, np.float64), times
