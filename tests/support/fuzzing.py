"""Targets of the fuzzing, what a reader may do with an input, and the process in which it reads."""

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from support.mutators import Mutator, damaged, deceptive_json, deceptive_npz, deceptive_text, lying_npz

BYTES, IN_JSON, IN_NPZ, IN_TEXT = (
    (damaged,),
    (deceptive_json, damaged),
    (deceptive_npz, lying_npz, damaged),
    (deceptive_text, damaged),
)
MARK = "fuzzed"
"""First word of the lines in which the process answers; what else it prints is talk."""


@dataclass(frozen=True)
class Target:
    """A reader. name: of its file; whole: what it accepts; read: given the path; mutators: what suits the format."""

    name: str
    whole: Callable[[], bytes]
    read: Callable[[Path], object]
    mutators: Sequence[Mutator]


def mutated(target: Target, rng: Random) -> bytes:
    """A changed input of a target."""
    try:
        return rng.choice(target.mutators)(target.whole(), rng)
    except (ValueError, OverflowError, UnicodeError, TypeError):  # what cannot even be written
        return damaged(target.whole(), rng)


def problem_of(target: Target, path: Path) -> tuple[str, str] | None:
    """Read an input with a target, in this process: what goes wrong and where, or None where it is read or refused."""
    import click
    import numpy as np

    from handopt.errors import HandoptError

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            target.read(path)
    except (HandoptError, click.UsageError) as error:
        str(error).encode("utf-8", "surrogateescape")
    except Exception as error:  # that is what is looked for
        return f"{type(error).__name__}: {str(error)[:200]}", _place(error)
    return None


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [each for each in frames if f"{os.sep}handopt{os.sep}" in each.filename]
    return " < ".join(f"{Path(each.filename).name}:{each.lineno}" for each in reversed(ours[-3:]))


def serve(targets: dict[str, Target]) -> None:
    """Read what FuzzProcess asks for: lines of name and path in JSON, until standard input ends."""
    import faulthandler
    import json
    import signal

    faulthandler.register(signal.SIGUSR1, sys.stderr, all_threads=False)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what commands print is talk
    print(MARK, file=answers)
    for line in sys.stdin:
        name, path = json.loads(line)
        problem = problem_of(targets[name], Path(path))
        print(MARK, json.dumps(problem), file=answers)
