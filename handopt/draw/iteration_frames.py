"""What the optimiser saw at every iteration: renders/0000.png …"""

import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from handopt.draw import colour
from handopt.draw.png import encode_indexed
from handopt.typing import Bytes, Reals

if TYPE_CHECKING:
    from handopt.result import FitResult

# All numbers were chosen by eye. Layout, px:
PANEL_PX = 240  # edge of a panel, about: a whole multiple of the render's
GAP_PX = 6  # between panels
LINE_PX, FONT_PX, TEXT_LEFT_PX = 22, 12, 8  # height of a line of text, of its letters, and where it begins
DIFFERENCE_SPAN_MM = 50.0  # difference at the ends of its colours
CLOSENESS_PERCENTILES = (2, 100)  # of the observed closeness, at the ends of the colours
CLOSENESS_PAD, MIN_CLOSENESS_PAD = 0.1, 0.02  # what is added at both ends: a share of the range, and at least so much

# Rows of the palette: paper, no hand, depth, difference, and text from faint to bright.
_EMPTY_ROW = 1
_DEPTH_ROW, _DEPTH_LEVELS = 2, 120
_DIFFERENCE_ROW, _DIFFERENCE_LEVELS = _DEPTH_ROW + _DEPTH_LEVELS, 101
_TEXT_ROW, _TEXT_LEVELS = _DIFFERENCE_ROW + _DIFFERENCE_LEVELS, 16


def palette() -> Bytes:
    """The (256, 3) colours that the frames index."""
    table = np.zeros((256, 3), np.uint8)
    table[0] = colour.PAPER
    table[_EMPTY_ROW] = colour.EMPTY
    table[_DEPTH_ROW:_DIFFERENCE_ROW] = colour.ramp([tuple(row) for row in colour.DEPTH.tolist()], _DEPTH_LEVELS)
    table[_DIFFERENCE_ROW:_TEXT_ROW] = colour.ramp(
        [tuple(row) for row in colour.DIVERGING.tolist()], _DIFFERENCE_LEVELS
    )
    table[_TEXT_ROW : _TEXT_ROW + _TEXT_LEVELS] = colour.ramp([colour.PAPER, colour.INK], _TEXT_LEVELS)
    return table


class FramePainter:
    """Paints the iterations of a result as indexed images: observed, fitted, difference, and a line of figures.

    The observed closeness is that at the final radius. The difference is fitted minus observed depth, in the colours of
    the overlay's residual, over ±50 mm; where only one of the two has a hand it is at the end of the scale.
    """

    def __init__(self, result: "FitResult") -> None:
        self._result = result
        size = result.target.shape[-1]
        self._zoom = max(1, round(PANEL_PX / size))
        self._panel = size * self._zoom
        self.width = 3 * self._panel + 2 * GAP_PX
        self.height = self._panel + 2 * LINE_PX
        self._range = _closeness_range(result)
        self._mm_per_closeness = 2.0 * result.crop.half_mm
        self._blank = np.zeros((self.height, self.width), np.uint8)
        for panel, title in enumerate(("observed", "fitted", f"fitted - observed, ±{DIFFERENCE_SPAN_MM:.0f} mm")):
            _write(self._blank[:LINE_PX], TEXT_LEFT_PX + panel * (self._panel + GAP_PX), title)
        self._place(self._blank, 0, self._depth_rows(result.target))

    def __len__(self) -> int:
        return len(self._result.renders)

    def __iter__(self) -> Iterator[Bytes]:
        """Every frame (height, width) uint8 in order."""
        return (self.frame(index) for index in range(len(self)))

    def frame(self, index: int) -> Bytes:
        """The palette rows (height, width) of one iteration."""
        fitted = self._result.renders[index]
        image = self._blank.copy()
        self._place(image, 1, self._depth_rows(fitted))
        self._place(image, 2, self._difference_rows(fitted))
        _write(image[-LINE_PX:], TEXT_LEFT_PX, self._caption(index))
        return image

    def _place(self, image: Bytes, panel: int, rows: Bytes) -> None:
        left = panel * (self._panel + GAP_PX)
        enlarged = np.repeat(np.repeat(rows, self._zoom, axis=0), self._zoom, axis=1)
        image[LINE_PX : LINE_PX + self._panel, left : left + self._panel] = enlarged

    def _depth_rows(self, closeness: Reals) -> Bytes:
        rows = colour.levels(closeness, *self._range, _DEPTH_LEVELS) + np.uint8(_DEPTH_ROW)
        rows[closeness <= 0] = _EMPTY_ROW
        return rows

    def _difference_rows(self, fitted: Reals) -> Bytes:
        target = self._result.target
        difference_mm = (target - fitted) * self._mm_per_closeness
        rows = colour.levels(difference_mm, -DIFFERENCE_SPAN_MM, DIFFERENCE_SPAN_MM, _DIFFERENCE_LEVELS)
        rows += np.uint8(_DIFFERENCE_ROW)
        rows[(fitted <= 0) & (target <= 0)] = _EMPTY_ROW
        return rows

    def _caption(self, index: int) -> str:
        history = self._result.history
        parts = [f"iteration {index + 1} of {len(self)}"]
        if "stage" in history:
            parts.append(f"stage {history['stage'][index]}")
        if "radius_px" in history:
            parts.append(f"radius {float(history['radius_px'][index]):.1f} px")
        if "total" in history:
            parts.append(f"total {float(history['total'][index]):.5g}")
        return colour.printable("   ·   ".join(parts))


def write_renders(result: "FitResult", folder: Path) -> None:
    """Write one PNG per iteration, 0000.png and on, into a folder that exists."""
    painter, table = FramePainter(result), palette()
    for index, rows in enumerate(painter):
        (folder / f"{index:04d}.png").write_bytes(encode_indexed(rows, table))


def _closeness_range(result: "FitResult") -> tuple[float, float]:
    """Closeness at the ends of the depth colours: the observed hand with a margin."""
    observed = result.target[result.target > 0]
    if observed.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(observed, CLOSENESS_PERCENTILES))
    pad = max(MIN_CLOSENESS_PAD, CLOSENESS_PAD * (high - low))
    return max(0.0, low - pad), high + pad


@lru_cache(maxsize=128)
def _glyph(letter: str) -> Bytes:
    """Palette rows (LINE_PX, width) of one letter; drawing whole lines anew took longer than the rest of a frame."""
    from PIL import Image, ImageDraw

    picture = Image.new("L", (math.ceil(colour.font(FONT_PX).getlength(letter)), LINE_PX))
    ImageDraw.Draw(picture).text((0, LINE_PX // 2), letter, 255, colour.font(FONT_PX), anchor="lm")
    grey = np.asarray(picture)
    return np.where(grey > 0, (grey >> 4) + np.uint8(_TEXT_ROW), np.uint8(0))


def _write(line: Bytes, column: int, text: str) -> None:
    """Write text into a line (LINE_PX, width) of palette rows, from a column on; what does not fit is cut off."""
    rows = np.hstack([_glyph(letter) for letter in text])[:, : line.shape[1] - column]
    line[:, column : column + rows.shape[1]] = rows
