"""The fits of a folder as rows of a report: figures from summary.jsonl and result.json, thumbnails, depth pictures."""

import io
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.draw import colour
from handopt.draw.film import load_film
from handopt.draw.overlay import PANEL_PX, panel_origin
from handopt.errors import DepthError, OutputError
from handopt.files import UnreadableError, is_file, parse_json, read_text
from handopt.input.depth import read_depth
from handopt.storage.fit_folder import RESULT_NAME
from handopt.storage.scenes import RESULT_FORMAT, read_result
from handopt.typing import Bytes, Reals

SUMMARY_NAME: Final = "summary.jsonl"
MAX_SUMMARY_BYTES: Final = 512 * 2**20
"""A million images."""
THUMBNAIL_PX: Final = 180
DEPTH_SPAN_MM: Final = 400.0
"""How far behind the nearest surface the colours of a depth picture reach."""


@dataclass(frozen=True)
class FitRow:
    """One fit. folder: relative to the folder of the report, with slashes. Figures are None where there is no result.

    outcome: 'done', 'failed' or 'skipped'. residual_mm: the median.
    """

    folder: str
    image: str | None
    outcome: str
    hand: str | None
    confidence: float | None
    residual_mm: float | None
    iou: float | None
    status: str

    def to_list(self) -> list[Any]:
        """The fields in the order that the page expects."""
        figures = [_rounded(each, 4) for each in (self.confidence, self.residual_mm, self.iou)]
        return [self.folder, self.image, self.outcome, self.hand, *figures, self.status]


def find_rows(root: Path, progress: Callable[[int, int | None], None] | None = None) -> list[FitRow]:
    """The fits below a folder, by name. Only results that are newer than summary.jsonl, or not in it, are opened.

    progress: called with how many results were found, and None; then with how many of how many were looked at.
    """
    results, written = _results(root, progress), _written(root / SUMMARY_NAME)
    rows = dict(_summary_rows(root, results))
    for number, (name, result_written) in enumerate(results.items()):
        if progress is not None:
            progress(number, len(results))
        if name not in rows or result_written > written:
            rows[name] = _result_row(root, name)
    return [rows[name] for name in sorted(rows)]


def _results(root: Path, progress: Callable[[int, int | None], None] | None) -> dict[str, int]:
    """The folders below root that hold a result, and when it was written, ns."""
    found, start = {}, len(os.fspath(root))
    for folder, _, files in os.walk(root):  # as texts, which is faster than paths for a hundred thousand folders
        if RESULT_NAME in files:
            name = folder[start:].replace(os.sep, "/").strip("/") or "."
            found[name] = _written(f"{folder}{os.sep}{RESULT_NAME}")
            if progress is not None:
                progress(len(found), None)
    return found


def thumbnail(folder: Path) -> bytes:
    """A small WebP of the fit over its depth: of overlay.png, or drawn where there is none. Raises OutputError."""
    from PIL import Image

    path = folder / "overlay.png"
    if is_file(path):
        try:
            left, top = panel_origin(1)
            with Image.open(path, formats=("PNG",)) as whole:
                picture = whole.convert("RGB").crop((left, top, left + PANEL_PX, top + PANEL_PX))
        except Exception as error:  # Pillow raises almost anything on damaged files
            raise OutputError(f"{path} is damaged ({error}): fit it again") from error
    else:
        picture = Image.fromarray(_drawn(folder))
    small = picture.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    return _encoded(small, "WEBP", quality=75, method=2)  # 3 KB, as JPEG 5: a page holds thousands


def depth_picture(image: Path) -> tuple[bytes, int, int]:
    """A whole depth image as JPEG in colours, as the file has it, and its width and height. Raises DepthError."""
    from PIL import Image

    depth = read_depth(image).depth_mm
    measured = depth[depth > 0]
    if not measured.size:
        raise DepthError(f"{image}: nothing is measured in it")
    near = float(np.percentile(measured, 1))
    height, width = depth.shape
    picture = Image.fromarray(_coloured(depth, near, near + DEPTH_SPAN_MM))
    return _encoded(picture, "JPEG", quality=78), width, height


def _summary_rows(root: Path, results: Mapping[str, int]) -> Iterator[tuple[str, FitRow]]:
    """The rows of summary.jsonl, by folder; lines that are damaged are left out, as their results are opened.

    results: names of the folders that hold one.
    """
    try:
        lines = read_text(root / SUMMARY_NAME, MAX_SUMMARY_BYTES).splitlines()
    except UnreadableError:
        return
    for line in lines:
        try:
            entry = parse_json(line)
            folder = entry["folder"]
            name = _relative(folder, results) if folder else f"{Path(entry['image']).stem} (no result)"
            if name is None:
                continue
            residual = (entry["residual_mm"] or {}).get("median")
            confidence, residual_mm, iou = map(_number, (entry["confidence"], residual, entry["silhouette_iou"]))
            image, outcome, hand = entry["image"], str(entry["outcome"]), entry["hand"]
            status = str(entry["status"] or entry["error"] or "")
            if all(each is None or isinstance(each, str) for each in (image, hand)):
                yield name, FitRow(name, image, outcome, hand, confidence, residual_mm, iou, status)
        except (ValueError, KeyError, TypeError, AttributeError, OSError):
            continue


def _number(value: Any) -> float | None:
    """A finite number, or None. Raises ValueError for anything else."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def _written(path: Path | str) -> int:
    """When a file was written, in ns; 0 where there is none."""
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0


def _relative(folder: str, results: Mapping[str, int]) -> str | None:
    """A folder of a summary relative to the root, also where both were moved since; None where it lies elsewhere."""
    parts = [each for each in folder.replace(os.sep, "/").split("/") if each not in ("", ".")]
    names = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((name for name in names if name in results), None)


def _result_row(root: Path, name: str) -> FitRow:
    try:
        document = read_result(root / name)
        return FitRow(
            name, document["image"], "done", document["hand"], document["confidence"],
            document["residual_mm"]["median"], document["silhouette_iou"], document["status"],
        )  # fmt: skip
    except (OutputError, KeyError, TypeError) as error:
        reason = str(error) if isinstance(error, OutputError) else f"{RESULT_NAME} lacks what {RESULT_FORMAT} has"
        return FitRow(name, None, "failed", None, None, None, None, reason)


def _drawn(folder: Path) -> Bytes:
    """The depth around a fit, and the fitted hand over it in its own colours."""
    film = load_film(folder)
    last = len(film) - 1
    view = film.view(last, film.depth_mm.shape[1])
    vertices, _ = film.posed(last)
    fitted, observed = view.rasterised(vertices, film.hand.faces), view.depth_mm
    depths = fitted[fitted > 0] if (fitted > 0).any() else observed[observed > 0]
    near = float(depths.min()) if depths.size else 0.0
    picture = _coloured(observed, near, near + DEPTH_SPAN_MM)
    grey = np.rint(picture.mean(axis=2, keepdims=True) * 0.6).astype(np.uint8)
    hand = _coloured(fitted, near, float(depths.max()) if depths.size else 1.0)
    return np.where((fitted > 0)[..., None], hand, np.broadcast_to(grey, picture.shape)).astype(np.uint8)


def _coloured(depth: Reals, near: float, far: float) -> Bytes:
    picture = colour.colourise(-np.asarray(depth), -far, -near, colour.DEPTH)
    picture[np.asarray(depth) <= 0] = colour.EMPTY
    return picture


def _encoded(picture: Any, form: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def _rounded(value: Any, digits: int) -> float | None:
    return round(float(value), digits) if isinstance(value, int | float) else None
