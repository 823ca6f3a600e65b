"""Devices and kernels of the stand-in for CuPy."""

import ctypes
import os
import weakref
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from cupy.arrays import ndarray
from cupy.counting import CAPTURE, launched, synchronised
from cupy.streams import Event, Stream, alloc_pinned_memory, get_current_stream, owner, run_all

from handopt.backend.signatures import SIGNATURES

SUFFIX = {np.dtype(np.float32): "_f32", np.dtype(np.float64): "_f64"}


class _Device:
    def __init__(self, index: int = 0) -> None:
        if index != 0:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.id = index

    def __enter__(self) -> "_Device":
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def synchronize(self) -> None:
        synchronised("device")
        run_all()


cuda = SimpleNamespace(
    Device=_Device,
    Event=Event,
    Stream=Stream,
    alloc_pinned_memory=alloc_pinned_memory,
    get_current_stream=get_current_stream,
    is_available=lambda: True,
    runtime=SimpleNamespace(
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda _index: {"name": b"stand-in", "totalGlobalMem": 2**31, "major": 9, "minor": 0},
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13000,
    ),
)


class RawModule:
    """A file of kernels."""

    def __init__(self, *, code: str, options: tuple[str, ...], backend: str) -> None:
        if not isinstance(code, str) or not isinstance(options, tuple) or backend != "nvrtc":
            raise TypeError("code must be text, options a tuple, and the backend nvrtc")
        self.code = code
        self.real = next(each for each in options if each.startswith("-DREAL=")).partition("=")[2]

    def get_function(self, name: str) -> "_Function":
        """One of its kernels."""
        if f"KERNEL({name})" not in self.code:
            raise RuntimeError(f"CUDA_ERROR_NOT_FOUND: named symbol not found: {name}")
        return _Function(name, np.dtype({"float": np.float32, "double": np.float64}[self.real]))


class _Function:
    def __init__(self, name: str, real: Any) -> None:
        self.name, self.real = name, real
        libraries = os.environ["HANDOPT_STAND_IN"].split(os.pathsep)  # one for each precision, or one for both
        self.call = getattr(ctypes.CDLL(libraries[-1 if real == np.float64 else 0]), name + SUFFIX[real])
        scalars = {"i": ctypes.c_int, "r": ctypes.c_float if real == np.float32 else ctypes.c_double}
        self.call.argtypes = [scalars.get(kind, ctypes.c_void_p) for _, kind in SIGNATURES[name]]
        self.call.restype = None

    def __call__(self, grid: Any, block: Any, arguments: Any) -> None:
        """Launch, or keep while a stream is captured, after the arguments' types were compared with the kernel's."""
        if not (isinstance(grid, tuple) and isinstance(block, tuple) and min(*grid, *block) > 0):
            raise RuntimeError(f"CUDA_ERROR_INVALID_VALUE: grid {grid}, block {block}")
        kinds = {"r": self.real, "i": np.dtype(np.int32), "k": np.dtype(np.uint64)}
        if len(arguments) != len(SIGNATURES[self.name]):
            raise TypeError(f"{self.name} takes {len(SIGNATURES[self.name])} arguments, not {len(arguments)}")
        passed, memory = [], []
        for value, (name, kind) in zip(arguments, SIGNATURES[self.name], strict=True):
            if not isinstance(value, ndarray if kind.endswith("*") else np.generic) or value.dtype != kinds[kind[0]]:
                raise TypeError(f"{name} of {self.name} is {type(value)} of {getattr(value, 'dtype', 'no type')}")
            if isinstance(value, ndarray) and not value.flags.c_contiguous:
                raise TypeError(f"{name} of {self.name} is not contiguous")
            passed.append(value.address if isinstance(value, ndarray) else value.item())
            if isinstance(value, ndarray):
                memory.append(weakref.ref(owner(value.values)))
        if CAPTURE.launches is not None:
            CAPTURE.launches.append((self.name, partial(self.call, *passed), memory))
            return
        launched(self.name)
        self.call(*passed)
