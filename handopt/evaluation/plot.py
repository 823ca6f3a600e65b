"""curve.png: the share of frames within D mm, for all frames and, where there are several, for each group."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from handopt.draw import colour
from handopt.evaluation.metrics import THRESHOLDS_MM, Evaluation, frame_worst, success_curve
from handopt.typing import RGB, Floats

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

Curves = Mapping[str, tuple[Floats, RGB]]

PANEL_PX: Final = (520, 380)
LEFT_PX: Final = 66
TOP_PX: Final = 84
GAP_PX: Final = 74
RIGHT_PX: Final = 26
BOTTOM_PX: Final = 60
LINE_PX: Final = 2.4
LEGEND_LINE_PX: Final = 22
LEGEND_PX: Final = 24
OVERSAMPLING: Final = 3
GRID: Final[RGB] = (44, 47, 56)
GROUPS_SHOWN: Final = len(colour.FINGERS)
LABELS: Final = {
    "worst_joint": ("worst joint", colour.FINGERS[3]),
    "worst_visible_joint": ("worst visible joint", colour.FINGERS[2]),
    "frame_mean": ("mean of the joints", colour.FINGERS[1]),
}


def draw_curve(evaluation: Evaluation) -> "Image.Image":
    """Draw the curves as an RGB image: all frames on the left, groups (if there are two to five) on the right."""
    from PIL import Image, ImageDraw

    curves = evaluation.curves()
    panels: list[tuple[str, Curves]] = [
        (
            "share of all frames within D",
            {title: (curves[name], ink) for name, (title, ink) in LABELS.items() if name in curves},
        )
    ]
    groups = evaluation.groups
    if 2 <= len(groups) <= GROUPS_SHOWN:
        worst = frame_worst(evaluation.errors_mm)
        inks = zip(groups.items(), colour.FINGERS, strict=False)
        by_group = {f"{name} ({rows.sum()} frames)": (success_curve(worst[rows]), ink) for (name, rows), ink in inks}
        panels.append(("share of each group's frames whose worst joint is within D", by_group))
    width = LEFT_PX + len(panels) * PANEL_PX[0] + (len(panels) - 1) * GAP_PX + RIGHT_PX
    canvas = Image.new("RGB", (width, TOP_PX + PANEL_PX[1] + BOTTOM_PX), colour.PAPER)
    draw = ImageDraw.Draw(canvas)
    missing = len(evaluation.missing)
    title = f"{evaluation.joint_set.title}: {len(evaluation.frames)} frames, {len(evaluation.joints)} joints"
    title += f"; {missing} without a prediction count as failed" if missing else ""
    draw.text(
        (LEFT_PX, 30), colour.fitting(title, 18, width - LEFT_PX - RIGHT_PX), colour.INK, colour.font(18), anchor="lm"
    )
    for index, (name, panel) in enumerate(panels):
        _draw_panel(canvas, LEFT_PX + index * (PANEL_PX[0] + GAP_PX), name, panel)
    return canvas


def write_curve(evaluation: Evaluation, path: Path) -> None:
    """Write draw_curve as a PNG file."""
    draw_curve(evaluation).save(path, format="PNG", optimize=True)


def _draw_panel(canvas: "Image.Image", left: int, name: str, curves: Curves) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(canvas)
    right, bottom = left + PANEL_PX[0], TOP_PX + PANEL_PX[1]
    draw.text((left, TOP_PX - 16), name, colour.INK, colour.font(15), anchor="lm")
    font = colour.font(13)
    for share in range(0, 101, 20):
        y = bottom - share * PANEL_PX[1] / 100
        draw.line([(left, y), (right, y)], GRID)
        draw.text((left - 8, y), f"{share}%", colour.FAINT_INK, font, anchor="rm")
    for limit in range(0, THRESHOLDS_MM[-1] + 1, 10):
        x = left + limit * PANEL_PX[0] / THRESHOLDS_MM[-1]
        draw.line([(x, TOP_PX), (x, bottom)], GRID)
        draw.text((x, bottom + 15), str(limit), colour.FAINT_INK, font, anchor="mm")
    draw.text(((left + right) / 2, bottom + 38), "distance D to the label, mm", colour.FAINT_INK, font, anchor="mm")
    for shares, ink in reversed(list(curves.values())):  # the first lies on top
        _draw_line(canvas, left, shares, ink)
    _draw_legend(draw, right, bottom, curves)


def _draw_line(canvas: "Image.Image", left: int, shares: Floats, ink: RGB) -> None:
    """Draw a curve, anti-aliased; shares (76,) 0 .. 1 over THRESHOLDS_MM, nothing where they are NaN."""
    from PIL import Image, ImageDraw

    margin = 4
    size = (PANEL_PX[0] + 2 * margin, PANEL_PX[1] + 2 * margin)
    mask = Image.new("L", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING))
    points = [
        (
            (margin + 0.5 + limit * PANEL_PX[0] / THRESHOLDS_MM[-1]) * OVERSAMPLING,
            (margin + 0.5 + (1 - share) * PANEL_PX[1]) * OVERSAMPLING,
        )
        for limit, share in zip(THRESHOLDS_MM, shares.tolist(), strict=True)
        if np.isfinite(share)
    ]
    if len(points) > 1:
        ImageDraw.Draw(mask).line(points, 255, round(LINE_PX * OVERSAMPLING), joint="curve")
    canvas.paste(ink, (left - margin, TOP_PX - margin), mask.resize(size, Image.Resampling.BOX))


def _draw_legend(draw: "ImageDraw.ImageDraw", right: int, bottom: int, curves: Curves) -> None:
    """Name the curves in a box at the bottom right, where success rates are high above."""
    font = colour.font(14)
    names = [colour.fitting(name, 14, PANEL_PX[0] / 2) for name in curves]
    width = max(font.getlength(name) for name in names) + LEGEND_LINE_PX + 34
    top = bottom - 14 - len(names) * LEGEND_PX
    draw.rectangle([(right - width - 8, top - 6), (right - 8, bottom - 8)], colour.EMPTY)
    for row, (name, (_, ink)) in enumerate(zip(names, curves.values(), strict=True)):
        y = top + (row + 0.5) * LEGEND_PX - 2
        x = right - width + 4
        draw.line([(x, y), (x + LEGEND_LINE_PX, y)], ink, 3)
        draw.text((x + LEGEND_LINE_PX + 10, y), name, colour.INK, font, anchor="lm")
