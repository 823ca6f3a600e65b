"""What `handopt fit` says while it works: results on stdout, everything else on stderr."""

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.options import as_options, show_traceback

if TYPE_CHECKING:
    from types import TracebackType

    from handopt.batch.outcome import Outcome


LOG_EVERY_S = 10.0
MAX_SENTENCES = 20


class Report(AbstractContextManager["Report"]):
    """Lines and a progress bar for a run over `total` images; the bar only where stderr is a terminal.

    Elsewhere a line now and then says how far the run is. counts: outcomes by status.
    """

    def __init__(self, total: int, *, verbosity: int, as_json: bool) -> None:
        self._total = total
        self._verbosity = verbosity
        self._as_json = as_json
        self._watched = verbosity >= 0 and sys.stderr.isatty()
        self._bar: Any = None
        self.counts: Counter[str] = Counter()
        self._before = 0
        self._said: set[str] = set()
        self._started = self._logged = time.monotonic()

    def __enter__(self) -> "Report":
        """Show the bar that counts images."""
        if self._watched and self._total > 1:
            self._open(self._total, "image")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: "TracebackType | None"
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    @property
    def progress(self) -> Callable[[int, int, float], None] | None:
        """What to call with iteration, total iterations and loss; None where a bar counts images, or nobody watches."""
        return self._show_iteration if self._watched and self._total == 1 else None

    def weights(self, weights: dict[str, float]) -> None:
        """Say how the terms of the objective are weighted."""
        if self._verbosity >= 0:
            self.talk("weights: " + ", ".join(f"{name} {weight:g}" for name, weight in weights.items()))

    def outcome(self, outcome: "Outcome") -> None:
        """Print a result, or why there is none for an image, on one line."""
        name = click.format_filename(outcome.task.image)
        self._assumptions(outcome.task.image, outcome.notes)
        if self._verbosity >= 1:
            for line in outcome.details:
                self.talk(f"{name}: {line}")
        if outcome.status is not None:
            self._print(self._line(outcome), err=False)
        if outcome.traceback is not None:
            show_traceback(click.get_current_context(), outcome.traceback)
        if outcome.error is not None:
            kind = "Skipped" if outcome.kind == "skipped" else "Error"
            told = outcome.error if outcome.error.startswith(name) else f"{name}: {outcome.error}"
            self.talk(f"{kind}: {told}")
        self.counts[outcome.kind] += 1
        self._before += outcome.before
        self._advance(outcome.before)

    def stopped(self, left: int) -> None:
        """Say that the run ends early."""
        self.talk(
            f"Stopped, as the disk is full: {left} images were not tried. Free some space and run the same command "
            "again: it goes on here."
        )

    def summary(self) -> None:
        """Say how many images were not fitted, where there were several."""
        if self._total <= 1:
            return
        if self._before and self._verbosity >= 0:
            self.talk(f"{self._before} of {self._total} images were done before and not fitted again.")
        for status in ("skipped", "failed"):
            if self.counts[status]:
                verb = "were skipped" if status == "skipped" else "failed"
                self.talk(f"{self.counts[status]} of {self._total} images {verb}.")

    def _assumptions(self, image: Path, sentences: tuple[str, ...]) -> None:
        """Say what was assumed about an image; of many images each sentence once, and not without end."""
        if self._verbosity < 0:
            return
        for sentence in sentences:
            kind = sentence.replace(image.with_suffix(".json").name, "") if self._total > 1 else f"{image}: {sentence}"
            if kind in self._said or len(self._said) > MAX_SENTENCES:
                continue
            self._said.add(kind)
            if len(self._said) > MAX_SENTENCES:
                self.talk("What else is assumed stands in each result.json.")
            else:
                self.talk(f"{click.format_filename(image)}: {sentence}")

    def _line(self, outcome: "Outcome") -> str:
        if self._as_json:
            text = (outcome.task.folder / "result.json").read_text(encoding="utf-8")
            return json.dumps(json.loads(text), allow_nan=False)
        median = None if outcome.residual_mm is None else outcome.residual_mm["median"]
        overlap = math.nan if outcome.silhouette_iou is None else outcome.silhouette_iou
        figures = (
            f"{math.inf if median is None else median:.1f} mm", f"IoU {overlap:.2f}", f"{outcome.total_seconds:.1f} s"
        )  # fmt: skip
        return "\t".join((click.format_filename(outcome.task.folder), str(outcome.status), *figures))

    def _show_iteration(self, iteration: int, total: int, loss: float) -> None:
        if self._bar is None:
            self._open(total, "iteration")
        self._bar.total = total
        self._bar.set_postfix_str(f"loss {loss:.4g}" if math.isfinite(loss) else "", refresh=False)
        self._bar.update(iteration - self._bar.n)

    def _advance(self, before: bool) -> None:
        """Count an image; what was done before counts for neither rate nor time left."""
        if self._total <= 1 or self._verbosity < 0:
            return
        if self._bar is None:
            self._log()
        elif before:
            self._bar.initial += 1
            self._bar.n += 1
        else:
            self._bar.update()

    def _log(self) -> None:
        """Say how far the run is, if that was some time ago."""
        now = time.monotonic()
        ended = self.counts.total()
        if now - self._logged < LOG_EVERY_S or ended == self._total:
            return
        self._logged = now
        rate = (ended - self._before) / (now - self._started)
        left = f", {_duration((self._total - ended) / rate)} left" if rate else ""
        bad = "".join(f", {self.counts[status]} {status}" for status in ("failed", "skipped") if self.counts[status])
        self.talk(f"{ended} of {self._total} images, {rate:.2f} a second{left}{bad}")

    def _open(self, total: int, unit: str) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, unit=f" {unit}", file=sys.stderr, leave=False, dynamic_ncols=True)

    def talk(self, line: str) -> None:
        """Print a line to stderr."""
        self._print(as_options(line), err=True)

    def _print(self, line: str, *, err: bool) -> None:
        """Print a line without tearing the bar."""
        if self._bar is None:
            click.echo(line, err=err)
            return
        self._bar.clear()
        click.echo(line, err=err)
        self._bar.refresh()


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
