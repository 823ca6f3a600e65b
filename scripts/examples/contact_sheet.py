#!/usr/bin/env python3
"""Make one picture of the overlays of many results, doubtful ones first.

Reads the summary.jsonl that handopt fit leaves beside the results of a folder. Images that failed, and results without
overlay.png, are named on stderr.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from PIL import Image, ImageDraw

from handopt.draw import colour

NAME_PX = 22
GAP_PX = 6


def main(arguments: list[str] | None = None) -> int:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("summary", type=Path, help="summary.jsonl of handopt fit")
    parser.add_argument("-o", "--output", type=Path, default=Path("sheet.png"), help="picture (default: sheet.png)")
    parser.add_argument("--columns", type=int, default=4, metavar="N", help="pictures side by side (default: 4)")
    parser.add_argument("--width", type=int, default=480, metavar="PX", help="of each picture (default: 480)")
    parser.add_argument("--most", type=int, default=100, metavar="N", help="pictures of a sheet (default: 100)")
    options = parser.parse_args(arguments)
    if min(options.columns, options.width, options.most) < 1:
        parser.error("--columns, --width and --most must be at least 1")
    try:
        rows = [json.loads(line) for line in options.summary.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        parser.error(f"{options.summary} cannot be read: {error}")
    shown = [row for row in by_doubt(rows) if overlay(row) is not None][: options.most]
    for row in rows:
        if overlay(row) is None:
            print(f"{row['image']}: {row['error'] or 'has no overlay.png'}", file=sys.stderr)
    if not shown:
        print("there is no overlay.png to show: fit without --no-overlay", file=sys.stderr)
        return 1
    iio.imwrite(options.output, sheet(shown, options.columns, options.width))
    print(f"{options.output}\t{len(shown)} of {len(rows)} images")
    return 0


def by_doubt(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The least confident first."""
    return sorted(rows, key=lambda row: (row["confidence"] is not None, row["confidence"] or 0.0))


def overlay(row: dict[str, Any]) -> Path | None:
    """The overlay of a result, if there is one."""
    path = Path(row["folder"]) / "overlay.png" if row["folder"] else None
    return path if path is not None and path.is_file() else None


def sheet(rows: list[dict[str, Any]], columns: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The overlays as an image (H, W, 3) in rows and columns, each with its image's name and confidence above it."""
    pictures = []
    for row in rows:
        picture = Image.open(overlay(row)).convert("RGB")
        picture = picture.resize((width, max(1, round(picture.height * width / picture.width))), Image.Resampling.BOX)
        framed = Image.new("RGB", (width, picture.height + NAME_PX), colour.PAPER)
        framed.paste(picture, (0, NAME_PX))
        text = f"{colour.printable(Path(row['image']).name)}   confidence {row['confidence']:.2f}"
        ImageDraw.Draw(framed).text((4, 4), text, colour.INK, colour.font(12))
        pictures.append(framed)
    columns = min(columns, len(pictures))
    height = max(picture.height for picture in pictures)
    lines = -(-len(pictures) // columns)
    size = (columns * (width + GAP_PX) - GAP_PX, lines * (height + GAP_PX) - GAP_PX)
    canvas = Image.new("RGB", size, colour.PAPER)
    for number, picture in enumerate(pictures):
        canvas.paste(picture, (number % columns * (width + GAP_PX), number // columns * (height + GAP_PX)))
    return np.asarray(canvas)


if __name__ == "__main__":
    sys.exit(main())
