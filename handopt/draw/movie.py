"""Videos of films: mp4 or gif, written aside and renamed."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from handopt.atomic_folder import FULL_DISK
from handopt.draw.film import Film
from handopt.draw.panels import DEFAULT_PX, PANELS, Painter
from handopt.draw.video import write_mp4
from handopt.errors import ConfigError, OutputError
from handopt.typing import Bytes

SUFFIXES = (".mp4", ".gif")
DEFAULT_FPS = 30.0
GIF_FPS = 50.0
"""Viewers slow down what is quicker."""


def write_movie(
    film: Film,
    path: Path,
    *,
    fps: float | None = None,
    size: int = DEFAULT_PX,
    panels: Sequence[str] = PANELS,
    turntable: bool = False,
    progress: Callable[[], None] | None = None,
) -> None:
    """Write a film as mp4 or gif, as the name ends. fps: that of the film if None; see Painter for the others.

    The file appears complete or not at all; one that is there is replaced. Raises ConfigError and OutputError.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: expected a name that ends in {' or '.join(SUFFIXES)}; change --output or --format")
    rate = fps or film.fps or DEFAULT_FPS
    if not 0 < rate <= 1000:
        raise ConfigError(f"fps: expected a number above 0 and up to 1000, got {rate}; change --fps")
    if len(film) == 0:
        raise OutputError(f"{film.title}: there is no frame to show")
    painter = Painter(film, panels, size, turntable=turntable)
    partial = path.with_name(f".handopt-{secrets.token_hex(6)}{path.suffix.lower()}")
    try:
        partial.touch()
        if partial.suffix == ".mp4":
            pictures = _counted(painter, progress)
            write_mp4(pictures, len(painter), partial, rate, "choose another place with -o")
        else:
            _write_gif(_counted(painter, progress), partial, min(rate, GIF_FPS))
        partial.replace(path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        if error.errno in FULL_DISK:
            raise OutputError(
                f"the disk is full: {path} was not written; free some space or choose another place with -o"
            ) from error
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another place with -o") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _counted(painter: Painter, progress: Callable[[], None] | None) -> Iterator[Bytes]:
    for picture in painter:
        yield picture
        if progress is not None:
            progress()


def _write_gif(pictures: Iterator[Bytes], path: Path, fps: float) -> None:
    """An endless gif in colours that all frames share, so that what stays takes no room and scales show no bands."""
    from PIL import Image

    from handopt.draw.panels import palette

    colours = Image.new("P", (1, 1))
    colours.putpalette(palette().tobytes())
    images = (Image.fromarray(each).quantize(palette=colours, dither=Image.Dither.NONE) for each in pictures)
    first = next(images)
    first.save(path, save_all=True, append_images=images, duration=round(1000 / fps), loop=0, optimize=False)
