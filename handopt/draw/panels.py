"""The panels of a video: depth, fitted hand, overlay and residual side by side, with their colour scales in mm."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from handopt.draw import colour
from handopt.draw.film import Film, View
from handopt.draw.layout import Layout
from handopt.draw.line_chart import CURVE, LineChart, per_stage
from handopt.draw.shading import shade, shade_over, tones, vertex_normals
from handopt.draw.skeleton import draw_skeleton
from handopt.errors import ConfigError
from handopt.typing import Bytes, Floats

if TYPE_CHECKING:
    from PIL import Image


PANELS = ("depth", "fit", "overlay", "residual")
TURNTABLE = "turntable"
TITLES = {
    "depth": ("depth",),
    "fit": ("fitted hand", "fit"),
    "overlay": ("fit over depth", "overlay"),
    "colour": ("fit over colour", "overlay"),
    "residual": ("residual: fit - depth   (purple: fit only)", "residual: fit - depth", "fit - depth", "residual"),
    TURNTABLE: ("turntable",),
    "objective": ("objective", "loss"),
    "staged objective": ("objective, 1 to 0 in each stage", "objective by stage", "objective", "loss"),
}
# All numbers were chosen by eye.
DEFAULT_PX, PX_RANGE = 300, (80, 1080)  # edge of a panel, px: the usual one, the smallest and the largest
TURN_RAD = 2 * np.pi / 150  # turn of the turntable from frame to frame, rad: a whole one in 5 s at 30 frames a second
RESIDUAL_SPAN_MM = 20.0  # residual at the ends of its colours
DEPTH_REACH_MM = 110.0  # from the middle of the depth colours to either end: half of a large hand's length
SAME_RANGE_MM = 120.0  # where the hand comes and goes by more, the colours follow it
HAND_PERCENTILES = (2, 98)  # of the hand's depths in all frames, for that
GREY_REACH_MM = 600.0  # how far behind the hand the greys reach
BEHIND_LEVEL, FAR_LEVEL = 40, 60  # levels of GREY for what is behind the hand: among depths, and among residuals
STROKES = (0.4, 2.0)  # the thinnest and the thickest skeleton, 1 in panels of DEFAULT_PX
OVERSAMPLING = 2  # of the shaded hand
MESH_OPACITY = 0.55  # of the hand over a colour picture, as in overlay.png
MARK_PX = 3  # width of the frame around panels of a doubtful or bridged frame
INSET_SHARE, INSET_LEAST_PX = 0.3, 120  # of the panel: the inset of the whole image; panels without one
TURNED_SHARE = 0.9  # of the panel that the turning hand fills
PALETTE = {"depth": 86, "residual": 48, "grey": 16, "skin": 40, "contour": 10, "text": 12, "curve": 10, "finger": 6}
"""Levels of the parts of a gif's palette, 256 colours in all."""


