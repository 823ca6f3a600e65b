"""What tests of the path to a GPU share."""

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from support import stand_in

from handopt import backend
from handopt.backend import launch_cuda


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The stand-in, with its own kernels if they were built and else with this machine's, for what needs no fit."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "cupy"}
    monkeypatch.syspath_prepend(str(stand_in.FOLDER))
    if stand_in.VARIABLE not in os.environ:
        monkeypatch.setenv(stand_in.VARIABLE, str(backend.library().path))
    forget_kernels()
    import cupy

    cupy.COUNTS.clear()
    yield cupy
    for name in [name for name in sys.modules if name.partition(".")[0] == "cupy"]:
        del sys.modules[name]
    sys.modules.update(before)
    forget_kernels()


def forget_kernels() -> None:
    """Load kernels again when they are next launched, with the CuPy that is there then."""
    launch_cuda._cuda_module.cache_clear()
    launch_cuda._cuda_function.cache_clear()
