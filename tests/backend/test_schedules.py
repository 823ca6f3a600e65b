"""The op tests in both schedules of the kernels, under AddressSanitizer and UndefinedBehaviorSanitizer.

The GPU's schedule is emulated on the CPU by one thread: a test of its logic, not of a GPU. It is also tested where the
sanitizers are missing. Building without optimisation takes a third of the time, and hides no undefined behaviour.
"""

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


SANITIZERS = ("libasan.so", "libubsan.so")
REPORT = "from handopt import backend; import numpy as np; print(backend.schedule(np.zeros(1)))"


def sanitizer_problem() -> str | None:
    """Why GCC's sanitizers cannot be loaded, or None."""
    gcc = shutil.which("gcc")
    if gcc is None:
        return "gcc is not installed, whose sanitizers these tests load"
    missing = [name for name in SANITIZERS if not sanitizer(name).is_absolute()]
    return f"gcc comes without {' and '.join(missing)}: install its sanitizer libraries" if missing else None


def sanitizer(name: str) -> Path:
    """Where GCC's library lies; the bare name if there is none."""
    answer = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return Path(answer.stdout.strip())


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Variables that load GCC's sanitizers into a Python that was built without them; none where there are none."""
    if sanitizer_problem():
        return {}
    paths = " ".join(str(sanitizer(name).resolve()) for name in SANITIZERS)
    return {"LD_PRELOAD": paths, "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


@pytest.fixture(scope="module", params=["image", "grid"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The instrumented kernels, in the CPU's schedule and in the GPU's. Casts of huge floats to int count too."""
    problem = sanitizer_problem()
    if problem and request.param == "image":
        pytest.skip(problem)
    options = ["-DHANDOPT_SANITIZE=ON", "-DCMAKE_CXX_FLAGS=-fsanitize=float-cast-overflow -fno-var-tracking"]
    emulate = ["-DHANDOPT_EMULATE_CUDA=ON"] if request.param == "grid" else []
    return build_kernels(tmp_path_factory.mktemp(request.param), *emulate, *([] if problem else options))


def test_op_tests_pass(library: Path, environment: dict[str, str], request: pytest.FixtureRequest) -> None:
    reported = run_with(library, "-c", REPORT, **environment)
    assert reported.stdout.strip() == request.node.callspec.params["library"], reported.stderr
    assert_op_tests_pass(library, **environment)


@pytest.mark.skipif(sanitizer_problem() is not None, reason=str(sanitizer_problem()))
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
