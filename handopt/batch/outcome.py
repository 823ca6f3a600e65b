"""How each image of a run ends: done, failed or skipped."""

import json
import math
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from handopt.atomic_folder import FULL_DISK
from handopt.errors import one_line
from handopt.result import FitResult, plain

DONE, FAILED, SKIPPED = "done", "failed", "skipped"
NOTHING_COVERED = (
    "the fitted hand covers no measured pixel; look at overlay.png, and say where the hand is with box= or center="
)


OF_A_HAND = ("status", "hand", "hand_margin", "confidence", "residual_mm", "silhouette_iou", "unexplained_fraction")
"""What a line of summary.jsonl says of each of several hands."""


@dataclass(frozen=True)
class Task:
    """An image, and the folder of its results."""

    image: Path
    folder: Path

    def lost(self, why: str) -> "Outcome":
        """The outcome where the processes that worked on it have died."""
        return Outcome(self, FAILED, error=f"{self.image}: {why}; try it alone with fewer jobs=")


@dataclass(frozen=True)
class Outcome:
    """How an image ended.

    kind: 'done', 'failed' or 'skipped'. error: why it is not done, on one line. before: whether it was done in an
    earlier run. status, hand, hand_margin, confidence, residual_mm, silhouette_iou, unexplained_fraction: as in
    result.json, None where there is no result. total_seconds: time to read, fit and write. notes: what was assumed.
    details: stages and terms of a fit that was made in this run. traceback: of the error. full: whether the disk is
    full. hands: the outcome of each hand where an image may have several, with the hand's own folder in its task; what
    is said of the image is then that of the first hand.
    """

    task: Task
    kind: str
    error: str | None = None
    before: bool = False
    status: str | None = None
    hand: str | None = None
    hand_margin: float | None = None
    confidence: float | None = None
    residual_mm: Mapping[str, float | None] | None = None
    silhouette_iou: float | None = None
    unexplained_fraction: float | None = None
    total_seconds: float = 0.0
    notes: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    traceback: str | None = None
    full: bool = False
    hands: "tuple[Outcome, ...]" = ()

    @classmethod
    def of_hands(cls, task: Task, hands: "Sequence[Outcome]") -> "Outcome":
        """The outcome of an image that may have several hands, of which each has an outcome."""
        failed = next((each for each in hands if each.kind == FAILED), None)
        return replace(
            hands[0],
            task=task,
            kind=DONE if failed is None else FAILED,
            error=None if failed is None else failed.error,
            total_seconds=sum(each.total_seconds for each in hands),
            notes=tuple(dict.fromkeys(note for each in hands for note in each.notes)),
            details=tuple(line for each in hands for line in each.details),
            hands=tuple(hands),
        )

    @classmethod
    def of_result(cls, task: Task, result: dict[str, Any], total_seconds: float, **more: Any) -> "Outcome":
        """The outcome of an image that has this result.json. A fit that covers no measured pixel has failed."""
        median = result["residual_mm"]["median"]
        covers = median is not None and math.isfinite(median)
        return cls(
            task,
            DONE if covers else FAILED,
            error=None if covers else NOTHING_COVERED,
            status=result["status"],
            hand=result["hand"],
            hand_margin=result.get("hand_margin"),
            confidence=result["confidence"],
            residual_mm=result["residual_mm"],
            silhouette_iou=result["silhouette_iou"],
            unexplained_fraction=result["unexplained_fraction"],
            total_seconds=total_seconds,
            **more,
        )

    @classmethod
    def of_fit(cls, task: Task, result: FitResult, assumptions: tuple[str, ...], writing_s: float) -> "Outcome":
        """The outcome of a hand that was fitted and written. assumptions: of the reader; writing_s: seconds."""
        values = {name: getattr(result, name) for name in OF_A_HAND}
        seconds = sum(result.seconds.values()) + writing_s
        notes = tuple(dict.fromkeys((*assumptions, *result.notes)))
        return cls.of_result(task, values, seconds, notes=notes, details=_details(result))

    @classmethod
    def of_error(cls, task: Task, error: BaseException, total_seconds: float = 0.0) -> "Outcome":
        """The outcome of an image whose reading, fit or writing raised an error."""
        where = "".join(traceback.format_exception(error))
        return cls(
            task,
            FAILED,
            error=one_line(error),
            total_seconds=total_seconds,
            traceback=where,
            full=_errno(error) in FULL_DISK,
        )

    def renamed(self, task: Task) -> "Outcome":
        """The same outcome, with the paths as the user wrote them."""
        hands = tuple(each.renamed(Task(task.image, task.folder / each.task.folder.name)) for each in self.hands)
        return replace(self, task=task, hands=hands)

    def to_json(self) -> str:
        """One line of summary.jsonl, without its end."""
        document = {
            "image": str(self.task.image),
            "outcome": self.kind,
            "error": self.error,
            "folder": str(self.task.folder) if self.status is not None else None,
            "total_seconds": round(self.total_seconds, 3),
            "status": self.status,
            "hand": self.hand,
            "hand_margin": self.hand_margin,
            "confidence": self.confidence,
            "residual_mm": plain(self.residual_mm),
            "silhouette_iou": plain(self.silhouette_iou),
            "unexplained_fraction": self.unexplained_fraction,
        }
        if self.hands:
            document["hands"] = [
                {"folder": str(each.task.folder), **{name: plain(getattr(each, name)) for name in OF_A_HAND}}
                for each in self.hands
            ]
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:  # a file name that is no text
            return json.dumps(document, allow_nan=False)
        return text


def _errno(error: BaseException | None) -> int | None:
    """The errno of an error or of the one that caused it."""
    while error is not None:
        number = getattr(error, "errno", None)
        if number is not None:
            return int(number)
        error = error.__cause__
    return None


def _details(result: FitResult) -> tuple[str, str]:
    stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in result.seconds.items())
    terms = ", ".join(f"{term} {value:.4g}" for term, value in result.terms.items())
    return (
        f"a {result.hand} hand, {result.iterations} iterations on {result.device}; seconds: {stages}",
        f"terms: {terms}",
    )
