"""Curves of an adaptation: curve.csv, and curve.png where Matplotlib is installed."""

import csv
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from handopt.atomic_folder import written_file
from handopt.draw import colour
from handopt.draw.colour import plot_ink
from handopt.learning.curves import CSV_NAME, PNG_NAME, styled

INCHES: Final = (8.0, 6.5)
PANELS: Final = (
    ("depth", "self-supervised loss", colour.FINGERS[4]),
    ("fits_mm", "distance from confident fits, mm", colour.FINGERS[2]),
    ("jitter_mm", "mean acceleration, mm per frame²", colour.FINGERS[3]),
)
"""Scores on held-out frames that are shown."""


def write_adapt_curves(folder: Path, history: Sequence[dict[str, float]]) -> None:
    """Write the curves of what was reported so far, a row for each report. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with written_file(folder / CSV_NAME) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, list(history[0]))
        rows.writeheader()
        rows.writerows(history)
    if importlib.util.find_spec("matplotlib") is not None:
        with written_file(folder / PNG_NAME) as partial:
            _figure(history).savefig(partial, format="png")


def _figure(history: Sequence[dict[str, float]]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(INCHES, dpi=100, facecolor=plot_ink(colour.PAPER), layout="constrained")
    steps = [row["step"] for row in history]
    for axes, (name, label, ink) in zip(figure.subplots(len(PANELS), sharex=True), PANELS, strict=True):
        axes.plot(steps, [row[name] for row in history], color=plot_ink(ink), linewidth=1.8, label=label)
        kept = [row for row in history if row["kept"]]
        axes.plot([row["step"] for row in kept], [row[name] for row in kept], "o", color=plot_ink(ink), markersize=4)
        styled(axes)
    axes.set_xlabel("step; dots: the best so far on held-out frames", color=plot_ink(colour.FAINT_INK))
    return figure
