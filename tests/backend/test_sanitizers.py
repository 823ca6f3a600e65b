"""The op tests under AddressSanitizer and UndefinedBehaviorSanitizer, in both schedules of the kernels."""

import shutil
import subprocess
from pathlib import Path

import pytest
from support.builds import assert_op_tests_pass, build_kernels, run_with

pytestmark = pytest.mark.process

# limits_backward on arrays of 3 angles: `count` of them are read, `offset` bytes from where they should be
CALL = """
import numpy as np
from handopt.backend import launch
count, offset = {count}, {offset}
memory = np.zeros(16, np.uint8)
angles = memory[offset:offset + 12].view(np.float32)
limits, gradient = np.zeros(3, np.float32), np.zeros(3, np.float32)
launch("joint_limits_backward", count, np.ones(1, np.float32), angles, limits, limits, gradient, 1, count)
print("survived")
"""


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Variables that load GCC's sanitizers into a Python that was built without them."""
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("gcc is not installed, whose sanitizers these tests load")
    paths = []
    for name in ("libasan.so", "libubsan.so"):
        answer = subprocess.run([gcc, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        path = Path(answer.stdout.strip())
        if not path.is_absolute():
            pytest.skip(f"gcc comes without {name}: install its sanitizer libraries")
        paths.append(str(path.resolve()))
    return {"LD_PRELOAD": " ".join(paths), "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


@pytest.fixture(scope="module", params=["image", "grid"])
def library(
    request: pytest.FixtureRequest, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The instrumented kernels, in the CPU's schedule and in the GPU's. Casts of huge floats to int count too."""
    return build_kernels(
        tmp_path_factory.mktemp(request.param),
        "-DHANDOPT_SANITIZE=ON",
        f"-DHANDOPT_EMULATE_CUDA={'ON' if request.param == 'grid' else 'OFF'}",
        "-DCMAKE_CXX_FLAGS=-fsanitize=float-cast-overflow -fno-var-tracking",
    )


def test_op_tests_pass(library: Path, environment: dict[str, str]) -> None:
    assert_op_tests_pass(library, **environment)


def test_planted_errors_are_detected(library: Path, environment: dict[str, str]) -> None:
    def call(count: int, offset: int) -> subprocess.CompletedProcess[str]:
        return run_with(library, "-c", CALL.format(count=count, offset=offset), **environment)

    right = call(3, 0)
    assert (right.returncode, right.stdout) == (0, "survived\n"), right.stderr
    beyond = call(4, 0)
    assert beyond.returncode != 0
    assert "survived" not in beyond.stdout
    assert "AddressSanitizer: heap-buffer-overflow" in beyond.stderr
    misaligned = call(3, 1)
    assert misaligned.returncode != 0
    assert "survived" not in misaligned.stdout
    assert "misaligned address" in misaligned.stderr
