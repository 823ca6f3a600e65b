"""Builds the kernels in other ways than the installed library, and runs the op tests with them in another process."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from handopt import backend

TESTS = Path(__file__).resolve().parents[1]
COMPARISON_KERNELS = frozenset({"unexplained_pixels", "divide_limb", "limb_areas", "same_poses", "clear_unseen"})
"""Kernels that rank hypotheses, on the CPU alone."""
SURFACE_KERNELS = frozenset(
    {
        *("drop_flying", "label_surfaces", "label_areas", "plane_pixels", "going_with"),
        *("extreme_filter", "distance_transform", "mirror_columns"),
        *("nearest_outside", "resample_cells", "label_regions", "fill_regions", "hand_creases"),
    }
)
"""Kernels of the observation, which is made on the CPU."""
IMAGE_KERNELS = (
    SURFACE_KERNELS
    | COMPARISON_KERNELS
    | {
        *("splat_forward", "splat_loss", "hand_image_loss", "closest_points_search", "normal_equations"),
        *("minimise_poses", "solve_damped", "convolve"),
    }
)
"""Kernels that a GPU does not have: these, and those that run a whole image in one thread."""


def executable(name: str) -> str:
    """A program on the path or beside the running Python; skips the test where there is none."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def build_kernels(folder: Path, *options: str) -> Path:
    """Compile the kernels in a folder with CMake options. Returns the library."""
    cmake, ninja = executable("cmake"), executable("ninja")
    configure = [cmake, "-S", str(backend.kernel_folder()), "-B", str(folder), "-G", "Ninja", *options]
    for command in ([*configure, f"-DCMAKE_MAKE_PROGRAM={ninja}"], [cmake, "--build", str(folder)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return next(folder.glob("libhandopt_kernels.*"))


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the installed package, the test helpers on its path, and further environment variables."""
    path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    variables = {**os.environ, "PYTHONPATH": path, **environment}
    return subprocess.run(
        [sys.executable, "-P", *arguments], env=variables, cwd=TESTS.parent, capture_output=True, text=True, check=False
    )


def run_with(library: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a library of kernels."""
    return run_python(*arguments, **{backend.LIBRARY_VARIABLE: str(library)}, **environment)


def assert_op_tests_pass(library: Path, **environment: str) -> None:
    """Run the tests of all ops on the CPU with a library of kernels. Fails unless hundreds ran and all passed."""
    files = [str(TESTS / "ops")]
    options = ("-p", "no:cacheprovider", "--numprocesses=0", "-k", "not cuda")
    done = run_with(library, "-m", "pytest", *options, *files, **environment)
    output = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, output[-8000:]
    assert f"cpu kernels from {library}" in output
    passed = re.search(r"(\d+) passed", output)
    assert passed is not None, output
    assert int(passed.group(1)) > 200, output
