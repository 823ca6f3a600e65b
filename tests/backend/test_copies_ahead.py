"""Copies ahead: they are over when their arrays are used, and no sooner; on the stand-in for CuPy, which is no GPU."""

import gc
import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.compare import assert_same_bits

from handopt.backend import COPIES_VARIABLE, CopiesAhead, Device, PendingCopy, copies_ahead, prepares_ahead

GPU = Device("cuda")


@pytest.fixture(autouse=True)
def no_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies_ahead, "_failures", [])
    monkeypatch.delenv(COPIES_VARIABLE, raising=False)


def arrays_of(number: int, rows: int = 3) -> list[Any]:
    """Arrays of several shapes, one of them empty."""
    rng = np.random.default_rng(number)
    return [rng.normal(size=shape).astype(np.float32) for shape in ((rows, 5), (rows,), (rows, 0, 3), (rows, 7, 7))]


def assert_arrived(copy: PendingCopy, number: int, rows: int = 3) -> None:
    for found, expected in zip(copy.arrays(), arrays_of(number, rows), strict=True):
        assert found.flags.c_contiguous
        assert_same_bits(found.get(), expected, "copied")


def test_a_copy_is_over_when_its_arrays_are_used_and_the_host_waits_for_nothing(cupy: Any) -> None:
    with CopiesAhead(GPU) as copies:
        given = arrays_of(1)
        copy = copies.start(given)
        for each in given:
            each[...] = 0  # the caller may use its memory for something else
        target = copies._buffers[0].target
        assert target is not None
        assert np.isnan(target.values).all(), "it runs later"
        found = copy.arrays()
        assert cupy.COUNTS["copies to device"] == cupy.COUNTS["asynchronous copies"] == 1, "of all arrays together"
        assert cupy.COUNTS["synchronisations"] == cupy.COUNTS["launches"] == 0
        for each, expected in zip(found, arrays_of(1), strict=True):
            assert each.flags.c_contiguous
            assert (each.address - found[0].address) % 256 == 0
            assert_same_bits(each.get(), expected, "copied")


def test_page_locked_memory_is_used_again_however_many_batches_there_are(cupy: Any) -> None:
    bytes_of = {}
    for batches in (4, 40):
        cupy.COUNTS.clear()
        with CopiesAhead(GPU) as copies:
            pending = copies.start(arrays_of(0))
            for number in range(1, batches):
                following = copies.start(arrays_of(number))
                assert_arrived(pending, number - 1)
                pending = following
            assert_arrived(pending, batches - 1)
        assert cupy.COUNTS["asynchronous copies"] == batches
        assert cupy.COUNTS["page-locked allocations"] == 2
        assert cupy.COUNTS["synchronisations"] == cupy.COUNTS["copies to host"], "by this test alone"
        bytes_of[batches] = cupy.COUNTS["page-locked bytes"]
    assert bytes_of[4] == bytes_of[40] == 2 * 2048


def test_memory_grows_by_powers_of_two(cupy: Any) -> None:
    with CopiesAhead(GPU) as copies:
        for rows in range(1, 101):
            assert_arrived(copies.start(arrays_of(rows, rows)), rows, rows)
    largest = sum(each.nbytes + 256 for each in arrays_of(1, 100))
    assert cupy.COUNTS["page-locked bytes"] < 2 * 4 * largest
    assert cupy.COUNTS["page-locked allocations"] < 2 * 8


def test_memory_is_not_used_again_before_its_copy_is_over(cupy: Any) -> None:
    with CopiesAhead(GPU) as copies:
        pending = [copies.start(arrays_of(number)) for number in range(5)]
        assert cupy.COUNTS["synchronisation event"] == 3, "two are under way, and for the others it waited"
        for number, each in enumerate(pending):
            assert_arrived(each, number)


def test_a_batch_that_nobody_works_on_does_no_harm(cupy: Any) -> None:
    with CopiesAhead(GPU) as copies:
        copies.start(arrays_of(1))
        gc.collect()
        copy = copies.start(arrays_of(2))
        assert_arrived(copy, 2)
        copies.start(arrays_of(3))
        stream = copies._stream
    assert stream.ran == stream.given, "on leaving no copy is under way"
    assert not copies._buffers
    assert_arrived(copies.start(arrays_of(4)), 4)


