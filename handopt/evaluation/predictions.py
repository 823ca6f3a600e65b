"""Predictions to score: result folders of `handopt fit`, tracks, or text files in a data set's format."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from handopt.errors import LabelError
from handopt.evaluation.documents import (
    RESULT_FORMAT,
    RESULT_NAME,
    camera_of,
    joint_names,
    points,
    read_json,
    silent,
)
from handopt.evaluation.frames import Frames, check_millimetres, parts_of
from handopt.evaluation.labels import exported_labels, read_keypoint_set
from handopt.evaluation.mapping import KEYPOINTS, map_keypoints
from handopt.evaluation.text import read_text
from handopt.evaluation.tracks import hands_of, is_track, read_track
from handopt.files import is_file, is_folder, resolved
from handopt.rig.joints import KEYPOINT_NAMES
from handopt.typing import Floats, Parts, ReadProgress

if TYPE_CHECKING:
    from handopt.input.camera import Camera


def read_predictions(
    path: Path,
    truth: Frames,
    *,
    coordinates: str = "auto",
    camera: "Camera | None" = None,
    progress: ReadProgress = silent,
) -> Frames:
    """Read predictions as joints of the truth's set.

    path: a folder of `handopt fit`'s results or of folders of them, a track (see read_track), a text file in the
    truth's format, or joints of 21 keypoints as read_keypoint_set reads them. coordinates, camera: of a text file,
    see read_text. progress: called with "results", how many are read, and how many there are. Raises LabelError.
    """
    path = Path(path)
    labels = path if is_file(path) else exported_labels(path)
    if labels is not None and path.name != RESULT_NAME:
        other = read_keypoint_set(labels, progress, predicted=True)
        if other is not None:
            return _mapped(other, truth)
    if is_track(path):
        return read_track(path, truth)
    if is_folder(path):
        if hands := hands_of(path):
            raise LabelError(
                f"{path} holds the tracks of {len(hands)} hands, which are scored one by one: give one of them as "
                f"PRED, such as {hands[0]}"
            )
        return _read_results(path, truth, progress)
    if path.name == RESULT_NAME:
        return _read_results(path.parent, truth, progress)
    if truth.joint_set is KEYPOINTS:
        raise LabelError(
            f"{path}: predictions of 21 keypoints are read from handopt fit's result folders, from tracks, from what "
            "handopt export wrote, and from pred.json of FreiHAND: give their folder or file"
        )
    frames = read_text(
        path,
        joint_set=truth.joint_set,
        coordinates=coordinates,
        camera=camera,
        predicted=True,
        argument="pred_coordinates=",
    )
    columns = [frames.joints.index(name) for name in truth.joints]
    return replace(frames, joints=truth.joints, joints_mm=frames.joints_mm[:, columns])


def _mapped(other: Frames, truth: Frames) -> Frames:
    """Predictions of 21 joints as joints of the truth's set. Raises LabelError."""
    if other.pixels is not None:
        raise LabelError("PRED has pixels without depth, which cannot be scored: give joints in mm or metres")
    keypoints = other.joints_mm[:, [other.joints.index(name) for name in KEYPOINT_NAMES]]
    columns = [truth.joint_set.joints.index(name) for name in truth.joints]
    millimetres = map_keypoints(keypoints, truth.joint_set)[:, columns]
    return replace(other, joint_set=truth.joint_set, joints=truth.joints, joints_mm=millimetres, visible=None)


def _read_results(folder: Path, truth: Frames, progress: ReadProgress) -> Frames:
    """Results of `handopt fit`, mapped to the truth's joints."""
    files = sorted(
        file for file in folder.rglob(RESULT_NAME) if not any(part[0] == "." for part in file.relative_to(folder).parts)
    )
    if not files:
        raise LabelError(
            f"{folder} holds no result of handopt: PRED needs folders with {RESULT_NAME}, as handopt fit -o writes them"
        )
    rows = []
    for number, file in enumerate(files, 1):
        rows.append(_result(file))
        progress("results", number, len(files))
    columns = [truth.joint_set.joints.index(name) for name in truth.joints]
    keypoints = np.stack([row[0] for row in rows])
    millimetres = map_keypoints(keypoints, truth.joint_set)[:, columns]
    check_millimetres(millimetres, [str(file) for file in files], predicted=True)
    return Frames(
        truth.joint_set,
        tuple(str(file.parent) for file in files),
        tuple(_result_keys(file, row[2]) for file, row in zip(files, rows, strict=True)),
        truth.joints,
        millimetres,
        confidence=np.array([row[1] for row in rows]),
        cameras=tuple(row[3] for row in rows),
    )


def _result(file: Path) -> "tuple[Floats, float, str | None, Camera | None]":
    """Keypoints (21, 3) mm, NaN where null, confidence or NaN, the image's path and the camera of a result.json."""
    document = read_json(file, "PRED")
    if not isinstance(document, dict) or not str(document.get("format", "")).startswith(RESULT_FORMAT):
        raise LabelError(f"{file} is no result of handopt fit: move it out of PRED")
    names = joint_names(document.get("keypoints"), KEYPOINT_NAMES, f"{file}: keypoints", all_of=True)
    joints = points(document.get("joints_mm"), len(names), f"{file}: joints_mm", gaps=True)
    confidence = document.get("confidence")
    if not isinstance(confidence, (int, float)) or isinstance(confidence, bool) or not 0 <= confidence <= 1:
        confidence = math.nan
    image = document.get("image")
    return (
        joints[[names.index(name) for name in KEYPOINT_NAMES]],
        float(confidence),
        image if isinstance(image, str) else None,
        camera_of(document.get("camera")),
    )


def _result_keys(file: Path, image: str | None) -> tuple[Parts, ...]:
    """The folder of a result, and the path of its image."""
    folder = parts_of(resolved(file).parent, suffix=False)
    return (folder,) if not image or not parts_of(image) else (folder, parts_of(image))
