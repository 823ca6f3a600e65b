"""What a user meets who has no compiler, or names one that does not exist."""

import os
import subprocess
from pathlib import Path

import pytest
from support.builds import executable

from handopt import backend

NOWHERE = ("-DCMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH=OFF", "-DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF")


def configure(folder: Path, path: str, compiler: str | None, *options: str) -> subprocess.CompletedProcess[str]:
    """Run CMake on the kernels with a search path, and CXX set or unset."""
    command = [executable("cmake"), "-S", str(backend.kernel_folder()), "-B", str(folder), "-G", "Ninja", *options]
    command.append(f"-DCMAKE_MAKE_PROGRAM={executable('ninja')}")
    environment = {"PATH": path} | ({} if compiler is None else {"CXX": compiler})
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.process
@pytest.mark.parametrize("compiler", [None, "no-such-compiler -O2"])
def test_a_missing_compiler_is_said_in_the_users_words(compiler: str | None, tmp_path: Path) -> None:
    done = configure(tmp_path, "/nowhere", compiler, *NOWHERE)
    assert done.returncode != 0
    assert "found no C++ compiler" in done.stderr
    assert "sudo apt install g++" in done.stderr


@pytest.mark.process
def test_a_named_compiler_that_does_not_exist_gives_way_to_another(tmp_path: Path) -> None:
    done = configure(tmp_path, os.environ["PATH"], "no-such-compiler")
    assert done.returncode == 0, done.stderr
