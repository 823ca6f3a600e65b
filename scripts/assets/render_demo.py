#!/usr/bin/env python3
"""Make assets/images/demo.gif, the moving picture of the README: a fit that converges, then a track.

Everything is synthetic and comes from one seed: handopt synth renders a short sequence, handopt fit fits its first
frame, handopt track follows the hand through all of it, and handopt video draws both. The fit is slowed down, because
it has only a few iterations; the track plays at its own speed.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

OUTPUT = Path(__file__).resolve().parents[2] / "assets" / "images" / "demo.gif"
SEED = 102
LEVEL = "medium"
FRAMES = 72
FPS = 15
PANEL_PX = 200
EDGE_PX = 10  # between the last panel and the right border
FIRST_ITERATION_MS, ITERATION_MS, LAST_ITERATION_MS = 900, 110, 1500
LAST_FRAME_MS = 1200
LARGEST_BYTES = 3_000_000


def main(arguments: list[str] | None = None) -> int:
    """Write the picture. Returns 1 if it is too large for a README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, help="the GIF (default: assets/images/demo.gif)")
    parser.add_argument("--frames", type=int, default=FRAMES, metavar="N", help=f"of the track (default: {FRAMES})")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        fit, track = record(Path(folder), options.frames)
        pictures, durations_ms = join(fit, track)
        write_gif(options.output, pictures, durations_ms)
    size = options.output.stat().st_size
    print(f"{options.output}\t{len(pictures)} frames\t{size / 1e6:.2f} MB")
    if size > LARGEST_BYTES:
        print(f"{options.output} is larger than {LARGEST_BYTES / 1e6:.0f} MB", file=sys.stderr)
    return int(size > LARGEST_BYTES)


def record(folder: Path, frames: int) -> tuple[Path, Path]:
    """Make the sequence, fit, track and draw. Returns the GIFs of the fit and of the track."""
    motion = ("--sequence", "--count", str(frames), "--fps", str(FPS), "--speed", "1.5", "--no-background")
    handopt("synth", folder / "thumb-up", "--level", LEVEL, "--seed", str(SEED), *motion)
    images = folder / "thumb-up" / LEVEL
    fit, track = folder / "fit.gif", folder / "track.gif"
    handopt("fit", images / "000.png", "-o", folder / "fits")
    handopt(
        "video", folder / "fits" / "000", "-o", fit, "--panels", "depth,overlay,fit,residual", "--size", str(PANEL_PX)
    )
    handopt("track", images, "-o", folder / "track", "--no-video")
    handopt(
        "video", folder / "track", "-o", track, "--panels", "depth,overlay,fit", "--turntable", "--size", str(PANEL_PX)
    )
    return fit, track


def handopt(*arguments: str | Path) -> None:
    """Run one command of handopt. Raises CalledProcessError."""
    subprocess.run([sys.executable, "-m", "handopt", *map(str, arguments), "-q"], check=True, stdout=subprocess.DEVNULL)


def join(fit: Path, track: Path) -> tuple[list[Image.Image], list[int]]:
    """All pictures in the colours of the first GIF, and how long each is shown, in ms."""
    frames = pictures_of(track)
    iterations = [without_objective(each, frames[0].size) for each in pictures_of(fit)]
    with Image.open(fit) as colours:  # both GIFs of handopt video have the same palette
        pictures = [each.quantize(palette=colours, dither=Image.Dither.NONE) for each in (*iterations, *frames)]
    between = len(iterations) - 2
    durations_ms = [FIRST_ITERATION_MS, *[ITERATION_MS] * between, LAST_ITERATION_MS]
    durations_ms += [*[round(1000 / FPS)] * (len(frames) - 1), LAST_FRAME_MS]
    return pictures, durations_ms


def pictures_of(path: Path) -> list[Image.Image]:
    """Every frame of a GIF in RGB."""
    with Image.open(path) as gif:
        frames = []
        for number in range(getattr(gif, "n_frames", 1)):
            gif.seek(number)
            frames.append(gif.convert("RGB"))
    return frames


def without_objective(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A picture of the fit cut to the panels that it shares with the track.

    The objective is left out: its weights change from round to round, so that it is no curve that falls.
    """
    cut = picture.crop((0, 0, *size))
    cut.paste(picture.getpixel((0, 0)), (size[0] - EDGE_PX, 0, *size))
    return cut


def write_gif(path: Path, pictures: list[Image.Image], durations_ms: list[int]) -> None:
    """An endless GIF. Pictures must share one palette, so that what does not change takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = pictures
    first.save(path, save_all=True, append_images=rest, duration=durations_ms, loop=0, optimize=False)


if __name__ == "__main__":
    sys.exit(main())
