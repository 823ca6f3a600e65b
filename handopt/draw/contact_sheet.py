"""One picture of many overlays, side by side, each with its name and confidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from handopt.assess.confidence import confidence_text
from handopt.draw import colour
from handopt.draw.overlay import PANEL_PX, SIZE_PX, panel_origin
from handopt.errors import OutputError
from handopt.typing import Bytes

if TYPE_CHECKING:
    from PIL import Image

PANELS_BOX: Final = (*panel_origin(0), panel_origin(2)[0] + PANEL_PX, panel_origin(2)[1] + PANEL_PX)
"""Left, top, right and bottom of the panels of overlay.png: its words would be too small to read."""
# Chosen by eye.
TILE_PX, NAME_PX, GAP_PX, FONT_PX = 480, 22, 6, 12


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet. name: what stands above it; confidence: of the fit; overlay: its PNG file."""

    name: str
    confidence: float
    overlay: Path


def contact_sheet(tiles: Sequence[Tile], columns: int, width: int = TILE_PX) -> Bytes:
    """The overlays as a picture (H, W, 3) in rows and columns, each `width` pixels wide.

    Raises OutputError where an overlay is damaged.
    """
    from PIL import Image

    pictures = [_tile(each, width) for each in tiles]
    columns = min(columns, len(pictures))
    height = max(picture.height for picture in pictures)
    rows = -(-len(pictures) // columns)
    size = (columns * (width + GAP_PX) - GAP_PX, rows * (height + GAP_PX) - GAP_PX)
    sheet = Image.new("RGB", size, colour.PAPER)
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % columns * (width + GAP_PX), number // columns * (height + GAP_PX)))
    return np.asarray(sheet)


def _tile(tile: Tile, width: int) -> "Image.Image":
    from PIL import Image, ImageDraw

    try:
        with Image.open(tile.overlay, formats=("PNG",)) as whole:
            picture = whole.convert("RGB")
            picture = picture.crop(PANELS_BOX) if picture.size == SIZE_PX else picture
    except Exception as error:  # Pillow raises almost anything on damaged files
        raise OutputError(f"{tile.overlay} is damaged ({error}): fit it again") from error
    picture = picture.resize((width, max(1, round(picture.height * width / picture.width))), Image.Resampling.BOX)
    framed = Image.new("RGB", (width, picture.height + NAME_PX), colour.PAPER)
    framed.paste(picture, (0, NAME_PX))
    sure = f"   confidence {confidence_text(tile.confidence)}"
    font = colour.font(FONT_PX)
    name = colour.fitting(tile.name, FONT_PX, width - 8 - font.getlength(sure))
    ImageDraw.Draw(framed).text((4, 4), name + sure, colour.INK, font)
    return framed
