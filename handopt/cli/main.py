"""The program: its commands, and how errors and Ctrl-C end it."""

import errno
import os
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from handopt.cli.commands import COMMANDS, load_command
from handopt.cli.errors import Interrupted, one_line, show_traceback
from handopt.cli.help import SectionedGroup
from handopt.cli.stop_signal import ending_signals
from handopt.errors import HandoptError
from handopt.files import on_one_line

CLOSED_PIPE: Final = 128 + 13
"""What a shell gives for a program that a closed pipe has ended, by SIGPIPE."""


class UnusablePath(click.ClickException):
    """A path that no file can have: the command cannot be done as given."""

    exit_code = 2


class Program(SectionedGroup):
    """The commands, each of which ends with one line where something fails, or the user presses Ctrl-C."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name."""
        return load_command(cmd_name) if cmd_name in COMMANDS else super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does, without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.short_help) for name, entry in COMMANDS.items()])

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the program, also where a standard stream is closed."""
        _open_standard_streams()
        try:
            return super().main(*args, **extra)
        except SystemExit as ended:
            if ended.code:  # it has been said: else Python tries again, and ends with a code of its own
                _drop_unwritten()
            raise
        except BrokenPipeError:  # of standard error, on which nothing can be said
            _drop_unwritten()
            sys.exit(1)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the words of the command line, which print help where they ask for it."""
        try:
            return super().make_context(*args, **extra)
        except BrokenPipeError:
            if _closed_pipe():
                raise click.exceptions.Exit(CLOSED_PIPE) from None
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        previous = {each: signal.signal(each, _terminate) for each in ending_signals()}
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except HandoptError as error:
            show_traceback(ctx, error)
            raise click.ClickException(one_line(error)) from None
        except OSError as error:
            if error.errno == errno.EPIPE and _closed_pipe():
                raise click.exceptions.Exit(CLOSED_PIPE) from None
            show_traceback(ctx, error)
            if error.errno == errno.ENOENT and not _has_working_directory():
                raise click.ClickException(
                    "the working directory was deleted: change into a folder that exists"
                ) from None
            if error.errno in (errno.ENAMETOOLONG, errno.ELOOP) and error.filename is not None:
                raise UnusablePath(f"{on_one_line(str(error.filename))} cannot be used ({error.strerror})") from None
            unnamed = error.filename is None and error.strerror is not None
            message = f"cannot write to standard output: {error.strerror}" if unnamed else one_line(error)
            raise click.ClickException(message) from None
        except Exception as error:
            show_traceback(ctx, error)
            raise click.ClickException(one_line(error)) from None
        finally:
            for each, before in previous.items():
                signal.signal(each, before)
            _forget_interrupt()


def _closed_pipe() -> bool:
    """Whether nobody reads on what is printed, as in `handopt info | head -1`; what is left of it is dropped then.

    The program then ends without a word and with the code of one that SIGPIPE ended. The signal itself would end it at
    a WebSocket client that is gone as well.
    """
    closed = False
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # it is no file
            place = stream.fileno()
            watched = select.poll()
            watched.register(place, 0)
            if any(event & select.POLLERR for _, event in watched.poll(0)):
                closed = True
                _to_nowhere(place)
    return closed


def _drop_unwritten() -> None:
    """Drop what a standard stream holds that cannot be written."""
    for stream in (sys.__stdout__, sys.__stderr__):  # those that Python writes out when it ends
        if stream is None or stream.closed:
            continue
        try:
            stream.flush()
        except OSError:
            _to_nowhere(stream.fileno())


def _to_nowhere(place: int) -> None:
    """Drop what is written to a file descriptor from now on; else Python tries to write it again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), place)


def _open_standard_streams() -> None:
    """Open /dev/null for each standard stream that the caller closed, so that no other file gets its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            with suppress(OSError):
                os.fstat(number)
                continue
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _forget_interrupt() -> None:
    """Have Python end with the exit code that it is given, also after Ctrl-C.

    A KeyboardInterrupt that leaves an exec of text, as dataclasses are made by, is remembered as one that nobody
    caught, and CPython then ends by the signal, whatever was done about it. The next exec of text takes that back.
    """
    exec("")


def _has_working_directory() -> bool:
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def _terminate(number: int, _frame: object) -> None:
    """End as Ctrl-C does, so that nothing half-written stays behind; the exit code is a shell's for the signal."""
    sys.exit(128 + number)


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    examples=(
        ("fit a hand to a depth image: mesh, joints and pictures into handopt-out/open", "handopt fit open.png"),
        ("follow a hand through a folder of frames, hand.glb for Blender among it", "handopt track frames"),
        ("see which cameras and devices there are", "handopt info"),
    ),
)
@click.version_option(package_name="handopt", prog_name="handopt", message="%(prog)s %(version)s")
def main() -> None:
    """Fit a rigged 3D hand mesh to depth images.

    Results go to stdout; notes, progress and errors go to stderr. -q silences all but results and errors. With -vv, or
    HANDOPT_TRACEBACK=1 in the environment, errors come with their traceback.
    """
