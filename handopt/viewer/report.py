"""The page of `handopt report`: many fits at a glance, to be accepted and rejected by keyboard."""

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

from handopt.viewer.page import filled, json_block, static
from handopt.viewer.report_rows import CURVE_MM, FIELDS, figures
from handopt.viewer.review import Decision


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
    if thumbnails is not None:
        settings |= {
            "rows": rows,
            "decisions": {folder: vars(each) for folder, each in decisions.items()},
            "errors_mm": None if errors_mm is None else dict(errors_mm),
            "thumbnails": [_data_url(each) for each in thumbnails],
        }
    return filled(
        "report.html",
        title=html.escape(title),
        connect="'self'" if thumbnails is None else "'none'",
        sources="'self' data:" if thumbnails is None else "'self' data: file:",
        style=static("report.css"),
        data=json_block("settings", settings),
        script=static("report_rows.js") + static("report.js"),
    )


def _data_url(picture: bytes | None) -> str | None:
    return None if picture is None else "data:image/webp;base64," + base64.b64encode(picture).decode("ascii")
