"""What is said of an evaluation: a table for people, CSV files, a summary as JSON."""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt import atomic_folder
from handopt.evaluation.metrics import SHOWN_MM, THRESHOLDS_MM, TRUSTED_MM, Evaluation, frame_means, frame_worst
from handopt.evaluation.plot import plot_problem, write_curve
from handopt.files import readable

FILES: Final = ("per_frame.csv", "per_joint.csv", "curve.csv", "curve.png", "summary.json")
KIND: Final = atomic_folder.Kind("evaluation", "summary.json", "handopt.evaluation/", atomic_folder.other_than(FILES))
DECIMALS: Final = 4


def save_evaluation(evaluation: Evaluation, folder: Path, *, overwrite: bool = False) -> Path:
    """Write per_frame.csv, per_joint.csv, curve.csv, curve.png and summary.json into a new folder, all or nothing.

    Without Matplotlib curve.png is left out, see plot_problem. An existing folder is kept unless overwrite; then it is
    replaced if it is empty or holds an evaluation. Returns the folder. Raises OutputError.
    """
    folder = Path(folder)
    atomic_folder.check_free(folder, KIND, overwrite=overwrite)
    with atomic_folder.written_aside(folder, overwrite) as partial:
        _write_csv(partial / "per_frame.csv", per_frame(evaluation))
        _write_csv(partial / "per_joint.csv", evaluation.per_joint())
        _write_csv(partial / "curve.csv", _curve_rows(evaluation))
        if plot_problem() is None:
            write_curve(evaluation, partial / "curve.png")
        (partial / "summary.json").write_text(to_json(evaluation) + "\n", encoding="utf-8")
    return folder


def to_json(evaluation: Evaluation, indent: int | None = 2) -> str:
    """The summary as JSON text, format "handopt.evaluation/1"."""
    return readable(json.dumps(evaluation.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False))


