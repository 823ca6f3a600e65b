"""A few held-out frames over the steps of an adaptation, as a video: what was seen, and what the network made of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from handopt.draw import colour
from handopt.draw.shading import shade_over
from handopt.draw.video import write_mp4
from handopt.learning.images import EMPTY, UNIT_MM, Arrays
from handopt.ops.rasterise import Camera
from handopt.proposals.features import HALF_MM, SIZE
from handopt.typing import AnyArray, Bytes, Floats

# All numbers were chosen by eye.
ENLARGED: Final = 4
PANEL_PX: Final = SIZE * ENLARGED
GAP_PX, TITLE_PX, FONT_PX = 8, 32, 15
FPS, HELD, LAST_HELD = 12.0, 4, 12
"""Frames a second; video frames of a report, and of the last one."""
OPACITY: Final = 0.75
FILM_NAME: Final = "optimisation.mp4"


def write_film(
    path: Path, frames: Arrays, vertices: Sequence[AnyArray], titles: Sequence[str], faces: AnyArray
) -> None:
    """Write the video. Raises OutputError.

    frames: of F frames, as the store has them. vertices: of each report, (F, V, 3) mm in the frames of their views
    titles: of each report
    """
    shown = [HELD] * (len(vertices) - 1) + [LAST_HELD]
    write_mp4(_pictures(frames, vertices, titles, faces, shown), sum(shown), path, FPS)


def _pictures(
    frames: Arrays, vertices: Sequence[AnyArray], titles: Sequence[str], faces: AnyArray, shown: Sequence[int]
) -> Iterator[Bytes]:
    for posed, title, times in zip(vertices, titles, shown, strict=True):
        picture = sheet(frames, posed, title, faces)
        for _ in range(times):
            yield picture


def sheet(frames: Arrays, vertices: AnyArray, title: str, faces: AnyArray) -> Bytes:
    """What was seen of F frames, and below what the network made of it. vertices: (F, V, 3) mm in their views."""
    from PIL import Image, ImageDraw

    count = len(vertices)
    wide = count * PANEL_PX + (count + 1) * GAP_PX
    canvas = Image.new("RGB", (wide + wide % 2, TITLE_PX + 2 * PANEL_PX + 2 * GAP_PX), colour.PAPER)
    ImageDraw.Draw(canvas).text((GAP_PX, TITLE_PX // 2), title, colour.INK, colour.font(FONT_PX), anchor="lm")
    for number in range(count):
        seen = _seen(frames["offset"][number])
        left = GAP_PX + number * (PANEL_PX + GAP_PX)
        canvas.paste(Image.fromarray(seen), (left, TITLE_PX))
        over = shade_over(
            seen, vertices[number].astype(np.float64), faces, _camera(frames["distance"][number]), OPACITY
        )
        canvas.paste(Image.fromarray(over), (left, TITLE_PX + PANEL_PX + GAP_PX))
    return np.asarray(canvas)


def _seen(offset: AnyArray) -> Bytes:
    """A view (64, 64) in grey, enlarged; near is bright."""
    hand = offset != EMPTY
    grey = np.where(hand, 0.5 - 0.4 * offset.astype(np.float64) * UNIT_MM / HALF_MM, 0.0)
    picture = np.rint(255 * np.repeat(np.clip(grey, 0, 1)[..., None], 3, axis=-1)).astype(np.uint8)
    picture[~hand] = colour.EMPTY
    return np.repeat(np.repeat(picture, ENLARGED, axis=0), ENLARGED, axis=1)


def _camera(distance_mm: float | Floats) -> Camera:
    """The camera of an enlarged view."""
    focal = float(distance_mm) * PANEL_PX / (2 * HALF_MM)
    middle = 0.5 * (PANEL_PX - 1)
    return focal, focal, middle, middle, PANEL_PX, PANEL_PX
