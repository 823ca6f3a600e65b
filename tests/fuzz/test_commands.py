"""Whatever the files of a command hold, it ends with a documented exit code and sentences instead of a traceback."""

from collections.abc import Iterator
from random import Random

import pytest
from support.fuzz_commands import TARGETS, ended
from support.fuzz_process import FuzzProcess
from support.fuzzing import Target, mutated

pytestmark = pytest.mark.process
INPUTS = 3
"""Few: what a reader refuses is tested in test_readers.py."""


@pytest.fixture(scope="module")
def process() -> Iterator[FuzzProcess]:
    with FuzzProcess("fuzz_commands") as started:
        yield started


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_command_ends_as_documented(target: Target, process: FuzzProcess) -> None:
    for number in range(INPUTS):
        fault = process.fault_of(target, mutated(target, Random(f"{target.name} {number}")))
        assert fault is None, f"{fault.what} at {fault.where}: {fault.data[:200]!r}"


@pytest.mark.parametrize(
    ("code", "said"), [(3, "no hand"), (1, ""), (1, "Traceback (most"), (0, "-vv shows where"), (-9, "x")]
)
def test_another_end_is_a_fault(code: int, said: str) -> None:
    with pytest.raises(AssertionError):
        ended((code, said), ["fit"])
