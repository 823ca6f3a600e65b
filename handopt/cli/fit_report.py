"""What `handopt fit` says of each image, and of the run as a whole."""

import json
import math
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handopt.cli.console import Bar, Console, generalised

if TYPE_CHECKING:
    from types import TracebackType

    from handopt.batch.outcome import Outcome


class Report(AbstractContextManager["Report"]):
    """Results, errors and progress of a run over `total` images.

    The bar counts images, or the iterations of a single one. counts: outcomes by status.
    """

    def __init__(self, total: int, console: Console, *, as_json: bool) -> None:
        self._total = total
        self._console = console
        self._as_json = as_json
        self._bar: Bar | None = None
        self._before = 0
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> "Report":
        """Show the bar that counts images."""
        if self._total > 1:
            self._bar = self._console.bar(self._total, "image").__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: "TracebackType | None"
    ) -> None:
        """Take the bar away, and say what was noted about the images and why some have no result."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
        self._console.say_groups("image")

    @property
    def progress(self) -> Callable[[int, int, float], None] | None:
        """What to call with iteration, total iterations and loss; None where a bar counts images, or nobody watches."""
        return self._show_iteration if self._console.watched and self._total == 1 else None

    def say(self, line: str) -> None:
        """Say something about the run."""
        self._console.say(line)

    def weights(self, weights: dict[str, float]) -> None:
        """Say with -v how the terms of the objective are weighted."""
        self._console.say("weights: " + ", ".join(f"{name} {weight:g}" for name, weight in weights.items()), level=1)

    def problem(self, folder: Path, error: str) -> None:
        """Remember why the images of a folder were not found; they count as no images."""
        name = click.format_filename(folder)
        self._console.error_about(name, error, generalised(error, folder))

    def outcome(self, outcome: "Outcome") -> None:
        """Print a result, or why there is none for an image, on one line."""
        name = click.format_filename(outcome.task.image)
        self._note(name, outcome)
        for line in outcome.details:
            self._console.say(f"{name}: {line}", level=1)
        for each in outcome.hands or (outcome,):
            if each.status is not None:
                self._console.result(self._line(each))
        if outcome.traceback is not None:
            self._console.traceback(outcome.traceback)
        if outcome.error is not None:
            self._error(name, outcome.error, outcome)
        self.counts[outcome.kind] += 1
        self._before += outcome.before
        if self._bar is not None and self._total > 1:
            bad = (f", {self.counts[status]} {status}" for status in ("failed", "skipped") if self.counts[status])
            self._bar.remark = "".join(bad)
            self._bar.advance(before=outcome.before)

    def stopped(self, left: int) -> None:
        """Say that the run ends early."""
        self._console.error(
            f"Stopped, as the disk is full: {left} images were not tried. Free some space and run the same command "
            "again: it goes on here.",
            kind="",
        )

    def summary(self) -> None:
        """Say how many images were not fitted, where there were several."""
        if self._total <= 1:
            return
        self._console.say_groups("image")
        if self._before:
            self._console.say(f"{self._before} of {self._total} images were done before and not fitted again.")
        for status in ("skipped", "failed"):
            if self.counts[status]:
                verb = "were skipped" if status == "skipped" else "failed"
                self._console.error(f"{self.counts[status]} of {self._total} images {verb}.", kind="")

    def _note(self, name: str, outcome: "Outcome") -> None:
        """Say what was assumed about a single image; of many, remember it for the end, when images are grouped."""
        for sentence in outcome.notes:
            if self._total == 1:
                self._console.note(f"{name}: {sentence}")
            else:
                self._console.note_about(name, sentence, generalised(sentence, outcome.task.image))

    def _error(self, name: str, error: str, outcome: "Outcome") -> None:
        """Say why there is no result of a single image; of many, remember it for the end."""
        label, sentence = "Skipped" if outcome.kind == "skipped" else "Error", error.removeprefix(f"{name}: ")
        if self._total == 1:
            self._console.error(f"{name}: {sentence}", kind=label)
        else:
            general = generalised(sentence, outcome.task.image, outcome.task.folder)
            self._console.error_about(name, sentence, general, label=label)

    def _line(self, outcome: "Outcome") -> str:
        from handopt.assess.confidence import confidence_text

        if self._as_json:
            text = (outcome.task.folder / "result.json").read_text(encoding="utf-8")
            return json.dumps(json.loads(text), allow_nan=False)
        median = None if outcome.residual_mm is None else outcome.residual_mm["median"]
        overlap = math.nan if outcome.silhouette_iou is None else outcome.silhouette_iou
        confidence = math.nan if outcome.confidence is None else outcome.confidence
        figures = (
            f"{math.inf if median is None else median:.1f} mm",
            f"IoU {overlap:.2f}",
            f"confidence {confidence_text(confidence)}",
            f"{outcome.total_seconds:.1f} s",
            f"{outcome.hand} hand" + ("" if outcome.hand_margin is None else f" (margin {outcome.hand_margin:.2f})"),
        )
        return "\t".join((click.format_filename(outcome.task.folder), str(outcome.status), *figures))

    def _show_iteration(self, iteration: int, total: int, loss: float) -> None:
        if self._bar is None:
            self._bar = self._console.bar(total, "iteration").__enter__()
        self._bar.remark = f", loss {loss:.4g}" if math.isfinite(loss) else ""
        self._bar.to(iteration, total)
