"""Calls that come again replay a CUDA graph: the same to the bit as plain launches, on the stand-in for CuPy."""

import logging
import threading
from collections.abc import Callable, Hashable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from support import problems_iteration
from support.compare import assert_same_bits
from support.op_check import Arrays, Place, check_twin
from support.problems_iteration import copy_problem, iteration_arrays, minimised, settings

from handopt.backend import GRAPHS_VARIABLE, Device, copy_arrays, cuda_graphs, launch, launched
from handopt.ops.minimise_poses import PoseMinimum
from handopt.ops.minimise_poses_grid import _numbers, _Settings

GPU = Place(Device("cuda"))
REPLAY = {"launch copy_arrays": 1, "launch graph": 1, "launch copy": 1, "launch astype": 1}


@pytest.fixture(autouse=True)
def no_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graphs, "_graphs", cuda_graphs._Graphs())
    monkeypatch.setattr(cuda_graphs, "_failures", [])
    monkeypatch.delenv(GRAPHS_VARIABLE, raising=False)


def moved(shapes: int, batch: int, number: int, dtype: Any = np.float32) -> Arrays:
    """The arrays of a call, all of which but indices differ with its number."""
    rng, arrays = np.random.default_rng(number), iteration_arrays(shapes, batch)
    noisy = {
        name: a * rng.uniform(0.98, 1.02, a.shape) if a.dtype.kind == "f" and name != "rotation" else a
        for name, a in arrays.items()
    }
    return {name: a.astype(dtype) if a.dtype.kind == "f" else a for name, a in noisy.items()}


def values(found: PoseMinimum) -> dict[str, Any]:
    """What was found, on the host; of the Hessian the triangle that is meant."""
    arrays = {each.name: GPU.fetch(getattr(found, each.name)) for each in fields(found)}
    return arrays | {"hessian": np.tril(arrays["hessian"])}


def plainly(monkeypatch: pytest.MonkeyPatch, call: Callable[[], PoseMinimum]) -> dict[str, Any]:
    """What a call finds without graphs."""
    with monkeypatch.context() as patch:
        patch.setenv(GRAPHS_VARIABLE, "0")
        return values(call())


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, each in expected.items():
        assert_same_bits(found[name], each, name)


def kernels(cupy: Any) -> dict[str, int]:
    """What was launched since this was asked."""
    counts = {name: count for name, count in cupy.COUNTS.items() if name.startswith("launch ")}
    assert cupy.COUNTS["launches"] == sum(counts.values())
    assert cupy.COUNTS["synchronisations"] == cupy.COUNTS["copies to device"] == 0
    cupy.COUNTS.clear()
    return counts


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shapes", "iterations", "derivatives"), [(13, 3, True), (0, 2, False), (0, 0, True)])
def test_replays_find_what_plain_launches_find_and_leave_what_was_found(
    cupy: Any, monkeypatch: pytest.MonkeyPatch, shapes: int, iterations: int, derivatives: bool, dtype: Any
) -> None:
    sent = [GPU.send(moved(shapes, 3, number, dtype)) for number in range(5)]

    def call(number: int) -> PoseMinimum:
        return minimised(sent[number], iterations, derivatives=derivatives, every=number % 2 == 0)

    expected = [plainly(monkeypatch, lambda number=number: call(number)) for number in range(5)]  # type: ignore[misc]
    assert any((each["terms"][-1] != expected[0]["terms"][-1]).any() for each in expected[1:])
    cupy.COUNTS.clear()
    found, counts = [], []
    for number in range(5):
        found.append(call(number))
        counts.append(kernels(cupy))
    for each, right in zip(found, expected, strict=True):
        assert_same(values(each), right)
    assert counts[0]["launch move_poses"] == 1 + iterations
    assert "launch graph" not in counts[0]
    assert counts[1] == REPLAY | {"launch zeros": 1}
    assert counts[2:] == [REPLAY] * 3