class Painter:
    """Paints the frames of a film, (H, W, 3) uint8 of even size.

    panels: names of PANELS, in order; size: edge of a panel in pixels; turntable: whether a panel with the hand turning
    about the vertical is added. pictures: of the frames in order, (H, W, 3) of the depth camera's view, over which the
    overlay shows the fit; where there is None, or no more of them, over the depth. Raises ConfigError.
    """

    def __init__(
        self,
        film: Film,
        panels: Sequence[str] = PANELS,
        size: int = DEFAULT_PX,
        *,
        turntable: bool = False,
        pictures: Iterable[Bytes | None] | None = None,
    ) -> None:
        unknown = [name for name in panels if name not in PANELS]
        if unknown or not panels:
            raise ConfigError(f"panels: expected some of {', '.join(PANELS)}, got {', '.join(panels) or 'none'}")
        if not PX_RANGE[0] <= size <= PX_RANGE[1]:
            raise ConfigError(f"size: expected {PX_RANGE[0]} to {PX_RANGE[1]} pixels, got {size}")
        self._film, self._size, self._pictures = film, size, pictures
        self._panels = (*panels, TURNTABLE) if turntable else tuple(panels)
        self._measured = ("depth", "overlay") if pictures is None else ("depth",)
        self._middle_mm = _middles(film)
        self._curve: LineChart | None = None
        titles = [TITLES["colour" if name == "overlay" and pictures is not None else name] for name in self._panels]
        if film.total is not None:
            staged = film.stages is not None and len(set(film.stages)) > 1
            total = per_stage(film.total, film.stages or ()) if staged else film.total
            self._curve = LineChart(total, size, size, stages=film.stages, paper=colour.EMPTY)
            titles.append(TITLES["staged objective" if staged else "objective"])
        self._layout = Layout(size, len(titles))
        self.width, self.height = self._layout.width, self._layout.height
        self._side = film.needed_px()
        self._shrunk = _shrunk(film, self._side) if turntable else 1.0
        self._paper = self._draw_paper(titles)

    def __len__(self) -> int:
        return len(self._film)

    def __iter__(self) -> Iterator[Bytes]:
        """Every frame."""
        pictures = chain(self._pictures or (), repeat(None))
        return (self.frame(index, picture) for index, picture in zip(range(len(self)), pictures, strict=False))

    def frame(self, index: int, picture: Bytes | None = None) -> Bytes:
        """One frame. picture: of the depth camera's view, (H, W, 3)."""
        from PIL import Image

        film, layout = self._film, self._layout
        canvas = self._paper.copy()
        view = film.view(index, self._side)
        observed = view.depth_mm
        vertices, joints = film.posed(index) if film.known[index] else (None, None)
        fitted = np.zeros_like(observed) if vertices is None else view.rasterised(vertices, film.hand.faces)
        near, far = self._middle_mm[index] - DEPTH_REACH_MM, self._middle_mm[index] + DEPTH_REACH_MM
        for number, name in enumerate(self._panels):
            if name == "depth":
                panel = self._enlarged(_depth_colours(observed, near, far))
                if film.total is None and self._size >= INSET_LEAST_PX:
                    draw_inset(panel, view)
            elif name == "fit":
                panel = self._shaded(vertices, view)
            elif name == "overlay":
                panel = self._overlay(view, vertices, (observed, fitted, near, far), picture)
                if joints is not None:
                    strokes = min(max(self._size / DEFAULT_PX, STROKES[0]), STROKES[1])
                    seen = None if film.visible is None else film.visible[index]
                    draw_skeleton(panel, view.pixels(joints, self._size), film.hand.bones, strokes, seen)
            elif name == "residual":
                panel = self._enlarged(_residual(observed, fitted, far))
            else:
                panel = self._shaded(_turned(vertices, view, index, self._shrunk), view)
            if name in ("fit", "overlay", TURNTABLE) and film.mark(index):
                _draw_mark(panel, film.mark(index))
            canvas.paste(panel, layout.corner(number))
            if name in self._measured and self._moving:
                layout.ticks(canvas, number, _depth_ticks(near, far))
        if self._curve is not None:
            canvas.paste(Image.fromarray(self._curve.upto(index)), layout.corner(len(self._panels)))
        layout.caption(canvas, (film.title, *film.captions[index]))
        return np.asarray(canvas)

    def _overlay(
        self, view: View, vertices: Any, depths: tuple[Floats, Floats, float, float], picture: Bytes | None
    ) -> "Image.Image":
        """The fit over a picture of the camera's view, else over the depth. depths: observed, fitted, near and far."""
        from PIL import Image

        if picture is None:
            observed, fitted, near, far = depths
            image = _grey(observed, near, far)
            image[fitted > 0] = _depth_colours(fitted, near, far)[fitted > 0]
            return self._enlarged(image)
        panel = self._enlarged(view.cut(picture))
        if vertices is None:
            return panel
        camera, faces = view.camera(self._size), self._film.hand.faces
        return Image.fromarray(shade_over(np.asarray(panel), vertices, faces, camera, MESH_OPACITY))

    @property
    def _moving(self) -> bool:
        return bool(np.ptp(self._middle_mm) > 0)

    def _draw_paper(self, titles: Sequence[Sequence[str]]) -> "Image.Image":
        """Titles and colour scales, which all frames share."""
        from PIL import Image

        canvas, layout = Image.new("RGB", (self.width, self.height), colour.PAPER), self._layout
        middle = float(self._middle_mm[0]) if len(self._middle_mm) else 0.0
        for number, title in enumerate(titles):
            layout.title(canvas, number, title)
        for number, name in enumerate(self._panels):
            if name in self._measured:
                layout.bar(canvas, number, colour.DEPTH)
                if not self._moving:
                    layout.ticks(canvas, number, _depth_ticks(middle - DEPTH_REACH_MM, middle + DEPTH_REACH_MM))
            elif name == "residual":
                layout.bar(canvas, number, colour.DIVERGING)
                layout.ticks(canvas, number, (f"-{RESIDUAL_SPAN_MM:.0f}", "0", f"+{RESIDUAL_SPAN_MM:.0f}"))
        return canvas

    def _enlarged(self, picture: Bytes) -> "Image.Image":
        """A panel of measured pixels, which stay pixels."""
        from PIL import Image

        return Image.fromarray(picture).resize((self._size, self._size), Image.Resampling.NEAREST)

    def _shaded(self, vertices: Any, view: View) -> "Image.Image":
        """A panel of the shaded hand, anti-aliased."""
        from PIL import Image

        if vertices is None:
            return Image.new("RGB", (self._size, self._size), colour.EMPTY)
        fine = OVERSAMPLING * self._size
        faces = self._film.hand.faces
        shaded = shade(vertices, vertex_normals(vertices, faces), faces, view.camera(fine))
        return Image.fromarray(shaded).reduce(OVERSAMPLING)


