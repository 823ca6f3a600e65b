"""review.jsonl: what a person said of fits, one line for each decision; the last one on a fit counts."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from handopt.errors import ConfigError, OutputError
from handopt.files import UnreadableError, parse_json, read_text

FORMAT: Final = "handopt.review/1"
NAME: Final = "review.jsonl"
ACCEPT, REJECT, OTHER_HAND, PALM = "accept", "reject", "other_hand", "palm"
DECISIONS: Final = (ACCEPT, REJECT, OTHER_HAND, PALM)
MAX_BYTES: Final = 256 * 2**20


@dataclass(frozen=True)
class Decision:
    """What was said of one fit.

    folder: of the fit, relative to the folder of all fits, with slashes. image: its depth image. decision: one of
    DECISIONS, or None where it was taken back. hand: which hand was fitted. center_px: of decision 'palm', the palm's
    centre as a column and a row of the depth image, as the file has it.
    """

    folder: str
    image: str | None
    decision: str | None
    hand: str
    center_px: tuple[float, float] | None = None

    @property
    def corrected_hand(self) -> str:
        """The hand to fit."""
        if self.decision != OTHER_HAND:
            return self.hand
        return "left" if self.hand == "right" else "right"

    def to_json(self, when: datetime | None = None) -> str:
        """One line, without its end. when: the time that it carries, now if None."""
        time = (when or datetime.now(UTC)).isoformat(timespec="seconds")
        document = {"format": FORMAT, **vars(self), "time": time}
        return json.dumps(document, ensure_ascii=True, allow_nan=False)

    @classmethod
    def of(cls, document: Any) -> "Decision":
        """From the JSON values of a line or of a page. Raises ConfigError."""
        if not isinstance(document, Mapping):
            raise ConfigError("expected a JSON object")
        folder, image, decision = (document.get(name) for name in ("folder", "image", "decision"))
        hand, center = document.get("hand"), document.get("center_px")
        if not isinstance(folder, str) or not folder:
            raise ConfigError(f"folder is {folder!r}, expected the name of a fit's folder")
        if image is not None and not isinstance(image, str):
            raise ConfigError(f"image is {image!r}, expected a path or null")
        if decision is not None and decision not in DECISIONS:
            raise ConfigError(f"decision is {decision!r}, expected one of {', '.join(DECISIONS)}, or null")
        if hand not in ("right", "left"):
            raise ConfigError(f"hand is {hand!r}, expected right or left")
        if decision != PALM:
            return cls(folder, image, decision, hand)
        numbers = center if isinstance(center, list | tuple) and len(center) == 2 else ()
        known = [float(each) for each in numbers if isinstance(each, int | float) and math.isfinite(each)]
        if len(known) != 2:
            raise ConfigError(f"center_px is {center!r}, expected a column and a row")
        return cls(folder, image, decision, hand, (known[0], known[1]))


def read_review(path: Path) -> dict[str, Decision]:
    """The decision that counts for each folder; fits whose decision was taken back are left out. Raises ConfigError."""
    try:
        text = read_text(path, MAX_BYTES)
    except UnreadableError as error:
        raise ConfigError(f"{path}: cannot be read as a review: {error.reason}") from error
    found: dict[str, Decision] = {}
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            document = parse_json(line)
            if not isinstance(document, dict) or document.get("format") != FORMAT:
                raise ConfigError(f"expected a line of the format {FORMAT}")
            decision = Decision.of(document)
        except ValueError as error:
            if number == len(lines) and not text.endswith("\n"):
                continue  # the page's server was killed while it wrote the last line
            raise ConfigError(f"{path}: line {number}: {error}; correct it or remove it") from error
        found[decision.folder] = decision
    return {folder: each for folder, each in found.items() if each.decision is not None}


def add_decision(path: Path, decision: Decision) -> None:
    """Append a line, on the disk when this returns. Raises OutputError."""
    try:
        with path.open("a", encoding="utf-8") as file:
            if file.tell() and not _ends_a_line(path):
                file.write("\n")
            file.write(decision.to_json() + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
