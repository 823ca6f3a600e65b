"""The one who talks: what goes where, what -q and -v change, and progress on a terminal and in a pipe."""

import functools
import io
import time
from contextlib import redirect_stderr
from pathlib import Path

import click
import pytest
from tqdm import tqdm

from handopt.cli.console import Console, duration, generalised, group_of
from handopt.cli.main import main


class Terminal(io.StringIO):
    """Stands in for stderr on a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the console sees."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("verbosity", "talk"),
    [(-1, "Error: e\n"), (0, "plain\nNote: n\nError: e\n"), (1, "plain\ndetail\nNote: n\nError: e\n")],
)
def test_results_go_to_stdout_and_talk_to_stderr(verbosity: int, talk: str, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(verbosity)
    console.result("r")
    console.say("plain")
    console.say("detail", level=1)
    console.note("n")
    console.error("e")
    assert tuple(capsys.readouterr()) == ("r\n", talk)


def test_arguments_of_the_library_become_options(capsys: pytest.CaptureFixture[str]) -> None:
    with click.Context(main):
        console = Console(0)
        console.note("One count was taken for 1 mm (unit= changes this).")
        console.error("a.png: change unit=")
    assert capsys.readouterr().err == (
        "Note: One count was taken for 1 mm (--unit changes this).\nError: a.png: change --unit\n"
    )


def test_a_pipe_is_told_every_ten_seconds(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    for verbosity, lines in ((0, ["film: 4 of 9 frames, 0.33 a second, 15 s left"]), (-1, [])):
        with Console(verbosity).bar(9, "frame", "film") as bar:
            for _ in range(6):
                clock[0] += 3
                bar.advance()
        assert capsys.readouterr().err.splitlines() == lines


def test_the_end_and_an_unknown_length_are_told_as_they_are(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Console(0).bar(2, "frame") as bar:
        for _ in range(2):
            clock[0] += 30
            bar.advance()
    with Console(0).bar(None, "frame") as bar:
        clock[0] += 20
        bar.advance()
    assert capsys.readouterr().err.splitlines() == [
        "1 of 2 frames, 0.03 a second, 30 s left",
        "1 frames, 0.05 a second",
    ]


def test_a_terminal_gets_a_bar_for_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tqdm.tqdm.__init__", functools.partialmethod(tqdm.__init__, mininterval=0))
    terminal = Terminal()
    with redirect_stderr(terminal):
        console = Console(0)
        with console.parts() as progress:
            progress("images", 1, 2)
            console.say("between")
            progress("surface", 3, 4)
    shown = terminal.getvalue()
    assert "images" in shown
    assert "1/2" in shown
    assert "surface" in shown
    assert "3/4" in shown
    assert "\rbetween\n" in shown
    quiet = Terminal()
    with redirect_stderr(quiet), Console(-1).parts() as progress:
        progress("images", 1, 2)
    assert quiet.getvalue() == ""


def test_a_status_takes_the_place_of_the_last_one() -> None:
    terminal = Terminal()
    with redirect_stderr(terminal):
        console = Console(0)
        console.status("5 frames/s")
        console.status("6 frames/s")
        console.end_status()
        console.end_status()
    assert terminal.getvalue() == "5 frames/s\r6 frames/s\r\n"


def test_groups_and_durations_in_words() -> None:
    assert group_of(["a"], "image") == "a"
    assert group_of(["a", "b", "c"], "image") == "3 images (a, b, c)"
    assert group_of(list("abcdefghijkl"), "image") == "12 images (a, b, c, …)"
    assert [duration(seconds) for seconds in (0.2, 59, 61, 7300)] == ["1 s", "59 s", "2 min", "2 h 2 min"]


def test_what_goes_with_an_image_is_named_like_it_in_a_sentence_about_many() -> None:
    image = Path("x/3.png")
    said = "ignore=masks/3.npy: is 80 x 60 pixels, the depth image 3.png 160 x 120; 13.png, 3.5 mm, b-3.png"
    assert generalised(said, image) == (
        "ignore=masks/NAME.npy: is 80 x 60 pixels, the depth image NAME.png 160 x 120; 13.png, 3.5 mm, b-3.png"
    )
    assert generalised("x/hand.json says a hand.", Path("x/hand.png")) == "x/NAME.json says a hand."


def test_notes_that_differ_by_numbers_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(0)
    for name, away, share in (("b.png", "240", "0.9"), ("a.png", "90", "0.9"), ("c10.png", "1200.5", "0.9")):
        console.note_about(name, f"the wall is {away} mm away, {share} of it in P4")
    console.note_about("d.png", "the wall is 12 cm away, 0.9 of it in P4")
    console.note_about("e.png", "the wall is 7 mm away, 0.9 of it in P6")
    console.say_groups("image")
    assert capsys.readouterr().err.splitlines() == [
        "Note: 3 images (a.png, b.png, c10.png): the wall is 90 to 1200.5 mm away, 0.9 of it in P4",
        "Note: d.png: the wall is 12 cm away, 0.9 of it in P4",
        "Note: e.png: the wall is 7 mm away, 0.9 of it in P6",
    ]


def test_one_thing_with_two_numbers_is_one_thing(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(0)
    for away in (3, 5):
        console.note_about("a.png", f"another hand is {away} mm away")
    console.say_groups("image")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Note: a.png: another hand is 3")


@pytest.mark.parametrize("two", [("at -5", "at -3"), ("1.25x", "3.25x"), ("step-3", "step-7"), ("1,200", "3,400")])
def test_numbers_that_are_no_plain_numbers_are_not_joined(
    two: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(0)
    for name, text in zip("ab", two, strict=True):
        console.note_about(name, f"it is {text}")
    console.say_groups("image")
    assert capsys.readouterr().err.splitlines() == [
        f"Note: {name}: it is {text}" for name, text in zip("ab", two, strict=True)
    ]
