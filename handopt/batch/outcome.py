"""How each image of a run ends: done, failed or skipped."""

import json
import math
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from handopt.atomic_folder import FULL_DISK
from handopt.errors import one_line

DONE, FAILED, SKIPPED = "done", "failed", "skipped"
STATUSES = (DONE, FAILED, SKIPPED)
NOTHING_COVERED = (
    "the fitted hand covers no measured pixel; look at overlay.png, and say where the hand is with --box or --center"
)


@dataclass(frozen=True)
class Task:
    """An image, and the folder of its results."""

    image: Path
    folder: Path


@dataclass(frozen=True)
class Outcome:
    """How an image ended.

    status: 'done', 'failed' or 'skipped'. error: why it is not done, on one line. before: it was done in an earlier
    run. fit, hand, confidence, median_mm, iou: what the result says, None where there is none. seconds: reading,
    fitting and writing. notes: what was assumed. details: stages and terms of a fit that was made now. traceback: where
    an error arose. full: the disk is.
    """

    task: Task
    status: str
    error: str | None = None
    before: bool = False
    fit: str | None = None
    hand: str | None = None
    confidence: float | None = None
    median_mm: float | None = None
    iou: float | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    traceback: str | None = None
    full: bool = False

    @classmethod
    def of_result(cls, task: Task, result: dict[str, Any], seconds: float, **more: Any) -> "Outcome":
        """The outcome of an image that has this result.json; a fit that covers nothing has failed."""
        median = result["residual_mm"]["median"]
        covers = median is not None and math.isfinite(median)
        return cls(
            task,
            DONE if covers else FAILED,
            error=None if covers else NOTHING_COVERED,
            fit=result["status"],
            hand=result["hand"],
            confidence=result["confidence"],
            median_mm=median,
            iou=result["silhouette_iou"],
            seconds=seconds,
            **more,
        )

    @classmethod
    def of_error(cls, task: Task, error: BaseException, seconds: float = 0.0) -> "Outcome":
        """The outcome of an image whose reading, fit or writing raised an error."""
        where = "".join(traceback.format_exception(error))
        return cls(
            task, FAILED, error=one_line(error), seconds=seconds, traceback=where, full=_errno(error) in FULL_DISK
        )

    def renamed(self, task: Task) -> "Outcome":
        """The same outcome, with the paths as the user wrote them."""
        return replace(self, task=task)

    def to_json(self) -> str:
        """One line of summary.jsonl, without its end."""
        document = {
            "image": str(self.task.image),
            "status": self.status,
            "error": self.error,
            "folder": str(self.task.folder) if self.fit is not None else None,
            "seconds": round(self.seconds, 3),
            "fit": self.fit,
            "hand": self.hand,
            "confidence": self.confidence,
            "residual_mm": self.median_mm if self.median_mm is not None and math.isfinite(self.median_mm) else None,
            "silhouette_iou": self.iou,
        }
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