def draw_inset(panel: "Image.Image", view: View) -> None:
    """Draw the camera's whole image, small, into the lower right corner: where the window lies, and what it shows.

    What lies outside of the window was not kept, and is empty.
    """
    from PIL import Image, ImageDraw

    camera, crop = view.crop.camera, view.crop
    scale = INSET_SHARE * panel.width / max(camera.width, camera.height)
    size = max(round(camera.width * scale), 2), max(round(camera.height * scale), 2)
    ax, bx, ay, by = (float(value) for value in crop.coefficients[:4])
    edges = [
        ((at - middle) / slope * focal + centre + 0.5) * scale
        for at in (-0.5, crop.size - 0.5)
        for middle, slope, focal, centre in ((bx, ax, camera.fx, camera.cx), (by, ay, camera.fy, camera.cy))
    ]
    left, top, right, bottom = (round(value) for value in edges)
    inset = Image.new("RGB", size, colour.EMPTY)
    if right > left and bottom > top:
        near, far = crop.center_mm[2] - DEPTH_REACH_MM, crop.center_mm[2] + DEPTH_REACH_MM
        seen = Image.fromarray(_depth_colours(view.whole_mm, near, far))
        inset.paste(seen.resize((right - left, bottom - top), Image.Resampling.NEAREST), (left, top))
    draw = ImageDraw.Draw(inset)
    draw.rectangle((left, top, right - 1, bottom - 1), outline=colour.INK)
    draw.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=colour.FAINT_INK)
    panel.paste(inset, (panel.width - size[0], panel.height - size[1]))


def _draw_mark(panel: "Image.Image", word: str) -> None:
    """Frame a panel in the colour of what is to be said of the frame, and say it."""
    from PIL import ImageDraw

    rgb = colour.DOUBTFUL if word == "doubtful" else colour.BRIDGED
    width = max(round(MARK_PX * panel.width / DEFAULT_PX), 2)
    draw, font = ImageDraw.Draw(panel), colour.font(max(round(13 * panel.width / DEFAULT_PX), 9))
    draw.rectangle((0, 0, panel.width - 1, panel.height - 1), outline=rgb, width=width)
    draw.text((3 * width, 3 * width), word, rgb, font, anchor="la")


