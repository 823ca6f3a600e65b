"""Where titles, panels, colour scales and the caption of a video stand."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from handopt.draw import colour
from handopt.typing import Bytes

if TYPE_CHECKING:
    from PIL import Image

# All numbers were chosen by eye. Sizes in px beside panels of USUAL_PX; they grow with the panels.
USUAL_PX = 300  # edge of a panel
LEAST, LARGEST = 1.0, 2.0  # by how much text grows at least and at most
FONT_PX, SMALL_FONT_PX = 13, 11
GAP_PX, EDGE_PX = 6, 10  # between panels, and around everything
TITLE_PX, CAPTION_PX = 28, 28  # height of the titles above the panels, and of the caption below
BAR_PX, SCALE_PX, UNIT_PX = 10, 36, 34  # height of a colour bar, of a bar with its numbers; width of its unit
# These do not grow:
BAR_DROP_PX, TICK_DROP_PX = 6, 3  # from a panel to its bar, and from the bar to its numbers
SEPARATOR = "   ·   "


def growth(size: int) -> float:
    """By how much text is larger than usual beside panels of a size in pixels."""
    return min(max(size / USUAL_PX, LEAST), LARGEST)


class Layout:
    """Panels of one size in a row; text and gaps grow with it, from the usual size on."""

    def __init__(self, size: int, count: int) -> None:
        """size: edge of a panel in pixels; count: of panels."""
        grown = growth(size)
        self._size = size
        self._font, self._small = round(FONT_PX * grown), round(SMALL_FONT_PX * grown)
        self.gap, self.edge = round(GAP_PX * grown), round(EDGE_PX * grown)
        self._title, self._caption = round(TITLE_PX * grown), round(CAPTION_PX * grown)
        self._bar, self._scale = round(BAR_PX * grown), round(SCALE_PX * grown)
        self._unit = round(UNIT_PX * grown)
        wide = 2 * self.edge + count * size + (count - 1) * self.gap
        high = self._title + size + self._scale + self._caption
        self.width, self.height = wide + wide % 2, high + high % 2

    def corner(self, number: int) -> tuple[int, int]:
        """Left and top of a panel."""
        return self.edge + number * (self._size + self.gap), self._title

    def title(self, canvas: "Image.Image", number: int, choices: Sequence[str]) -> None:
        """The first of the choices that fits above a panel."""
        from PIL import ImageDraw

        font = colour.font(self._font)
        text = next((each for each in choices if font.getlength(each) <= self._size), choices[-1])
        text = colour.fitting(text, self._font, self._size)
        place = (self.corner(number)[0], self._title // 2)
        ImageDraw.Draw(canvas).text(place, text, colour.INK, font, anchor="lm")

    def bar(self, canvas: "Image.Image", number: int, table: Bytes) -> None:
        """A colour scale below a panel, and its unit."""
        from PIL import Image, ImageDraw

        left, top, width = self._scale_at(number)
        row = table[(np.arange(width) * len(table)) // width]
        canvas.paste(Image.fromarray(np.broadcast_to(row, (self._bar, width, 3)).copy()), (left, top))
        place = (left + self._size - self.gap, top + self._bar // 2)
        ImageDraw.Draw(canvas).text(place, "mm", colour.FAINT_INK, colour.font(self._small), anchor="rm")

    def ticks(self, canvas: "Image.Image", number: int, ticks: Sequence[str]) -> None:
        """Numbers at the left end, in the middle and at the right end of a scale."""
        from PIL import ImageDraw

        left, top, width = self._scale_at(number)
        draw = ImageDraw.Draw(canvas)
        for tick, place, anchor in zip(ticks, (0, width // 2, width), ("la", "ma", "ra"), strict=True):
            at = (left + place, top + self._bar + TICK_DROP_PX)
            draw.text(at, tick, colour.FAINT_INK, colour.font(self._small), anchor=anchor)

    def caption(self, canvas: "Image.Image", parts: Sequence[str]) -> None:
        """A line below everything; where it is too long, first the first part is left out, then the last ones."""
        from PIL import ImageDraw

        room, font = self.width - 2 * self.edge, colour.font(self._font)
        chosen = list(parts)
        while len(chosen) > 1 and font.getlength(SEPARATOR.join(chosen)) > room:
            chosen = chosen[1:] if len(chosen) == len(parts) else chosen[:-1]
        text = colour.fitting(SEPARATOR.join(chosen), self._font, room)
        place = (self.edge, self.height - self._caption // 2)
        ImageDraw.Draw(canvas).text(place, text, colour.INK, font, anchor="lm")

    def _scale_at(self, number: int) -> tuple[int, int, int]:
        """Left, top and width of a colour scale."""
        left, top = self.corner(number)
        return left, top + self._size + BAR_DROP_PX, self._size - self._unit
