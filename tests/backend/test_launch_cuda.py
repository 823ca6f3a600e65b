"""What is launched on a GPU. The objects that replace CuPy here record launches; they are no GPU."""

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from handopt import backend
from handopt.backend import launch_cuda
from handopt.backend.signatures import SIGNATURES
from handopt.errors import KernelError, ShapeError
from handopt.ops.projection import project
from handopt.ops.splat import render_depth


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
