"""The stand-in for CuPy refuses what CuPy refuses; on it the cuda tests pass without a GPU, with so many launches."""

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.builds import TESTS, run_python

from handopt import backend
from handopt.backend.cuda_graphs import _captured

NOT_HERE = pytest.mark.skipif(backend.cuda_problem() is None, reason="cuda tests run here already")
PLACES = (
    *("ops", "backend/test_cuda_graphs.py", "objective", "optimise", "tracking"),
    *("test_fitting.py", "test_fitting_ahead.py", "test_fitting_many.py", "test_hand.py", "batch/test_job_ahead.py"),
)


@pytest.mark.process
@NOT_HERE
def test_the_cuda_tests_pass_without_a_gpu() -> None:
    places = [str(TESTS / place) for place in PLACES]
    options = ("-p", "no:cacheprovider", "--numprocesses=0", "--stand-in", "-k", "cuda and not hessian")
    done = run_python("-m", "pytest", *options, *places)
    output = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, output[-8000:]
    passed = re.search(r"(\d+) passed", output)
    assert passed is not None, output
    assert int(passed.group(1)) > 250, output


# Every number is a cost: each launch takes 8 to 25 microseconds of the host, each synchronisation more. An iteration is
# exact; a fit and a tracked frame may take some iterations more on another processor. The last two replay CUDA graphs.
MOST = {
    "iteration": {"launches": 8, "synchronisations": 0, "copies to host": 0, "copies to device": 0},
    "fit": {"launches": 1180, "synchronisations": 136, "copies to host": 124, "copies to device": 120},
    "again": {"launches": 840, "synchronisations": 136, "copies to host": 124, "copies to device": 120},
    "frame": {"launches": 258, "synchronisations": 21, "copies to host": 21, "copies to device": 63},
}


@pytest.mark.process
@NOT_HERE
def test_launches_synchronisations_and_copies_do_not_grow() -> None:
    done = run_python("-m", "support.launch_counts")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    for what, most in MOST.items():
        for name, count in most.items():
            assert counts[what][name] <= count, f"{name} of one {what}"
            assert counts[what][name] >= 0.7 * count, f"fewer {name} of one {what}: lower the bound"


