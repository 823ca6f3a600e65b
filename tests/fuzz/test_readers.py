"""Whatever a file holds, its reader gives what it promises, or says what is wrong in time and within memory.

The inputs are the same in every run; scripts/check/fuzz tries others for as long as one likes.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fuzz_process import FuzzProcess
from support.fuzz_targets import TARGETS
from support.fuzzing import Target, mutated

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


@pytest.fixture(scope="module")
def process() -> Iterator[FuzzProcess]:
    with FuzzProcess() as started:
        yield started


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_whole_file_is_read_and_a_changed_one_is_read_or_refused(
    target: Target, process: FuzzProcess, tmp_path: Path
) -> None:
    whole = tmp_path / target.name
    whole.parent.mkdir(parents=True, exist_ok=True)
    whole.write_bytes(target.whole())
    if target.name.endswith(".exr") and not _reads_exr(whole):
        with pytest.raises(DepthError, match="imageio finds no reader"):
            target.read(whole)
    else:
        target.read(whole)
    inputs = (mutated(target, Random(f"{target.name} {number}")) for number in range(INPUTS))
    faults = [fault for data in inputs if (fault := process.fault_of(target, data)) is not None]
    assert not faults, "\n".join(f"{fault.what} at {fault.where}: {fault.data[:200]!r}" for fault in faults)


@REPEATABLE
@given(data=st.binary(max_size=300), name=st.sampled_from(sorted(BY_NAME)))
def test_any_bytes_are_read_or_refused(process: FuzzProcess, data: bytes, name: str) -> None:
    target = BY_NAME[name]
    assert process.fault_of(target, target.whole()[:12] + data) is None
    assert process.fault_of(target, data) is None


@REPEATABLE
@given(document=JSON_VALUES, name=st.sampled_from([name for name in BY_NAME if name.endswith(".json")]))
def test_any_document_is_read_or_refused(process: FuzzProcess, document: Any, name: str) -> None:
    assert process.fault_of(BY_NAME[name], json.dumps(document).encode()) is None


@REPEATABLE
@given(text=st.text(max_size=200), name=st.sampled_from([name for name in BY_NAME if not name.endswith(".json")]))
def test_any_text_is_read_or_refused(process: FuzzProcess, text: str, name: str) -> None:
    assert process.fault_of(BY_NAME[name], text.encode("utf-8", "surrogatepass")) is None


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
