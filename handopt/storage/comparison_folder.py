"""Two models compared over a sequence, in a folder: numbers, curves, a video, and the track of each."""

import csv
import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from handopt import atomic_folder
from handopt.draw import colour
from handopt.draw.colour import plot_ink
from handopt.draw.model_comparison import residuals_mm, write_model_comparison
from handopt.errors import LabelError
from handopt.evaluation.motion import jitter
from handopt.storage.track_folder import save_track
from handopt.typing import Floats

if TYPE_CHECKING:
    from handopt.tracking.track import Track

FORMAT: Final = "handopt.comparison/1"
MARKER: Final = "comparison.json"
NAMES: Final = ("base", "adapted")
COMPARISON: Final = atomic_folder.Kind(
    "comparison",
    MARKER,
    "handopt.comparison/",
    atomic_folder.other_than({*NAMES, MARKER, "comparison.csv", "comparison.png", "comparison.mp4"}),
)


@dataclass(frozen=True, eq=False)
class Measured:
    """What one model does in T frames. residual_mm: (T,), see residuals_mm. acceleration_mm: (T,) mean of the joints,

    mm per frame and frame, NaN at the ends. error_mm: (T,) mean distance of the joints from labels, None without any.
    """

    residual_mm: Floats
    acceleration_mm: Floats
    error_mm: Floats | None
    jitter_m_s2: float | None

    def summary(self) -> dict[str, float | None]:
        """Means over the frames, None where there is nothing."""
        return {
            "error_mm": None if self.error_mm is None else _mean(self.error_mm),
            "residual_mm": _mean(self.residual_mm),
            "acceleration_mm": _mean(self.acceleration_mm),
            "jitter_m_s2": None if self.jitter_m_s2 is None else round(self.jitter_m_s2, 3),
        }


def save_comparison(
    tracks: "tuple[Track, Track]",
    models: tuple[str, str],
    folder: Path,
    *,
    truth: Path | None = None,
    video: bool = True,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a comparison into a new folder, complete or not at all, and return its summary.

    tracks: of the same frames, by the base and the adapted model. models: what they are called. truth: labels of the
    frames, as handopt eval takes them, None without any. Raises OutputError, and LabelError for labels that cannot be
    compared.
    """
    with atomic_folder.written_aside(folder, overwrite) as partial:
        for track, name in zip(tracks, NAMES, strict=True):
            save_track(track, partial / name, video=False)
        measured = [
            measure(track, None if truth is None else _errors(partial / name, truth, track))
            for track, name in zip(tracks, NAMES, strict=True)
        ]
        summary = {
            "format": FORMAT,
            "source": tracks[0].source,
            "frames": len(tracks[0]),
            **{
                name: {"model": model, "tracked": int(track.tracked.sum()), **each.summary()}
                for name, model, track, each in zip(NAMES, models, tracks, measured, strict=True)
            },
        }
        (partial / MARKER).write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        _write_rows(partial / "comparison.csv", tracks[0].names, measured)
        if importlib.util.find_spec("matplotlib") is not None:
            _figure(measured).savefig(partial / "comparison.png", format="png")
        if video:
            errors = [each.error_mm for each in measured]
            labelled = [each for each in errors if each is not None]
            values = labelled if len(labelled) == len(measured) else [each.residual_mm for each in measured]
            what = "error, mm" if values is labelled else "residual, mm"
            write_model_comparison(partial / "comparison.mp4", tracks, NAMES, values, what)
    return summary


def measure(track: "Track", error_mm: Floats | None) -> Measured:
    """Residual and acceleration of a track. error_mm: (T,) or None."""
    joints = track.joints_mm()
    joints[~track.tracked] = np.nan
    change = np.linalg.norm(joints[:-2] - 2 * joints[1:-1] + joints[2:], axis=-1).mean(axis=1)
    acceleration = np.full(len(track), np.nan)
    acceleration[1:-1] = change
    return Measured(residuals_mm(track), acceleration, error_mm, jitter(joints, track.time_s))


def _errors(folder: Path, truth: Path, track: "Track") -> Floats:
    """Mean errors (T,) of a track's frames, NaN where there is no label. Raises LabelError."""
    from handopt.evaluation import evaluate

    found = evaluate(folder, truth)
    means = np.full(len(track), np.nan)
    rows = {Path(name).stem: row for row, name in enumerate(track.names)}
    by_place = len(rows) < len(track)  # frames of a stack or recording, whose names differ in their number only
    for name, predicted, errors in zip(found.frames, found.predictions, found.errors_mm, strict=True):
        if by_place:
            place = re.search(r"\[(\d+)\]$", str(predicted))
            row = None if place is None else int(place[1])
        else:
            row = rows.get(Path(str(predicted if predicted is not None else name)).stem, rows.get(Path(name).stem))
        if row is not None and predicted is not None:
            means[row] = errors.mean()
    if not np.isfinite(means).any():
        raise LabelError(f"no label of {truth} belongs to a frame of the sequence: leave out --labels")
    return means


def _write_rows(path: Path, frames: tuple[str, ...], measured: list[Measured]) -> None:
    columns: dict[str, Floats] = {}
    for name, each in zip(NAMES, measured, strict=True):
        columns[f"{name}_residual_mm"], columns[f"{name}_acceleration_mm"] = each.residual_mm, each.acceleration_mm
        if each.error_mm is not None:
            columns[f"{name}_error_mm"] = each.error_mm
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["frame", *columns])
        for row, frame in enumerate(frames):
            values = (each[row] for each in columns.values())
            rows.writerow([frame, *(f"{value:.3f}" if np.isfinite(value) else "" for value in values)])


def _figure(measured: list[Measured]) -> Any:
    from matplotlib.figure import Figure

    kinds = {"residual_mm": "residual, mm", "acceleration_mm": "mean acceleration, mm per frame²"}
    if measured[0].error_mm is not None:
        kinds = {"error_mm": "mean joint error, mm", **kinds}
    figure = Figure((9.0, 2.6 * len(kinds)), dpi=100, facecolor=plot_ink(colour.PAPER), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(kinds), sharex=True))
    for axes, (kind, label) in zip(panels, kinds.items(), strict=True):
        for name, each, ink in zip(NAMES, measured, (colour.FINGERS[4], colour.FINGERS[2]), strict=True):
            axes.plot(getattr(each, kind), color=plot_ink(ink), linewidth=1.2, label=name)
        axes.set_facecolor(plot_ink(colour.EMPTY))
        axes.set_ylim(bottom=0)
        axes.set_ylabel(label, color=plot_ink(colour.INK), fontsize=8)
        axes.tick_params(colors=plot_ink(colour.FAINT_INK))
        axes.legend(facecolor=plot_ink(colour.PAPER), labelcolor=plot_ink(colour.INK), fontsize=8)
    panels[-1].set_xlabel("frame", color=plot_ink(colour.FAINT_INK))
    return figure


def _mean(values: Floats) -> float | None:
    known = np.isfinite(values)
    return round(float(values[known].mean()), 3) if known.any() else None
