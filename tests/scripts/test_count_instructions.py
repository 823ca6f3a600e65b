"""The instructions of hot kernels and the launches of a fit stay what is committed, or less."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import count_instructions
import pytest

from handopt.backend import LIBRARY_VARIABLE, library
from handopt.errors import KernelError

PROFILE = """events: Ir
fn=skin_forward_f32._omp_fn.0
0 70
+3 30
cfn=memset
calls=1 0
0 9000
fn=main
0 500
cfn=skin_forward_f32
calls=1 0
0 105
fn=skin_forward_f32
0 5
"""


def test_costs_are_each_kernels_own() -> None:
    assert count_instructions.own_costs(PROFILE) == {"skin_forward": 105}


def test_eight_percent_more_are_too_many() -> None:
    before = {"splat": 1000, "skin": 1000}
    assert count_instructions.grown(before, {"splat": 1080, "skin": 500}) == []
    (too_many,) = count_instructions.grown(before, {"splat": 1081, "skin": 1000})
    assert too_many == "splat takes 1,081 instructions in place of 1,000"
    (new,) = count_instructions.grown({}, {"blend": 1})
    assert "--write" in new


def test_a_kernel_whose_parts_have_no_names_is_noticed() -> None:
    (stripped,) = count_instructions.grown({"splat": 1000}, {"splat": 20})
    assert "install.strip" in stripped
    (gone,) = count_instructions.grown({"splat": 1000}, {})
    assert gone.startswith("splat takes 0 instructions in place of 1,000")


@pytest.mark.process
def test_hot_kernels_take_no_more_instructions() -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed: apt-get install valgrind")
    command = [sys.executable, "-P", str(Path(count_instructions.__file__))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if done.stdout.startswith("not compared"):
        pytest.skip(done.stdout.splitlines()[0])
    assert "normal_equations" in done.stdout


def test_a_fit_launches_no_more_kernels() -> None:
    committed = json.loads(count_instructions.COMMITTED.read_text(encoding="utf-8"))["launches"]
    found = count_instructions.launches()
    if library().schedule == "grid":
        pytest.skip("the library has the schedule of a GPU, which has more launches")
    assert sum(found.values()) <= 1.08 * sum(committed.values()), f"{found} in place of {committed}"


def test_a_level_is_taken_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIBRARY_VARIABLE, str(library().path))
    monkeypatch.setenv("HANDOPT_LEVEL", "base")
    assert library.__wrapped__().level == ""
    monkeypatch.setenv("HANDOPT_LEVEL", "v9")
    with pytest.raises(KernelError, match="HANDOPT_LEVEL=v9: this library on this processor has base"):
        library.__wrapped__()
