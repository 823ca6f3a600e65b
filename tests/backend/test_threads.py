"""Results do not depend on the number of CPU threads, nor change from run to run."""

from collections.abc import Iterator

import pytest
from support.builds import TESTS, run_python
from support.op_hashes import op_hashes
from support.problems import PROBLEMS

from handopt import backend


@pytest.fixture
def restore_threads() -> Iterator[int]:
    """The number of threads, put back after the test."""
    count = backend.cpu_threads()
    if count == 0:
        pytest.skip("the kernels were built without OpenMP: there is one thread only")
    yield count
    backend.set_cpu_threads(count)


@pytest.mark.usefixtures("restore_threads")
def test_results_do_not_depend_on_the_number_of_threads() -> None:
    found = {}
    for count in (1, 2, 3, 8):
        backend.set_cpu_threads(count)
        assert backend.cpu_threads() == count
        found[count] = op_hashes()
    assert len(found[1]) == len(set(found[1])) > 2 * len(PROBLEMS)
    assert found[1] == found[2] == found[3] == found[8]


def test_results_do_not_change_from_run_to_run() -> None:
    assert op_hashes() == op_hashes()


@pytest.mark.process
def test_omp_num_threads_is_honoured_and_changes_no_bit(restore_threads: int) -> None:
    outputs = {}
    for count in (1, 2):
        done = run_python(str(TESTS / "support" / "op_hashes.py"), OMP_NUM_THREADS=str(count))
        assert done.returncode == 0, done.stderr
        threads, *outputs[count] = done.stdout.splitlines()
        assert int(threads) == count
    assert outputs[1] == outputs[2] == op_hashes()


def test_one_thread_for_a_while() -> None:
    threads = backend.cpu_threads()
    with backend.one_cpu_thread():
        assert backend.cpu_threads() <= 1
    assert backend.cpu_threads() == threads
