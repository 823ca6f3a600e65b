"""On a GPU the next batch is prepared and copied while one is fitted: the same results, and no more waiting.

These tests need CuPy, or the stand-in for it: test_the_cuda_tests_pass_without_a_gpu runs them there.
"""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.examples import QUICK
from test_fitting_many import assert_same_fit, given

from handopt.backend import COPIES_VARIABLE, PendingCopy, copies_ahead, cuda_problem, one_cpu_thread
from handopt.config import Config
from handopt.errors import ObservationError, ShapeError
from handopt.fitting import FitInput, fit_many
from handopt.optimise.batched_search import BatchedSearch
from handopt.result import FitResult

pytestmark = pytest.mark.skipif(cuda_problem() is not None, reason=f"not tested on cuda: {cuda_problem()}")
FEW = replace(Config(), proposals=8)
SOON_S = 60.0


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A CuPy that has streams and page-locked memory."""
    import cupy

    if not hasattr(cupy.cuda, "Event"):
        pytest.skip("this stand-in for CuPy has no events")
    monkeypatch.setattr(copies_ahead, "_failures", [])
    monkeypatch.delenv(COPIES_VARIABLE, raising=False)
    with one_cpu_thread():  # what BLAS rounds depends on its threads
        yield cupy


def counts_of(cupy: Any) -> Any:
    """What the stand-in for CuPy counts; a GPU counts nothing."""
    if not hasattr(cupy, "COUNTS"):
        pytest.skip("only the stand-in for CuPy counts")
    return cupy.COUNTS


def images(count: int) -> list[FitInput]:
    names = ("open", "left", "pinch", "back")
    return [given(names[number % 4]) for number in range(count)]


def plainly(monkeypatch: pytest.MonkeyPatch, given: list[FitInput], **settings: Any) -> list[Any]:
    """The results where nothing is prepared ahead."""
    with monkeypatch.context() as patch:
        patch.setenv(COPIES_VARIABLE, "0")
        return list(fit_many(given, device="cuda", **settings))


@pytest.mark.parametrize("settings", [{"config": FEW}, {"config": QUICK, "shape": "vertices"}])
def test_cuda_results_with_copies_ahead_are_those_without(
    cupy: Any, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    counts_of(cupy)  # a GPU adds up in no fixed order
    many = [*images(4), given("back", hand="auto")]
    expected = plainly(monkeypatch, many, batch=2, **settings)
    before = cupy.COUNTS["asynchronous copies"]
    found = list(fit_many(many, device="cuda", batch=2, **settings))
    assert cupy.COUNTS["asynchronous copies"] - before == 3, "one for each batch"
    assert not copies_ahead._failures
    for one, other in zip(found, expected, strict=True):
        assert_same_fit(one, other)


def test_cuda_copies_of_the_next_batch_start_before_a_batch_ends(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    sent = [threading.Event() for _ in range(4)]
    send, run = PendingCopy.send, BatchedSearch.run

    def noted(self: PendingCopy, *streams: Any) -> None:
        assert threading.current_thread() is not threading.main_thread()
        send(self, *streams)
        number = sum(each.startswith("copy") for each in log)
        log.append(f"copy {number}")
        sent[number].set()

    def watched(self: BatchedSearch, *given: Any) -> Any:
        number = sum(each.startswith("begin") for each in log)
        log.append(f"begin {number}")
        found = run(self, *given)
        if number < 2:
            assert sent[number + 1].wait(SOON_S)
        log.append(f"end {number}")
        return found

    monkeypatch.setattr(PendingCopy, "send", noted)
    monkeypatch.setattr(BatchedSearch, "run", watched)
    of_one_hand = [given("open"), given("pinch")] * 3
    assert len(list(fit_many(of_one_hand, config=FEW, device="cuda", batch=2))) == 6
    for number in range(3):
        assert log.index(f"copy {number}") < log.index(f"begin {number}")
    for number in range(2):
        assert log.index(f"copy {number + 1}") < log.index(f"end {number}")
    assert log.index("copy 2") > log.index("end 0"), "no more than one batch is prepared ahead"


def test_cuda_memory_does_not_grow_with_batches_and_nothing_waits_for_copies(
    cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, names = counts_of(cupy), ("synchronisations", "copies to device", "launches")
    many = [given("open")] * 8
    plainly(monkeypatch, many[:4], batch=2, config=FEW)  # the graphs that there are to be
    counts.clear()
    plainly(monkeypatch, many, batch=2, config=FEW)
    without = {name: counts[name] for name in names}
    memory = []
    for count in (4, 8):
        counts.clear()
        list(fit_many(many[:count], config=FEW, device="cuda", batch=2))
        memory.append((counts["page-locked allocations"], counts["page-locked bytes"]))
        assert counts["synchronisation event"] == counts["synchronisation pageable copy"] == 0
    assert memory[0] == memory[1]
    assert memory[0][0] == 2
    assert counts["synchronisations"] <= without["synchronisations"]
    assert counts["launches"] <= without["launches"]
    assert counts["copies to device"] < without["copies to device"]


def test_cuda_an_image_that_cannot_be_prepared_has_its_error_and_breaks_no_other(
    cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    blank = np.zeros_like(given("open").depth_mm)
    many: list[Any] = [
        *images(2),
        given("open", depth_mm=blank),
        given("pinch"),
        given("open", depth_mm=np.zeros((3, 4))),
        given("open", depth_mm=blank),
        given("left"),
    ]
    found = list(fit_many(many, config=FEW, device="cuda", batch=2))
    kinds = [type(each) for each in found]
    assert kinds == [FitResult, FitResult, ObservationError, FitResult, ShapeError, ObservationError, FitResult]
    for one, other in zip(found, plainly(monkeypatch, many, config=FEW, batch=2), strict=True):
        if isinstance(one, FitResult) and hasattr(cupy, "COUNTS"):
            assert_same_fit(one, other)


def test_cuda_results_of_a_batch_come_before_the_error_of_the_next_images(cupy: Any) -> None:
    def broken() -> Iterator[FitInput]:
        yield from images(2)
        raise OSError("the camera is gone")

    found: list[object] = []
    with pytest.raises(OSError, match="the camera is gone"):
        found.extend(fit_many(broken(), config=FEW, device="cuda", batch=2))
    assert [type(each) for each in found] == [FitResult] * 2


def test_cuda_stopping_early_leaves_no_copy_under_way(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[copies_ahead.CopiesAhead] = []
    create = copies_ahead.CopiesAhead.__enter__

    def noted(self: copies_ahead.CopiesAhead) -> copies_ahead.CopiesAhead:
        made.append(self)
        return create(self)

    monkeypatch.setattr(copies_ahead.CopiesAhead, "__enter__", noted)
    threads = threading.active_count()
    results = fit_many(images(4), config=FEW, device="cuda", batch=1)
    assert isinstance(next(results), FitResult)
    results.close()  # type: ignore[attr-defined]
    (copies,) = made
    assert not copies._buffers
    assert threading.active_count() == threads
