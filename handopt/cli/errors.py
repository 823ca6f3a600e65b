"""How an error becomes one line that names the options to change, and when its traceback is shown."""

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from handopt import errors
from handopt.errors import HandoptError
from handopt.files import on_one_line

TRACEBACK_VARIABLE = "HANDOPT_TRACEBACK"
EXIT_INTERRUPTED = 130
VERBOSITY = "handopt.verbosity"
QUIET = "handopt.quiet"
"""Where the context keeps how often -v was given, and whether -q was."""
_OPTION_OF_ARGUMENT = {
    "rig": "--model",
    "character": "--rig",
    "depth_mm": "--unit",
    "side": "--hand",
    "joint_set": "--format",
    "output": "-o",
    "folder": "-o",
    "path": "-o",
}
"""Options that have another name than the argument of the library."""
_ARGUMENT = re.compile(
    r"""(?<![^\s(])(?P<name>[a-z][a-z_]*)=(?:True\b|(?P<no>False\b)|(?P<quote>['"])(?P<text>.*?)(?P=quote)|(?P<value>(?=[^\s,;:.)])))?"""
)


class Interrupted(click.ClickException):
    """Ctrl-C."""

    exit_code = EXIT_INTERRUPTED

    def __init__(self) -> None:
        super().__init__("Interrupted: finished results are kept, unfinished ones left no trace.")

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the one line."""
        click.echo(self.message, file=file, err=file is None)


def verbosity() -> int:
    """-1 with -q, else how often -v was given to the command that runs."""
    meta = click.get_current_context().meta
    return -1 if meta.get(QUIET) else int(meta.get(VERBOSITY, 0))


def one_line(error: BaseException) -> str:
    """The message of an error on one line; of one that nobody raised on purpose, also its kind."""
    if isinstance(error, click.ClickException):
        return on_one_line(" ".join(str(error).split()))
    return on_one_line(as_options(errors.one_line(error)))


def as_options(text: str) -> str:
    """Name the options of the command line where a sentence of the library names arguments.

    `unit=` becomes `--unit`, `device='cpu'` and `device=cpu` become `--device cpu`, `overwrite=True` becomes
    `--overwrite`, and `mirrored=False` `--no-mirrored`. Arguments that are no options stay as they are.
    """
    known = _options_by_argument({match["name"] for match in _ARGUMENT.finditer(text)}) if "=" in text else {}

    def option(match: re.Match[str]) -> str:
        name = known.get(match["name"])
        if name is None:
            return match[0]
        if match["no"] is not None:
            return f"--no-{name.removeprefix('--')}"
        if match["text"] is not None:
            return f"{name} {match['text']}"
        return f"{name} " if match["value"] is not None else name

    return _ARGUMENT.sub(option, text)


def _options_by_argument(arguments: Collection[str]) -> dict[str, str]:
    """The long option of each argument: of the command that runs, and of all commands where it lacks one of these."""
    ctx = click.get_current_context(silent=True)
    if ctx is None:
        return {**_OPTION_OF_ARGUMENT}
    known = {**_long_options(ctx.command), **_OPTION_OF_ARGUMENT}
    top = ctx.find_root()
    if known.keys() >= set(arguments) or not isinstance(top.command, click.Group):
        return known
    commands = (top.command.get_command(top, name) for name in top.command.list_commands(top))
    return {**{name: long for each in commands if each for name, long in _long_options(each).items()}, **known}


def _long_options(command: click.Command) -> dict[str, str]:
    """The long options of a command, by argument."""
    return {
        long.removeprefix("--").replace("-", "_"): long
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for long in parameter.opts
        if long.startswith("--")
    }


def show_traceback(ctx: click.Context, error: "BaseException | str") -> None:
    """Print the traceback of an error, or its text, to stderr where -vv or HANDOPT_TRACEBACK asks for it."""
    if ctx.meta.get(VERBOSITY, 0) >= 2 or os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0"):
        import traceback

        text = error if isinstance(error, str) else "".join(traceback.format_exception(error))
        click.echo(text, err=True, nl=False)


@contextmanager
def naming_option(*options: str) -> Iterator[None]:
    """Turn an error of the library into a usage error (exit code 2) that names the options to change."""
    try:
        yield
    except HandoptError as error:
        ctx = click.get_current_context()
        show_traceback(ctx, error)
        message = one_line(error)
        if not any(option in message for option in options):
            message = f"{' or '.join(options)}: {message}"
        raise click.UsageError(message, ctx) from None
