"""What `handopt fit` says of each image, and of the run as a whole."""

import functools
import io
import math
import time
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import click
import pytest
from tqdm import tqdm

from handopt.batch.outcome import DONE, FAILED, SKIPPED, Outcome, Task
from handopt.cli.console import Console
from handopt.cli.fit_report import Report
from handopt.cli.main import main


class Terminal(io.StringIO):
    """Stands in for stderr on a terminal."""

    def isatty(self) -> bool:
        return True


def task(name: str) -> Task:
    return Task(Path(name), Path("out") / Path(name).stem)


def done(name: str, **more: Any) -> Outcome:
    """An image that is done."""
    return Outcome(
        task(name),
        DONE,
        status="good",
        residual_mm={"median": 1.0, "mean": 1.5, "p95": 3.0},
        silhouette_iou=0.5,
        **{"hand": "right", **more},
    )


def reporting(total: int, verbosity: int = 0) -> Report:
    return Report(total, Console(verbosity), as_json=False)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr("tqdm.tqdm.__init__", functools.partialmethod(tqdm.__init__, mininterval=0))
    return Terminal()


def test_iterations_of_a_single_image_are_counted(terminal: Terminal) -> None:
    with redirect_stderr(terminal), reporting(1) as report:
        assert report.progress is not None
        report.progress(1, 8, math.nan)
        report.progress(4, 8, 0.25)
        report.outcome(done("a.png", notes=("The hand is blue.",)))
        report.progress(8, 8, 0.125)
    shown = terminal.getvalue()
    assert "4/8" in shown
    assert "loss 0.25" in shown
    assert "nan" not in shown
    assert "\rNote: a.png: The hand is blue.\n" in shown, "the bar was wiped before the line"
    assert shown.rstrip(" ").endswith("\r"), "the bar is gone at the end"


def test_several_images_are_counted_whether_they_fail_or_not(terminal: Terminal) -> None:
    with redirect_stderr(terminal), click.Context(main), reporting(2) as report:
        assert report.progress is None
        report.outcome(Outcome.of_error(task("a.png"), ValueError("a.png is odd")))
        report.outcome(Outcome.of_error(task("b.png"), ValueError("odd")))
        report.summary()
    shown = terminal.getvalue()
    assert "0/2" in shown
    assert "2/2" in shown
    assert "Error: b.png: ValueError: odd (-vv shows where)\n" in shown
    assert "2 of 2 images failed.\n" in shown


def test_quiet_means_no_bar(terminal: Terminal) -> None:
    with redirect_stderr(terminal), reporting(2, verbosity=-1) as report:
        report.weights({"depth": 1.0})
        report.outcome(done("a.png", notes=("The hand is blue.",)))
    with redirect_stderr(terminal), reporting(1, verbosity=-1) as report:
        assert report.progress is None
    assert terminal.getvalue() == ""


def test_weights_and_details_are_said_with_v(capsys: pytest.CaptureFixture[str]) -> None:
    for verbosity, lines in ((0, []), (1, ["weights: depth 1, size 0.5", "a.png: 7 iterations"])):
        with reporting(1, verbosity) as report:
            report.weights({"depth": 1.0, "size": 0.5})
            report.outcome(done("a.png", details=("7 iterations",)))
        assert capsys.readouterr().err.splitlines() == lines


def test_what_was_done_before_counts_for_the_bar_but_not_for_its_rate(terminal: Terminal) -> None:
    with redirect_stderr(terminal), click.Context(main), reporting(3) as report:
        report.outcome(done("a.png", before=True))
        report.outcome(done("b.png", before=True))
        assert report._bar is not None
        assert (report._bar._shown.n, report._bar._shown.initial) == (2, 2)
        report.outcome(Outcome(task("c.png"), SKIPPED, error="out/c was kept"))
        report.summary()
    shown = terminal.getvalue()
    assert "Skipped: c.png: out/c was kept\n" in shown
    assert "2 of 3 images were done before and not fitted again.\n" in shown
    assert "1 of 3 images were skipped.\n" in shown
    assert dict(report.counts) == {DONE: 2, SKIPPED: 1}


