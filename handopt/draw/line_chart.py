"""The one animated chart: a curve against the iterations, drawn once and uncovered from left to right."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from handopt.draw import colour
from handopt.draw.layout import SMALL_FONT_PX, growth
from handopt.typing import RGB, Bytes, Floats, Reals

if TYPE_CHECKING:
    from PIL import ImageDraw

# All numbers were chosen by eye.
CURVE: Final[RGB] = (255, 196, 84)
GRID: Final[RGB] = (44, 48, 57)
OVERSAMPLING: Final = 4  # of the curve

# Pixels in the usual size of a panel; they grow with it.
GAP_PX: Final = 6  # between text and lines
RIGHT_PX: Final = 12  # right of the curve
TOP_PX, TITLE_PX = 10, 16  # above the grid, and what a title adds
BOTTOM_PX: Final = 22  # below the grid
LINE_PX: Final = 1.8  # width of the curve
DOT_PX: Final = 4.0  # radius of the dot at its end


class LineChart:
    """A curve on a grid of three lines; the axis is logarithmic where all known values are above 0.

    values: (T,) of the iterations; what is not finite leaves a gap that the curve bridges. width, height: pixels of
    the picture. title: of the axis, above it. stages: (T,) names; a mark stands where each begins, with its name where
    there is room. paper: colour behind the chart. unit: what there is a value for. over: values that the axis is to
    hold, where charts are to compare; else those of the curve.
    """

    def __init__(
        self,
        values: Reals,
        width: int,
        height: int,
        *,
        title: str = "",
        stages: Sequence[str] | None = None,
        paper: RGB = colour.PAPER,
        unit: str = "iteration",
        over: Reals | None = None,
    ) -> None:
        self._values = np.where(np.isfinite(values), np.asarray(values, np.float64), np.nan)
        held = self._values if over is None else np.asarray(over, np.float64)
        held = held[np.isfinite(held)]
        self._log = len(held) > 0 and bool((held > 0).all())
        self._width, self._height, self._grown = width, height, growth(min(width, height))
        self._ends = self._value_range(held)
        self._labels = [f"{10.0**each if self._log else each:.3g}" for each in np.linspace(*self._ends, 3)]
        font = colour.font(round(SMALL_FONT_PX * self._grown))
        self._left = round(max(font.getlength(each) for each in self._labels) + 2 * self._px(GAP_PX))
        self._right = width - self._px(RIGHT_PX) - 1
        self._top = self._px(TOP_PX + (TITLE_PX if title else 0))
        self._bottom = height - self._px(BOTTOM_PX) - 1
        self._columns = np.linspace(self._left, self._right, max(len(values), 2))[: len(values)]
        self._rows = self._bottom - self._share(self._values) * (self._bottom - self._top)
        self._unit = unit
        self._paper = self._draw_paper(paper, title, stages)
        self._curve = self._draw_curve()

    def upto(self, index: int) -> Bytes:
        """The picture (height, width, 3) with the curve up to an iteration, and a dot at its end."""
        picture = self._paper.copy()
        known = np.flatnonzero(np.isfinite(self._rows[: index + 1]))
        if len(known) == 0:
            return picture
        column, row = self._columns[known[-1]], self._rows[known[-1]]
        edge = round(column) + 1
        picture[:, :edge] = colour.blend(picture[:, :edge], CURVE, self._curve[:, :edge])
        self._dot(picture, column, row)
        return picture

    def _px(self, usual: float) -> int:
        return round(usual * self._grown)

    def _scaled(self, values: Floats) -> Floats:
        return np.asarray(np.log10(values) if self._log else values)

    def _value_range(self, held: Floats) -> tuple[float, float]:
        """Values at the bottom and at the top, their logarithms on a logarithmic axis. held: that it holds."""
        scaled = self._scaled(held)
        low, high = (float(scaled.min()), float(scaled.max())) if len(scaled) else (0.0, 1.0)
        return (low, high) if high - low > 1e-9 else (low - 0.5, high + 0.5)

    def _share(self, values: Floats) -> Floats:
        """Where values stand between bottom (0) and top (1)."""
        return (self._scaled(values) - self._ends[0]) / (self._ends[1] - self._ends[0])

    def _draw_paper(self, paper: RGB, title: str, stages: Sequence[str] | None) -> Bytes:
        from PIL import Image, ImageDraw

        picture = Image.new("RGB", (self._width, self._height), paper)
        draw = ImageDraw.Draw(picture)
        font = colour.font(round(SMALL_FONT_PX * self._grown))
        for share, label in zip((0.0, 0.5, 1.0), self._labels, strict=True):
            y = round(self._bottom - share * (self._bottom - self._top))
            draw.line([(self._left, y), (self._right, y)], GRID)
            draw.text((self._left - self._px(GAP_PX), y), label, colour.FAINT_INK, font, anchor="rm")
        if title:
            text = title + (", log scale" if self._log else "")
            draw.text((self._px(GAP_PX), self._top / 2), text, colour.INK, font, anchor="lm")
        base = (self._bottom + self._height) / 2
        ending = self._unit if stages else f"{len(self._values)} {self._unit}s"
        draw.text((self._right, base), ending, colour.FAINT_INK, font, anchor="rm")
        if stages:
            self._draw_stages(draw, stages, base, self._right - font.getlength(ending) - self._px(GAP_PX))
        else:
            draw.text((self._left, base), "1", colour.FAINT_INK, font, anchor="lm")
        return np.asarray(picture)

    def _draw_stages(self, draw: "ImageDraw.ImageDraw", stages: Sequence[str], base: float, end: float) -> None:
        """Mark where each stage begins, with its name below the axis where there is room before `end`."""
        font, free = colour.font(round(SMALL_FONT_PX * self._grown)), 0.0
        for index, stage in enumerate(stages):
            if index and stage == stages[index - 1]:
                continue
            x = float(self._columns[index])
            draw.line([(x, self._top), (x, self._bottom)], GRID)
            name = f"stage {stage}" if stage.isdecimal() else colour.printable(stage)
            if x >= free and x + font.getlength(name) < end:
                draw.text((x, base), name, colour.FAINT_INK, font, anchor="lm")
                free = x + font.getlength(name) + self._px(GAP_PX)

    def _draw_curve(self) -> Reals:
        """Coverage (height, width) 0 to 1 of the whole curve, anti-aliased."""
        from PIL import Image, ImageDraw

        fine = OVERSAMPLING
        picture = Image.new("L", (self._width * fine, self._height * fine))
        known = np.isfinite(self._rows)
        points = np.stack([self._columns[known], self._rows[known]], axis=1)
        if len(points) > 1:
            line = [(x * fine, y * fine) for x, y in (points + 0.5).tolist()]
            ImageDraw.Draw(picture).line(line, 255, round(LINE_PX * self._grown * fine), joint="curve")
        small = picture.resize((self._width, self._height), Image.Resampling.BOX)
        return np.asarray(small, np.float32) / 255

    def _dot(self, picture: Bytes, column: float, row: float) -> None:
        radius = DOT_PX * self._grown
        top, left = (max(int(value - radius) - 1, 0) for value in (row, column))
        patch = picture[top : int(row + radius) + 2, left : int(column + radius) + 2]
        y, x = np.mgrid[top : top + patch.shape[0], left : left + patch.shape[1]]
        distance = np.hypot(x - column, y - row)
        patch[:] = colour.blend(patch, colour.INK, np.clip(radius + 0.5 - distance, 0, 1))


def per_stage(total: Reals, stages: Sequence[str]) -> Reals:
    """An objective (T,) scaled to 0 to 1 within each run of equal stages (T,); 0 where a run has one value only."""
    out = np.array(total, np.float64)
    starts = [row for row in range(len(out)) if row == 0 or stages[row] != stages[row - 1]]
    for start, end in zip(starts, [*starts[1:], len(out)], strict=True):
        part = out[start:end]
        known = part[np.isfinite(part)]
        if len(known):
            low, span = known.min(), np.ptp(known)
            part[:] = (part - low) / (span or 1.0)
    return out