def palette() -> Bytes:
    """The (256, 3) colours that suit all frames: the scales, skin in light and shade, the skeleton, text."""

    def ends(*colours: Any) -> Any:
        return [tuple(int(value) for value in each) for each in colours]

    flat = (
        colour.PAPER,
        colour.EMPTY,
        colour.OUTLINE,
        colour.UNSUPPORTED,
        tuple(colour.GREY[FAR_LEVEL]),
        colour.FAINT_INK,
        colour.DOUBTFUL,
        colour.BRIDGED,
    )
    parts = [
        colour.ramp(ends(*colour.DEPTH), PALETTE["depth"]),
        colour.ramp(ends(*colour.DIVERGING), PALETTE["residual"]),
        colour.ramp(ends(*colour.GREY), PALETTE["grey"]),
        tones(PALETTE["skin"]),
        colour.ramp(ends(colour.EMPTY, tones(3)[1]), PALETTE["contour"]),
        colour.ramp(ends(colour.PAPER, colour.INK), PALETTE["text"]),
        colour.ramp(ends(colour.EMPTY, CURVE), PALETTE["curve"]),
        *(colour.ramp(ends(colour.PAPER, finger), PALETTE["finger"])[1:] for finger in colour.FINGERS),
        np.array(flat, np.uint8),
    ]
    table = np.zeros((256, 3), np.uint8)
    listed = np.concatenate(parts)
    table[: len(listed)] = listed
    return table


def _middles(film: Film) -> Floats:
    """Depth (T,) in the middle of the colours: the hand's, the same in all frames where it hardly moves."""
    z = np.asarray(film.centers_mm[:, 2], np.float64)
    seen = z[film.known] if len(z) == len(film) and film.known.any() else z
    low, high = np.percentile(seen, HAND_PERCENTILES)
    if len(z) != len(film) or high - low <= SAME_RANGE_MM:
        return np.full(len(film), 0.5 * (low + high))
    return z


def _shrunk(film: Film, side: int) -> float:
    """By how much a hand is made smaller, so that it stays in view while it turns."""
    widest = 0.0
    for frame in film.sampled():
        off = _centred(film.posed(frame)[0])
        widest = max(widest, float(np.abs(off[:, 1]).max()), float(np.hypot(off[:, 0], off[:, 2]).max()))
    return min(1.0, TURNED_SHARE * film.view(0, side).side_mm / 2 / widest) if widest > 0 else 1.0


def _centred(vertices: Floats) -> Floats:
    return np.asarray(vertices - 0.5 * (vertices.min(axis=0) + vertices.max(axis=0)))


def _turned(vertices: Any, view: View, index: int, size: float) -> Any:
    """The hand in the middle of its window, turned about the vertical, farther with every frame."""
    if vertices is None:
        return None
    angle = TURN_RAD * index
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
    return size * _centred(vertices) @ turn.T + np.asarray(view.crop.center_mm)


def _depth_ticks(near: float, far: float) -> tuple[str, ...]:
    return f"{far:.0f}", f"{(near + far) / 2:.0f}", f"{near:.0f}"


def _depth_colours(depth: Floats, near: float, far: float) -> Bytes:
    colours = colour.colourise(-depth, -far, -near, colour.DEPTH)
    colours[depth > far + 1e-6] = colour.GREY[BEHIND_LEVEL]
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
    image[(observed > 0) & (observed < far)] = colour.GREY[FAR_LEVEL]
    both = (observed > 0) & (fitted > 0)
    image[both] = colour.colourise((fitted - observed)[both], -RESIDUAL_SPAN_MM, RESIDUAL_SPAN_MM, colour.DIVERGING)
    image[(fitted > 0) & (observed <= 0)] = colour.UNSUPPORTED
    return image
