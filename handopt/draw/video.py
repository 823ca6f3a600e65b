"""optimisation.mp4: the renders of every iteration, with the loss curve growing below them."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from handopt.draw import colour
from handopt.draw.iteration_frames import FramePainter, palette
from handopt.errors import OutputError
from handopt.typing import RGB, AnyArray, Bytes, Floats, Reals

if TYPE_CHECKING:
    from PIL import ImageDraw

    from handopt.result import FitResult

PLOT_PX = 150
PLOT_LEFT_PX, PLOT_RIGHT_PX, PLOT_TOP_PX, PLOT_BOTTOM_PX = 62, 16, 26, 22
OVERSAMPLING = 4
CURVE: RGB = (255, 196, 84)
GRID: RGB = (44, 48, 57)
DOT_PX = 4
QUALITY = 8
SMALLEST_ROOM = 1_000_000


class LossCurve:
    """The total loss against the iteration, drawn once and uncovered from left to right."""

    def __init__(self, result: "FitResult", width: int) -> None:
        total = np.asarray(result.history["total"], np.float64)
        self._total = np.where(np.isfinite(total), total, np.nan)
        self._width = width
        self._columns, self._rows, self._log, self._ends = self._scale()
        self._paper = self._draw_paper(result.history)
        self._curve = self._draw_curve()

    def strip(self, index: int) -> Bytes:
        """The plot (PLOT_PX, width, 3) with the curve up to an iteration."""
        out = self._paper.copy()
        edge = round(self._columns[index]) + 1
        out[:, :edge] = colour.blend(out[:, :edge], CURVE, self._curve[:, :edge])
        if np.isfinite(self._rows[index]):
            self._dot(out, self._columns[index], self._rows[index])
        return out

    def _scale(self) -> tuple[Floats, Floats, bool, tuple[float, float]]:
        """Column and row of every iteration, whether the axis is logarithmic, and the values at bottom and top."""
        total = self._total
        finite = total[np.isfinite(total)]
        log = finite.size > 0 and bool(finite.min() > 0)
        heights = np.log10(total, out=np.full(total.shape, np.nan), where=total > 0) if log else total
        low, high = (float(np.nanmin(heights)), float(np.nanmax(heights))) if finite.size else (0.0, 1.0)
        if high - low < 1e-9:
            low, high = low - 0.5, high + 0.5
        right, bottom = self._width - PLOT_RIGHT_PX - 1, PLOT_PX - PLOT_BOTTOM_PX - 1
        columns = np.linspace(PLOT_LEFT_PX, right, len(total)) if len(total) > 1 else np.array([float(PLOT_LEFT_PX)])
        rows = bottom - (heights - low) / (high - low) * (bottom - PLOT_TOP_PX)
        return columns, rows, log, (low, high)

    def _draw_paper(self, history: dict[str, AnyArray]) -> Bytes:
        from PIL import Image, ImageDraw

        picture = Image.new("RGB", (self._width, PLOT_PX), colour.PAPER)
        draw = ImageDraw.Draw(picture)
        right, bottom = self._width - PLOT_RIGHT_PX - 1, PLOT_PX - PLOT_BOTTOM_PX - 1
        font = colour.font(12)
        for part in (0.0, 0.5, 1.0):
            y = round(bottom - part * (bottom - PLOT_TOP_PX))
            value = self._ends[0] + part * (self._ends[1] - self._ends[0])
            draw.line([(PLOT_LEFT_PX, y), (right, y)], GRID)
            label = f"{10.0**value if self._log else value:.3g}"
            draw.text((PLOT_LEFT_PX - 8, y), label, colour.FAINT_INK, font, anchor="rm")
        draw.text((8, 12), "total loss" + (", log scale" if self._log else ""), colour.INK, font, anchor="lm")
        draw.text((right, PLOT_PX - 9), "iteration", colour.FAINT_INK, font, anchor="rm")
        if "stage" in history:
            self._draw_stages(draw, [str(stage) for stage in history["stage"]], bottom)
        return np.asarray(picture).copy()

    def _draw_stages(self, draw: "ImageDraw.ImageDraw", stages: list[str], bottom: int) -> None:
        """Mark where each stage begins, with its name below the axis where there is room."""
        free = 0.0
        for index, stage in enumerate(stages):
            if index and stage == stages[index - 1]:
                continue
            x = float(self._columns[index])
            draw.line([(x, PLOT_TOP_PX), (x, bottom)], GRID)
            name = f"stage {stage}" if stage.isdigit() else colour.printable(stage)
            font = colour.font(11)
            end = x + font.getlength(name)
            if x >= free and end < self._width - PLOT_RIGHT_PX - 60:
                draw.text((x, PLOT_PX - 9), name, colour.FAINT_INK, font, anchor="lm")
                free = end + 10

    def _draw_curve(self) -> Reals:
        """Coverage (PLOT_PX, width) 0 .. 1 of the whole curve, anti-aliased."""
        from PIL import Image, ImageDraw

        fine = OVERSAMPLING
        picture = Image.new("L", (self._width * fine, PLOT_PX * fine))
        draw = ImageDraw.Draw(picture)
        known = np.isfinite(self._rows)
        points = [
            ((x + 0.5) * fine, (y + 0.5) * fine) for x, y in zip(self._columns[known], self._rows[known], strict=True)
        ]
        if len(points) > 1:
            draw.line(points, 255, round(1.8 * fine), joint="curve")
        small = picture.resize((self._width, PLOT_PX), Image.Resampling.BOX)
        return np.asarray(small, np.float32) / 255

    @staticmethod
    def _dot(image: Bytes, column: float, row: float) -> None:
        top, left = max(round(row) - DOT_PX - 1, 0), max(round(column) - DOT_PX - 1, 0)
        patch = image[top : round(row) + DOT_PX + 2, left : round(column) + DOT_PX + 2]
        y, x = np.mgrid[top : top + patch.shape[0], left : left + patch.shape[1]]
        distance = np.hypot(x - column, y - row)
        patch[:] = colour.blend(patch, colour.INK, np.clip(DOT_PX + 0.5 - distance, 0, 1))


def frames(result: "FitResult") -> Iterator[Bytes]:
    """The pictures (H, W, 3) uint8 of the video, one per iteration, of even size."""
    painter, table = FramePainter(result), palette()
    curve = LossCurve(result, painter.width)
    height, width = painter.height + PLOT_PX, painter.width
    for index, rows in enumerate(painter):
        image = np.empty((height + height % 2, width + width % 2, 3), np.uint8)
        image[:] = colour.PAPER
        image[: painter.height, :width] = table[rows]
        image[painter.height : height, :width] = curve.strip(index)
        yield image


def write_video(result: "FitResult", path: Path, fps: float = 30) -> None:
    """Write the optimisation as H.264 in an mp4 file, one frame per iteration.

    Raises OutputError if there is no iteration to show, or ffmpeg fails.
    """
    if len(result.renders) == 0:
        raise OutputError("there is no video without an iteration: leave out --video")
    write_mp4(frames(result), len(result.renders), path, fps)


def write_mp4(pictures: Iterable[Bytes], count: int, path: Path, fps: float, advice: str = "leave out --video") -> None:
    """Write pictures (H, W, 3) of even size, `count` of them, as H.264 in an mp4 file. Raises OutputError.

    advice: what the user may do where it cannot be written.
    """
    import imageio.v2 as imageio

    try:
        writer = imageio.get_writer(
            path,
            format="FFMPEG",
            mode="I",
            fps=fps,
            codec="libx264",
            pixelformat="yuv420p",
            quality=QUALITY,
            macro_block_size=2,
            ffmpeg_log_level="fatal",
            output_params=["-preset", "veryfast", "-movflags", "+faststart"],
        )
        with writer:
            for image in pictures:
                writer.append_data(image)
        check_video(path, count)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        if _is_full(path.parent):
            raise OutputError(f"the disk is full: the video was not written; free some space or {advice}") from error
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise OutputError(f"the video was not written ({reason}): {advice} or reinstall imageio-ffmpeg") from error


def _is_full(folder: Path) -> bool:
    """Whether a disk has hardly any room left, which ffmpeg does not tell."""
    try:
        return shutil.disk_usage(folder).free < SMALLEST_ROOM
    except OSError:
        return False


def check_video(path: Path, expected: int) -> None:
    """Count the frames, since a failure of ffmpeg at the end of a file goes unreported otherwise. Raises OSError."""
    import imageio_ffmpeg

    found, _ = imageio_ffmpeg.count_frames_and_secs(str(path))
    if found != expected:
        raise OSError(f"ffmpeg kept {found} of {expected} frames")
