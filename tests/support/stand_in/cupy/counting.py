"""What the stand-in for CuPy counts, and what it refuses."""

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

COUNTS: Counter[str] = Counter()
NAMES = frozenset(Path(__file__).with_name("names.txt").read_text().split())
"""What CuPy 13.6 and CuPy 14 both have, names of ndarray with a dot before."""


class _Capture(threading.local):
    """What a thread has launched since it began to capture a stream, None if it has not, and what broke the capture."""

    launches: list[tuple[str, Callable[[], None], list[Any]]] | None = None
    refused = ""


CAPTURE = _Capture()


def not_captured(what: str) -> None:
    """Refuse what is not to be captured: what waits, what copies from the host or to it, and what allocates."""
    if CAPTURE.launches is not None:
        CAPTURE.refused = what
        raise RuntimeError(f"cudaErrorStreamCaptureUnsupported: {what} while a stream is captured")


def launched(name: str, count: int = 1) -> None:
    """Count kernels, CuPy's own among them, which allocate what they return."""
    not_captured(name)
    COUNTS["launches"] += count
    COUNTS[f"launch {name}"] += count


def synchronised(name: str) -> None:
    """Count that the host waits for the device."""
    not_captured(name)
    COUNTS["synchronisations"] += 1
    COUNTS[f"synchronisation {name}"] += 1


def refused(what: str, value: object) -> NoReturn:
    """Refuse an operand as CuPy does."""
    raise TypeError(f"Unsupported type {type(value)} in {what}")


def missing(name: str, said: str) -> Exception:
    """The error for a name that is not here."""
    if name in NAMES:
        return NotImplementedError(f"the stand-in for CuPy has no {said} yet: add it to tests/support/stand_in")
    return AttributeError(f"CuPy 13.6 or CuPy 14 has no {said}")
