"""Learning curves: curve.csv, and curve.png where Matplotlib is installed."""

import csv
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from handopt.atomic_folder import written_file
from handopt.draw import colour
from handopt.draw.colour import plot_ink

CSV_NAME: Final = "curve.csv"
PNG_NAME: Final = "curve.png"
SHOWN: Final = {
    "loss": ("loss of the training", colour.FINGERS[4]),
    "likeliest_mm": ("mean joint error of the likeliest hypothesis, mm", colour.FINGERS[2]),
    "best_mm": ("of the best one of all, mm", colour.FINGERS[3]),
    "votes_mm": ("of the joints that it sees, mm", colour.FINGERS[1]),
    "labelled_votes_mm": ("of these in labelled images, mm", colour.FINGERS[0]),
}
INCHES: Final = (8.0, 5.0)


def write_curves(folder: Path, history: Sequence[dict[str, float]]) -> None:
    """Write the curves of what was reported so far, a row for each report. Raises OSError."""
    with written_file(folder / CSV_NAME) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, list(history[0]) if history else ["step"])
        rows.writeheader()
        rows.writerows(history)
    if history and importlib.util.find_spec("matplotlib") is not None:
        with written_file(folder / PNG_NAME) as partial:
            _figure(history).savefig(partial, format="png")


def _figure(history: Sequence[dict[str, float]]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(INCHES, dpi=100, facecolor=plot_ink(colour.PAPER), layout="constrained")
    axes = figure.add_subplot()
    steps = [row["step"] for row in history]
    for name, (label, ink) in SHOWN.items():
        if name not in history[0]:
            continue
        axes.plot(steps, [row[name] for row in history], color=plot_ink(ink), linewidth=1.8, label=label)
    axes.set_xlabel("step", color=plot_ink(colour.FAINT_INK))
    styled(axes)
    return figure


def styled(axes: Any) -> None:
    """Give axes from 0 on the colours of all charts, and a legend."""
    axes.set_facecolor(plot_ink(colour.EMPTY))
    axes.set_ylim(bottom=0)
    axes.grid(color=plot_ink(colour.NEUTRAL), alpha=0.4, linewidth=0.6)
    axes.tick_params(colors=plot_ink(colour.FAINT_INK))
    axes.legend(
        facecolor=plot_ink(colour.PAPER),
        edgecolor=plot_ink(colour.NEUTRAL),
        labelcolor=plot_ink(colour.INK),
        fontsize=9,
    )