def test_another_thread_may_start_copies(cupy: Any) -> None:
    with CopiesAhead(GPU) as copies:
        pending: list[PendingCopy] = []
        thread = threading.Thread(target=lambda: pending.append(copies.start(arrays_of(1))))
        thread.start()
        thread.join()
        assert cupy.COUNTS["asynchronous copies"] == 1
        assert_arrived(pending[0], 1)


def test_memory_is_that_of_the_stream_that_works(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    on: list[Any] = []
    empty = cupy.empty

    def noted(*given: Any) -> Any:
        on.append(cupy.cuda.get_current_stream())
        return empty(*given)

    monkeypatch.setattr(cupy, "empty", noted)
    work = cupy.cuda.Stream(non_blocking=True)
    with work:
        copies = CopiesAhead(GPU)
    thread = threading.Thread(target=copies.start, args=(arrays_of(1),))
    thread.start()
    thread.join()
    assert on == [work]
    assert copies._stream is not work
    assert copies._stream.non_blocking, "the default stream would wait for it"
    copies.__exit__()


def test_a_copy_waits_for_what_may_still_read_its_memory(cupy: Any) -> None:
    order: list[str] = []
    with cupy.cuda.Stream(non_blocking=True) as work, CopiesAhead(GPU) as copies:
        work.later(lambda: order.append("read what was there before"))
        copies.start(arrays_of(1))
        copies._stream.later(lambda: order.append("copied"))
        copies._stream.synchronize()
    assert order == ["read what was there before", "copied"]


def test_where_each_thread_has_its_own_default_stream_arrays_are_copied_when_needed(
    cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = cupy.cuda.Stream()
    stream.ptr = 2
    with stream, CopiesAhead(GPU) as copies:
        assert_arrived(copies.start(arrays_of(1)), 1)
    assert cupy.COUNTS["asynchronous copies"] == 0


def test_nothing_is_nothing(cupy: Any) -> None:
    with CopiesAhead(GPU) as copies:
        assert copies.start([]).arrays() == []
    assert not cupy.COUNTS


def no_streams(cupy: Any, _patch: pytest.MonkeyPatch) -> None:
    """A CuPy without streams of this kind."""
    del cupy.cuda.get_current_stream


def no_events(cupy: Any, patch: pytest.MonkeyPatch) -> None:
    """A CuPy without events."""
    patch.delattr(cupy.cuda.Stream, "record")


def no_pinned_memory(cupy: Any, _patch: pytest.MonkeyPatch) -> None:
    """A machine that locks no more memory."""

    def fail(_nbytes: int) -> None:
        raise MemoryError("cudaErrorMemoryAllocation")

    cupy.cuda.alloc_pinned_memory = fail


def copy_fails(cupy: Any, patch: pytest.MonkeyPatch) -> None:
    """A driver that refuses the copy."""

    def fail(*_given: Any, **_options: Any) -> None:
        raise RuntimeError("cudaErrorNotSupported")

    patch.setattr(cupy.ndarray, "set", fail)


@pytest.mark.parametrize("problem", [no_streams, no_events, no_pinned_memory, copy_fails])
def test_where_copies_cannot_be_made_ahead_they_are_made_and_that_is_said_once(
    cupy: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, problem: Callable[..., None]
) -> None:
    problem(cupy, monkeypatch)
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            with CopiesAhead(GPU) as copies:
                pending = [copies.start(arrays_of(number)) for number in range(4)]
                assert cupy.COUNTS["copies to device"] == 0
                for number, each in enumerate(pending):
                    assert_arrived(each, number)
            cupy.COUNTS.clear()
    (message,) = caplog.messages
    assert message.startswith("batches are not copied ahead from here on: ")


def test_only_a_gpu_is_prepared_for_ahead_unless_that_is_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not prepares_ahead(Device("cpu"))
    assert prepares_ahead(GPU)
    monkeypatch.setenv(COPIES_VARIABLE, "0")
    assert not prepares_ahead(GPU)
