"""Colour tables and the few drawing helpers that every picture shares."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from handopt.typing import RGB, Bytes

if TYPE_CHECKING:
    from PIL import ImageFont


LEVELS = 256  # colours of a table

# Colours were chosen by eye: red, green and blue of 255, as a screen shows them (sRGB).
PAPER: RGB = (18, 20, 25)  # behind everything
EMPTY: RGB = (29, 31, 38)  # where nothing was measured, or nothing is
INK: RGB = (236, 239, 243)  # text
FAINT_INK: RGB = (148, 157, 170)  # text of less weight
OUTLINE: RGB = (255, 255, 255)  # the border of the hand, and the middle of joints
ARM: RGB = (255, 138, 46)  # what was taken for the forearm
UNEXPLAINED: RGB = (222, 178, 60)  # observed, but not fitted
UNSUPPORTED: RGB = (136, 92, 176)  # fitted, but not observed
NEUTRAL: RGB = (104, 109, 119)  # fitted over the forearm, which is no error
DOUBTFUL: RGB = (224, 69, 58)  # frames of a track with a low confidence
BRIDGED: RGB = (138, 111, 209)  # frames of a track that were filled in

# One colour per chain of the skeleton: thumb, index, middle, ring, pinky.
FINGERS: tuple[RGB, ...] = ((255, 92, 92), (255, 176, 59), (122, 214, 92), (64, 186, 255), (214, 122, 255))


def ramp(anchors: Sequence[RGB], levels: int = LEVELS) -> Bytes:
    """Interpolate evenly spaced anchor colours to a (levels, 3) uint8 table."""
    table = np.asarray(anchors, np.float64)
    positions = np.linspace(0.0, len(anchors) - 1.0, levels)
    columns = [np.interp(positions, np.arange(len(anchors)), table[:, channel]) for channel in range(3)]
    return np.rint(np.stack(columns, axis=1)).astype(np.uint8)


# Far to near, of steadily rising lightness.
DEPTH = ramp(
    [(36, 24, 84), (45, 70, 140), (30, 122, 152), (38, 170, 138), (128, 208, 96), (226, 220, 92), (255, 246, 204)]
)
# Negative to positive; the middle level is neutral.
DIVERGING = ramp(
    [(16, 44, 130), (40, 110, 200), (140, 190, 230), (246, 246, 246), (240, 160, 125), (208, 70, 60), (120, 10, 34)]
)
GREY = ramp([(44, 47, 55), (164, 168, 176)])


def levels(values: npt.ArrayLike, low: float, high: float, count: int = LEVELS) -> Bytes:
    """Quantise values to table rows 0 .. count - 1, clipped at low and high; what is not finite becomes row 0."""
    span = high - low if high > low else 1.0
    scaled = (np.asarray(values, np.float32) - low) * (count / span)
    rows: Bytes = np.minimum(np.fmax(scaled, 0), count - 1).astype(np.uint8)  # fmax ignores NaN
    return rows


def colourise(values: npt.ArrayLike, low: float, high: float, table: Bytes) -> Bytes:
    """Colour an array (...,) by a (n, 3) table over [low, high]; returns (..., 3) uint8."""
    return np.take(table, levels(values, low, high, len(table)), axis=0)


def plot_ink(rgb: RGB) -> tuple[float, float, float]:
    """A colour as Matplotlib takes it."""
    red, green, blue = (channel / 255 for channel in rgb)
    return red, green, blue


def blend(image: Bytes, colour: RGB, alpha: npt.ArrayLike) -> Bytes:
    """Mix a flat colour into an (H, W, 3) image, alpha (H, W) or scalar in 0 .. 1."""
    weight = np.asarray(alpha, np.float32)[..., None]
    mixed: Bytes = np.rint(image * (1.0 - weight) + np.asarray(colour, np.float32) * weight).astype(np.uint8)
    return mixed


@lru_cache(maxsize=16)
def font(size: int) -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    """The font that comes with Pillow, at a size in pixels."""
    from PIL import ImageFont

    return ImageFont.load_default(size=size)


def printable(text: str) -> str:
    """Spell text with the few characters that Pillow's own font has; accents are dropped, the rest becomes '?'."""
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" or letter in "±·°…" else "?" for letter in plain)


def fitting(text: str, size: int, width: float) -> str:
    """Shorten text with an ellipsis until it is at most width pixels wide at a font size."""
    text = printable(text)
    if font(size).getlength(text) <= width:
        return text
    while text and font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"