def per_frame(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row for each frame: its prediction, mean and worst error in mm, the worst joint, the error of every joint.

    Errors are not finite where there is no prediction.
    """
    means, worst = frame_means(evaluation.errors_mm), frame_worst(evaluation.errors_mm)
    seen_means = frame_means(evaluation.errors_mm, evaluation.visible)
    seen_worst = frame_worst(evaluation.errors_mm, evaluation.visible)
    rows = []
    for index, (name, predicted) in enumerate(zip(evaluation.frames, evaluation.predicted, strict=True)):
        errors = evaluation.errors_mm[index]
        row: dict[str, Any] = {
            "name": name,
            "prediction": evaluation.predictions[index],
            "confidence": evaluation.confidence[index],
            "mean_joint_error_mm": means[index],
            "worst_joint_error_mm": worst[index],
            "worst_joint": evaluation.joints[int(np.argmax(errors))] if predicted else None,
        }
        if evaluation.visible is not None:
            row |= {
                "visible_joints": int(evaluation.visible[index].sum()),
                "mean_visible_joint_error_mm": seen_means[index],
                "worst_visible_joint_error_mm": seen_worst[index],
            }
        rows.append(row | {f"{joint}_error_mm": error for joint, error in zip(evaluation.joints, errors, strict=True)})
    return rows


def table(evaluation: Evaluation) -> Iterator[str]:
    """Lines for people: all frames and each group, each joint, and what confidence is worth."""
    scores = evaluation.scores()
    frames, missing = scores["frames"], scores["missing"]
    counted = f"{frames} frame{'s' if frames > 1 else ''}"
    yield f"{evaluation.joint_set.title}: {counted}, {missing} without a prediction, {len(evaluation.joints)} joints"
    yield ""
    yield from _scores_table(evaluation)
    yield ""
    yield from _joints_table(evaluation)
    if evaluation.motion:
        yield ""
        yield from _motion_table(evaluation)
    if calibration := evaluation.calibration():
        yield ""
        yield from _aligned(
            [["confidence", "frames kept", f"of these, every visible joint within {TRUSTED_MM:.0f} mm"]]
            + [
                [f">= {row['min_confidence']:g}", _percent(row["kept"]), _percent(row["visible_within_20_mm"])]
                for row in calibration
            ]
        )


def _scores_table(evaluation: Evaluation) -> Iterator[str]:
    """Mean and median error, and the share of frames whose worst (visible) joint is within D, a row for each group."""
    split = evaluation.visible is not None
    header = ["", "frames", "missing", "mean mm", "median mm"]
    header += ["visible", "occluded"] if split else []
    rows = [[*header, *(f"{limit} mm" for limit in SHOWN_MM)]]
    groups = {"all": evaluation.scores()} | {name: evaluation.scores(mask) for name, mask in evaluation.groups.items()}
    for name, scores in groups.items():
        row = [name, str(scores["frames"]), str(scores["missing"])]
        row += [_number(scores[key]) for key in ("mean_joint_error_mm", "median_frame_error_mm")]
        row += [_number(scores[f"{part}_joint_error_mm"]) for part in ("visible", "occluded")] if split else []
        rows.append(row + [_percent(scores["worst_joint_within"][str(limit)]) for limit in SHOWN_MM])
        if split:
            shares = [_percent(scores["worst_visible_joint_within"][str(limit)]) for limit in SHOWN_MM]
            rows.append(["  visible", "", "", "", _number(scores["median_visible_frame_error_mm"]), "", "", *shares])
    yield from _aligned(rows)
    yield "mean: of all joints; median: over frames, of each frame's mean; D mm: frames whose worst joint is within D"
    scores = evaluation.scores()
    area = f"AUC 20-50 mm {_ratio(scores['auc_20_50'])}"
    if evaluation.aligned_mm is None:
        yield f"{area}: mean share of joints within D, for D from 20 to 50 mm"
    else:
        yield f"{area}; aligned: PA-MPJPE {_number(scores['pa_mpjpe_mm'])} mm, AUC {_ratio(scores['pa_auc_20_50'])}"
    if split:
        yield "visible, occluded: mean of these joints in mm, and below each row the measures of visible joints alone"


def _joints_table(evaluation: Evaluation) -> Iterator[str]:
    split = evaluation.visible is not None
    rows = [["joint", "mean mm", "median mm", *(["visible", "occluded", "occluded in"] if split else [])]]
    for joint in evaluation.per_joint():
        row = [joint["joint"], _number(joint["mean_error_mm"]), _number(joint["median_error_mm"])]
        if split:
            row += [
                _number(joint["visible_mean_error_mm"]),
                _number(joint["occluded_mean_error_mm"]),
                str(joint["occluded_frames"]),
            ]
        rows.append(row)
    yield from _aligned(rows)


def _motion_table(evaluation: Evaluation) -> Iterator[str]:
    rows = [["sequence", "frames", "jitter m/s^2", "of the labels", "lag in frames"]]
    for name, each in evaluation.motion.items():
        values = (each["jitter_m_s2"], each["label_jitter_m_s2"], each["lag_frames"])
        rows.append([name, str(each["frames"]), *("-" if value is None else f"{value:.2f}" for value in values)])
    yield from _aligned(rows)
    yield "jitter: mean acceleration of the joints"


def _curve_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    curves = evaluation.curves()
    for index, limit in enumerate(THRESHOLDS_MM):
        yield {"distance_mm": limit, **{f"{name}_within": shares[index] for name, shares in curves.items()}}


def _write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows of equal keys; what is not finite is left empty."""
    listed = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(listed[0])
        writer.writerows([_cell(value) for value in row.values()] for row in listed)


def _cell(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return round(float(value), DECIMALS) if math.isfinite(value) else ""
    return "" if value is None else readable(value) if isinstance(value, str) else value


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns side by side, the first to the left and the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _ratio(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}%"
