"""Results do not depend on the number of CPU threads, nor change from run to run; threads of Python share BLAS."""

import threading
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


def test_blas_stays_at_one_thread_until_the_last_thread_of_python_needs_it_no_more() -> None:
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_info, threadpool_limits

    def of_blas() -> set[int]:
        return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with backend.one_cpu_thread():
            entered.set()
            leave.wait(20)

    with threadpool_limits(2, "blas"):
        before = of_blas()
        thread = threading.Thread(target=other)
        with backend.one_cpu_thread():
            thread.start()
            assert entered.wait(20)
        assert of_blas() == {1}, "the other thread is not done"
        leave.set()
        thread.join(20)
        assert of_blas() == before == {2}


@pytest.mark.process
def test_blas_that_is_loaded_meanwhile_gets_its_threads_back() -> None:
    code = """
import threading
from threadpoolctl import threadpool_info
from handopt import backend

def of_blas():
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

def other():
    with backend.one_cpu_thread():
        entered.set()
        leave.wait(20)

entered, leave, thread = threading.Event(), threading.Event(), threading.Thread(target=other)
with backend.one_cpu_thread():
    import scipy.linalg
    thread.start()
    assert entered.wait(20)
    assert of_blas() == {1}, of_blas()
leave.set()
thread.join(20)
assert of_blas() == {2}, of_blas()
"""
    done = run_python("-c", code, OPENBLAS_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr


def test_each_thread_of_python_has_its_own_number_of_threads_for_poses() -> None:
    found: list[int] = []
    with backend.one_cpu_thread():
        thread = threading.Thread(target=lambda: found.append(backend.threads_for_poses()))
        thread.start()
        thread.join(20)
        assert backend.threads_for_poses() == 1
    assert found == [max(1, backend.cpu_threads())]
