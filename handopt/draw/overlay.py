"""overlay.png: what was taken for the hand, what was fitted, and how far apart the two are."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from handopt.assess.confidence import confidence_text
from handopt.draw import colour
from handopt.draw.png import encode_rgb
from handopt.draw.region import Region, hand_region
from handopt.draw.shading import shade_over
from handopt.draw.skeleton import draw_skeleton
from handopt.typing import BoolImage, Bytes, Indices, Reals

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

    from handopt.result import FitResult


# All numbers were chosen by eye. Layout, px:
PANEL_PX = 420  # edge of a panel
MARGIN_PX = 24  # left and right of the panels
GAP_PX = 18  # between panels
TITLE_PX = 92  # height of the title with the status
TITLE_LINE_PX, STATUS_LINE_PX = 44, 70  # where their lines of text stand, from the top
CAPTION_PX, CAPTION_RISE_PX = 30, 8  # height of the captions; how far their line of text stands above the panels
BAR_TOP_PX, BAR_PX = 16, 12  # from the panels to the colour bars; height of a bar
BAR_WIDTH_PX = PANEL_PX - 40  # the unit stands beside the bar
BARS_PX = TITLE_PX + CAPTION_PX + PANEL_PX + BAR_TOP_PX
TICKS_PX, TICK_PX, TICK_LINE_PX = 22, 4, 18  # height of the numbers below a bar; length of a tick; their line of text
LEGEND_PX = 26  # from a bar to the legend below it
SWATCH_PX, SWATCH_TEXT_PX, ITEM_GAP_PX = 11, 18, 22  # edge of a legend's square; its text from its left; to the next
FOOT_PX = 78  # height of all that is below the panels
SIZE_PX = (2 * MARGIN_PX + 3 * PANEL_PX + 2 * GAP_PX, TITLE_PX + CAPTION_PX + PANEL_PX + FOOT_PX)
TITLE_FONT_PX, FACTS_FONT_PX, TEXT_FONT_PX, SMALL_FONT_PX = 24, 18, 15, 13

RESIDUAL_SPAN_MM = 20.0  # residual at the ends of its colours
DEPTH_PERCENTILES = (1, 99)  # of the depths of the hand, at the ends of the colours
DEPTH_PAD, MIN_DEPTH_PAD_MM = 0.08, 5.0  # what is added at both ends: a share of the range, and at least so much
GREY_REACH_MM = 600.0  # how far behind the hand the greys reach
OUTLINE_PX, OUTLINE_RIM_PX, OUTLINE_RIM_ALPHA = 2.0, 1.5, 0.55  # width; the dark rim beyond it, and how dark it is
SMOOTHED_PX, SMOOTHED_PANEL_PX = 0.8, 1.0  # blur of a mask before it is enlarged, and after it was made smaller
FAINTEST = 3  # of 255: pixels of the blurred mask between it and 255 - FAINTEST are near its border
LEAST_SLOPE = 0.25  # of 255 per px: where the mask rises more slowly, the distance to its border is cut short
ARM_TINT = 0.6  # share of the arm's colour
MESH_OPACITY = 0.5  # of the fitted hand over the depth
IGNORED_STRIPES_PX = 4  # from a stripe over what was left out to the next one, pixels of the depth image
_FLAT = (colour.EMPTY, colour.UNEXPLAINED, colour.UNSUPPORTED, colour.NEUTRAL)


@dataclass(frozen=True)
class _Shown:
    """What the panels show of the region (S, S): depths in mm, masks, the input in grey (S, S, 3)."""

    region: Region
    observed: Reals
    fitted: Reals
    hand: BoolImage
    arm: BoolImage
    left_out: BoolImage
    grey: Bytes
    near: float
    far: float

    @classmethod
    def of(cls, result: "FitResult") -> "_Shown":
        region, (near, far) = hand_region(result), _depth_range(result)
        observation = result.observation
        observed, left_out = region.cut(observation.depth_mm), np.zeros(observation.mask.shape, np.bool_)
        for pixels in (observation.ignored, observation.other):
            left_out |= False if pixels is None else pixels
        return cls(
            region, observed, region.cut(result.fitted_depth_mm), region.cut(observation.mask),
            region.cut(observation.arm), region.cut(left_out),
            _grey_depth(observed, near, far), near, far,
        )  # fmt: skip

    def colours(self, depth: Reals, where: BoolImage, image: Bytes) -> None:
        """Colour depth (mm) by nearness into some pixels of an image; no measurement is EMPTY."""
        chosen = depth[where]
        colours = colour.colourise(-chosen, -self.far, -self.near, colour.DEPTH)
        colours[chosen <= 0] = colour.EMPTY
        image[where] = colours


def panel_origin(index: int) -> tuple[int, int]:
    """Left and top of a panel: 0 input, 1 fit, 2 residual."""
    return MARGIN_PX + index * (PANEL_PX + GAP_PX), TITLE_PX + CAPTION_PX


def enlarged(image: Bytes, size: int = PANEL_PX) -> "Image.Image":
    """Enlarge (or shrink) a square image (S, S, 3) to size by nearest neighbour."""
    from PIL import Image

    return Image.fromarray(image).resize((size, size), Image.Resampling.NEAREST)


def draw_overlay(result: "FitResult", colours: Bytes | None = None) -> "Image.Image":
    """Draw the overlay: input, fit and residual side by side; an RGB image of SIZE_PX.

    colours: a picture (H, W, 3) of the depth camera's view, which the fit is shown over in place of the depth.
    """
    from PIL import ImageDraw

    shown = _Shown.of(result)
    canvas = _paper(striped=bool(shown.left_out.any())).copy()
    for index, panel in enumerate((_input_panel(shown), _fit_panel(result, shown, colours), _residual_panel(shown))):
        canvas.paste(panel, panel_origin(index))
    draw = ImageDraw.Draw(canvas)
    _draw_title(draw, result)
    ticks = [f"{shown.near + (shown.far - shown.near) * part:.0f}" for part in (1.0, 0.75, 0.5, 0.25, 0.0)]
    _draw_ticks(draw, (panel_origin(0)[0], BARS_PX), ticks)
    strip = canvas.crop((0, BARS_PX + BAR_PX, panel_origin(1)[0], BARS_PX + BAR_PX + TICKS_PX))
    canvas.paste(strip, (panel_origin(1)[0] - panel_origin(0)[0], BARS_PX + BAR_PX))  # the same again
    return canvas


@lru_cache(maxsize=2)
def _paper(*, striped: bool) -> "Image.Image":
    """What all overlays share: captions, colour bars, legends. striped: whether some pixels are."""
    from PIL import Image, ImageDraw

    canvas = Image.new("RGB", SIZE_PX, colour.PAPER)
    draw = ImageDraw.Draw(canvas)
    for index, caption in enumerate(
        (
            "input depth",
            "fitted hand over the input (hollow joints: hidden)",
            "residual: fitted - input depth (red: fit lies behind)",
        )
    ):
        x, y = panel_origin(index)
        draw.text((x, y - CAPTION_RISE_PX), caption, colour.INK, colour.font(TEXT_FONT_PX), anchor="ls")
        _draw_bar(canvas, (x, BARS_PX), colour.DIVERGING if index == 2 else colour.DEPTH)
    _draw_ticks(
        draw,
        (panel_origin(2)[0], BARS_PX),
        [f"{RESIDUAL_SPAN_MM * part:+.0f}" if part else "0" for part in (-1, -0.5, 0, 0.5, 1)],
    )
    _draw_legends(draw, BARS_PX + BAR_PX + LEGEND_PX, striped=striped)
    return canvas


def write_overlay(result: "FitResult", path: Path, colours: Bytes | None = None) -> None:
    """Write the overlay as PNG."""
    path.write_bytes(encode_rgb(np.asarray(draw_overlay(result, colours))))


def _depth_range(result: "FitResult") -> tuple[float, float]:
    """Nearest and farthest depth (mm) that the colours tell apart: the observed and the fitted hand."""
    observed = result.observation.depth_mm[result.observation.mask]
    depths = np.concatenate([observed[observed > 0], result.fitted_depth_mm[result.fitted_depth_mm > 0]])
    if len(depths) == 0:
        return 0.0, 1.0
    near, far = np.percentile(depths, DEPTH_PERCENTILES)
    pad = max(MIN_DEPTH_PAD_MM, DEPTH_PAD * (far - near))
    return float(near - pad), float(far + pad)


def _grey_depth(depth: Reals, near: float, far: float) -> Bytes:
    """Depth (mm) in dim greys from the hand to GREY_REACH_MM behind it; no measurement is EMPTY."""
    table = np.concatenate([colour.GREY, [colour.EMPTY]]).astype(np.uint8)
    greys = colour.levels(-depth, -(far + GREY_REACH_MM), -near)
    return table.take(np.where(depth > 0, greys, np.uint16(len(colour.GREY))), axis=0)


def _outlined(image: Bytes, mask: BoolImage) -> Bytes:
    """A panel with the border of a mask (S, S) over it, anti-aliased, with a dark rim for contrast."""
    pixels, distance = _border(mask, len(image))
    flat = image.reshape(-1, 3)
    line = flat[pixels][:, None]
    for half_width, rgb, strength in (
        (OUTLINE_PX / 2 + OUTLINE_RIM_PX, colour.PAPER, OUTLINE_RIM_ALPHA),
        (OUTLINE_PX / 2, colour.OUTLINE, 1.0),
    ):
        line = colour.blend(line, rgb, strength * np.clip(half_width + 0.5 - distance, 0, 1)[:, None])
    flat[pixels] = line[:, 0]
    return image


def _border(mask: BoolImage, size: int) -> tuple[Indices, Reals]:
    """Pixels near the smoothed border of a mask (S, S) enlarged to size, and their distance to it, in pixels."""
    from PIL import Image, ImageFilter

    picture, blur = Image.fromarray(mask.astype(np.uint8) * 255), ImageFilter.GaussianBlur
    if len(mask) < size:  # blurred while it is small
        picture = picture.filter(blur(SMOOTHED_PX)).resize((size, size), Image.Resampling.BICUBIC)
    else:
        picture = picture.resize((size, size), Image.Resampling.BICUBIC).filter(blur(SMOOTHED_PANEL_PX))
    smooth = np.asarray(picture).ravel()
    pixels = np.flatnonzero((smooth >= FAINTEST) & (smooth <= 255 - FAINTEST))
    down, right = (_step(smooth, pixels, stride) for stride in (size, 1))
    slope = np.hypot(down, right)
    return pixels, np.abs(smooth[pixels].astype(np.float32) - 127.5) / np.maximum(slope, LEAST_SLOPE)


def _step(values: Bytes, places: Indices, stride: int) -> Reals:
    """How much values rise from one place to the next; at the ends of the image they are its own."""
    after = values.take(places + stride, mode="clip").astype(np.float32)
    return (after - values.take(places - stride, mode="clip")) / 2


def _input_panel(shown: _Shown) -> "Image.Image":
    """The depth image in colours, the arm tinted, the hand outlined, and in stripes what was left out."""
    from PIL import Image

    image = shown.grey.copy()
    image[shown.left_out & (np.indices(shown.left_out.shape).sum(axis=0) % IGNORED_STRIPES_PX == 0)] = colour.NEUTRAL
    image[shown.arm] = colour.blend(image[shown.arm][:, None], colour.ARM, ARM_TINT)[:, 0]
    shown.colours(shown.observed, shown.hand, image)
    return Image.fromarray(_outlined(np.array(enlarged(image)), shown.hand))


def _fit_panel(result: "FitResult", shown: _Shown, colours: Bytes | None) -> "Image.Image":
    """The fitted hand, shaded and half transparent, over the input's depth or colours, with the skeleton on top."""
    from PIL import Image

    if colours is None:
        image = shown.grey.copy()
        shown.colours(shown.observed, shown.hand, image)
    else:
        image = np.stack([shown.region.cut(each) for each in np.moveaxis(colours, -1, 0)], axis=-1)
    over = shade_over(
        np.asarray(enlarged(image)),
        result.vertices_mm,
        result.rig.faces,
        shown.region.panel_camera(result.camera, PANEL_PX),
        MESH_OPACITY,
    )
    panel = Image.fromarray(over)
    points = shown.region.to_panel(np.asarray(result.camera.project(result.joints_mm)), PANEL_PX)
    draw_skeleton(panel, points, result.rig.bones, visible=result.joint_visible)
    return panel


