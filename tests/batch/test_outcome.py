"""Outcomes: from a result, from an error, and as a line."""

import errno
import json
import math
from pathlib import Path

from handopt.batch.outcome import DONE, FAILED, Outcome, Task
from handopt.errors import DepthError, OutputError

TASK = Task(Path("in/a.png"), Path("out/a"))
RESULT = {
    "status": "The fit is good.",
    "hand": "left",
    "hand_margin": 0.21,
    "confidence": 0.75,
    "residual_mm": {"median": 1.25, "mean": 2.5, "p95": 7.5},
    "silhouette_iou": 0.5,
    "unexplained_fraction": 0.125,
}


def test_of_a_result() -> None:
    done = Outcome.of_result(TASK, RESULT, 2.0, before=True)
    assert (done.kind, done.error, done.before) == (DONE, None, True)
    assert json.loads(done.to_json()) == {
        "image": "in/a.png",
        "outcome": "done",
        "error": None,
        "folder": "out/a",
        "total_seconds": 2.0,
        "status": "The fit is good.",
        "hand": "left",
        "hand_margin": 0.21,
        "confidence": 0.75,
        "residual_mm": {"median": 1.25, "mean": 2.5, "p95": 7.5},
        "silhouette_iou": 0.5,
        "unexplained_fraction": 0.125,
    }


def test_a_fit_that_covers_nothing_has_failed_and_keeps_its_folder() -> None:
    for median in (None, math.inf):
        missed = Outcome.of_result(TASK, {**RESULT, "residual_mm": {"median": median}}, 2.0)
        row = json.loads(missed.to_json())
        assert (row["outcome"], row["folder"], row["residual_mm"]) == (FAILED, "out/a", {"median": None})
        assert "center=" in row["error"]


def test_of_an_error() -> None:
    try:
        raise DepthError("in/a.png: is\ndamaged")
    except DepthError as error:
        failed = Outcome.of_error(TASK, error, 0.5)
    assert (failed.kind, failed.error, failed.full) == (FAILED, "in/a.png: is damaged", False)
    assert "test_of_an_error" in str(failed.traceback)
    assert json.loads(failed.to_json())["folder"] is None


def test_a_full_disk_is_known_also_behind_another_error() -> None:
    caused = OutputError("the disk is full")
    caused.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert Outcome.of_error(TASK, caused).full
    assert Outcome.of_error(TASK, OSError(errno.EDQUOT, "Quota exceeded")).full
    assert not Outcome.of_error(TASK, OSError(errno.EACCES, "Permission denied")).full


def test_names_that_are_no_text_are_still_a_line_of_json() -> None:
    line = Outcome(Task(Path("\udcff.png"), Path("out")), FAILED, error="é").to_json()
    assert json.loads(line.encode("ascii"))["image"] == "\udcff.png"
    assert "é" in Outcome(TASK, FAILED, error="é").to_json()
