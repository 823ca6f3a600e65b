"""Fixtures that many tests share, and how the suite is run and summed up."""

import os
from collections import Counter
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # before NumPy and the kernels are loaded: a core has a worker of its own
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from support import stand_in
from support.op_check import Place

from handopt import backend

PROJECT = Path(__file__).resolve().parent.parent

# The files that take longest, in order: started first, so that none is left to one process at the end.
SLOW_FIRST = (
    *("backend/test_schedules.py", "test_documents.py", "cli/test_folders_processes.py", "test_recovery.py"),
    *("backend/test_nvrtc.py", "shape/test_calibrate.py", "tracking/test_run.py", "batch/test_dask.py"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="look for races in both precisions, not in float alone")
    parser.addoption(
        "--stand-in", action="store_true", help="run the cuda tests without a GPU, on tests/support/stand_in"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--stand-in"):
        stand_in.use()
    config.addinivalue_line("markers", "process: starts processes of its own; left out where a test runs the op tests")


def pytest_report_header() -> list[str]:
    library = os.environ.get(backend.LIBRARY_VARIABLE)
    cuda = backend.cuda_problem()
    lines = [f"handopt: cuda tests {'run' if cuda is None else 'are skipped: ' + cuda}"]
    if library:
        lines.append(f"handopt: cpu kernels from {library}, schedule {backend.schedule(np.zeros(1))}")
    return lines


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A process for each core where whole folders are tested, else this one alone: it starts sooner."""
    few = config.option.keyword or config.option.collectonly or not all(Path(each).is_dir() for each in config.args)
    return 0 if few else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slow files first; the others stay in their order."""
    rank = {PROJECT / "tests" / name: place for place, name in enumerate(SLOW_FIRST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped for each reason, instead of listing them."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason.removeprefix("Skipped: ")] += 1
    if reasons:
        terminalreporter.section("skipped tests by reason")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count:4} {reason}")


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
