"""Errors that handopt raises.

A message says what is wrong and which argument to change, written as in a call: `unit=`, or with a value
`device='cpu'`. The command line prints the option instead, `--unit` and `--device cpu`: see
handopt.cli.errors.as_options.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any


class HandoptError(Exception):
    """Base class of every error that handopt raises on purpose."""


class ShapeError(HandoptError, ValueError):
    """An array argument has the wrong type, dtype, shape, memory layout or device."""


class DepthError(HandoptError, ValueError):
    """A file is not a depth image that can be used."""


class CameraError(HandoptError, ValueError):
    """Camera intrinsics are missing or make no sense."""


class ObservationError(HandoptError, ValueError):
    """No hand could be found in a depth image."""


class RigError(HandoptError, ValueError):
    """A hand rig cannot be used."""


class ConfigError(HandoptError, ValueError):
    """A setting is unknown or out of range."""


class DeviceError(HandoptError, RuntimeError):
    """The requested compute device is not available."""


class KernelError(HandoptError, RuntimeError):
    """The compiled kernels are missing, stale or failed to compile."""


class NumericalError(HandoptError, ArithmeticError):
    """The optimisation left the finite numbers."""


class LabelError(HandoptError, ValueError):
    """Labels or predictions cannot be read or compared."""


class SourceError(HandoptError, OSError):
    """A source of frames cannot be opened, or ended before its time."""


class NoColourError(SourceError, DepthError):
    """There is no colour picture of the depth camera's view that can be read."""


class OutputError(HandoptError, OSError):
    """Results cannot be written."""


class WorkerError(HandoptError, RuntimeError):
    """Worker processes cannot start, or a cluster cannot be reached."""


def closest(name: str, choices: Sequence[str]) -> str | None:
    """The choice that a name most likely means, in any case, or None where none is likely.

    A choice is likely if one letter in four, but at least one, is wrong, missing, too much or swapped with the next; or
    if the name is the beginning of the choice, with at least three letters. Of equally likely ones the same
    first letter decides, then the letters nearest in the alphabet: sr306 is sr305 rather than sr300.
    """
    word = name.lower().lstrip("-")
    likely: list[tuple[int, bool, int, str]] = []
    for choice in choices:
        known = choice.lower().lstrip("-")
        most = max(1, len(word) // 4)
        wrong = _edits(word, known) if abs(len(word) - len(known)) <= most else most + 1
        if wrong <= most or (len(word) >= 3 and known.startswith(word)):
            apart = sum(abs(ord(one) - ord(other)) for one, other in zip(word, known, strict=False))
            likely.append((wrong, word[:1] != known[:1], apart, choice))
    return min(likely)[3] if likely and word else None


def _edits(one: str, other: str) -> int:
    """Letters to replace, insert, remove or swap with the next to make one word of the other (Damerau, 1964)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        above, row = row, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before = above
    return row[-1]


def did_you_mean(name: str, choices: Sequence[str]) -> str:
    """A question in brackets that names the closest of the choices, or nothing."""
    match = closest(name, choices)
    return "" if match is None else f" (did you mean {match!r}?)"


def one_line(error: BaseException) -> str:
    """The message of an error on one line; of one that handopt does not raise on purpose, also its kind."""
    text = " ".join(str(error).split())
    if isinstance(error, HandoptError):
        return text
    hint = "" if isinstance(error, OSError | MemoryError) else " (-vv shows where)"
    return f"{type(error).__name__}: {text}{hint}" if text else f"{type(error).__name__}{hint}"


def how_to_install(extra: str) -> str:
    """What to type for an optional part; handopt is installed from its source folder (see README)."""
    return f"pip install '.[{extra}]' in handopt's source folder"


def import_extra(module: str, what: str, extra: str) -> Any:
    """Import a package that is an optional part. what: is made with it. Raises OutputError with what to install."""
    try:
        return import_module(module)
    except ImportError as error:
        raise OutputError(f"{what} needs {module}, which is not installed: {how_to_install(extra)}") from error