REFUSED: dict[str, tuple[Callable[[Any, Any], object], type[Exception], str]] = {
    "conversion": (lambda _, a: np.asarray(a), TypeError, "Implicit conversion"),
    "a NumPy operand": (lambda _, a: a + np.ones(3), TypeError, "Unsupported type"),
    "a NumPy operand before": (lambda _, a: np.ones(3) * a, TypeError, "NumPy and a CuPy"),
    "a NumPy function": (lambda _, a: np.concatenate([a, a]), TypeError, "call cupy's own"),
    "a NumPy argument": (lambda cp, a: cp.maximum(a, np.ones(3)), TypeError, "Unsupported type"),
    "a list": (lambda cp, a: cp.maximum(a, [1, 2, 3]), TypeError, "Unsupported type"),
    "a host condition": (lambda cp, a: cp.where(np.ones(3, bool), a, a), TypeError, "Unsupported type"),
    "a host array among others": (lambda cp, a: cp.concatenate([a, np.ones(3)]), TypeError, "Unsupported type"),
    "a product": (lambda _, a: a @ np.ones(3), TypeError, "Unsupported type"),
    "filling with an array": (lambda _, a: a.__setitem__(slice(0, 2), np.ones(2)), ValueError, "cannot be used"),
    "text": (lambda cp, _: cp.asarray("text"), ValueError, "Unsupported dtype"),
    "what only CuPy 14 has": (lambda cp, _: cp.permute_dims, AttributeError, r"CuPy 13\.6 or CuPy 14 has no"),
    "what NumPy alone has": (lambda cp, _: cp.busday_count, AttributeError, r"CuPy 13\.6 or CuPy 14 has no"),
    "a method of CuPy 14": (lambda _, a: a.mT, AttributeError, r"CuPy 13\.6 or CuPy 14 has no"),
    "what is not needed yet": (lambda cp, _: cp.cross, NotImplementedError, "add it to"),
    "another GPU": (lambda cp, _: cp.cuda.Device(1), RuntimeError, "invalid device"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cupy_refuses_is_refused(cupy: Any, what: str) -> None:
    call, error, message = REFUSED[what]
    with pytest.raises(error, match=message):
        call(cupy, cupy.zeros(3))


def test_everything_that_it_has_is_in_both_versions_of_cupy(cupy: Any) -> None:
    from cupy.counting import NAMES

    own = {"COUNTS", "ELEMENTWISE", "GARBAGE", "Any", "SimpleNamespace", "np", "along", "elementwise", "host"}
    own |= {"launched", "missing", "not_captured", "reduction", "refused", "synchronised"}
    own |= {"arrays", "counting", "devices", "streams"}
    assert {name for name in vars(cupy) if not name.startswith("_")} - own <= NAMES
    methods = {f".{name}" for name in vars(cupy.ndarray) if not name.startswith("_")}
    assert methods - {".address", ".values", ".dtype"} <= NAMES


def project(cupy: Any) -> tuple[Any, list[Any]]:
    """A kernel, and right arguments of it."""
    path = backend.cuda_sources()["projection"]
    module = cupy.RawModule(code=path.read_text(), options=backend.nvrtc_options("float"), backend="nvrtc")
    arrays = [cupy.zeros((1, 5, 3), np.float32), cupy.zeros((1, 6), np.float32), cupy.zeros((1, 5, 3), np.float32)]
    return module.get_function("project_forward"), [*arrays, np.int32(1), np.int32(1), np.int32(5)]


def test_a_launch_takes_arrays_of_the_right_kind_and_typed_scalars(cupy: Any) -> None:
    launch, right = project(cupy)
    launch((1,), (128,), tuple(right))
    assert cupy.COUNTS["launch project_forward"] == 1
    for place, wrong in (
        (0, np.zeros((1, 5, 3), np.float32)),
        (0, cupy.zeros((1, 5, 3))),
        (0, cupy.zeros((1, 3, 5), np.float32).swapaxes(1, 2)),
        (3, 1),
        (4, np.int64(1)),
        (5, np.float32(5)),
    ):
        with pytest.raises(TypeError, match="of project_forward is"):
            launch((1,), (128,), tuple(wrong if row == place else each for row, each in enumerate(right)))
    with pytest.raises(TypeError, match="takes 6 arguments, not 5"):
        launch((1,), (128,), tuple(right[:5]))
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        launch((0,), (128,), tuple(right))
    with pytest.raises(RuntimeError, match="NOT_FOUND"):
        cupy.RawModule(code="", options=backend.nvrtc_options("float"), backend="nvrtc").get_function("skin_forward")


def test_what_waits_and_what_copies_is_counted(cupy: Any) -> None:
    array = cupy.asarray(np.arange(4.0))
    assert cupy.COUNTS == {"copies to device": 1}
    rows = array[array > 1]
    assert (cupy.COUNTS["launches"], cupy.COUNTS["synchronisations"]) == (2, 1)
    assert rows.get().tolist() == [2.0, 3.0]
    assert float(array.sum()) == 6.0
    assert (cupy.COUNTS["launches"], cupy.COUNTS["synchronisations"], cupy.COUNTS["copies to host"]) == (3, 3, 1)
    view = array[1:]
    view[0] = 7.0
    assert array.get()[1] == 7.0, "a slice is a view"
    assert np.isnan(cupy.empty(3).get()).all(), "new memory holds nothing of use"


def test_a_graph_runs_its_kernels_when_it_is_launched_and_counts_as_one_launch(cupy: Any) -> None:
    launch, right = project(cupy)
    points, out = cupy.ones((1, 5, 3), np.float32), cupy.zeros((1, 5, 3), np.float32)
    given = (points, cupy.ones((1, 6), np.float32), out, *right[3:])
    cupy.COUNTS.clear()
    graph = _captured(lambda: [launch((1,), (128,), given) for _ in range(3)])
    assert cupy.COUNTS == {}
    assert not out.values.any()
    graph.launch()
    assert cupy.COUNTS == {"launches": 1, "launch graph": 1, "replayed project_forward": 3}
    first = out.get()
    assert first.any()
    points.values[...] = 2
    graph.launch()
    assert (out.get() != first).any()


def test_a_graph_keeps_no_array(cupy: Any) -> None:
    launch, right = project(cupy)
    graph = _captured(lambda: launch((1,), (128,), tuple(right)))
    del right[:]
    with pytest.raises(RuntimeError, match=r"IllegalAddress: memory of project_forward was freed"):
        graph.launch()


def page_locked(cupy: Any, values: Any) -> Any:
    """An array in page-locked memory."""
    locked = np.frombuffer(cupy.cuda.alloc_pinned_memory(values.nbytes), values.dtype)
    locked[:] = values
    return locked


def test_a_copy_from_page_locked_memory_runs_when_somebody_waits_for_it(cupy: Any) -> None:
    stream, locked, target = cupy.cuda.Stream(non_blocking=True), page_locked(cupy, np.ones(3)), cupy.empty(3)
    target.set(locked, stream=stream)
    event = stream.record()
    assert not event.done
    assert np.isnan(target.values).all()
    locked[1] = 2
    cupy.cuda.get_current_stream().wait_event(event)
    assert event.done
    assert target.values.tolist() == [1.0, 2.0, 1.0], "what is changed meanwhile shows"
    assert cupy.COUNTS["synchronisations"] == 0
    target.set(locked, stream=stream)
    stream.record().synchronize()
    assert cupy.COUNTS["synchronisation event"] == 1


def test_a_copy_from_pageable_memory_makes_the_host_wait(cupy: Any) -> None:
    target = cupy.empty(3)
    target.set(np.ones(3), stream=cupy.cuda.Stream(non_blocking=True))
    assert target.values.tolist() == [1.0] * 3
    assert cupy.COUNTS["synchronisation pageable copy"] == 1
    for wrong in (np.ones(4), np.ones(3, np.float32)):
        with pytest.raises(ValueError, match="cannot be set"):
            target.set(wrong)
    with pytest.raises(TypeError, match=r"Only numpy\.ndarray"):
        target.set([1.0] * 3)


@pytest.mark.parametrize("freed", ["the target", "the page-locked memory"])
def test_memory_that_is_freed_before_its_copy_is_over_is_noticed(cupy: Any, freed: str) -> None:
    stream, locked, target = cupy.cuda.Stream(non_blocking=True), page_locked(cupy, np.ones(3)), cupy.empty(3)
    target.set(locked, stream=stream)
    if freed == "the target":
        del target
    else:
        del locked
    with pytest.raises(RuntimeError, match="IllegalAddress: memory was freed"):
        stream.synchronize()


NOT_CAPTURED: dict[str, Callable[[Any, Any], object]] = {
    "waiting": lambda _, a: float(a[0]),
    "copying to the host": lambda _, a: a.get(),
    "copying from the host": lambda cp, _: cp.asarray(np.ones(3)),
    "new memory": lambda cp, _: cp.empty(3),
    "page-locked memory": lambda cp, _: cp.cuda.alloc_pinned_memory(3),
    "zeros": lambda cp, _: cp.zeros(3),
    "an array operation": lambda _, a: a + 1,
    "waiting for the stream": lambda cp, _: cp.cuda.get_current_stream().synchronize(),
}


@pytest.mark.parametrize("what", NOT_CAPTURED)
def test_what_cuda_does_not_capture_is_refused(cupy: Any, what: str) -> None:
    array = cupy.zeros(3)
    with pytest.raises(RuntimeError, match="cudaErrorStreamCaptureInvalidated") as error:
        _captured(lambda: NOT_CAPTURED[what](cupy, array))
    assert "cudaErrorStreamCaptureUnsupported" in str(error.value.__context__)
    NOT_CAPTURED[what](cupy, array)


def test_the_default_stream_is_not_captured(cupy: Any) -> None:
    with pytest.raises(RuntimeError, match="cannot capture on the default"):
        cupy.cuda.get_current_stream().begin_capture()
    with pytest.raises(RuntimeError, match="cudaErrorStreamCaptureImplicit"):
        cupy.cuda.Stream(non_blocking=True).begin_capture()
