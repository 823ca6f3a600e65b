"""Errors that handopt raises.

A message says what is wrong and which argument to change, written as in a call: `unit=`, or with a value
`device='cpu'`. The command line prints the option instead, `--unit` and `--device cpu`: see
handopt.cli.errors.as_options.
"""

from collections.abc import Sequence


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


class OutputError(HandoptError, OSError):
    """Results cannot be written."""


class WorkerError(HandoptError, RuntimeError):
    """Worker processes cannot start, or a cluster cannot be reached."""


def closest(name: str, choices: Sequence[str]) -> str | None:
    """The choice that is the most like a name, in any case, or None where none is much like it."""
    import difflib

    close = difflib.get_close_matches(name.lower(), [choice.lower() for choice in choices], n=1, cutoff=0.5)
    return next((choice for choice in choices if close and choice.lower() == close[0]), None)


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