def _residual_panel(shown: _Shown) -> "Image.Image":
    """The signed residual in diverging colours, and what only one of the two covers in flat ones.

    What the rig's wrist covers of the arm, which was cut off, is no error of the fit and neutral.
    """
    hand, fitted = shown.hand & (shown.observed > 0), shown.fitted > 0
    residual = colour.levels(shown.fitted - shown.observed, -RESIDUAL_SPAN_MM, RESIDUAL_SPAN_MM)
    flat = np.full(hand.shape, _FLAT.index(colour.EMPTY), np.uint16)
    flat[hand & ~fitted] = _FLAT.index(colour.UNEXPLAINED)
    flat[fitted & ~hand] = _FLAT.index(colour.UNSUPPORTED)
    flat[fitted & (shown.arm | shown.left_out)] = _FLAT.index(colour.NEUTRAL)
    table = np.concatenate([colour.DIVERGING, np.array(_FLAT, np.uint8)])
    rows = np.where(hand & fitted, residual, flat + np.uint16(len(colour.DIVERGING)))
    return enlarged(table.take(rows, axis=0))


def _draw_title(draw: "ImageDraw.ImageDraw", result: "FitResult") -> None:
    """File name, hand and figures on one line, the status below."""
    median, iou = result.residual_mm.get("median", float("nan")), result.silhouette_iou
    figures = [
        f"confidence {confidence_text(result.confidence)} (visible joints)",
        f"median residual {median:.1f} mm" if np.isfinite(median) else "median residual unknown",
        f"IoU {iou:.2f}" if np.isfinite(iou) else "IoU unknown",
    ]
    facts = "  ·  ".join([f"{result.hand} hand", *figures])
    facts_width = colour.font(FACTS_FONT_PX).getlength(facts)
    room = SIZE_PX[0] - 2 * MARGIN_PX
    name = colour.fitting(
        Path(result.image).name if result.image else "depth image", TITLE_FONT_PX, room - facts_width - MARGIN_PX
    )
    draw.text((MARGIN_PX, TITLE_LINE_PX), name, colour.INK, colour.font(TITLE_FONT_PX), anchor="ls")
    draw.text((SIZE_PX[0] - MARGIN_PX, TITLE_LINE_PX), facts, colour.INK, colour.font(FACTS_FONT_PX), anchor="rs")
    status = colour.fitting(result.status, TEXT_FONT_PX, room)
    draw.text((MARGIN_PX, STATUS_LINE_PX), status, colour.FAINT_INK, colour.font(TEXT_FONT_PX), anchor="ls")


