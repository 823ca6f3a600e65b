"""What `handopt fit` says while it works: results on stdout, everything else on stderr."""

import json
import math
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.options import one_line, show_traceback

if TYPE_CHECKING:
    from types import TracebackType

    from handopt.result import FitResult


class Report(AbstractContextManager["Report"]):
    """Lines and a progress bar for a run over `total` images; the bar only where stderr is a terminal."""

    def __init__(self, total: int, *, verbosity: int, as_json: bool) -> None:
        self._total = total
        self._verbosity = verbosity
        self._as_json = as_json
        self._watched = verbosity >= 0 and sys.stderr.isatty()
        self._bar: Any = None

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
            self._talk("weights: " + ", ".join(f"{name} {weight:g}" for name, weight in weights.items()))

    def assumptions(self, image: Path, sentences: Iterable[str]) -> None:
        """Say what was assumed about an image."""
        if self._verbosity >= 0:
            for sentence in sentences:
                self._talk(f"{click.format_filename(image)}: {sentence}")

    def success(self, image: Path, folder: Path, result: "FitResult", seconds: float) -> None:
        """Print a result."""
        if self._verbosity >= 1:
            self._details(image, result)
        if self._as_json:
            line = json.dumps(result.to_dict(), allow_nan=False)
        else:
            figures = f"{result.residual_mm['median']:.1f} mm", f"IoU {result.silhouette_iou:.2f}", f"{seconds:.1f} s"
            line = "\t".join((click.format_filename(folder), result.status, *figures))
        self._print(line, err=False)
        self._advance()

    def failure(self, image: Path, error: Exception) -> None:
        """Print why there is no result for an image, on one line."""
        show_traceback(click.get_current_context(), error)
        name, message = click.format_filename(image), one_line(error)
        self._talk(f"Error: {message}" if message.startswith(name) else f"Error: {name}: {message}")
        self._advance()

    def summary(self, failed: int) -> None:
        """Say how many images failed, where there were several."""
        if failed and self._total > 1:
            self._talk(f"{failed} of {self._total} images failed.")

    def _details(self, image: Path, result: "FitResult") -> None:
        name = click.format_filename(image)
        stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in result.seconds.items())
        terms = ", ".join(f"{term} {value:.4g}" for term, value in result.terms.items())
        self._talk(
            f"{name}: a {result.hand} hand, {result.iterations} iterations on {result.device}; seconds: {stages}"
        )
        self._talk(f"{name}: terms: {terms}")

    def _show_iteration(self, iteration: int, total: int, loss: float) -> None:
        if self._bar is None:
            self._open(total, "iteration")
        self._bar.total = total
        self._bar.set_postfix_str(f"loss {loss:.4g}" if math.isfinite(loss) else "", refresh=False)
        self._bar.update(iteration - self._bar.n)

    def _advance(self) -> None:
        if self._bar is not None and self._total > 1:
            self._bar.update()

    def _open(self, total: int, unit: str) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, unit=f" {unit}", file=sys.stderr, leave=False, dynamic_ncols=True)

    def _talk(self, line: str) -> None:
        self._print(line, err=True)

    def _print(self, line: str, *, err: bool) -> None:
        """Print a line without tearing the bar."""
        if self._bar is None:
            click.echo(line, err=err)
            return
        self._bar.clear()
        click.echo(line, err=err)
        self._bar.refresh()
