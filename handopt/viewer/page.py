"""The page of the viewer as text: self-contained, without any request to a network."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any, Final

from handopt.assets import asset

RESIDUAL_MM: Final = 10
"""Residual at the ends of its colours, mm."""
# The colours of the pictures (handopt/draw/colour.py), and those of the timeline. By eye.
_COLOURS: Final[dict[str, Any]] = {
    "paper": "#121419", "ink": "#eceff3", "faint": "#949daa", "skin": "#d9a586", "neutral": [104, 109, 119],
    "fingers": ["#ff5c5c", "#ffb03b", "#7ad65c", "#40baff", "#d67aff"],
    "nothing": "#3a3e49", "bridged": "#8a6fd1", "doubtful": "#e0453a", "low": "#d9b23a", "high": "#28aa8a",
    "diverging": [
        [16, 44, 130], [40, 110, 200], [140, 190, 230], [246, 246, 246], [240, 160, 125], [208, 70, 60], [120, 10, 34],
    ],
}  # fmt: skip
_LEVELS = 61


@dataclass(frozen=True)
class Item:
    """A scene in the list of a page: its name and a note, and the scene itself as JSON values where it is inlined."""

    title: str
    note: str = ""
    packed: dict[str, Any] | None = None


def view_page(items: Sequence[Item], title: str, *, grows: bool = False) -> str:
    """The viewer's page. Items without a packed scene are fetched from "scene/N" of the server that serves the page.

    grows: whether the page asks its server for further ones, as "items?after=N".
    """
    listed = [{"title": each.title, "note": each.note} for each in items]
    settings = {
        "items": listed,
        "grows": grows,
        "residual_mm": RESIDUAL_MM,
        "colours": {**_COLOURS, "diverging": _table()},
    }
    inlined = [json_block(f"item-{index}", each.packed) for index, each in enumerate(items) if each.packed is not None]
    return filled(
        "view.html",
        title=html.escape(title),
        connect="'self'" if grows or len(inlined) < len(items) else "",
        style=static("view.css"),
        three=three(),
        data="\n".join([json_block("settings", settings), *inlined]),
        script=static("view.js"),
    )


def json_block(name: str, value: Any) -> str:
    """A <script> element that holds JSON; no text in it can end the element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def filled(name: str, **parts: str) -> str:
    """A template of the folder static/ with its parts filled in."""
    return Template(static(name)).substitute(parts)


@cache
def static(name: str) -> str:
    """The text of a file of the folder static/."""
    return (files("handopt.viewer") / "static" / name).read_text(encoding="utf-8")


@cache
def three() -> str:
    """three.js as one script, with its licence."""
    notice = "/* three.js, MIT licence, Copyright 2010-2026 three.js authors, https://threejs.org/license */\n"
    return notice + asset("three/three.min.js").read_text(encoding="utf-8")


def _table() -> list[list[int]]:
    """The colours of residuals, evenly interpolated."""
    anchors = _COLOURS["diverging"]
    table = []
    for level in range(_LEVELS):
        place = level * (len(anchors) - 1) / (_LEVELS - 1)
        low = min(int(place), len(anchors) - 2)
        pairs = zip(anchors[low], anchors[low + 1], strict=True)
        table.append([round(a + (b - a) * (place - low)) for a, b in pairs])
    return table
