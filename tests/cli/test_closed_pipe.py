"""What is printed to a pipe that nobody reads on, as in `handopt info | head -1`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process


def into_a_closed_pipe(*arguments: str | Path, stream: str = "stdout") -> tuple[int, bytes]:
    """Run handopt with a standard stream that is closed at the other end; its exit code, and what the other one got."""
    reading, writing = os.pipe()
    os.close(reading)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writing}
    try:
        done = subprocess.run([sys.executable, "-P", "-m", "handopt", *map(str, arguments)], check=False, **streams)  # type: ignore[call-overload]
    finally:
        os.close(writing)
    return done.returncode, done.stderr if stream == "stdout" else done.stdout


@pytest.mark.parametrize("arguments", [("info",), ("--help",), ("fit", "--help"), ("completion", "bash")])
def test_the_program_ends_quietly(arguments: tuple[str, ...]) -> None:
    assert into_a_closed_pipe(*arguments) == (141, b"")


def test_an_error_that_cannot_be_said_ends_quietly(tmp_path: Path) -> None:
    assert into_a_closed_pipe("fit", tmp_path / "missing.png", stream="stderr") == (1, b"")
