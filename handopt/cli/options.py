"""Options that commands share, sections in help texts, and how an error of the library becomes one line."""

import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from handopt import errors
from handopt.errors import HandoptError

Command = TypeVar("Command", bound=Callable[..., Any])

TRACEBACK_VARIABLE = "HANDOPT_TRACEBACK"
EXIT_INTERRUPTED = 130
LIMITS = ("default", "swapped", "printed")
_VERBOSITY = "handopt.verbosity"
_NAME_COLUMNS = 25
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTION_OF_ARGUMENT = {
    "rig": "--model",
    "side": "--hand",
    "joint_set": "--format",
    "output": "-o",
    "folder": "-o",
    "path": "-o",
}
"""Options that have another name than the argument of the library."""
_ARGUMENT = re.compile(
    r"""(?<![^\s(])(?P<name>[a-z][a-z_]*)=(?:True\b|(?P<quote>['"])(?P<text>.*?)(?P=quote)|(?P<value>(?=[^\s,;:.)])))?"""
)


# ------------------------------------------------------------------------------------------------ errors


class Interrupted(click.ClickException):
    """Ctrl-C."""

    exit_code = EXIT_INTERRUPTED

    def __init__(self) -> None:
        super().__init__("Interrupted: finished results are kept, unfinished ones left no trace.")

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the one line."""
        click.echo(self.message, file=file, err=file is None)


def one_line(error: BaseException) -> str:
    """The message of an error on one line; of one that nobody raised on purpose, also its kind."""
    if isinstance(error, click.ClickException):
        return " ".join(str(error).split())
    return as_options(errors.one_line(error))


def as_options(text: str) -> str:
    """Name the options of the command line where a sentence of the library names arguments.

    `unit=` becomes `--unit`, `device='cpu'` and `device=cpu` become `--device cpu`, and `overwrite=True` becomes
    `--overwrite`. Arguments that are no options stay as they are.
    """
    known = _options_by_argument() if "=" in text else {}

    def option(match: re.Match[str]) -> str:
        name = known.get(match["name"])
        if name is None:
            return match[0]
        if match["text"] is not None:
            return f"{name} {match['text']}"
        return f"{name} " if match["value"] is not None else name

    return _ARGUMENT.sub(option, text)


def _options_by_argument() -> dict[str, str]:
    """The long option of each argument, over all commands."""
    ctx = click.get_current_context(silent=True)
    root = None if ctx is None else ctx.find_root().command
    commands = list(root.commands.values()) if isinstance(root, click.Group) else [] if root is None else [root]
    names = {
        long.removeprefix("--").replace("-", "_"): long
        for command in commands
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for long in parameter.opts
        if long.startswith("--")
    }
    return {**names, **_OPTION_OF_ARGUMENT}


def show_traceback(ctx: click.Context, error: "BaseException | str") -> None:
    """Print the traceback of an error, or its text, to stderr where -vv or HANDOPT_TRACEBACK asks for it."""
    if ctx.meta.get(_VERBOSITY, 0) >= 2 or os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0"):
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


# --------------------------------------------------------------------------------------- sections of help


class SectionedOption(click.Option):
    """An option that stands under a heading in the help text."""

    def __init__(self, *arguments: Any, section: str = "", **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help lists options under their headings, in the order of declaration."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                section = getattr(parameter, "section", "Other")
                sections.setdefault(section, []).append((record[0].ljust(_NAME_COLUMNS), record[1]))
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(records, col_max=_NAME_COLUMNS)


def option(section: str, *names: str, **settings: Any) -> Callable[[Command], Command]:
    """Declare an option under a heading."""
    return click.option(*names, cls=SectionedOption, section=section, **settings)


# ---------------------------------------------------------------------------------------- types of values


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """Finite numbers with commas between them, as many as one of the counts."""

    name = "numbers"

    def __init__(self, *counts: int) -> None:
        self.counts = counts

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Parse "1,2.5"."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in self.counts or not all(math.isfinite(number) for number in numbers):
            counts = " or ".join(str(count) for count in self.counts)
            self.fail(f"{value!r} is not {counts} numbers with commas between them.", param, ctx)
        return numbers


class Positive(click.ParamType):  # type: ignore[type-arg]
    """A finite number above 0."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse a number."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number > 0):
            self.fail(f"{value!r} is not a number above 0.", param, ctx)
        return number


