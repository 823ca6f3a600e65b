"""The GPU's schedule of the kernels, emulated on the CPU by one thread: a test of its logic, not of a GPU."""

from pathlib import Path

import pytest
from support.builds import assert_op_tests_pass, build_kernels, run_with

REPORT = "from handopt import backend; import numpy as np; print(backend.schedule(np.zeros(1)))"


@pytest.mark.process
def test_op_tests_pass_with_the_emulated_cuda_schedule(tmp_path: Path) -> None:
    library = build_kernels(tmp_path / "build", "-DHANDOPT_EMULATE_CUDA=ON")
    assert run_with(library, "-c", REPORT).stdout.strip() == "grid"
    assert_op_tests_pass(library)
