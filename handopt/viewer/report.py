"""The page of `handopt report`: many fits at a glance, to be accepted and rejected by keyboard."""

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from handopt.viewer.page import filled, json_block, static
from handopt.viewer.report_rows import CURVE_MM, FIELDS, figures
from handopt.viewer.review import Decision

PICTURES_OF_A_BLOCK: Final = 50
_CONFIDENCE: Final = FIELDS.index("confidence")


def report_page(
    title: str,
    rows: Sequence[Sequence[Any]],
    decisions: Mapping[str, Decision],
    *,
    errors_mm: Mapping[str, float] | None = None,
    thumbnails: Sequence[bytes | None] | None = None,
    review_name: str = "review.jsonl",
) -> str:
    """The report as text.

    rows: as FIELDS. decisions: by folder, made before. errors_mm: by folder, error of the worst joint, where labels
    are. thumbnails: WebP pictures of the rows, for a page that stands alone and holds all rows; without them the page
    asks its server for rows, a part at a time, for thumbnails, overlays and 3D, and sends decisions to it.
    """
    settings: dict[str, Any] = {
        "fields": FIELDS,
        "count": len(rows),
        "figures": figures(rows, errors_mm) | {"curve_mm": CURVE_MM},
        "served": thumbnails is None,
        "review": review_name,
    }
    pictures: list[str | None] = []
    if thumbnails is not None:
        order = sorted(range(len(rows)), key=lambda row: _first_shown(rows[row]))
        rows, pictures = [rows[row] for row in order], [_data_url(thumbnails[row]) for row in order]
        settings |= {
            "rows": rows,
            "decisions": {folder: vars(each) for folder, each in decisions.items()},
            "errors_mm": None if errors_mm is None else dict(errors_mm),
            "without_picture": [row for row, each in enumerate(pictures) if each is None],
            "block": PICTURES_OF_A_BLOCK,
        }
    return filled(
        "report.html",
        title=html.escape(title),
        connect="'self'" if thumbnails is None else "'none'",
        sources="'self' data:" if thumbnails is None else "'self' data: file:",
        style=static("report.css"),
        data=json_block("settings", settings),
        script=static("report_rows.js") + static("report.js"),
        pictures="\n".join(_blocks(pictures)),
    )


def _first_shown(row: Sequence[Any]) -> tuple[bool, float]:
    """What rows are sorted by when the page opens: confidence, so that pictures in view stand at the file's start."""
    confidence = row[_CONFIDENCE]
    return confidence is None, confidence or 0.0


def _blocks(pictures: Sequence[str | None]) -> Iterator[str]:
    """The pictures as elements behind the script, a line for each: nothing is read of a block until it is looked at."""
    for start in range(0, len(pictures), PICTURES_OF_A_BLOCK):
        lines = "\n".join(each or "" for each in pictures[start : start + PICTURES_OF_A_BLOCK])
        yield f'<script type="text/plain" id="pictures-{start // PICTURES_OF_A_BLOCK}">{lines}</script>'


def _data_url(picture: bytes | None) -> str | None:
    return None if picture is None else "data:image/webp;base64," + base64.b64encode(picture).decode("ascii")
