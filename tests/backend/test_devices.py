"""Which devices there are, and how arrays get to them."""

import importlib.util
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.compare import assert_close
from support.devices import set_cuda_problem

from handopt import backend
from handopt.errors import DeviceError


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
    with pytest.raises(DeviceError, match="is not one of auto, cpu, cuda and cuda:N"):
        backend.resolve_device(name)


def stand_in(monkeypatch: pytest.MonkeyPatch, **members: Any) -> None:
    """Make `import cupy` find a module with these members."""
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(__spec__=SimpleNamespace(), **members))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


class WithoutBlas:
    """An array of a CuPy that cannot load cuBLAS."""

    def reshape(self, *_shape: int) -> "WithoutBlas":
        return self

    def __matmul__(self, _other: object) -> None:
        raise ImportError("libcublas.so.12: cannot open shared object file")


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
    stand_in(monkeypatch, cuda=usable, arange=lambda *_args, **_options: WithoutBlas())
    assert "needs the CUDA toolkit with NVRTC and cuBLAS" in reason(), "a compiler without cuBLAS"
    assert "libcublas.so.12" in reason()
    stand_in(monkeypatch, cuda=usable, arange=np.arange)
    assert backend.cuda_problem.__wrapped__() is None


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        ("cupy.cuda.memory", "OutOfMemoryError", "the memory of cuda:0 ran out: .* smaller batch="),
        (
            "cupy_backends.cuda.api.runtime",
            "CUDARuntimeError",
            r"cuda:0 failed \(CUDARuntimeError: illegal .* device='cpu'",
        ),
    ],
)
def test_what_a_gpu_fails_with_says_what_to_change(
    module: str, name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, cuda=SimpleNamespace(Device=lambda _index: nullcontext()))
    error = type(name, (RuntimeError,), {"__module__": module})
    with pytest.raises(DeviceError, match=message), backend.using(backend.Device("cuda")):
        raise error("illegal\naddress")
    with pytest.raises(ZeroDivisionError), backend.using(backend.Device("cuda")):
        1 / 0  # noqa: B018


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
