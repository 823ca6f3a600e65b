"""Launches on CUDA: NVRTC, by way of CuPy, compiles a kernel's file when it is first used."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from handopt.backend.signatures import SIGNATURES
from handopt.backend.sources import cuda_sources, kernel_folder, source_hash
from handopt.errors import KernelError

CUDA_BLOCK = 128
CUDA_MAX_BLOCKS = 65535
# The type that NVRTC is told, by real type
_CUDA_REAL = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


def nvrtc_options(real: str) -> tuple[str, ...]:
    """The options that NVRTC compiles with. real: 'float' or 'double'. The hash keeps CuPy's cache from going stale."""
    return ("-std=c++17", f"-DREAL={real}", f"-DSOURCE_HASH={source_hash()}", f"-I{kernel_folder()}")


def launch_cuda(kernel: str, items: int, arguments: tuple[Any, ...]) -> None:
    """Run a kernel on CuPy arrays, in the precision of the first, with a thread for each of `items`."""
    import cupy

    if len(arguments) != len(SIGNATURES[kernel]):
        raise ValueError(f"{kernel} takes {len(SIGNATURES[kernel])} arguments, got {len(arguments)}")
    dtype, packed = arguments[0].dtype, list(arguments)
    for place, kind in _scalars(kernel):
        packed[place] = dtype.type(packed[place]) if kind == "r" else np.int32(packed[place])
    blocks = min(-(-items // CUDA_BLOCK), CUDA_MAX_BLOCKS)
    with cupy.cuda.Device(arguments[0].device.id):
        _cuda_function(kernel, dtype)((blocks,), (CUDA_BLOCK,), tuple(packed))


@cache
def _scalars(kernel: str) -> tuple[tuple[int, str], ...]:
    """The places of a kernel's numbers among its arguments, and their kinds."""
    kinds = [kind for _, kind in SIGNATURES[kernel]]
    return tuple((place, kind) for place, kind in enumerate(kinds) if not kind.endswith("*"))


@cache
def _cuda_kernel_file(kernel: str) -> Path:
    for path in cuda_sources().values():
        if f"KERNEL({kernel})" in path.read_text(encoding="utf-8"):
            return path
    raise KernelError(f"no file in {kernel_folder()} holds the kernel {kernel}")


@cache
def _cuda_module(path: Path, real: np.dtype[Any]) -> Any:
    import cupy

    return cupy.RawModule(
        code=path.read_text(encoding="utf-8"), options=nvrtc_options(_CUDA_REAL[real]), backend="nvrtc"
    )


@cache
def _cuda_function(kernel: str, real: np.dtype[Any]) -> Any:
    try:
        return _cuda_module(_cuda_kernel_file(kernel), real).get_function(kernel)
    except Exception as error:
        raise KernelError(f"the CUDA kernel {kernel} did not compile: {error}") from error