# ---------------------------------------------------------------------------------------- shared options


def _all(command: Command, *options: Callable[[Command], Command]) -> Command:
    """Add options to a command so that they stand in its help in this order."""
    for each in reversed(options):
        command = each(command)
    return command


def _complete_camera(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of presets, and files."""
    from handopt.input.camera import presets

    names = [CompletionItem(name) for name in presets() if name.startswith(incomplete)]
    return [*names, CompletionItem(incomplete, type="file")]


def _remember_verbosity(ctx: click.Context, _parameter: click.Parameter, value: int) -> int:
    ctx.meta[_VERBOSITY] = value
    return value


def camera_option(section: str, text: str) -> Callable[[Command], Command]:
    """--camera, under a heading and with a help text."""
    return option(section, "--camera", metavar="CAMERA", shell_complete=_complete_camera, help=text)


def depth_options(command: Command) -> Command:
    """--camera, --unit and --encoding."""
    return _all(
        command,
        camera_option(
            "Input",
            "Intrinsics: a preset (handopt info lists them), a JSON file with fx, fy, cx, cy, width and height, "
            "or the numbers fx,fy,cx,cy.  [default: <stem>.json or camera.json beside the image]",
        ),
        option(
            "Input",
            "--unit",
            type=Positive(),
            metavar="MM",
            help="Length of one count in mm.  [default: what the JSON file or the preset says, else a reported guess]",
        ),
        option(
            "Input",
            "--encoding",
            type=click.Choice(["auto", "raw", "nyu"]),
            default="auto",
            show_default=True,
            help="How pixels hold depth: raw is one channel, nyu is green * 256 + blue.",
        ),
    )


def rig_options(command: Command) -> Command:
    """--joint-map and --limits."""
    return _all(
        command,
        option(
            "Hand",
            "--joint-map",
            type=_FILE,
            metavar="FILE",
            help='TOML or JSON file of lines like wrist = "name in the rig", for a rig whose joints are not named as '
            "in WebXR or OpenXR.",
        ),
        option(
            "Hand",
            "--limits",
            type=click.Choice(LIMITS),
            default="default",
            help="Joint limits: the paper's Table 1 as printed, with its rows Index and Thumb swapped, or swapped and "
            "adapted to the rig (the default).",
        ),
    )


def hand_options(hand: str, model: str = "A rigged hand, glTF or GLB.") -> Callable[[Command], Command]:
    """--hand, --model, --joint-map and --limits, with what --hand auto does and what --model is."""

    def decorate(command: Command) -> Command:
        return _all(
            command,
            option("Hand", "--hand", type=click.Choice(["right", "left", "auto"]), help=f"Which hand it is; {hand}"),
            option("Hand", "--model", type=_FILE, metavar="RIG", help=f"{model}  [default: handopt's own]"),
            rig_options,
        )

    return decorate


def compute_options(section: str) -> Callable[[Command], Command]:
    """--device and --seed, in a section of the help."""

    def decorate(command: Command) -> Command:
        return _all(
            command,
            option(
                section,
                "--device",
                default="auto",
                show_default=True,
                metavar="DEVICE",
                help="Where to compute: auto, cpu, cuda or cuda:N.",
            ),
            option(
                section,
                "--seed",
                type=click.IntRange(min=0),
                default=0,
                show_default="0",
                metavar="N",
                help="Seed of what is random.",
            ),
        )

    return decorate


def verbosity_options(command: Command) -> Command:
    """-v and -q."""
    return _all(
        command,
        option(
            "Other",
            "-v",
            "--verbose",
            count=True,
            callback=_remember_verbosity,
            help="Say more; -vv also shows where in the code an error arose.",
        ),
        option("Other", "-q", "--quiet", is_flag=True, help="Say nothing but results and errors."),
    )
