"""The generic and the personal hand on one turntable, side by side and at one scale, as a picture or a video."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from handopt.draw import colour
from handopt.draw.turntable import PANEL_PX, VIEWS, Turntable
from handopt.typing import Bytes

if TYPE_CHECKING:
    from PIL import Image

    from handopt.rig import Rig

# All numbers were chosen by eye.
FRAMES: Final = 48
"""Frames of a whole turn."""
FPS: Final = 12
"""Frames a second: a turn takes 4 s."""
TITLE_PX, TITLE_LEFT_PX, FONT_PX = 36, 10, 16
"""Height of a title, where it begins, and height of its letters, px."""
GAP_PX: Final = 12
"""Between the hands, px."""
STILLS: Final = (0, 2, 4, 6)
"""Views of the picture: palm, both edges, back."""


class Comparison:
    """Two rigs before cameras of the same magnification."""

    def __init__(self, generic: "Rig", personal: "Rig") -> None:
        self._titles = ("generic", "personal")
        self._tables = (Turntable(generic), Turntable(personal))
        self._tables[0].share_scale(self._tables[1])

    def frame(self, view: float) -> "Image.Image":
        """Both hands from one side, of even width and height; view: in eighths of a turn, 0 shows the palm."""
        from PIL import Image, ImageDraw

        canvas = Image.new("RGB", (2 * PANEL_PX[0] + GAP_PX, PANEL_PX[1] + TITLE_PX), colour.PAPER)
        draw = ImageDraw.Draw(canvas)
        for number, (title, table) in enumerate(zip(self._titles, self._tables, strict=True)):
            left = number * (PANEL_PX[0] + GAP_PX)
            draw.text((left + TITLE_LEFT_PX, TITLE_PX // 2), title, colour.INK, colour.font(FONT_PX), anchor="lm")
            canvas.paste(table.panel(view), (left, TITLE_PX))
        return canvas

    def frames(self) -> Iterator[Bytes]:
        """A whole turn, (H, W, 3) uint8 each."""
        for number in range(FRAMES):
            yield np.asarray(self.frame(number * VIEWS / FRAMES))


def write_comparison(generic: "Rig", personal: "Rig", path: Path) -> None:
    """Write the turn as H.264 in an .mp4, or four sides of it as a .png. Raises OutputError where ffmpeg fails."""
    comparison = Comparison(generic, personal)
    if path.suffix == ".png":
        _stills(comparison).save(path, format="PNG", compress_level=6)
        return
    from handopt.draw.video import write_mp4

    write_mp4(comparison.frames(), FRAMES, path, FPS)


def _stills(comparison: Comparison) -> "Image.Image":
    from PIL import Image

    frames = [comparison.frame(view) for view in STILLS]
    width, height = frames[0].size
    canvas = Image.new("RGB", (2 * width + GAP_PX, 2 * height + GAP_PX), colour.PAPER)
    for number, frame in enumerate(frames):
        canvas.paste(frame, (number % 2 * (width + GAP_PX), number // 2 * (height + GAP_PX)))
    return canvas
