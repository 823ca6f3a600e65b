"""The compiled library of CPU kernels: found, complete, and built from the sources beside it."""

import ctypes
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from handopt import backend
from handopt.backend import launch_cpu, sources
from handopt.backend.signatures import SIGNATURES
from handopt.errors import KernelError


def test_the_library_has_every_kernel_in_both_precisions() -> None:
    handle = backend.library().handle
    for kernel in SIGNATURES:
        for suffix in ("_f32", "_f64"):
            assert ctypes.cast(getattr(handle, kernel + suffix), ctypes.c_void_p).value


def test_the_library_is_the_one_that_was_asked_for() -> None:
    assert backend.library_problem() is None
    asked = os.environ.get(backend.LIBRARY_VARIABLE)
    assert asked is None or backend.library().path == Path(asked)


def loading(monkeypatch: pytest.MonkeyPatch, path: Path) -> Any:
    """Load a library as in a new process."""
    monkeypatch.setenv(backend.LIBRARY_VARIABLE, str(path))
    return backend.library.__wrapped__()


def test_a_missing_library_says_how_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(KernelError, match=r"missing.*pip install"):
        loading(monkeypatch, tmp_path / "nothing.so")


def test_a_broken_library_says_how_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "libhandopt_kernels.so"
    path.write_bytes(b"no library")
    with pytest.raises(KernelError, match=r"cannot be loaded.*pip install"):
        loading(monkeypatch, path)


def test_a_stale_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    path = backend.library().path
    assert loading(monkeypatch, path).path == path
    monkeypatch.setattr(launch_cpu, "source_hash", lambda: "another")
    with pytest.raises(KernelError, match=r"other kernel sources.*pip install"):
        loading(monkeypatch, path)


def test_library_problem_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise KernelError("why")

    monkeypatch.setattr(launch_cpu, "library", broken)
    assert backend.library_problem() == "why"


def test_the_hash_covers_every_kernel_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "kernels"
    shutil.copytree(backend.kernel_folder(), folder)
    monkeypatch.setattr(sources, "kernel_folder", lambda: folder)
    before = backend.source_hash()
    assert before == backend.source_hash.__wrapped__()
    for name in ("splat.cu", "target.h", "library.cpp"):
        original = (folder / name).read_bytes()
        (folder / name).write_bytes(original + b"\n")
        assert backend.source_hash.__wrapped__() != before, name
        (folder / name).write_bytes(original)
    assert backend.source_hash.__wrapped__() == before