def _draw_bar(canvas: "Image.Image", origin: tuple[int, int], table: Bytes) -> None:
    """Draw a horizontal colour bar, as wide as a panel with its unit."""
    from PIL import Image, ImageDraw

    x, y = origin
    row = table[(np.arange(BAR_WIDTH_PX) * len(table)) // BAR_WIDTH_PX]
    canvas.paste(Image.fromarray(np.broadcast_to(row, (BAR_PX, BAR_WIDTH_PX, 3)).copy()), (x, y))
    ImageDraw.Draw(canvas).text(
        (x + PANEL_PX, y + BAR_PX), "mm", colour.FAINT_INK, colour.font(SMALL_FONT_PX), anchor="rs"
    )


def _draw_ticks(draw: "ImageDraw.ImageDraw", origin: tuple[int, int], ticks: list[str]) -> None:
    """Draw evenly spaced numbers below a bar."""
    x, y = origin
    for index, tick in enumerate(ticks):
        at = x + round(index * (BAR_WIDTH_PX - 1) / (len(ticks) - 1))
        draw.line([(at, y + BAR_PX), (at, y + BAR_PX + TICK_PX)], colour.FAINT_INK)
        anchor = "ls" if index == 0 else "ms"
        draw.text((at, y + BAR_PX + TICK_LINE_PX), tick, colour.FAINT_INK, colour.font(SMALL_FONT_PX), anchor=anchor)


def _draw_legends(draw: "ImageDraw.ImageDraw", y: int, *, striped: bool) -> None:
    """Explain the outline, the tint and the flat colours below their panels. striped: whether some pixels are."""
    stripes = ((colour.NEUTRAL, "striped: not the hand's"),) if striped else ()
    entries = (
        (0, ((colour.OUTLINE, "taken for the hand"), (colour.ARM, "cut off: arm or other"), *stripes)),
        (
            2,
            (
                (colour.UNEXPLAINED, "observed only"),
                (colour.UNSUPPORTED, "fitted only"),
                (colour.NEUTRAL, "over arm or thing"),
            ),
        ),
    )
    font = colour.font(SMALL_FONT_PX)
    for index, items in entries:
        x = float(panel_origin(index)[0])
        for rgb, text in items:
            draw.rectangle((x, y, x + SWATCH_PX, y + SWATCH_PX), fill=rgb)
            draw.text((x + SWATCH_TEXT_PX, y + SWATCH_PX), text, colour.FAINT_INK, font, anchor="ls")
            x += SWATCH_TEXT_PX + font.getlength(text) + ITEM_GAP_PX
