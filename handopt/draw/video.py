"""Videos: a film as mp4 or gif, and the iterations of a fit, which are a film as well, as mp4."""

import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from handopt.atomic_folder import FULL_DISK, written_file
from handopt.draw.film import Film
from handopt.draw.panels import DEFAULT_PX, PANELS, Painter, palette
from handopt.errors import ConfigError, OutputError
from handopt.typing import Bytes

if TYPE_CHECKING:
    from handopt.result import FitResult

SUFFIXES: Final = (".mp4", ".gif")
DEFAULT_FPS: Final = 30.0
OPTIMISATION_S, SLOWEST_FPS, HELD_S = 8.0, 5.0, 1.5  # how long an optimisation lasts, its slowest rate, its last frame
MAX_FPS: Final = 1000.0
GIF_FPS: Final = 50.0
"""Viewers slow down what is quicker: of more frames a second some are left out, so that time is kept."""
_GIF_TICK_S: Final = 0.01
"""What the times of a GIF are counted in."""
QUALITY: Final = 8
"""Of imageio's H.264, 0 to 10; text stays legible."""
SMALLEST_ROOM: Final = 1_000_000
"""Free bytes of a disk below which a failed video is put down to it."""
ELSEWHERE: Final = "choose another place with output="


def write_video(
    film: Film,
    path: Path,
    *,
    fps: float | None = None,
    size: int = DEFAULT_PX,
    panels: Sequence[str] = PANELS,
    turntable: bool = False,
    pictures: Iterable[Bytes | None] | None = None,
    progress: Callable[[], None] | None = None,
) -> None:
    """Write a film as mp4 or gif, as the name ends. fps: that of the film if None; see Painter for the others.

    The file appears complete or not at all; one that is there is replaced. Raises ConfigError and OutputError.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: expected a name that ends in {' or '.join(SUFFIXES)}; change output= or format=")
    rate = fps or film.fps or (DEFAULT_FPS if film.total is None else optimisation_fps(len(film)))
    held = 0 if film.total is None else round(HELD_S * rate)
    if not 0 < rate <= MAX_FPS:
        raise ConfigError(f"fps= expected a number above 0 and up to {MAX_FPS:g}, got {rate}")
    if len(film) == 0:
        raise OutputError(f"{film.title}: there is no frame to show")
    painter = Painter(film, panels, size, turntable=turntable, pictures=pictures)
    try:
        with written_file(path) as partial:
            pictures = _counted(painter, progress)
            if partial.suffix.lower() == ".mp4":
                write_mp4(_with_last_held(pictures, held), len(painter) + held, partial, rate, ELSEWHERE)
            else:
                times = gif_times(len(painter), rate)
                times[max(times)] += round(held / rate / _GIF_TICK_S)
                _write_gif(pictures, partial, times)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        if error.errno in FULL_DISK:
            raise OutputError(f"the disk is full: {path} was not written; free some space or {ELSEWHERE}") from error
        raise OutputError(f"cannot write {path}: {error.strerror or error}; {ELSEWHERE}") from error


def optimisation_fps(count: int) -> float:
    """Iterations a second, so that so many of them last about 8 s and can be followed."""
    return min(max(count / OPTIMISATION_S, SLOWEST_FPS), DEFAULT_FPS)


def write_optimisation(result: "FitResult", path: Path, fps: float | None = None) -> None:
    """Write the optimisation as H.264 in an mp4 file, one frame per iteration; the last one is held.

    It looks as that of write_video does. fps: iterations a second; by default slow enough to be followed.

    Raises OutputError if there is no iteration to show, or ffmpeg fails.
    """
    film = Film.of_fit(result)
    if len(film) == 0:
        raise OutputError("there is no video without an iteration: leave out video=")
    rate = fps or optimisation_fps(len(film))
    held, painter = round(HELD_S * rate), Painter(film)
    write_mp4(_with_last_held(painter, held), len(film) + held, path, rate)


def write_mp4(pictures: Iterable[Bytes], count: int, path: Path, fps: float, advice: str = "leave out video=") -> None:
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


def check_video(path: Path, expected: int) -> None:
    """Count the frames, since a failure of ffmpeg at the end of a file goes unreported otherwise. Raises OSError."""
    import imageio_ffmpeg

    found, _ = imageio_ffmpeg.count_frames_and_secs(str(path))
    if found != expected:
        raise OSError(f"ffmpeg kept {found} of {expected} frames")


def _with_last_held(pictures: Iterable[Bytes], more: int) -> Iterator[Bytes]:
    """Pictures, and the last one so many times again."""
    picture: Bytes | None = None
    for picture in pictures:
        yield picture
    if picture is not None:
        yield from repeat(picture, more)


def _counted(painter: Painter, progress: Callable[[], None] | None) -> Iterator[Bytes]:
    for picture in painter:
        yield picture
        if progress is not None:
            progress()


def gif_times(count: int, fps: float) -> dict[int, int]:
    """Which of a film's frames a GIF shows, and for how many hundredths of a second each, in real time.

    The times add up to the film's to a hundredth, whatever the rate is.
    """
    step = max(1, math.ceil(fps / GIF_FPS - 1e-9))
    shown = range(0, count, step)
    starts = [round(frame / fps / _GIF_TICK_S) for frame in (*shown, count)]
    return {frame: max(end - start, 1) for frame, start, end in zip(shown, starts, starts[1:], strict=False)}


def _write_gif(pictures: Iterator[Bytes], path: Path, times: Mapping[int, int]) -> None:
    """An endless gif in colours that all frames share, so that what stays takes no room and scales show no bands."""
    from PIL import Image

    colours = Image.new("P", (1, 1))
    colours.putpalette(palette().tobytes())
    images = (
        Image.fromarray(each).quantize(palette=colours, dither=Image.Dither.NONE)
        for index, each in enumerate(pictures)
        if index in times
    )
    first = next(images)
    durations = [10 * each for each in times.values()]
    first.save(path, save_all=True, append_images=images, duration=durations, loop=0, optimize=False)


def _is_full(folder: Path) -> bool:
    """Whether a disk has hardly any room left, which ffmpeg does not tell."""
    try:
        return shutil.disk_usage(folder).free < SMALLEST_ROOM
    except OSError:
        return False
