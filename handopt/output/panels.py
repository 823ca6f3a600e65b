"""The panels of a video: depth, fitted hand, overlay and residual side by side, with their colour scales in mm."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from handopt.errors import ConfigError
from handopt.output import colour
from handopt.output.colour import Bytes
from handopt.output.film import Film
from handopt.output.skeleton import draw_skeleton
from handopt.raster import rasterise

if TYPE_CHECKING:
    from PIL import Image

Floats = NDArray[np.float64]

PANELS = ("depth", "fit", "overlay", "residual")
TURNTABLE = "turntable"
TITLES = {
    "depth": "depth",
    "fit": "fitted hand",
    "overlay": "fit over depth",
    "residual": "residual: fit - depth",
    TURNTABLE: "turntable",
}
DEFAULT_PX, PX_RANGE = 300, (80, 1080)
TURN_RAD = 2 * np.pi / 150
RESIDUAL_SPAN_MM = 20.0
GREY_REACH_MM = 600.0
GAP_PX = 6
TITLE_PX, CAPTION_PX, SCALE_PX = 26, 26, 40
BAR_PX = 10
SMALL_FONT, FONT = 11, 13
SKIN = np.array([228.0, 178.0, 150.0])
LIGHT = np.array([-0.4, -0.5, -0.77])
CURVE_SHARE = 0.45


class Painter:
    """Paints the frames of a film, (H, W, 3) uint8 of even size.

    panels: names of PANELS, in order; size: edge of a panel in pixels; turntable: whether a panel with the hand turning
    about the vertical is added. Raises ConfigError.
    """

    def __init__(
        self, film: Film, panels: Sequence[str] = PANELS, size: int = DEFAULT_PX, *, turntable: bool = False
    ) -> None:
        unknown = [name for name in panels if name not in PANELS]
        if unknown or not panels:
            raise ConfigError(f"panels: expected some of {', '.join(PANELS)}, got {', '.join(panels) or 'none'}")
        if not PX_RANGE[0] <= size <= PX_RANGE[1]:
            raise ConfigError(f"size: expected {PX_RANGE[0]} to {PX_RANGE[1]} pixels, got {size}")
        self._film, self._size = film, size
        self._panels = (*panels, TURNTABLE) if turntable else tuple(panels)
        self._range = self._depth_range()
        self._curve = None
        columns = len(self._panels) * size + (len(self._panels) - 1) * GAP_PX
        self._curve_px = 0
        if film.total is not None:
            from handopt.output.curve import CurvePanel

            self._curve_px = size
            self._curve = CurvePanel(film.total, size, size)
            columns += GAP_PX + size
        self.width = columns + columns % 2
        rows = TITLE_PX + size + SCALE_PX + CAPTION_PX
        self.height = rows + rows % 2
        self._paper = self._draw_paper()

    def __len__(self) -> int:
        return len(self._film)

    def __iter__(self) -> Iterator[Bytes]:
        """Every frame."""
        return (self.frame(index) for index in range(len(self)))

    def frame(self, index: int) -> Bytes:
        """One frame."""
        from PIL import Image, ImageDraw

        film, crop = self._film, self._film.crop(index)
        canvas = self._paper.copy()
        observed = film.depth(index)
        known = bool(film.known[index])
        vertices, joints = film.posed(index) if known else (None, None)
        fitted = self._rasterised(vertices, crop, crop.size) if vertices is not None else np.zeros_like(observed)
        near, far = self._range[0], self._range[1]
        for number, name in enumerate(self._panels):
            if name == "depth":
                picture = _depth_colours(observed, near, far)
            elif name == "fit":
                picture = self._shaded(vertices, crop)
            elif name == "overlay":
                picture = _grey(observed, near, far)
                picture[fitted > 0] = _depth_colours(fitted, near, far)[fitted > 0]
            elif name == "residual":
                picture = _residual(observed, fitted, far)
            else:
                picture = self._turned(vertices, index)
            panel = Image.fromarray(picture).resize((self._size, self._size), _filter(name))
            if name == "overlay" and joints is not None:
                draw_skeleton(panel, self._pixels(joints, crop), film.hand.bones)
            canvas.paste(panel, (self._left(number), TITLE_PX))
        if self._curve is not None:
            canvas.paste(Image.fromarray(self._curve.upto(index)), (self._left(len(self._panels)), TITLE_PX))
        draw = ImageDraw.Draw(canvas)
        room = self.width - 2 * GAP_PX
        line = colour.fitting(f"{film.title}   ·   {film.captions[index]}", FONT, room)
        draw.text((GAP_PX, self.height - CAPTION_PX // 2), line, colour.INK, colour.font(FONT), anchor="lm")
        return np.asarray(canvas)

    def _left(self, number: int) -> int:
        return number * (self._size + GAP_PX)

    def _draw_paper(self) -> "Image.Image":
        """Titles and colour scales, which all frames share."""
        from PIL import Image, ImageDraw

        canvas = Image.new("RGB", (self.width, self.height), colour.PAPER)
        draw = ImageDraw.Draw(canvas)
        titles = [TITLES[name] for name in self._panels] + (["objective"] if self._curve is not None else [])
        for number, title in enumerate(titles):
            text = colour.fitting(title, FONT, self._size - 8)
            draw.text((self._left(number) + 4, TITLE_PX // 2), text, colour.INK, colour.font(FONT), anchor="lm")
        near, far = self._range
        depths = [f"{far:.0f}", f"{(near + far) / 2:.0f}", f"{near:.0f}"]
        span = f"{RESIDUAL_SPAN_MM:.0f}"
        for number, name in enumerate(self._panels):
            left = self._left(number)
            if name in ("depth", "overlay"):
                self._bar(canvas, left, colour.DEPTH, depths)
            elif name == "residual":
                self._bar(canvas, left, colour.DIVERGING, [f"-{span}", "0", f"+{span}"])
        return canvas

    def _bar(self, canvas: "Image.Image", left: int, table: Bytes, ticks: list[str]) -> None:
        """A colour scale under a panel, with numbers and its unit."""
        from PIL import Image, ImageDraw

        top, width = TITLE_PX + self._size + 6, max(self._size - 34, 20)
        row = table[(np.arange(width) * len(table)) // width]
        canvas.paste(Image.fromarray(np.broadcast_to(row, (BAR_PX, width, 3)).copy()), (left, top))
        draw = ImageDraw.Draw(canvas)
        font = colour.font(SMALL_FONT)
        for tick, place, anchor in zip(ticks, (0, width // 2, width), ("lt", "mt", "rt"), strict=True):
            draw.text((left + place, top + BAR_PX + 4), tick, colour.FAINT_INK, font, anchor=anchor)
        draw.text((left + width + 6, top + BAR_PX // 2), "mm", colour.FAINT_INK, font, anchor="lm")

    def _depth_range(self) -> tuple[float, float]:
        """Depths at the ends of the colours: of all that the hands pass through."""
        film = self._film
        z = film.translation_mm[film.known, 2] if film.known.any() else film.centers_mm[:, 2]
        low, high = np.percentile(film.centers_mm[:, 2], (2, 98)) if len(film.centers_mm) > 1 else (z[-1], z[-1])
        return float(low) - 110.0, float(high) + 110.0

    def _rasterised(self, vertices: Any, crop: Any, size: int) -> Floats:
        ax, bx, ay, by = (float(value) for value in crop.coefficients[:4])
        fine = size / crop.size
        camera = (ax * fine, ay * fine, (bx + 0.5) * fine - 0.5, (by + 0.5) * fine - 0.5, size, size)
        points = np.ascontiguousarray(vertices[None], np.float32)
        return np.asarray(rasterise(points, self._film.hand.faces, camera)[0], np.float64)

    def _shaded(self, vertices: Any, crop: Any) -> Bytes:
        """The fitted hand in daylight (size, size, 3)."""
        size = self._size
        if vertices is None:
            return np.full((size, size, 3), colour.EMPTY, np.uint8)
        depth = self._rasterised(vertices, crop, size)
        return _lit(depth, 2 * crop.half_mm / size)

    def _turned(self, vertices: Any, index: int) -> Bytes:
        """The hand in the middle of its window, turned about the vertical, farther with every frame."""
        crop = self._film.crop(index)
        if vertices is None:
            return self._shaded(None, crop)
        middle = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
        angle = TURN_RAD * index
        cosine, sine = np.cos(angle), np.sin(angle)
        turn = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
        return self._shaded((vertices - middle) @ turn.T + np.asarray(crop.center_mm), crop)

    def _pixels(self, joints: Floats, crop: Any) -> Floats:
        ax, bx, ay, by = crop.coefficients[:4]
        place = np.stack([ax * joints[:, 0] / joints[:, 2] + bx, ay * joints[:, 1] / joints[:, 2] + by], axis=1)
        return np.asarray((place + 0.5) * (self._size / crop.size))


def _filter(name: str) -> Any:
    from PIL import Image

    return Image.Resampling.NEAREST if name in ("depth", "residual", "overlay") else Image.Resampling.BILINEAR


def _depth_colours(depth: Floats, near: float, far: float) -> Bytes:
    colours = colour.colourise(-depth, -far, -near, colour.DEPTH)
    colours[depth > far + 1e-6] = colour.GREY[40]
    colours[depth <= 0] = colour.EMPTY
    return colours


def _grey(depth: Floats, near: float, far: float) -> Bytes:
    colours = colour.colourise(-depth, -(far + GREY_REACH_MM), -near, colour.GREY)
    colours[depth <= 0] = colour.EMPTY
    return colours


def _residual(observed: Floats, fitted: Floats, far: float) -> Bytes:
    """Fitted minus observed depth where both are; what the fit covers without any measurement in a flat colour."""
    image = np.empty((*observed.shape, 3), np.uint8)
    image[:] = colour.EMPTY
    image[(observed > 0) & (observed < far)] = colour.GREY[60]
    both = (observed > 0) & (fitted > 0)
    image[both] = colour.colourise((fitted - observed)[both], -RESIDUAL_SPAN_MM, RESIDUAL_SPAN_MM, colour.DIVERGING)
    image[(fitted > 0) & (observed <= 0)] = colour.UNSUPPORTED
    return image


def _lit(depth: Floats, mm_per_px: float) -> Bytes:
    """A surface (S, S) mm under one light, its normals from the slopes of its depth."""
    surface = depth > 0
    filled = np.where(surface, depth, np.nan)
    down, right = np.gradient(filled)
    normal = np.stack([right, down, np.full_like(depth, -mm_per_px)], axis=-1)
    normal = np.nan_to_num(normal, nan=0.0)
    normal[..., 2] = -mm_per_px
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    light = 0.3 + 0.7 * np.clip(normal @ (LIGHT / np.linalg.norm(LIGHT)), 0, 1)
    picture = np.empty((*depth.shape, 3), np.uint8)
    picture[:] = colour.EMPTY
    picture[surface] = np.rint(np.clip(SKIN * light[surface][:, None], 0, 255)).astype(np.uint8)
    return picture
