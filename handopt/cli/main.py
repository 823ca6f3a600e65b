"""The program: its commands, and how errors and Ctrl-C end it."""

import errno
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from handopt.cli.adapt import adapt
from handopt.cli.compare import compare
from handopt.cli.errors import Interrupted, one_line, show_traceback
from handopt.cli.eval import evaluate
from handopt.cli.export import export
from handopt.cli.fit import fit
from handopt.cli.help import SectionedCommand, SectionedGroup
from handopt.cli.info import info
from handopt.cli.model import model
from handopt.cli.options import verbosity_options
from handopt.cli.predict import predict
from handopt.cli.report import report
from handopt.cli.shape import shape
from handopt.cli.stop_signal import ending_signals
from handopt.cli.synth import synth
from handopt.cli.track import track
from handopt.cli.train import train
from handopt.cli.values import Choice
from handopt.cli.video import video
from handopt.cli.view import view
from handopt.errors import HandoptError
from handopt.files import on_one_line

COMPLETION_VARIABLE = "_HANDOPT_COMPLETE"


class UnusablePath(click.ClickException):
    """A path that no file can have: the command cannot be done as given."""

    exit_code = 2


class Program(SectionedGroup):
    """A group whose commands end with one line where something fails, or the user presses Ctrl-C."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the program, also where a standard stream is closed."""
        _open_standard_streams()
        return super().main(*args, **extra)

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
            if error.errno == errno.EPIPE:
                raise
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


@main.command(
    cls=SectionedCommand,
    short_help="Print a script for shell completion.",
    examples=(
        ("complete in bash from now on", "handopt completion bash >> ~/.bashrc"),
        ("the same in zsh", "handopt completion zsh >> ~/.zshrc"),
        ("the same in fish", "handopt completion fish > ~/.config/fish/completions/handopt.fish"),
    ),
)
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]))
@verbosity_options
def completion(shell: str) -> None:
    """Print the script that completes handopt's commands and options in SHELL."""
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(main, {}, "handopt", COMPLETION_VARIABLE).source())


main.add_command(evaluate)
main.add_command(export)
main.add_command(fit)
main.add_command(info)
main.add_command(model)
main.add_command(predict)
main.add_command(report)
main.add_command(shape)
main.add_command(synth)
main.add_command(track)
main.add_command(train)
main.add_command(adapt)
main.add_command(compare)
main.add_command(video)
main.add_command(view)
