"""Bars appear on a terminal, between lines and not through them."""

import functools
import io
import math
from contextlib import redirect_stderr
from pathlib import Path

import click
import pytest
from tqdm import tqdm

from handopt.cli.main import main
from handopt.cli.report import Report


class Terminal(io.StringIO):
    """Stands in for stderr on a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr("tqdm.tqdm.__init__", functools.partialmethod(tqdm.__init__, mininterval=0))
    return Terminal()


def test_iterations_of_a_single_image_are_counted(terminal: Terminal) -> None:
    with redirect_stderr(terminal), Report(1, verbosity=0, as_json=False) as report:
        assert report.progress is not None
        report.progress(1, 8, math.nan)
        report.progress(4, 8, 0.25)
        report.assumptions(Path("a.png"), ["The hand is blue."])
        report.progress(8, 8, 0.125)
    shown = terminal.getvalue()
    assert "4/8" in shown
    assert "loss 0.25" in shown
    assert "nan" not in shown
    assert "\ra.png: The hand is blue.\n" in shown, "the bar was wiped before the line"
    assert shown.rstrip(" ").endswith("\r"), "the bar is gone at the end"


def test_several_images_are_counted_whether_they_fail_or_not(terminal: Terminal) -> None:
    with redirect_stderr(terminal), click.Context(main), Report(2, verbosity=0, as_json=False) as report:
        assert report.progress is None
        report.failure(Path("a.png"), ValueError("a.png is odd"))
        report.failure(Path("b.png"), ValueError("odd"))
        report.summary(2)
    shown = terminal.getvalue()
    assert "0/2" in shown
    assert "2/2" in shown
    assert "Error: b.png: ValueError: odd (-vv shows where)\n" in shown
    assert "2 of 2 images failed.\n" in shown


def test_quiet_means_no_bar(terminal: Terminal) -> None:
    with redirect_stderr(terminal), Report(2, verbosity=-1, as_json=False) as report:
        report.weights({"depth": 1.0})
        report.assumptions(Path("a.png"), ["The hand is blue."])
    with redirect_stderr(terminal), Report(1, verbosity=-1, as_json=False) as report:
        assert report.progress is None
    assert terminal.getvalue() == ""
