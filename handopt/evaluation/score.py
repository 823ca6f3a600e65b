"""From predictions and labels to an evaluation: read, pair the frames, measure."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handopt.errors import LabelError
from handopt.evaluation.documents import silent
from handopt.evaluation.frames import Frames, match
from handopt.evaluation.labels import read_labels
from handopt.evaluation.metrics import Evaluation, aligned_errors, joint_errors
from handopt.evaluation.motion import motion
from handopt.evaluation.predictions import read_predictions
from handopt.typing import Floats, ReadProgress

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
    the synthetic layout, label files of the NYU, ICVL, MSRA, FreiHAND, DexYCB or InterHand2.6M sets or in the format of
    COCO, or what handopt export wrote. joint_set: a name of handopt.evaluation.mapping.JOINT_SETS; None tells by the
    files.
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
    return compare(predicted, true, camera)


def compare(predicted: Frames, truth: Frames, camera: "Camera | None" = None) -> Evaluation:
    """Pair frames and measure their joints. Raises LabelError, also where not a single frame has a prediction.

    camera: of labels in pixels, instead of those that the predictions name.
    """
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
    if truth.pixels is not None:
        cameras = [None if row < 0 or predicted.cameras is None else predicted.cameras[row] for row in rows.tolist()]
        truth = replace(truth, joints_mm=at_predicted_depth(truth.pixels, joints, cameras, camera))
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
        aligned_mm=None if truth.pixels is not None else aligned_errors(joints, truth.joints_mm),
        visible=truth.visible,
        confidence=confidence,
        predictions=tuple(predicted.names[row] if row >= 0 else None for row in rows.tolist()),
        unused=tuple(name for row, name in enumerate(predicted.names) if row not in used),
        notes=(*truth.notes, *predicted.notes),
    )
    if truth.pixels is not None:
        return evaluation
    return replace(evaluation, motion={} if times is None else _motion(evaluation, joints, truth.joints_mm, times))


def at_predicted_depth(
    pixels: Floats, predicted_mm: Floats, cameras: "Sequence[Camera | None]", camera: "Camera | None"
) -> Floats:
    """Points (N, J, 3) mm on the lines of sight of pixels (N, J, 2), at the depth of the predictions (N, J, 3).

    cameras: of N predictions; camera: of all, instead. Raises LabelError where a prediction has no camera.
    """
    places = np.full(predicted_mm.shape, np.nan)
    for row, own in enumerate(cameras):
        if not np.isfinite(predicted_mm[row]).all():
            continue
        view = camera or own
        if view is None:
            raise LabelError("TRUTH has pixels, and PRED does not say with which camera they were seen: give camera=")
        depth = predicted_mm[row, :, 2]
        u, v = pixels[row].T
        places[row] = np.stack([(u - view.cx) * depth / view.fx, (v - view.cy) * depth / view.fy, depth], axis=-1)
    return places


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
