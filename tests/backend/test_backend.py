"""Devices, the compiled library, and launches. What stands in for CuPy here shows what is launched; it is no GPU."""

import ctypes
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.builds import TESTS, run_python
from support.compare import assert_close, assert_same_bits
from support.devices import set_cuda_problem
from support.op_hashes import op_hashes
from support.problems import render_problem
from support.problems_newton import ALL_PROBLEMS as PROBLEMS

from handopt import backend
from handopt.backend import launch_cpu, launch_cuda, sources
from handopt.backend.signatures import SIGNATURES
from handopt.errors import DeviceError, KernelError, ShapeError
from handopt.ops.projection import project
from handopt.ops.splat import render_depth

# ---------------------------------------------------------------------------------------------- devices


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a GPU."""
    set_cuda_problem(monkeypatch, "no GPU in this test")


def test_cpu_is_always_there() -> None:
    assert str(backend.resolve_device("cpu")) == "cpu"


@pytest.mark.usefixtures("no_cuda")
def test_auto_falls_back_to_the_cpu_and_cuda_says_why_it_cannot() -> None:
    assert backend.resolve_device("auto").kind == "cpu"
    for name in ("cuda", "cuda:1"):
        with pytest.raises(DeviceError, match=rf"device='{name}' .*no GPU in this test.*device='cpu'"):
            backend.resolve_device(name)


@pytest.mark.parametrize("name", ["gpu", "cpu:0", "cuda:x", "cuda:-1", "cudax", "", "CPU", "cuda0"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(DeviceError, match="auto, cpu, cuda or cuda:N"):
        backend.resolve_device(name)


def stand_in(monkeypatch: pytest.MonkeyPatch, **members: Any) -> None:
    """Make `import cupy` find a module with these members."""
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(__spec__=SimpleNamespace(), **members))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


def test_reasons_why_cuda_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:

    def reason() -> str:
        return str(backend.cuda_problem.__wrapped__())

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "not installed" in reason()
    assert "cuda12x" in reason()
    stand_in(monkeypatch, cuda=SimpleNamespace(is_available=lambda: False))
    assert "no usable NVIDIA GPU" in reason()
    stand_in(monkeypatch, cuda=SimpleNamespace(is_available=lambda: 1 / 0))
    assert "does not work" in reason()
    assert "division by zero" in reason()
    usable = SimpleNamespace(is_available=lambda: True)
    stand_in(monkeypatch, cuda=usable, arange=lambda *_args, **_options: 1 / 0)
    assert "needs the CUDA toolkit" in reason(), "a driver without a compiler"
    stand_in(monkeypatch, cuda=usable, arange=np.arange)
    assert backend.cuda_problem.__wrapped__() is None


def test_devices_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    set_cuda_problem(monkeypatch, None)
    stand_in(monkeypatch, cuda=SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=lambda: 2)))
    assert str(backend.resolve_device("auto")) == str(backend.resolve_device("cuda")) == "cuda:0"
    assert str(backend.resolve_device("cuda:1")) == "cuda:1"
    with pytest.raises(DeviceError, match=r"device='cuda:2' does not exist.*cuda:0 to cuda:1"):
        backend.resolve_device("cuda:2")


def test_arrays_on_the_cpu() -> None:
    cpu = backend.Device("cpu")
    array = backend.to_device(np.arange(6).reshape(2, 3).T, cpu)
    assert array.dtype == np.float32
    assert array.flags.c_contiguous
    assert backend.device_of(array) == cpu
    assert backend.namespace(cpu) is np
    assert_close(backend.to_numpy(array), [[0, 3], [1, 4], [2, 5]], reason="copied")
    assert backend.to_numpy(SimpleNamespace(get=lambda: array)) is array


# ------------------------------------------------------------------------------------------------- library


def test_the_library_has_every_kernel_in_both_precisions() -> None:
    handle = backend.library().handle
    for kernel in SIGNATURES:
        for suffix in ("_f32", "_f64"):
            assert ctypes.cast(getattr(handle, kernel + suffix), ctypes.c_void_p).value


def test_the_library_is_the_one_that_was_asked_for() -> None:
    assert backend.library_problem() is None
    asked = os.environ.get(backend.LIBRARY_VARIABLE)
    assert asked is None or backend.library().path == Path(asked)


def loading(monkeypatch: pytest.MonkeyPatch, path: Path) -> Any:
    """Load a library as in a new process."""
    monkeypatch.setenv(backend.LIBRARY_VARIABLE, str(path))
    return backend.library.__wrapped__()


def test_a_missing_library_says_how_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(KernelError, match=r"missing.*pip install"):
        loading(monkeypatch, tmp_path / "nothing.so")


def test_a_broken_library_says_how_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "libhandopt_kernels.so"
    path.write_bytes(b"no library")
    with pytest.raises(KernelError, match=r"cannot be loaded.*pip install"):
        loading(monkeypatch, path)


def test_a_stale_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    path = backend.library().path
    assert loading(monkeypatch, path).path == path
    monkeypatch.setattr(launch_cpu, "source_hash", lambda: "another")
    with pytest.raises(KernelError, match=r"other kernel sources.*pip install"):
        loading(monkeypatch, path)


def test_library_problem_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise KernelError("why")

    monkeypatch.setattr(launch_cpu, "library", broken)
    assert backend.library_problem() == "why"


def test_the_hash_covers_every_kernel_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "kernels"
    shutil.copytree(backend.kernel_folder(), folder)
    monkeypatch.setattr(sources, "kernel_folder", lambda: folder)
    before = backend.source_hash()
    assert before == backend.source_hash.__wrapped__()
    for name in ("splat.cu", "target.h", "library.cpp"):
        original = (folder / name).read_bytes()
        (folder / name).write_bytes(original + b"\n")
        assert backend.source_hash.__wrapped__() != before, name
        (folder / name).write_bytes(original)
    assert backend.source_hash.__wrapped__() == before


# ------------------------------------------------------------------------------------------------- threads


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


# ----------------------------------------------------------------------------------------------- arguments


def test_an_array_of_the_wrong_kind_is_named() -> None:
    points, coefficients = np.zeros((1, 5, 3)), np.zeros((1, 6))
    with pytest.raises(ShapeError, match=r"points: expected shape \(B, V, 3\), got \(5, 3\)"):
        project(points[0], coefficients)
    with pytest.raises(ShapeError, match=r"coefficients: expected shape \(B=1, 6\), got \(2, 6\)"):
        project(points, np.zeros((2, 6)))
    with pytest.raises(ShapeError, match=r"points: expected a numpy or cupy array .* got NoneType"):
        project(None, coefficients)
    with pytest.raises(ShapeError, match=r"coefficients: expected float64 .* got float32"):
        project(points, coefficients.astype(np.float32))
    with pytest.raises(ShapeError, match=r"points: .*C-contiguous.*numpy.ascontiguousarray\(points\)"):
        project(np.zeros((3, 5, 1)).T, coefficients)


def test_arrays_that_lie_askew_in_memory_are_refused() -> None:
    memory = np.zeros(8 * 15 + 1, np.uint8)
    points = memory[1:].view(np.float64).reshape(1, 5, 3)
    with pytest.raises(ShapeError, match="points"):
        project(points, np.zeros((1, 6)))


def test_read_only_arrays_and_numpy_scalars_will_do() -> None:
    points = render_problem().arrays["points"]
    expected, _ = render_depth(points, 2.5, 24)
    points.flags.writeable = False
    for radius, size in ((2.5, 24), (np.float32(2.5), np.int64(24)), (np.float64(2.5), np.int32(24))):
        assert_same_bits(render_depth(points, radius, size)[0], expected)


def test_inputs_are_left_alone() -> None:
    for name, make in PROBLEMS.items():
        problem = make()
        arrays = problem.inputs()
        output = problem.forward(arrays)
        if problem.backward is not None:
            problem.backward(np.ones_like(output), arrays)
        for key, array in problem.arrays.items():
            assert_same_bits(arrays[key], array, f"{key} of {name}")


# ---------------------------------------------------------------------------------------------------- CUDA


class StandIn:
    """An array as far as checks and launches look at it, on GPU `index`."""

    def __init__(self, array: Any, index: int = 0) -> None:
        self.array = np.asarray(array)
        self.device = SimpleNamespace(id=index)
        self.__cuda_array_interface__ = {"version": 3}
        self.dtype, self.shape, self.flags = self.array.dtype, self.array.shape, self.array.flags
        self.size = self.array.size

    def get(self) -> Any:
        return self.array


class Launches:
    """Stands in for CuPy and notes every launch: kernel, grid, block, arguments, options, GPU."""

    def __init__(self, gpus: int = 1) -> None:
        self.seen: list[tuple[str, Any, Any, tuple[Any, ...], tuple[str, ...], int]] = []
        self.current = 0
        runtime = SimpleNamespace(getDeviceCount=lambda: gpus)
        self.cuda = SimpleNamespace(is_available=lambda: True, runtime=runtime, Device=self.select)

    def select(self, index: int) -> Any:
        launches = self

        class Selected:
            def __enter__(self) -> None:
                self.before, launches.current = launches.current, index

            def __exit__(self, *error: object) -> None:
                launches.current = self.before

        return Selected()

    def empty(self, shape: Any, dtype: Any) -> StandIn:
        return StandIn(np.zeros(shape, dtype), self.current)

    zeros = empty

    def RawModule(self, code: str, options: tuple[str, ...], backend: str) -> Any:
        assert backend == "nvrtc"

        def get_function(name: str) -> Any:
            if f"KERNEL({name})" not in code:
                raise ValueError(f"no {name} here")

            def function(grid: Any, block: Any, arguments: tuple[Any, ...]) -> None:
                self.seen.append((name, grid, block, arguments, options, self.current))

            return function

        return SimpleNamespace(get_function=get_function)


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> Iterator[Launches]:
    """A machine with a GPU that computes nothing."""
    noted = Launches()
    monkeypatch.setitem(sys.modules, "cupy", noted)
    caches = (launch_cuda._cuda_function, launch_cuda._cuda_module, launch_cuda._cuda_kernel_file)
    for cache in caches:
        cache.cache_clear()
    yield noted
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_cuda_launch_has_the_types_of_the_signatures(launches: Launches, dtype: Any) -> None:
    points = StandIn(np.zeros((2, 100, 3), dtype))
    image, winners = render_depth(points, 2.5, 24)
    assert (image.shape, image.dtype, winners.dtype) == ((2, 24, 24), dtype, np.int32)
    assert [kernel for kernel, *_ in launches.seen] == ["splat_scatter", "splat_resolve"]
    for kernel, grid, block, arguments, options, _ in launches.seen:
        kinds = {"r": dtype, "i": np.int32}
        assert len(arguments) == len(SIGNATURES[kernel])
        for argument, (name, kind) in zip(arguments, SIGNATURES[kernel], strict=True):
            if kind in kinds:
                assert type(argument) is kinds[kind], f"{name} of {kernel}"
            else:
                expected = {"r*": dtype, "i*": np.int32, "k*": np.uint64}[kind]
                assert argument.dtype == expected, f"{name} of {kernel}"
        assert block == (backend.CUDA_BLOCK,)
        assert 0 < grid[0] <= backend.CUDA_MAX_BLOCKS
        assert f"-DREAL={'float' if dtype is np.float32 else 'double'}" in options
        assert any(backend.source_hash() in option for option in options)
    items = [grid[0] * block[0] for _, grid, block, *_ in launches.seen]
    assert 200 <= items[0] < 200 + backend.CUDA_BLOCK
    assert 2 * 24 * 24 <= items[1] < 2 * 24 * 24 + backend.CUDA_BLOCK


@pytest.mark.usefixtures("launches")
def test_arrays_on_two_devices_are_refused() -> None:
    points, coefficients = np.zeros((1, 5, 3)), np.zeros((1, 6))
    with pytest.raises(ShapeError, match="coefficients: is on cuda:0, but points is on cpu"):
        project(points, StandIn(coefficients))
    with pytest.raises(ShapeError, match="coefficients: is on cpu, but points is on cuda:0"):
        project(StandIn(points), coefficients)
    with pytest.raises(ShapeError, match="coefficients: is on cuda:1, but points is on cuda:0"):
        project(StandIn(points), StandIn(coefficients, 1))


def test_nothing_is_launched_for_nothing(launches: Launches) -> None:
    image, _ = render_depth(StandIn(np.zeros((0, 5, 3))), 2.0, 8)
    assert image.shape == (0, 8, 8)
    assert launches.seen == []


def test_a_launch_is_on_the_gpu_of_its_arrays(launches: Launches) -> None:
    points, coefficients = np.zeros((1, 5, 3)), np.zeros((1, 6))
    projected = project(StandIn(points, 3), StandIn(coefficients, 3))
    assert [seen[-1] for seen in launches.seen] == [3]
    assert projected.device.id == 3


@pytest.mark.usefixtures("launches")
def test_a_kernel_that_does_not_compile_is_named() -> None:
    with pytest.raises(KernelError, match="nonsense"):
        launch_cuda._cuda_function("nonsense", np.dtype(np.float32))


def test_too_many_points_in_double_on_a_gpu(launches: Launches) -> None:
    points = StandIn(np.broadcast_to(np.zeros(1), (1, (1 << 20) + 1, 3)))
    points.flags = np.zeros(1).flags
    with pytest.raises(ShapeError, match="at most 1048576 points"):
        render_depth(points, 2.0, 8)
    assert launches.seen == []


def test_one_thread_for_a_while() -> None:
    threads = backend.cpu_threads()
    with backend.one_cpu_thread():
        assert backend.cpu_threads() <= 1
    assert backend.cpu_threads() == threads


def test_values_of_known_indices_are_not_looked_at_but_their_shapes_are() -> None:
    beyond = np.array([0, 7], np.int32)
    call = backend.Arguments(size={"J": 3})
    with backend.known_indices():
        assert call.whole("rows", beyond, ("N",), below="J") is beyond
        with pytest.raises(ShapeError, match="expected shape"):
            call.whole("rows", beyond, (5,), below="J")
    with pytest.raises(ShapeError, match=r"expected values in 0\.\.2, got 0\.\.7"):
        call.whole("rows", beyond, ("N",), below="J")
