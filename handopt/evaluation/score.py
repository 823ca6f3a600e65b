"""From predictions and labels to an evaluation: read, pair the frames, measure."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handopt.errors import LabelError
from handopt.evaluation.documents import ReadProgress, silent
from handopt.evaluation.frames import Frames, match
from handopt.evaluation.labels import read_labels
from handopt.evaluation.metrics import Evaluation, joint_errors
from handopt.evaluation.motion import motion
from handopt.evaluation.predictions import read_predictions
from handopt.typing import Floats

if TYPE_CHECKING:
    from handopt.input.camera import Camera


def evaluate(
    predictions: str | Path,
    truth: str | Path,
    *,
    joint_set: str | None = None,
    coordinates: str = "auto",
    pred_coordinates: str = "auto",
    camera: "Camera | None" = None,
    names: str | Path | None = None,
    progress: ReadProgress = silent,
) -> Evaluation:
    """Score predictions against labels, by the measures of handopt.evaluation.metrics.

    predictions: a folder of results of `handopt fit`, a track of `handopt track`, or a text file. truth: a folder in
    the synthetic layout, or label files of the NYU, ICVL or MSRA sets. joint_set: 'synthetic', 'nyu', 'icvl' or 'msra';
    None tells by the files.
    coordinates, pred_coordinates: of text files, 'auto', 'uvd', 'xyz' or 'camera'. camera: for u, v, d, in place of the
    set's own. names: a file with the image name of every line of truth. progress: called with what is read ("labels",
    then "results"), how many files are, and how many there are. Raises LabelError.
    """
    true = read_labels(
        Path(truth),
        joint_set=joint_set,
        coordinates=coordinates,
        camera=camera,
        names=None if names is None else Path(names),
        progress=progress,
    )
    predicted = read_predictions(
        Path(predictions), true, coordinates=pred_coordinates, camera=camera, progress=progress
    )
    return compare(predicted, true)


def compare(predicted: Frames, truth: Frames) -> Evaluation:
    """Pair frames and measure their joints. Raises LabelError, also where not a single frame has a prediction."""
    rows = match(truth, predicted)
    there = rows >= 0
    if not there.any():
        raise LabelError(
            f"no prediction belongs to a frame of TRUTH: there they are called {truth.names[0]}, in PRED "
            f"{predicted.names[0]}; result folders must be named like the images, or names= must say what the lines "
            "of a label file are called"
        )
    joints = np.full(truth.joints_mm.shape, np.nan)
    joints[there] = predicted.joints_mm[rows[there]]
    confidence = np.full(len(rows), np.nan)
    if predicted.confidence is not None:
        confidence[there] = predicted.confidence[rows[there]]
    used = set(rows[there].tolist())
    times = truth.time_s
    if times is None and predicted.time_s is not None and there.all():
        times = predicted.time_s[rows]
    evaluation = Evaluation(
        joint_set=truth.joint_set,
        joints=truth.joints,
        frames=truth.names,
        errors_mm=joint_errors(joints, truth.joints_mm),
        visible=truth.visible,
        confidence=confidence,
        predictions=tuple(predicted.names[row] if row >= 0 else None for row in rows.tolist()),
        unused=tuple(name for row, name in enumerate(predicted.names) if row not in used),
        notes=(*truth.notes, *predicted.notes),
    )
    return replace(evaluation, motion={} if times is None else _motion(evaluation, joints, truth.joints_mm, times))


def _motion(evaluation: Evaluation, joints: Floats, truth: Floats, time_s: Floats) -> dict[str, dict[str, Any]]:
    """How the joints (N, J, 3) of each sequence move: of each group of frames, or of all."""
    groups = evaluation.groups or {"all": np.ones(len(joints), bool)}
    found = {}
    for name, rows in groups.items():
        frames = np.flatnonzero(rows)
        order = frames[np.argsort(time_s[frames], kind="stable")]
        if len(order) > 2 and (np.diff(time_s[order]) > 0).all():
            found[name] = motion(joints[order], truth[order], time_s[order])
    return found
