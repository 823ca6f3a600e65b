"""The fuzzing finds each kind of fault, in code of any kind, and goes on after it."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import fuzz_run
from support.fuzz_process import FuzzProcess
from support.planted_faults import TARGETS

pytestmark = pytest.mark.process
BY_NAME = {each.name.removesuffix(".bin"): each for each in TARGETS}
SLOWEST_S = 0.5
MOST_BYTES = 200 << 20


@pytest.fixture(scope="module")
def patient() -> Iterator[FuzzProcess]:
    with FuzzProcess("planted_faults", slowest_s=60, most_bytes=MOST_BYTES) as started:
        yield started


@pytest.fixture(scope="module")
def hurried() -> Iterator[FuzzProcess]:
    with FuzzProcess("planted_faults", slowest_s=SLOWEST_S) as started:
        yield started


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("sleeps", "waits for more than 3 s"),
        ("computes", "takes more than 0.5 s"),
        ("hangs_in_a_finaliser", "takes more than 0.5 s"),
        ("hangs_in_a_context", "takes more than 0.5 s"),
    ],
)
def test_what_hangs_is_found_in_any_code_and_the_next_input_read(name: str, what: str, hurried: FuzzProcess) -> None:
    fault = hurried.fault_of(BY_NAME[name], b"other")
    assert fault is not None
    assert fault.what == what
    assert "planted_faults.py" in fault.where
    assert fault.data == b"other"
    assert hurried.fault_of(BY_NAME["reads"], b"other") is None


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("fails", "KeyError: 'planted'"),
        ("eats", r"takes (299|30\d) MiB"),
        ("eats_without_end", r"takes \d+ MiB"),
        ("crashes", "ends the process with SIGSEGV"),
        ("leaves", "ends the process with status 3"),
    ],
)
def test_other_faults_are_found_and_the_next_input_read(name: str, what: str, patient: FuzzProcess) -> None:
    fault = patient.fault_of(BY_NAME[name], b"other")
    assert fault is not None
    assert re.match(what, fault.what)
    assert patient.fault_of(BY_NAME["reads"], b"other") is None


def test_what_is_found_is_kept_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "faults"
    options = argparse.Namespace(hours=1, inputs=5, seed=3, only="fails", output=output)
    assert fuzz_run.fuzz("planted_faults", options) == 1
    assert len(list(output.iterdir())) == 1
    assert '"inputs": 5, "faults": 1' in capsys.readouterr().out


def test_the_process_says_why_it_does_not_start() -> None:
    with FuzzProcess("no_such_module") as process, pytest.raises(RuntimeError, match="No module named"):
        process.fault_of(BY_NAME["reads"], b"")
