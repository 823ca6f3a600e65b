"""NVRTC compiles every kernel for three generations of GPUs, without a GPU, with the parameters that launches pass."""

import ctypes
import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest
from support.builds import IMAGE_KERNELS

from handopt import backend

ARCHITECTURES = ("sm_75", "sm_80", "sm_90")
CUPY_OPTIONS = ("-ftz=true", "--device-as-default-execution-space")  # which CuPy 14 adds to a RawModule's own
SOURCES = backend.cuda_sources()
MAX_LOCAL_BYTES = 1024


def nvrtc_path() -> Path | None:
    """The library of the wheel nvidia-cuda-nvrtc (CUDA 13) or nvidia-cuda-nvrtc-cu12."""
    spec = importlib.util.find_spec("nvidia")
    if spec is None or spec.submodule_search_locations is None:
        return None
    roots = [Path(folder) for folder in spec.submodule_search_locations]
    patterns = ("lib/libnvrtc.so.*", "bin/nvrtc64_*.dll", "bin/*/nvrtc64_*.dll")
    found = [p for root in roots for pattern in patterns for p in sorted(root.glob(f"*/{pattern}"))]
    return next((p for p in found if "builtins" not in p.name and ".alt" not in p.name), None)


@cache
def nvrtc() -> ctypes.CDLL:
    """The loaded library."""
    path = nvrtc_path()
    if path is None:
        pytest.skip("NVRTC is not installed: pip install nvidia-cuda-nvrtc")
    return ctypes.CDLL(str(path))


@cache
def compile_ptx(source: str, name: str, options: tuple[str, ...]) -> tuple[str | None, str]:
    """PTX of a source, None if it does not compile, and the compiler's log."""
    library = nvrtc()
    program = ctypes.c_void_p()
    encoded = [option.encode() for option in options]
    assert library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), name.encode(), 0, None, None) == 0, (
        "nvrtcCreateProgram failed"
    )
    try:
        status = library.nvrtcCompileProgram(program, len(encoded), (ctypes.c_char_p * len(encoded))(*encoded))
        log = text_of(library.nvrtcGetProgramLogSize, library.nvrtcGetProgramLog, program)
        return (None if status else text_of(library.nvrtcGetPTXSize, library.nvrtcGetPTX, program)), log
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def text_of(size_function: object, text_function: object, program: ctypes.c_void_p) -> str:
    """A string that NVRTC gives in two calls."""
    size = ctypes.c_size_t()
    assert size_function(program, ctypes.byref(size)) == 0  # type: ignore[operator]
    buffer = ctypes.create_string_buffer(size.value)
    assert text_function(program, buffer) == 0  # type: ignore[operator]
    return buffer.value.decode()


def entries(ptx: str) -> dict[str, tuple[str, ...]]:
    """Parameter types of each kernel in a PTX text."""
    found = re.findall(r"\.entry\s+(\w+)\s*\((.*?)\)", ptx, re.DOTALL)
    return {name: tuple(re.findall(r"\.param\s+\.(\w+)", parameters)) for name, parameters in found}


def expected_parameters(kernel: str, real: str) -> tuple[str, ...]:
    """PTX types of a row of SIGNATURES; signed and unsigned are one type in a launch."""
    scalars = {"i": "u32", "r": {"float": "f32", "double": "f64"}[real]}
    return tuple(scalars.get(kind, "u64") for _, kind in backend.SIGNATURES[kernel])


def compile_kernel(name: str, real: str, architecture: str) -> str:
    """PTX of a kernel file, compiled with the options that are used on a GPU, down to the machine's own code."""
    path = SOURCES[name]
    options = (*backend.nvrtc_options(real), *CUPY_OPTIONS, f"--gpu-architecture={architecture}")
    ptx, log = compile_ptx(path.read_text(encoding="utf-8"), path.name, options)
    assert ptx is not None, f"{path.name} does not compile for {architecture}, {real}:\n{log}"
    assert not log.strip("\0\n "), f"{path.name} compiles with warnings for {architecture}, {real}:\n{log}"
    return ptx


# In float, in which fits run, for every architecture; in double for the oldest, which has the fewest instructions.
@pytest.mark.parametrize(
    ("real", "architecture"), [*(("float", each) for each in ARCHITECTURES), ("double", ARCHITECTURES[0])]
)
@pytest.mark.parametrize("name", sorted(SOURCES))
def test_compiles_with_the_launch_signatures(name: str, real: str, architecture: str) -> None:
    ptx = compile_kernel(name, real, architecture)
    assert f".target {architecture}" in ptx
    kernels = entries(ptx)
    assert kernels, f"{name}.cu has no kernel"
    for kernel, parameters in kernels.items():
        assert kernel in backend.SIGNATURES, f"{kernel} in {name}.cu is missing from SIGNATURES"
        found = tuple(p.replace("s32", "u32").replace("s64", "u64") for p in parameters)
        assert found == expected_parameters(kernel, real), f"{kernel} in {name}.cu"


# Memory of a thread's own that is not in registers: it lies in the GPU's memory, for each of thousands of threads.
@pytest.mark.parametrize("real", ["float", "double"])
@pytest.mark.parametrize("name", sorted(SOURCES))
def test_threads_have_little_memory_of_their_own(name: str, real: str) -> None:
    ptx = compile_kernel(name, real, ARCHITECTURES[0])
    depots = [int(size) for size in re.findall(r"\.local .*?__local_depot\d+\[(\d+)\]", ptx)]
    assert max(depots, default=0) <= MAX_LOCAL_BYTES, f"{name}.cu, {real}: {depots} bytes"


def test_every_signature_has_a_kernel_but_for_those_of_the_cpu() -> None:
    kernels = [kernel for name in SOURCES for kernel in entries(compile_kernel(name, "float", ARCHITECTURES[0]))]
    assert sorted(kernels) == sorted(set(backend.SIGNATURES) - IMAGE_KERNELS)


def test_parameter_names_are_those_of_the_sources() -> None:
    for name, path in SOURCES.items():
        for kernel, parameters in re.findall(r"^KERNEL\((\w+)\)\s*\((.*?)\)\s*\{", path.read_text(), re.DOTALL | re.M):
            names = tuple(re.findall(r"(\w+)\s*(?:,|$)", re.sub(r"\s+", " ", parameters)))
            assert names == tuple(parameter for parameter, _ in backend.SIGNATURES[kernel]), f"{kernel} in {name}.cu"


def test_a_wrong_source_is_noticed() -> None:
    ptx, log = compile_ptx('extern "C" __global__ void f(float* x) { x[0] = y; }', "wrong.cu", ())
    assert ptx is None
    assert "y" in log
    ptx, _ = compile_ptx('extern "C" __global__ void f(float* x, int n, double r) { x[n] = r; }', "right.cu", ())
    assert ptx is not None
    assert {k: tuple(p.replace("s32", "u32") for p in v) for k, v in entries(ptx).items()} == {
        "f": ("u64", "u32", "f64")
    }
