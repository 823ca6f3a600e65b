"""Fixtures that many tests share."""

import os
from pathlib import Path

import numpy as np
import pytest
from support.op_check import Place

from handopt import backend

PROJECT = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "process: starts processes of its own; left out where a test runs the op tests")


def pytest_report_header() -> list[str]:
    library = os.environ.get(backend.LIBRARY_VARIABLE)
    cuda = backend.cuda_problem()
    lines = [f"handopt: cuda tests {'run' if cuda is None else 'are skipped: ' + cuda}"]
    if library:
        lines.append(f"handopt: cpu kernels from {library}, schedule {backend.schedule(np.zeros(1))}")
    return lines


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> Place:
    """Each device in turn; one that is not available is skipped with its reason."""
    if request.param == "cuda":
        problem = backend.cuda_problem()
        if problem is not None:
            pytest.skip(f"not tested on cuda: {problem}")
    return Place(backend.resolve_device(request.param))


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(20170111)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real and synthetic depth images, which does not come with the project."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the test images are not here: {folder} does not exist")
    return folder
