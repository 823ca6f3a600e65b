"""Read changed inputs with a reader, and see whether it survives them in time and within memory."""

import os
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import FrameType

import click
import numpy as np

from handopt.errors import HandoptError
from support.mutators import Mutator, damaged, deceptive_json, deceptive_npz, deceptive_text, lying_npz

BYTES, IN_JSON, IN_NPZ, IN_TEXT = (
    (damaged,),
    (deceptive_json, damaged),
    (deceptive_npz, lying_npz, damaged),
    (deceptive_text, damaged),
)

SLOWEST_S = 10
WAITED = 6  # how many times longer an input may wait for something else
MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class Target:
    """A reader. name: of its file; whole: what it accepts; read: given the path; mutators: what suits the format."""

    name: str
    whole: Callable[[], bytes]
    read: Callable[[Path], object]
    mutators: Sequence[Mutator]


class TooSlowError(BaseException):
    """An input took longer than SLOWEST_S."""


@dataclass(frozen=True)
class Fault:
    """What went wrong with an input, and where."""

    target: str
    data: bytes
    what: str
    where: str


def fault_of(target: Target, data: bytes) -> Fault | None:
    """Read an input with a target: None where it is read, or refused on purpose."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / target.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        before = _memory(start=True)
        try:
            with _time_limit(), warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                target.read(path)
        except (HandoptError, click.UsageError) as error:
            str(error).encode("utf-8", "surrogateescape")
        except TooSlowError as error:
            return Fault(target.name, data, f"takes more than {SLOWEST_S} s", _place(error))
        except Exception as error:  # that is what is looked for
            return Fault(target.name, data, f"{type(error).__name__}: {str(error)[:120]}", _place(error))
        grown = _memory() - before
        return Fault(target.name, data, f"takes {grown >> 20} MiB", "") if grown > MOST_BYTES else None


def _memory(*, start: bool = False) -> int:
    """Bytes of this process at most, since it was called with start=True."""
    if start:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [each for each in frames if f"{os.sep}handopt{os.sep}" in each.filename]
    return " < ".join(f"{Path(each.filename).name}:{each.lineno}" for each in reversed(ours[-3:]))


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TooSlowError

    before = {number: signal.signal(number, stop) for number in (signal.SIGALRM, signal.SIGPROF)}
    signal.setitimer(signal.ITIMER_PROF, SLOWEST_S)  # of the processor, however many share it
    signal.setitimer(signal.ITIMER_REAL, WAITED * SLOWEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def mutated(target: Target, rng: Random) -> bytes:
    """A changed input of a target."""
    try:
        return rng.choice(target.mutators)(target.whole(), rng)
    except (ValueError, OverflowError, UnicodeError, TypeError):  # what cannot even be written
        return damaged(target.whole(), rng)
