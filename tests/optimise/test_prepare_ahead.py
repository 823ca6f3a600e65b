"""The next item is prepared on another thread, one and no more, and errors come in their place."""

import threading
from collections.abc import Iterator

import pytest

from handopt.backend import CopiesAhead, Device, cpu_threads, some_cpu_threads
from handopt.optimise.prepare_ahead import _one_ahead, prepared_ahead

SOON_S = 30.0


def test_the_next_is_prepared_while_one_is_used_and_no_more() -> None:
    begun = [threading.Event() for _ in range(6)]
    main, threads, asked = threading.get_ident(), set(), []

    def items() -> Iterator[int]:
        for number in range(5):
            asked.append((number, threading.get_ident() == main))
            yield number

    def prepare(number: int) -> int:
        threads.add(threading.get_ident())
        begun[number].set()
        return number

    found = []
    for number in _one_ahead(items(), prepare):
        if number < 4:
            assert begun[number + 1].wait(SOON_S), "it is prepared while this one is used"
        assert not begun[min(number + 2, 5)].is_set()
        assert len(asked) == min(number + 2, 5)
        found.append(number)
    assert found == list(range(5))
    assert asked == [(number, True) for number in range(5)], "whoever iterates asks for the items"
    assert len(threads) == 1
    assert main not in threads


def test_an_error_of_the_next_comes_after_what_was_before() -> None:
    def prepare(number: int) -> int:
        return 12 // number

    found: list[int] = []
    with pytest.raises(ZeroDivisionError):
        found.extend(_one_ahead([3, 2, 0, 1], prepare))
    assert found == [4, 6]


def test_an_error_of_the_items_comes_after_what_was_before() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise RuntimeError("no more")

    found: list[int] = []
    with pytest.raises(RuntimeError, match="no more"):
        found.extend(_one_ahead(items(), lambda number: -number))
    assert found == [-1, -2]


def test_stopping_early_ends_the_thread() -> None:
    before = set(threading.enumerate())
    running = _one_ahead(range(10), lambda number: number)
    assert next(running) == 0
    running.close()
    assert set(threading.enumerate()) <= before


def test_the_thread_takes_as_many_cores_as_the_caller() -> None:
    with some_cpu_threads(1):
        assert list(_one_ahead(range(2), lambda _: cpu_threads())) == [1, 1]


def test_on_the_cpu_each_is_prepared_when_its_turn_comes_and_here() -> None:
    seen: list[tuple[int, int]] = []

    def prepare(number: int, copies: CopiesAhead | None) -> int:
        assert copies is None
        seen.append((number, threading.get_ident()))
        return number

    for number in prepared_ahead(range(3), prepare, Device("cpu")):
        assert seen == [(each, threading.get_ident()) for each in range(number + 1)]
