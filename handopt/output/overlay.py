"""overlay.png: what was taken for the hand, what was fitted, and how far apart the two are."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from handopt.output import colour
from handopt.output.colour import RGB, Bytes

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

    from handopt.result import FitResult

Floats = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)

PANEL_PX = 420
MARGIN_PX = 24
GAP_PX = 18
TITLE_PX = 92
CAPTION_PX = 30
BAR_TOP_PX = 16
BAR_PX = 12
FOOT_PX = 78
SIZE_PX = (2 * MARGIN_PX + 3 * PANEL_PX + 2 * GAP_PX, TITLE_PX + CAPTION_PX + PANEL_PX + FOOT_PX)

RESIDUAL_SPAN_MM = 20.0
REGION_MARGIN = 0.1
SMALLEST_REGION_PX = 24
OVERSAMPLING = 3
OUTLINE_PX = 2.0
ARM_TINT = 0.6
FARTHEST_PANELS = 4
GREY_REACH_MM = 600.0


@dataclass(frozen=True)
class Region:
    """A square of the depth image around the hand, in pixels; it may reach beyond the image."""

    column: int
    row: int
    side: int

    def cut(self, image: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """The square (side, side) of an (H, W) image; zero beyond its edges."""
        out = np.zeros((self.side, self.side), image.dtype)
        rows = slice(max(self.row, 0), min(self.row + self.side, image.shape[0]))
        columns = slice(max(self.column, 0), min(self.column + self.side, image.shape[1]))
        if rows.start < rows.stop and columns.start < columns.stop:
            inside = slice(rows.start - self.row, rows.stop - self.row)
            across = slice(columns.start - self.column, columns.stop - self.column)
            out[inside, across] = image[rows, columns]
        return out

    def to_panel(self, pixels: Floats, panel_px: float) -> Floats:
        """Image positions (N, 2), integers at pixel centres, to positions in the panel."""
        return (pixels - (self.column, self.row) + 0.5) * (panel_px / self.side)


def hand_region(result: "FitResult") -> Region:
    """The square that holds the observed and the fitted hand, with a margin."""
    rows, columns = np.nonzero(result.observation.mask | (result.fitted_depth_mm > 0))
    if len(rows) == 0:
        height, width = result.observation.mask.shape
        rows, columns = np.array([0, height - 1]), np.array([0, width - 1])
    extent = max(int(np.ptp(rows)), int(np.ptp(columns))) + 1
    side = max(round(extent * (1 + 2 * REGION_MARGIN)), SMALLEST_REGION_PX)
    column = int(columns.min() + columns.max() + 1 - side) // 2
    row = int(rows.min() + rows.max() + 1 - side) // 2
    return Region(column, row, side)


def panel_origin(index: int) -> tuple[int, int]:
    """Left and top of a panel: 0 input, 1 fit, 2 residual."""
    return MARGIN_PX + index * (PANEL_PX + GAP_PX), TITLE_PX + CAPTION_PX


def signed_residual(result: "FitResult") -> Floats:
    """Fitted minus observed depth (H, W) in mm over observed hand pixels that the fit covers, else NaN."""
    observed = np.asarray(result.observation.depth_mm, np.float64)
    both = result.observation.mask & (observed > 0) & (result.fitted_depth_mm > 0)
    return np.where(both, result.fitted_depth_mm - observed, np.nan)


def enlarge(image: Bytes, size: int = PANEL_PX) -> Bytes:
    """Enlarge (or shrink) a square image (S, S, 3) to size by nearest neighbour."""
    source = (np.arange(size) * image.shape[0] + image.shape[0] // 2) // size
    source = np.minimum(source, image.shape[0] - 1)
    pixels: Bytes = image[source[:, None], source]
    return pixels


def draw_overlay(result: "FitResult") -> "Image.Image":
    """Draw the overlay: input, fit and residual side by side; an RGB image of SIZE_PX."""
    from PIL import Image, ImageDraw

    region = hand_region(result)
    near, far = _depth_range(result)
    canvas = Image.new("RGB", SIZE_PX, colour.PAPER)
    panels = (
        _input_panel(result, region, near, far),
        _fit_panel(result, region, near, far),
        _residual_panel(result, region),
    )
    for index, panel in enumerate(panels):
        canvas.paste(panel, panel_origin(index))
    draw = ImageDraw.Draw(canvas)
    _draw_title(draw, result)
    for index, caption in enumerate(
        ("input depth", "fitted depth over the input", "residual: fitted - input depth (red: fit lies behind)")
    ):
        x, y = panel_origin(index)
        draw.text((x, y - 8), caption, colour.INK, colour.font(15), anchor="ls")
    below = TITLE_PX + CAPTION_PX + PANEL_PX + BAR_TOP_PX
    depth_ticks = [near + (far - near) * part for part in (1.0, 0.75, 0.5, 0.25, 0.0)]
    for index in (0, 1):
        _draw_bar(canvas, (panel_origin(index)[0], below), colour.DEPTH, [f"{tick:.0f}" for tick in depth_ticks])
    _draw_bar(canvas, (panel_origin(2)[0], below), colour.DIVERGING, ["-20", "-10", "0", "+10", "+20"])
    _draw_legends(draw, below + BAR_PX + 26)
    return canvas


def write_overlay(result: "FitResult", path: Path) -> None:
    """Write the overlay as PNG."""
    draw_overlay(result).save(path, format="PNG", compress_level=3)


def _depth_range(result: "FitResult") -> tuple[float, float]:
    """Nearest and farthest depth (mm) that the colours tell apart: the observed and the fitted hand."""
    observed = result.observation.depth_mm[result.observation.mask]
    depths = np.concatenate([observed[observed > 0], result.fitted_depth_mm[result.fitted_depth_mm > 0]])
    if len(depths) == 0:
        return 0.0, 1.0
    near, far = np.percentile(depths, (1, 99))
    pad = max(5.0, 0.08 * (far - near))
    return float(near - pad), float(far + pad)


def _depth_colours(depth: Floats, near: float, far: float) -> Bytes:
    """Colour depth (mm) by nearness; no measurement is EMPTY."""
    colours = colour.colourise(-depth, -far, -near, colour.DEPTH)
    colours[depth <= 0] = colour.EMPTY
    return colours


def _grey_depth(depth: Floats, near: float, far: float) -> Bytes:
    """Depth (mm) in dim greys from the hand to GREY_REACH_MM behind it; no measurement is EMPTY."""
    colours = colour.colourise(-depth, -(far + GREY_REACH_MM), -near, colour.GREY)
    colours[depth <= 0] = colour.EMPTY
    return colours


def _border_distance(mask: Mask, size: int) -> Floats:
    """Distance (size, size), in pixels, to the smoothed border of a mask (S, S) enlarged to that size."""
    from PIL import Image, ImageFilter

    picture = Image.fromarray(mask.astype(np.uint8) * 255).resize((size, size), Image.Resampling.BICUBIC)
    smooth = np.asarray(picture.filter(ImageFilter.GaussianBlur(max(1.0, 0.6 * size / len(mask)))), np.float32) / 255
    slope = np.hypot(*np.gradient(smooth))
    distance: Floats = np.abs(smooth - 0.5) / np.maximum(slope, 1e-3)
    return distance


def _outline(image: Bytes, mask: Mask) -> Bytes:
    """Draw the border of a mask (S, S) over its panel, anti-aliased, with a dark rim for contrast."""
    distance = _border_distance(mask, len(image))
    for half_width, rgb, strength in (
        (OUTLINE_PX / 2 + 1.5, colour.PAPER, 0.55),
        (OUTLINE_PX / 2, colour.OUTLINE, 1.0),
    ):
        image = colour.blend(image, rgb, strength * np.clip(half_width + 0.5 - distance, 0, 1))
    return image


def _input_panel(result: "FitResult", region: Region, near: float, far: float) -> "Image.Image":
    """The depth image in colours, the arm tinted, the hand outlined."""
    from PIL import Image

    observation = result.observation
    depth, hand, arm = region.cut(observation.depth_mm), region.cut(observation.mask), region.cut(observation.arm)
    image = colour.blend(_grey_depth(depth, near, far), colour.ARM, arm * ARM_TINT)
    image[hand] = _depth_colours(depth, near, far)[hand]
    image = enlarge(image)
    return Image.fromarray(_outline(image, hand))


def _fit_panel(result: "FitResult", region: Region, near: float, far: float) -> "Image.Image":
    """The fitted depth in colours over the greyed input, with the skeleton on top."""
    from PIL import Image

    fitted = region.cut(result.fitted_depth_mm)
    image = _grey_depth(region.cut(result.observation.depth_mm), near, far)
    image[fitted > 0] = _depth_colours(fitted, near, far)[fitted > 0]
    panel = Image.fromarray(enlarge(image))
    points = region.to_panel(np.asarray(result.camera.project(result.joints_mm)), PANEL_PX)
    draw_skeleton(panel, points, result.rig.bones)
    return panel


def _residual_panel(result: "FitResult", region: Region) -> "Image.Image":
    """The signed residual in diverging colours, and what only one of the two covers in flat ones."""
    from PIL import Image

    hand = region.cut(result.observation.mask & (result.observation.depth_mm > 0))
    fitted = region.cut(result.fitted_depth_mm) > 0
    residual = region.cut(signed_residual(result))
    image = np.empty((*hand.shape, 3), np.uint8)
    image[:] = colour.EMPTY
    image[hand & ~fitted] = colour.UNEXPLAINED
    image[fitted & ~hand] = colour.UNSUPPORTED
    both = hand & fitted
    image[both] = colour.colourise(residual[both], -RESIDUAL_SPAN_MM, RESIDUAL_SPAN_MM, colour.DIVERGING)
    return Image.fromarray(enlarge(image))


def draw_skeleton(panel: "Image.Image", points: Floats, bones: npt.NDArray[np.integer]) -> None:
    """Draw the hand's keypoints and bones over an RGB image, a colour per finger, anti-aliased by oversampling.

    points: (21, 2) pixels of the image, in the order of KEYPOINT_NAMES; what is not finite or far outside is left out.
    bones: (20, 2) indices of parent and child.
    """
    from PIL import Image, ImageDraw

    layer = Image.new("RGBA", (panel.width * OVERSAMPLING, panel.height * OVERSAMPLING), (0, 0, 0, 0))
    points = np.asarray(points) * OVERSAMPLING
    draw = ImageDraw.Draw(layer)
    seen = [bool(np.abs(point).max() < FARTHEST_PANELS * max(layer.size)) for point in points]
    pairs = [(int(a), int(b)) for a, b in bones if seen[a] and seen[b]]
    for width, dark in ((6.4, True), (3.4, False)):
        for a, b in pairs:
            rgb = colour.PAPER if dark else _finger_colour(b)
            draw.line([tuple(points[a]), tuple(points[b])], (*rgb, 255), round(width * OVERSAMPLING))
    for index in (index for index in range(len(points)) if seen[index]):
        x, y = points[index]
        for radius, rgb in ((5.4, colour.PAPER), (4.2, _finger_colour(index)), (2.0, colour.OUTLINE)):
            reach = radius * OVERSAMPLING
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), (*rgb, 255))
    layer = layer.resize(panel.size, Image.Resampling.BOX)
    panel.paste(layer, (0, 0), layer)


def _finger_colour(keypoint: int) -> RGB:
    return colour.OUTLINE if keypoint == 0 else colour.FINGERS[(keypoint - 1) // 4]


def _draw_title(draw: "ImageDraw.ImageDraw", result: "FitResult") -> None:
    """File name, hand and figures on one line, the status below."""
    median, iou = result.residual_mm.get("median", float("nan")), result.silhouette_iou
    figures = [
        f"median residual {median:.1f} mm" if np.isfinite(median) else "median residual unknown",
        f"IoU {iou:.2f}" if np.isfinite(iou) else "IoU unknown",
    ]
    facts = "  ·  ".join([f"{result.hand} hand", *figures])
    facts_width = colour.font(18).getlength(facts)
    room = SIZE_PX[0] - 2 * MARGIN_PX
    name = colour.fitting(Path(result.image).name if result.image else "depth image", 24, room - facts_width - 24)
    draw.text((MARGIN_PX, 44), name, colour.INK, colour.font(24), anchor="ls")
    draw.text((SIZE_PX[0] - MARGIN_PX, 44), facts, colour.INK, colour.font(18), anchor="rs")
    draw.text((MARGIN_PX, 70), colour.fitting(result.status, 15, room), colour.FAINT_INK, colour.font(15), anchor="ls")


def _draw_bar(canvas: "Image.Image", origin: tuple[int, int], table: Bytes, ticks: list[str]) -> None:
    """Draw a horizontal colour bar with evenly spaced numbers in mm, as wide as a panel."""
    from PIL import Image, ImageDraw

    x, y = origin
    width = PANEL_PX - 40
    row = table[(np.arange(width) * len(table)) // width]
    canvas.paste(Image.fromarray(np.broadcast_to(row, (BAR_PX, width, 3)).copy()), (x, y))
    draw = ImageDraw.Draw(canvas)
    font = colour.font(13)
    for index, tick in enumerate(ticks):
        at = x + round(index * (width - 1) / (len(ticks) - 1))
        draw.line([(at, y + BAR_PX), (at, y + BAR_PX + 4)], colour.FAINT_INK)
        anchor = "ls" if index == 0 else "ms"
        draw.text((at, y + BAR_PX + 18), tick, colour.FAINT_INK, font, anchor=anchor)
    draw.text((x + PANEL_PX, y + BAR_PX), "mm", colour.FAINT_INK, font, anchor="rs")


def _draw_legends(draw: "ImageDraw.ImageDraw", y: int) -> None:
    """Explain the outline, the tint and the flat colours below their panels."""
    entries = (
        (0, ((colour.OUTLINE, "taken for the hand"), (colour.ARM, "arm, cut off"))),
        (2, ((colour.UNEXPLAINED, "observed only"), (colour.UNSUPPORTED, "fitted only"))),
    )
    font = colour.font(13)
    for index, items in entries:
        x = float(panel_origin(index)[0])
        for rgb, text in items:
            draw.rectangle((x, y, x + 11, y + 11), fill=rgb)
            draw.text((x + 18, y + 11), text, colour.FAINT_INK, font, anchor="ls")
            x += 18 + font.getlength(text) + 22
