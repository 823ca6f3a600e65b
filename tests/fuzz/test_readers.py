"""Whatever a file holds, its reader gives what it promises, or says what is wrong in time and within memory.

The inputs are the same in every run; scripts/check/fuzz tries others for as long as one likes.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import fuzz_run, fuzzing
from support.fuzz_targets import TARGETS
from support.fuzzing import Target, fault_of, mutated
from support.mutators import damaged

from handopt.errors import DepthError, OutputError

INPUTS = 40
REPEATABLE = settings(
    derandomize=True, max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
BY_NAME = {each.name: each for each in TARGETS}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["fx", "camera", "unit_mm", "x"]), inner)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_whole_file_is_read_and_a_changed_one_is_read_or_refused(target: Target, tmp_path: Path) -> None:
    whole = tmp_path / target.name
    whole.parent.mkdir(parents=True, exist_ok=True)
    whole.write_bytes(target.whole())
    if target.name.endswith(".exr") and not _reads_exr(whole):
        with pytest.raises(DepthError, match="imageio finds no reader"):
            target.read(whole)
    else:
        target.read(whole)
    inputs = (mutated(target, Random(f"{target.name} {number}")) for number in range(INPUTS))
    faults = [fault for data in inputs if (fault := fault_of(target, data)) is not None]
    assert not faults, "\n".join(f"{fault.what} at {fault.where}: {fault.data[:200]!r}" for fault in faults)


@REPEATABLE
@given(data=st.binary(max_size=300), name=st.sampled_from(sorted(BY_NAME)))
def test_any_bytes_are_read_or_refused(data: bytes, name: str) -> None:
    target = BY_NAME[name]
    assert fault_of(target, target.whole()[:12] + data) is None
    assert fault_of(target, data) is None


@REPEATABLE
@given(document=JSON_VALUES, name=st.sampled_from([name for name in BY_NAME if name.endswith(".json")]))
def test_any_document_is_read_or_refused(document: Any, name: str) -> None:
    assert fault_of(BY_NAME[name], json.dumps(document).encode()) is None


@REPEATABLE
@given(text=st.text(max_size=200), name=st.sampled_from([name for name in BY_NAME if not name.endswith(".json")]))
def test_any_text_is_read_or_refused(text: str, name: str) -> None:
    assert fault_of(BY_NAME[name], text.encode("utf-8", "surrogatepass")) is None


@pytest.mark.parametrize("values", [{"shape": "x"}, {"shape": {"scale": []}}, {"camera": []}, {"pose": [1]}])
def test_a_result_of_other_types_is_damaged(values: dict[str, Any], tmp_path: Path) -> None:
    target = BY_NAME["given/result.json"]
    path = tmp_path / target.name
    path.parent.mkdir()
    path.write_bytes(json.dumps({**json.loads(target.whole()), **values}).encode())
    with pytest.raises(OutputError, match="is damaged or of another version"):
        target.read(path)


def _reads_exr(path: Path) -> bool:
    """Whether imageio has a plugin here that reads EXR."""
    import imageio.v3 as iio

    with suppress(Exception):  # each plugin has its own errors
        return bool(iio.imread(path).dtype.kind == "f")
    return False


def fails(path: Path) -> None:
    if path.read_bytes() != b"whole":
        raise KeyError("planted")


def hangs(_path: Path) -> None:
    time.sleep(60)


def eats(_path: Path) -> None:
    bytearray(300 << 20)


@pytest.mark.parametrize(
    ("read", "what"), [(fails, "KeyError: 'planted'"), (hangs, "takes more than"), (eats, "takes ")]
)
def test_a_planted_fault_is_found_and_kept(
    read: Callable[[Path], object], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzzing, "MOST_BYTES", 1 << 20 if read is eats else 1 << 40)
    monkeypatch.setattr(fuzzing, "SLOWEST_S", 0.05 if read is hangs else 60)
    planted = Target("planted.bin", lambda: b"whole", read, (damaged,))
    fault = fault_of(planted, b"other")
    assert fault is not None
    assert fault.what.startswith(what)
    if read is eats:  # once: what a process has taken before is no growth
        return
    monkeypatch.setattr(fuzz_run, "TARGETS", (planted,))
    assert fuzz_run.main(["--inputs", "5", "--seed", "3", "-o", str(tmp_path / "faults")]) == 1
    assert len(list((tmp_path / "faults").iterdir())) == 1
