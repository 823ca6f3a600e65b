"""The objective against the iteration, as a square panel that is uncovered from left to right."""

import numpy as np

from handopt.draw import colour
from handopt.draw.layout import SMALL_FONT_PX, growth
from handopt.draw.video import CURVE, GRID
from handopt.typing import Bytes, Floats

MARGIN_PX = (46, 10, 10, 22)
"""Left, right, top, bottom, in the usual size."""
FINE = 3


class CurvePanel:
    """total: (T,) of the objective; width, height: pixels. The axis is logarithmic where all values are above 0."""

    def __init__(self, total: Floats, width: int, height: int) -> None:
        values = np.where(np.isfinite(total), total, np.nan)
        self._log = bool((values[np.isfinite(values)] > 0).all()) and bool(np.isfinite(values).any())
        scaled = np.log10(values) if self._log else values
        low, high = (np.nanmin(scaled), np.nanmax(scaled)) if np.isfinite(scaled).any() else (0.0, 1.0)
        high = high if high > low else low + 1.0
        self._grown = growth(width)
        self._margin = left, right, top, bottom = tuple(round(self._grown * each) for each in MARGIN_PX)
        self._x = left + (width - left - right - 1) * np.linspace(0, 1, max(len(total), 2))[: len(total)]
        self._y = top + (height - top - bottom - 1) * (1 - (scaled - low) / (high - low))
        self._width, self._height = width, height
        self._ends = (float(low), float(high))
        self._paper = self._draw_paper(len(total))

    def _draw_paper(self, count: int) -> Bytes:
        from PIL import Image, ImageDraw

        left, right, top, bottom = self._margin
        canvas = Image.new("RGB", (self._width, self._height), colour.EMPTY)
        draw = ImageDraw.Draw(canvas)
        font = colour.font(round(SMALL_FONT_PX * self._grown))
        for share in (0.0, 0.5, 1.0):
            y = top + (self._height - top - bottom - 1) * (1 - share)
            value = self._ends[0] + share * (self._ends[1] - self._ends[0])
            draw.line([(left, y), (self._width - right, y)], GRID)
            text = f"{10**value if self._log else value:.3g}"
            draw.text((left - 5, y), text, colour.FAINT_INK, font, anchor="rm")
        base = self._height - bottom + round(5 * self._grown)
        draw.text((left, base), "1", colour.FAINT_INK, font, anchor="lt")
        draw.text((self._width - right, base), f"{count} iterations", colour.FAINT_INK, font, anchor="rt")
        return np.asarray(canvas)

    def upto(self, index: int) -> Bytes:
        """The panel (height, width, 3) with the curve up to an iteration."""
        from PIL import Image, ImageDraw

        layer = Image.new("L", (self._width * FINE, self._height * FINE))
        draw = ImageDraw.Draw(layer)
        shown = np.flatnonzero(np.isfinite(self._y[: index + 1]))
        spots = [(self._x[row] * FINE, self._y[row] * FINE) for row in shown]
        if len(spots) > 1:
            draw.line(spots, 255, round(2 * self._grown * FINE), joint="curve")
        if spots:
            x, y = spots[-1]
            reach = 4 * self._grown * FINE
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), 255)
        cover = np.asarray(layer.resize((self._width, self._height), Image.Resampling.BOX), np.float32) / 255
        return colour.blend(self._paper, CURVE, cover)
