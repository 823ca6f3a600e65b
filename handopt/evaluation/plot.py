"""curve.png: the share of frames within D mm, for all frames and, where there are several, for each group."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from handopt.draw import colour
from handopt.draw.colour import plot_ink
from handopt.errors import how_to_install
from handopt.evaluation.metrics import THRESHOLDS_MM, Evaluation, frame_worst, success_curve
from handopt.typing import RGB, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curves = Mapping[str, tuple[Floats, RGB]]

PANEL_INCHES: Final = (6.0, 5.2)
DPI: Final = 100
GROUPS_SHOWN: Final = len(colour.FINGERS)
"""A colour for each."""
LABELS: Final = {
    "worst_joint": ("worst joint", colour.FINGERS[3]),
    "worst_visible_joint": ("worst visible joint", colour.FINGERS[2]),
    "frame_mean": ("mean of the joints", colour.FINGERS[1]),
}


def plot_problem() -> str | None:
    """Why nothing can be plotted, as a sentence that says what to install, or None if it can."""
    if importlib.util.find_spec("matplotlib") is not None:
        return None
    return f"curve.png was not drawn because Matplotlib is not installed; to have it, {how_to_install('plots')}"


def draw_curve(evaluation: Evaluation) -> "Figure":
    """Draw the curves: all frames on the left, groups (if there are two to five) on the right."""
    from matplotlib.figure import Figure

    panels = _panels(evaluation)
    width, height = PANEL_INCHES
    figure = Figure((len(panels) * width, height), dpi=DPI, facecolor=plot_ink(colour.PAPER), layout="constrained")
    missing = len(evaluation.missing)
    title = f"{evaluation.joint_set.title}: {len(evaluation.frames)} frames, {len(evaluation.joints)} joints"
    title += f"; {missing} without a prediction count as failed" if missing else ""
    figure.suptitle(title, color=plot_ink(colour.INK), fontsize=13, parse_math=False)
    for axes, (name, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_panel(axes, name, curves)
    return figure


def write_curve(evaluation: Evaluation, path: Path) -> None:
    """Write draw_curve as a PNG file. Raises ImportError where plot_problem names one."""
    draw_curve(evaluation).savefig(path, format="png")


def _panels(evaluation: Evaluation) -> list[tuple[str, Curves]]:
    """Title and curves of each panel."""
    curves = evaluation.curves()
    everything = {title: (curves[name], ink) for name, (title, ink) in LABELS.items() if name in curves}
    panels: list[tuple[str, Curves]] = [("share of all frames within D", everything)]
    groups = evaluation.groups
    if 2 <= len(groups) <= GROUPS_SHOWN:
        worst = frame_worst(evaluation.errors_mm)
        inks = zip(groups.items(), colour.FINGERS, strict=False)
        by_group = {f"{name} ({rows.sum()} frames)": (success_curve(worst[rows]), ink) for (name, rows), ink in inks}
        panels.append(("share of each group's frames whose worst joint is within D", by_group))
    return panels


def _draw_panel(axes: "Axes", name: str, curves: Curves) -> None:
    axes.set_facecolor(plot_ink(colour.EMPTY))
    axes.set_title(name, color=plot_ink(colour.INK), fontsize=10, loc="left")
    for label, (shares, ink) in reversed(list(curves.items())):  # the first lies on top
        axes.plot(
            THRESHOLDS_MM,
            100 * shares,
            color=plot_ink(ink),
            linewidth=1.8,
            label=label.replace("$", r"\$"),
        )
    axes.set_xlim(0, THRESHOLDS_MM[-1])
    axes.set_ylim(0, 101)
    axes.set_xlabel("distance D to the label, mm", color=plot_ink(colour.FAINT_INK))
    axes.yaxis.set_major_formatter("{x:.0f}%")
    axes.grid(color=plot_ink(colour.NEUTRAL), alpha=0.4, linewidth=0.6)
    axes.tick_params(colors=plot_ink(colour.FAINT_INK))
    for spine in axes.spines.values():
        spine.set_color(plot_ink(colour.NEUTRAL))
    handles, names = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1], names[::-1], loc="lower right", facecolor=plot_ink(colour.PAPER),
        edgecolor=plot_ink(colour.NEUTRAL), labelcolor=plot_ink(colour.INK), fontsize=9,
    )  # fmt: skip
