"""Where arrays live and how they get there: the CPU (NumPy) or a CUDA GPU (CuPy)."""

import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from handopt.errors import DeviceError, how_to_install

# A numpy.ndarray or a cupy.ndarray.
Array = Any


@dataclass(frozen=True)
class Device:
    """A place to compute: kind 'cpu' or 'cuda', and the GPU's index."""

    kind: str
    index: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"cuda:{self.index}"


CPU = Device("cpu")


@cache
def cuda_problem() -> str | None:
    """Why CUDA cannot be used here, or None if it can."""
    if importlib.util.find_spec("cupy") is None:
        return f"CuPy is not installed: to match the driver, {how_to_install('cuda12x')}, or with cuda13x"
    try:
        import cupy

        if not cupy.cuda.is_available():
            return "CuPy is installed but finds no usable NVIDIA GPU or driver"
        square = cupy.arange(4, dtype=np.float32).reshape(2, 2)
        (square @ square).sum()  # needs cuBLAS, and compiles: needs NVRTC, as well as the driver
    except Exception as error:
        return (
            "CuPy is installed but does not work: it needs the CUDA toolkit with NVRTC and cuBLAS, or its own copy of "
            f"them, the extra [ctk] of CuPy 14: {error}"
        )
    return None


def cuda_devices() -> int:
    """How many GPUs can be used."""
    if cuda_problem() is not None:
        return 0
    import cupy

    return int(cupy.cuda.runtime.getDeviceCount())


def resolve_device(name: str = "auto") -> Device:
    """Turn 'auto', 'cpu', 'cuda' or 'cuda:N' into a Device. Raises DeviceError where it is not available."""
    if name == "cpu" or (name == "auto" and cuda_problem() is not None):
        return Device("cpu")
    kind, _, index = name.partition(":")
    if name != "auto" and (kind != "cuda" or (index and not re.fullmatch("[0-9]{1,4}", index))):
        raise DeviceError(f"device={name!r} is not one of auto, cpu, cuda and cuda:N")
    problem = cuda_problem()
    if problem is not None:
        raise DeviceError(f"device={name!r} cannot be used: {problem}. Use device='cpu'")
    import cupy

    count = cupy.cuda.runtime.getDeviceCount()
    if index and int(index) >= count:
        raise DeviceError(f"device={name!r} does not exist: this machine has cuda:0 to cuda:{count - 1}")
    return Device("cuda", int(index or 0))


def device_of(array: Array) -> Device:
    """The device that holds an array."""
    return CPU if isinstance(array, np.ndarray) else Device("cuda", int(array.device.id))


def namespace(device: Device) -> Any:
    """The array module of a device: numpy or cupy."""
    if device.kind == "cpu":
        return np
    import cupy

    return cupy


def namespace_of(array: Array) -> Any:
    """The array module of an array: numpy or cupy."""
    return namespace(device_of(array))


@contextmanager
def using(device: Device) -> Iterator[None]:
    """Make a GPU the current one, so that new arrays are made on it; nothing to do for the CPU.

    What CuPy raises meanwhile, also for a kernel that was launched before, becomes a DeviceError that says what to
    change.
    """
    if device.kind == "cpu":
        yield
        return
    import cupy

    try:
        with cupy.cuda.Device(device.index):
            yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("cupy", "cupy_backends"):
            raise
        raise _explained(error, device) from error


@contextmanager
def using_stream(device: Device, pointer: int) -> Iterator[None]:
    """Make a GPU and a stream of somebody else's the current ones. pointer: of the stream, as CUDA names it."""
    import cupy

    with using(device), cupy.cuda.ExternalStream(pointer, device.index):
        yield


def from_dlpack(tensor: Any) -> Array:
    """The memory of another library's array on a GPU as an array of CuPy's, without a copy."""
    import cupy

    return cupy.from_dlpack(tensor)


def _explained(error: Exception, device: Device) -> DeviceError:
    """An error of CuPy's as a sentence that says what to change."""
    if type(error).__name__ == "OutOfMemoryError":
        return DeviceError(f"the memory of {device} ran out: fit fewer images together with a smaller batch=")
    return DeviceError(
        f"{device} failed ({type(error).__name__}: {' '.join(str(error).split())}): run the same command again, or "
        "use device='cpu'; CUDA_LAUNCH_BLOCKING=1 and HANDOPT_CUDA_GRAPHS=0 in the environment and -vv "
        "show which kernel it was"
    )


def to_device(values: Any, device: Device, dtype: Any = np.float32) -> Array:
    """Copy values to a device as a C-contiguous array."""
    if device.kind == "cpu":
        return np.ascontiguousarray(to_numpy(values), dtype=dtype)
    import cupy

    with cupy.cuda.Device(device.index):
        return cupy.ascontiguousarray(cupy.asarray(values, dtype=dtype))


def sparse_to_device(matrix: Any, device: Device, dtype: Any = np.float32) -> Any:
    """Copy a SciPy sparse matrix to a device, in CSR form."""
    from scipy.sparse import csr_matrix

    host = csr_matrix(matrix, dtype=dtype)
    if device.kind == "cpu":
        return host
    import cupy
    from cupyx.scipy.sparse import csr_matrix as device_matrix

    with cupy.cuda.Device(device.index):
        return device_matrix(host)


def to_numpy(array: Any) -> np.ndarray[Any, Any]:
    """Copy an array to the host, if it is not there already."""
    return np.asarray(array.get() if hasattr(array, "get") else array)