def test_other_sizes_and_settings_have_other_graphs(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {(shapes, batch): GPU.send(moved(shapes, batch, 1)) for shapes in (0, 13) for batch in (2, 3)}
    without = dict.fromkeys(("temporal_pose", "temporal_weight", "temporal_width"))
    weights = problems_iteration.WEIGHTS
    calls = [
        *((sizes, weights, {}, {}) for sizes in arrays),
        ((0, 2), weights, {"iterations": 2}, {}),
        ((0, 2), weights, {"derivatives": False}, {}),
        ((0, 2), replace(weights, sigma=weights.sigma + 1), {}, {}),
        ((0, 2), weights, {}, without),
    ]
    graphs = 0
    for _ in range(3):
        for sizes, own, options, changed in calls:
            monkeypatch.setattr(problems_iteration, "WEIGHTS", own)
            given = arrays[sizes] | changed
            right = plainly(monkeypatch, lambda: minimised(given, **options))  # noqa: B023
            cupy.COUNTS.clear()
            assert_same(values(minimised(given, **options)), right)
            graphs += cupy.COUNTS["launch graph"]
    assert graphs == 2 * len(calls)
    assert len(cuda_graphs._graphs._kept) == len(calls)


def test_every_number_that_launches_are_given_is_in_the_key() -> None:
    weights, priors, steps = settings(iteration_arrays(0, 2), 3)

    def numbers(weights: Any, priors: Any, steps: Any) -> tuple[Hashable, ...]:
        own = [_numbers(part) for part in (weights, priors, steps)]
        return tuple(_Settings(own[0], own[1], own[2], [1, 1], derivatives=True).numbers)

    met = {numbers(weights, priors, steps)}
    changes = 0
    whole: list[Any] = [weights, priors, steps]
    for place, part in enumerate(whole):
        for each in fields(part):
            value = getattr(part, each.name)
            if isinstance(value, np.ndarray):
                continue
            other = (value[0], value[1] + 1) if isinstance(value, tuple) else value + 1
            parts = list(whole)
            parts[place] = replace(part, **{each.name: other})
            met.add(numbers(*parts))
            changes += 1
    assert changes == 11 + 5 + 11
    assert len(met) == 1 + changes


def test_what_was_used_longest_ago_goes_first(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graphs, "MOST_GRAPHS", 2)
    arrays = {batch: GPU.send(moved(0, batch, 1)) for batch in (1, 2, 3)}

    def replays(batch: int) -> bool:
        cupy.COUNTS.clear()
        minimised(arrays[batch])
        return kernels(cupy) == REPLAY

    for batch in (1, 1, 2, 2):
        assert not replays(batch)
    assert replays(1)
    assert not any(replays(3) for _ in range(2))
    assert len(cuda_graphs._graphs._kept) == 2
    assert replays(3)
    assert replays(1)
    for _ in range(2):
        assert not replays(2), "it comes twice before it is captured again"
    assert replays(2)
    assert not replays(3)


def test_memory_is_bounded(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = GPU.send(moved(0, 2, 1))
    for _ in range(2):
        minimised(sent)
    (graph,) = cuda_graphs._graphs._kept.values()
    inputs = sum(each.nbytes for each in sent.values())
    assert graph.nbytes > inputs + 2 * 60 * 18 * 4, "inputs, and what is found of 60 vertices"
    for most, graphs in ((graph.nbytes, 1), (graph.nbytes - 1, 0), (inputs, 0)):
        monkeypatch.setattr(cuda_graphs, "MOST_BYTES", most)
        cuda_graphs._graphs.forget()
        cupy.COUNTS.clear()
        for _ in range(3):
            minimised(sent)
        assert len(cuda_graphs._graphs._kept) == graphs
        assert cupy.COUNTS["launch graph"] == 2 * graphs
        assert cupy.COUNTS["launch zeros"] == (2 if graphs else 3), "what is too large is not captured in vain"
    monkeypatch.setattr(cuda_graphs, "MOST_CALLS", 2)
    for batch in (1, 2, 3):
        minimised(GPU.send(moved(0, batch, 1)))
    assert len(cuda_graphs._graphs._seen) <= 2


def no_capture(cupy: Any, _patch: pytest.MonkeyPatch) -> None:
    """A CuPy that cannot capture."""
    del cupy.cuda.Stream.begin_capture


def no_streams(cupy: Any, _patch: pytest.MonkeyPatch) -> None:
    """A CuPy without streams of this kind."""
    del cupy.cuda.get_current_stream


def capture_fails(cupy: Any, patch: pytest.MonkeyPatch) -> None:
    """A driver that refuses to end a capture."""

    def fail(_stream: Any) -> None:
        cupy.counting.CAPTURE.launches = None
        raise RuntimeError("cudaErrorNotSupported")

    patch.setattr(cupy.cuda.Stream, "end_capture", fail)


def launch_waits(cupy: Any, patch: pytest.MonkeyPatch) -> None:
    """Launches that wait for the device."""

    def waiting(kernel: str, *arguments: Any) -> None:
        launch(kernel, *arguments)
        cupy.cuda.Device().synchronize()

    patch.setattr("handopt.ops.minimise_poses_grid.launch", waiting)


@pytest.mark.parametrize("problem", [no_capture, no_streams, capture_fails, launch_waits])
def test_where_launches_cannot_be_captured_they_are_made_and_that_is_said_once(
    cupy: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, problem: Callable[..., None]
) -> None:
    sent = [GPU.send(moved(0, 2, number)) for number in range(4)]
    expected = [plainly(monkeypatch, lambda each=each: minimised(each)) for each in sent]  # type: ignore[misc]
    problem(cupy, monkeypatch)
    cupy.COUNTS.clear()
    with caplog.at_level(logging.INFO):
        found = [minimised(each) for each in sent]
    for each, right in zip(found, expected, strict=True):
        assert_same(values(each), right)
    assert "launch graph" not in cupy.COUNTS
    assert cupy.COUNTS["launch move_poses"] == 4 * 4
    (message,) = caplog.messages
    assert message.startswith("CUDA graphs are not used from here on: ")
    assert not cuda_graphs._graphs._kept


def test_graphs_can_be_turned_off(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GRAPHS_VARIABLE, "0")
    sent = GPU.send(moved(0, 2, 1))
    for _ in range(3):
        minimised(sent)
    assert "launch graph" not in cupy.COUNTS
    monkeypatch.setenv(GRAPHS_VARIABLE, "1")
    for _ in range(2):
        minimised(sent)
    assert cupy.COUNTS["launch graph"] == 1


def test_each_thread_and_each_stream_has_its_own(cupy: Any) -> None:
    sent = GPU.send(moved(0, 2, 1))
    for _ in range(2):
        minimised(sent)
    cupy.COUNTS.clear()
    other = threading.Thread(target=minimised, args=(sent,))
    other.start()
    other.join()
    assert cupy.COUNTS["launch graph"] == 0
    with cupy.cuda.Stream(non_blocking=True):
        minimised(sent)
    assert cupy.COUNTS["launch graph"] == 0
    minimised(sent)
    assert cupy.COUNTS["launch graph"] == 1


def test_a_call_without_poses_is_not_captured(cupy: Any) -> None:
    sent = GPU.send(moved(0, 2, 1))
    poses = {name: sent[name][:0] for name in (*problems_iteration.POSES, "image_index", "expected")}
    for _ in range(3):
        assert minimised(sent | poses).improved.shape == (0,)
    assert "launch graph" not in cupy.COUNTS


def test_copies_are_those_of_the_twin(device: Place) -> None:
    check_twin(copy_problem(), device)


def test_more_arrays_than_a_launch_takes_are_copied_as_well() -> None:
    many = [np.full(1 + number % 3, number, np.float32) for number in range(cuda_graphs.REALS + 5)]
    whole = [np.array([number], np.int32) for number in range(2 * cuda_graphs.WHOLES + 1)]
    reals, wholes = np.zeros(sum(each.size for each in many), np.float32), np.zeros(len(whole), np.int32)
    copy_arrays([*many, *whole], reals, wholes)
    assert np.array_equal(reals, np.concatenate(many))
    assert wholes.tolist() == list(range(len(whole)))


def test_a_call_on_the_cpu_is_launched_as_it_is() -> None:
    class Call:
        nbytes = 0

        def __init__(self, inputs: cuda_graphs.Inputs) -> None:
            self.array = inputs["array"]

        def launch(self) -> None:
            self.array += 1

        def found(self, *, copied: bool) -> Any:
            assert not copied
            return self.array

    array = np.zeros(2)
    for count in (1, 2, 3):
        assert launched("key", {"array": array}, Call).tolist() == [count, count]
