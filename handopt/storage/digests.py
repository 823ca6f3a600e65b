"""Digests of a folder's files, written last, by which whoever resumes a run tells whether a result is whole."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from handopt.files import UnreadableError, read_json, sha256_of

TIMED: Final = ("result.json",)
"""Documents with "seconds", which are another in every run; their digest is of all the rest, so that equal results have
equal digests."""


def digests_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file in a folder and below it, by name from there. Raises UnreadableError."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name: dict(zip(("bytes", "sha256"), _content(folder / name), strict=True)) for name in names}


def first_damage(folder: Path, known: Mapping[str, tuple[int, str]]) -> str | None:
    """What is wrong with the first file that is not as its size and digest say; None where all are whole."""
    for name, content in known.items():
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts:
            return f"names a file outside of it, {name}"
        path = folder / name
        if not path.is_file():
            return f"has no {name}"
        try:
            if _content(path) != content:
                return f"has a damaged {name}"
        except UnreadableError:
            return f"has a damaged {name}"
    return None


def _content(path: Path) -> tuple[int, str]:
    """Size and SHA-256."""
    if path.name not in TIMED:
        return path.stat().st_size, sha256_of(path)
    document = read_json(path)
    if isinstance(document, dict):
        document.pop("seconds", None)
    text = json.dumps(document, sort_keys=True).encode("ascii")
    return len(text), hashlib.sha256(text).hexdigest()
