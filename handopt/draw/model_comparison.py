"""The hands of two models over the frames of a sequence, side by side, with a curve of each below."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from handopt.draw import colour
from handopt.draw.line_chart import LineChart
from handopt.draw.shading import shade_over
from handopt.draw.video import write_mp4
from handopt.observation.crop import Crop
from handopt.ops.rasterise import rasterise
from handopt.typing import AnyArray, Bytes, Floats

if TYPE_CHECKING:
    from PIL import Image

    from handopt.tracking.track import Track

# All numbers were chosen by eye, but the first.
LARGEST_MM: Final = 30.0
"""What a pixel's difference counts at most, mm, so that a hand that is elsewhere does not decide the mean. By hand."""
ENLARGED: Final = 2
CHART_PX, TITLE_PX, GAP_PX, FONT_PX = 110, 34, 8, 15
OPACITY: Final = 0.7
SHOWN_DEPTH_MM: Final = 220.0
"""Range of depth about the hand that is shown in grey."""


def residuals_mm(track: "Track") -> Floats:
    """How far off the rendered hand is in each frame (T,): the mean difference of depth, up to 30 mm, over the pixels
    that it covers and that were measured; NaN without a hand."""
    found = np.full(len(track), np.nan)
    for frame in np.flatnonzero(track.tracked).tolist():
        depth = np.asarray(track.windows.depth_mm[frame], np.float64)
        rendered = _rendered(track, frame, depth.shape[0])
        both = (rendered > 0) & (depth > 0)
        if both.any():
            found[frame] = np.minimum(np.abs(rendered - depth)[both], LARGEST_MM).mean()
    return found


def write_model_comparison(
    path: Path, tracks: "Sequence[Track]", names: Sequence[str], values: Sequence[Floats], what: str
) -> None:
    """Write the video. tracks: of the same frames by two models; values: (T,) of each, shown as curves; what: they are.

    Raises OutputError.
    """
    write_mp4(_pictures(tracks, names, values, what), len(tracks[0]), path, min(30.0, tracks[0].fps))


def _pictures(tracks: "Sequence[Track]", names: Sequence[str], values: Sequence[Floats], what: str) -> Iterator[Bytes]:
    side = ENLARGED * np.shape(tracks[0].windows.depth_mm[0])[0]
    top = max((float(np.nanmax(each)) for each in values if np.isfinite(each).any()), default=1.0)
    shown = [np.minimum(each, top) for each in values]
    over = np.concatenate(shown)
    charts = [LineChart(each, side, CHART_PX, title=what, unit="frame", over=over) for each in shown]
    for frame in range(len(tracks[0])):
        yield _picture(tracks, names, values, charts, frame, side)


def _picture(
    tracks: "Sequence[Track]",
    names: Sequence[str],
    values: Sequence[Floats],
    charts: Sequence[LineChart],
    frame: int,
    side: int,
) -> Bytes:
    from PIL import Image, ImageDraw

    wide, high = len(tracks) * side + (len(tracks) + 1) * GAP_PX, TITLE_PX + side + CHART_PX + GAP_PX
    canvas = Image.new("RGB", (wide + wide % 2, high + high % 2), colour.PAPER)
    for number, (track, name, value, chart) in enumerate(zip(tracks, names, values, charts, strict=True)):
        left = GAP_PX + number * (side + GAP_PX)
        text = f"{name}: no hand" if not track.tracked[frame] else f"{name}: {value[frame]:.1f} mm"
        text = colour.fitting(text, FONT_PX, side)
        ImageDraw.Draw(canvas).text((left, TITLE_PX // 2), text, colour.INK, colour.font(FONT_PX), anchor="lm")
        canvas.paste(_panel(track, frame), (left, TITLE_PX))
        canvas.paste(Image.fromarray(chart.upto(frame)), (left, TITLE_PX + side + GAP_PX))
    return np.asarray(canvas)


def _panel(track: "Track", frame: int) -> "Image.Image":
    """What the camera saw around the hand in grey, and the hand over it."""
    from PIL import Image

    depth = np.asarray(track.windows.depth_mm[frame], np.float64)
    middle = float(track.windows.centers_mm[frame][2])
    grey = np.where(depth > 0, np.clip(0.5 - (depth - middle) / SHOWN_DEPTH_MM, 0.1, 1.0), 0.0)
    picture = np.rint(255 * np.repeat(grey[..., None], 3, axis=-1)).astype(np.uint8)
    picture[depth <= 0] = colour.EMPTY
    picture = np.repeat(np.repeat(picture, ENLARGED, axis=0), ENLARGED, axis=1)
    if track.tracked[frame]:
        camera = _camera(track, frame, depth.shape[0] * ENLARGED)
        picture = shade_over(picture, track.vertices_mm(frame), track.rig.faces, camera, OPACITY)
    return Image.fromarray(picture)


def _camera(track: "Track", frame: int, size: int) -> Any:
    """Of a frame's window, in so many pixels."""
    center = tuple(float(each) for each in track.windows.centers_mm[frame])
    camera = Crop(center, track.windows.half_mm, size, track.camera).as_camera()  # type: ignore[arg-type]
    return camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height


def _rendered(track: "Track", frame: int, size: int) -> AnyArray:
    vertices = np.ascontiguousarray(track.vertices_mm(frame)[None], np.float64)
    faces = np.ascontiguousarray(track.rig.faces, np.int32)
    return np.asarray(rasterise(vertices, faces, _camera(track, frame, size))[0])