def test_a_pipe_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with click.Context(main), reporting(100_000) as report:
        for number in range(30):
            clock[0] += 1
            status = FAILED if number == 3 else DONE
            report.outcome(Outcome(task(f"{number}.png"), status, before=number < 5))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "10 of 100000 images, 0.50 a second, 55 h 33 min left, 1 failed",
        "20 of 100000 images, 0.75 a second, 37 h 2 min left, 1 failed",
        "30 of 100000 images, 0.83 a second, 33 h 20 min left, 1 failed",
    ]


def test_notes_of_many_images_are_grouped_and_not_without_end(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(100) as report:
        for number in range(40):
            notes = (f"One count is 1 mm, as x/{number}.json says.", f"Kind {'i' * number}.")
            report.outcome(done(f"{number}.png", notes=notes))
        assert capsys.readouterr().err == "", "they are said at the end"
        report.summary()
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == [
        "Note: 40 images (0.png, 1.png, 2.png, …): One count is 1 mm, as x/NAME.json says.",
        "Note: 0.png: Kind .",
        "Note: 1.png: Kind i.",
    ]
    assert lines[-1] == "Note: 21 more notes are in the results."
    assert len(lines) == 21, "20 notes, and how many more there are"


def test_notes_are_said_even_where_a_run_ends_early(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(9) as report:
        report.outcome(done("a.png", notes=("The hand is blue.",)))
        report.outcome(done("b.png", notes=("The hand is blue.",)))
    assert capsys.readouterr().err == "Note: 2 images (a.png, b.png): The hand is blue.\n"


def test_equal_errors_of_many_images_are_one_line_in_the_order_of_names(capsys: pytest.CaptureFixture[str]) -> None:
    with click.Context(main), reporting(9) as report:
        for number in (10, 2, 1, 30):
            report.outcome(Outcome(task(f"x/{number}.png"), FAILED, error=f"x/{number}.png: is damaged"))
        report.outcome(Outcome(task("x/4.png"), FAILED, error="x/4.png: x/4.json: not valid JSON"))
        for number in (6, 5):
            report.outcome(Outcome(task(f"x/{number}.png"), SKIPPED, error=f"out/{number} holds {number}.png"))
        assert capsys.readouterr().err == "", "they are said at the end"
        report.summary()
    assert capsys.readouterr().err.splitlines() == [
        "Error: 4 images (x/1.png, x/2.png, x/10.png, …) are damaged",
        "Error: x/4.png: x/4.json: not valid JSON",
        "Skipped: 2 images (x/5.png, x/6.png): out/NAME holds NAME.png",
        "2 of 9 images were skipped.",
        "5 of 9 images failed.",
    ]


def test_v_says_each_error_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with click.Context(main), reporting(2, verbosity=1) as report:
        report.outcome(Outcome(task("b.png"), FAILED, error="b.png: is damaged"))
        assert capsys.readouterr().err == "Error: b.png: is damaged\n"


def test_errors_of_many_kinds_are_said_but_not_without_end(capsys: pytest.CaptureFixture[str]) -> None:
    with click.Context(main), reporting(50, verbosity=-1) as report:
        for number in range(25):
            report.outcome(Outcome(task(f"{number}.png"), FAILED, error=f"trouble {number + 100}"))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 21
    assert lines[1] == "Error: 1.png: trouble 101"
    assert lines[-1] == "5 more errors of other kinds; -v shows all."


def test_a_confidence_near_1_is_not_said_to_be_certain(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(1) as report:
        report.outcome(done("a.png", confidence=0.9982))
    assert capsys.readouterr().out == "out/a\tgood\t1.0 mm\tIoU 0.50\tconfidence >0.99\t0.0 s\tright hand\n"


def test_the_line_of_an_image_ends_with_its_hand(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(3) as report:
        report.outcome(done("a.png", confidence=0.9, hand="left"))
        report.outcome(done("b.png", confidence=0.9, hand="right"))
        report.outcome(done("c.png", confidence=0.9, hand="right", hand_margin=-0.021))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[-1] for line in lines] == ["left hand", "right hand", "right hand (margin -0.02)"]
    assert len(lines[0].split("\t")) == 7
