"""Readers with faults, to show that the fuzzing finds each kind."""

import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support.fuzzing import BYTES, Target


def fails(path: Path) -> None:
    if path.read_bytes() != b"whole":
        raise KeyError("planted")


def reads(path: Path) -> None:
    path.read_bytes()


def sleeps(_path: Path) -> None:
    time.sleep(600)


def computes(_path: Path) -> None:
    """Code that is not Python, and runs no handler of a signal before it ends."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)


class Finalised:
    def __del__(self) -> None:
        while True:
            pass


def hangs_in_a_finaliser(_path: Path) -> None:
    Finalised()


@contextmanager
def _stubborn() -> Iterator[None]:
    try:
        yield
    finally:
        while True:
            try:
                sum(range(1000))
            except BaseException:
                continue


def hangs_in_a_context(_path: Path) -> None:
    with _stubborn():
        pass


def eats(_path: Path) -> None:
    bytearray(300 << 20)


def eats_without_end(_path: Path) -> None:
    eaten = []
    while True:
        eaten.append(bytearray(16 << 20))


def crashes(_path: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leaves(_path: Path) -> None:
    os._exit(3)


READERS: tuple[Callable[[Path], None], ...] = (
    *(fails, reads, sleeps, computes, hangs_in_a_finaliser, hangs_in_a_context),
    *(eats, eats_without_end, crashes, leaves),
)
TARGETS = tuple(Target(f"{read.__name__}.bin", lambda: b"whole", read, BYTES) for read in READERS)
