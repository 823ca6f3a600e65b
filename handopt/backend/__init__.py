"""Arrays, argument checks and kernel launches on the CPU and on CUDA. The only file that imports cupy."""

import ctypes
import hashlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handopt.assets import package_folder
from handopt.backend.signatures import SIGNATURES
from handopt.errors import DeviceError, KernelError, ShapeError, how_to_install

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

# A numpy.ndarray or a cupy.ndarray.
Array = Any

LIBRARY_VARIABLE = "HANDOPT_LIBRARY"
CUDA_BLOCK = 128
SPIN_COUNT = "10000"
CUDA_MAX_BLOCKS = 65535
_BYTE = ctypes.c_char
_INT32 = np.dtype(np.int32)
# By dtype: the suffix of a CPU kernel's name, and the type that NVRTC is told
_SUFFIX = {np.dtype(np.float32): "_f32", np.dtype(np.float64): "_f64"}
_CUDA_REAL = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


# ---------------------------------------------------------------------------------------------- devices


@dataclass(frozen=True)
class Device:
    """A place to compute: kind 'cpu' or 'cuda', and the GPU's index."""

    kind: str
    index: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"cuda:{self.index}"


_CPU = Device("cpu")


@cache
def cuda_problem() -> str | None:
    """Why CUDA cannot be used here, or None if it can."""
    if importlib.util.find_spec("cupy") is None:
        return f"CuPy is not installed: to match the driver, {how_to_install('cuda12x')}, or with cuda13x"
    try:
        import cupy

        if not cupy.cuda.is_available():
            return "CuPy is installed but finds no usable NVIDIA GPU or driver"
        cupy.arange(2, dtype=np.float32).sum()  # compiles: needs the CUDA toolkit as well as the driver
    except Exception as error:
        return f"CuPy is installed but does not work (it needs the CUDA toolkit or its [ctk] extra): {error}"
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
    if name != "auto" and (kind != "cuda" or (index and not index.isdigit())):
        raise DeviceError(f"--device {name!r} is not known; use auto, cpu, cuda or cuda:N")
    problem = cuda_problem()
    if problem is not None:
        raise DeviceError(f"--device {name} cannot be used: {problem}. Use --device cpu")
    import cupy

    count = cupy.cuda.runtime.getDeviceCount()
    if index and int(index) >= count:
        raise DeviceError(f"--device {name} does not exist: this machine has cuda:0 to cuda:{count - 1}")
    return Device("cuda", int(index or 0))


def device_of(array: Array) -> Device:
    """The device that holds an array."""
    return _CPU if isinstance(array, np.ndarray) else Device("cuda", int(array.device.id))


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
    """Make a GPU the current one, so that new arrays are made on it; nothing to do for the CPU."""
    if device.kind == "cpu":
        yield
        return
    import cupy

    with cupy.cuda.Device(device.index):
        yield


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


# ------------------------------------------------------------------------------------ argument checks


_vouched: list[None] = []


@contextmanager
def known_indices() -> Iterator[None]:
    """Look at no values of index arrays meanwhile: they are a rig's, and were looked at before. Shapes are checked."""
    _vouched.append(None)
    try:
        yield
    finally:
        _vouched.pop()


@dataclass
class Arguments:
    """Checks the arrays of one call: dtype, shape, memory layout, and that they share a device and a real type.

    Sizes are bound to names as they are met: `real("rest", rest, ("V", 3))` sets or checks `size["V"]`.
    """

    size: dict[str, int] = field(default_factory=dict)
    dtype: np.dtype[Any] | None = None
    device: Device | None = None
    _first: str = ""

    def real(self, name: str, array: Array, shape: tuple[int | str, ...]) -> Array:
        """An array of float32 or float64, the same for all arguments of the call."""
        self._array(name, array, "float32 or float64")
        if array.dtype not in _SUFFIX:
            raise ShapeError(f"{name}: expected float32 or float64, got {array.dtype}")
        if self.dtype is None:
            self.dtype = array.dtype
        elif array.dtype != self.dtype:
            raise ShapeError(f"{name}: expected {self.dtype} as in the other arguments, got {array.dtype}")
        return self._check(name, array, shape)

    def whole(
        self, name: str, array: Array, shape: tuple[int | str, ...], *, below: str = "", lowest: int = 0
    ) -> Array:
        """An int32 array; on the CPU its values must lie in lowest..size[below] - 1."""
        self._array(name, array, "int32")
        if array.dtype != _INT32:
            raise ShapeError(f"{name}: expected int32, got {array.dtype}")
        self._check(name, array, shape)
        if below and array.size and self.scans(array):
            smallest, largest = int(array.min()), int(array.max())
            if smallest < lowest or largest >= self.size[below]:
                raise ShapeError(
                    f"{name}: expected values in {lowest}..{self.size[below] - 1}, got {smallest}..{largest}"
                )
        return array

    @staticmethod
    def scans(array: Array) -> bool:
        """Whether the values of an index array are looked at: on the CPU, unless the caller vouches for them."""
        return not _vouched and isinstance(array, np.ndarray)

    def output(self, name: str, array: Array, shape: tuple[int | str, ...]) -> Array:
        """An array of the call's real type that a kernel may write to."""
        self.real(name, array, shape)
        if isinstance(array, np.ndarray) and not array.flags.writeable:
            raise ShapeError(f"{name}: expected an array that can be written to")
        return array

    def empty(self, *shape: int, dtype: Any = None) -> Array:
        """An uninitialised array on the call's device, of the call's real type unless told otherwise."""
        return self._new("empty", shape, dtype)

    def zeros(self, *shape: int, dtype: Any = None) -> Array:
        """An array of zeros on the call's device, of the call's real type unless told otherwise."""
        return self._new("zeros", shape, dtype)

    def _new(self, kind: str, shape: tuple[int, ...], dtype: Any) -> Array:
        assert self.device is not None
        if self.device.kind == "cpu":
            return getattr(np, kind)(shape, dtype or self.dtype)
        with using(self.device):
            return getattr(namespace(self.device), kind)(shape, dtype or self.dtype)

    def _array(self, name: str, array: Array, expected: str) -> None:
        if not (isinstance(array, np.ndarray) or hasattr(array, "__cuda_array_interface__")):
            raise ShapeError(f"{name}: expected a numpy or cupy array of {expected}, got {type(array).__name__}")

    def _check(self, name: str, array: Array, shape: tuple[Any, ...]) -> Array:
        size = self.size
        fits = len(array.shape) == len(shape)
        if fits:
            for wanted, actual in zip(shape, array.shape, strict=True):
                if actual != (size.setdefault(wanted, actual) if wanted.__class__ is str else wanted):
                    fits = False
        if not fits:
            sizes = ", ".join(f"{w}={size[w]}" if w in size else str(w) for w in shape)
            raise ShapeError(f"{name}: expected shape ({sizes}), got {tuple(array.shape)}")
        flags = array.flags
        if not flags.c_contiguous:
            raise ShapeError(f"{name}: expected a C-contiguous array; pass numpy.ascontiguousarray({name})")
        if isinstance(array, np.ndarray):
            if not flags.aligned:
                raise ShapeError(f"{name}: expected an aligned array; pass {name}.copy()")
            if self.device is _CPU:
                return array
        device = device_of(array)
        if self.device is None:
            self.device, self._first = device, name
        elif device != self.device:
            raise ShapeError(f"{name}: is on {device}, but {self._first} is on {self.device}")
        return array


# ------------------------------------------------------------------------------------------- launching


def launch(kernel: str, items: int, *arguments: Any) -> None:
    """Run a kernel on the device and in the precision of its arrays.

    items: how many threads a GPU is asked for; arguments: arrays and numbers in the order of SIGNATURES[kernel].
    The caller has checked the arguments.
    """
    first = arguments[0]
    if isinstance(first, np.ndarray):
        function = _cpu_function(kernel, first.dtype)
        function(*[_address(a) if isinstance(a, np.ndarray) else a for a in arguments])
        return
    if items > 0:
        _launch_cuda(kernel, items, arguments)


def _address(array: np.ndarray[Any, Any]) -> int:
    """Where an array's data lies: the quick way for arrays that can be written, numpy's own for the others."""
    try:
        return ctypes.addressof(_BYTE.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return array.ctypes.data


def schedule(array: Array) -> str:
    """'image' where one thread runs a whole image in order, 'grid' where items of an image run on many threads."""
    return library().schedule if isinstance(array, np.ndarray) else "grid"


@dataclass(frozen=True)
class Library:
    """The compiled CPU kernels."""

    handle: ctypes.CDLL
    path: Path
    schedule: str


def library_problem() -> str | None:
    """Why the CPU kernels cannot be used, or None if they can."""
    try:
        library()
    except KernelError as error:
        return str(error)
    return None


def cpu_threads() -> int:
    """How many threads the CPU kernels use; 0 if they were built without OpenMP."""
    return int(library().handle.handopt_threads())


def set_cpu_threads(count: int) -> None:
    """Set how many threads the CPU kernels use. Results do not depend on it."""
    library().handle.handopt_set_threads(max(1, count))


@contextmanager
def one_cpu_thread() -> Iterator[None]:
    """Run CPU kernels and BLAS on one thread meanwhile: for many short launches, which cost less than waking others.

    What BLAS rounds depends on how many threads it has; so it is the same everywhere.
    """
    threads = cpu_threads()
    set_cpu_threads(1)
    try:
        with _thread_pools().limit(limits=1, user_api="blas"):
            yield
    finally:
        set_cpu_threads(threads)


@cache
def _thread_pools() -> "ThreadpoolController":
    """The thread pools of the libraries that are loaded, SciPy's linear algebra among them."""
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@cache
def library() -> Library:
    """Load the compiled CPU kernels. Raises KernelError where they are missing or stale."""
    override = os.environ.get(LIBRARY_VARIABLE)
    candidates = [Path(override)] if override else _library_candidates()
    path = next((p for p in candidates if p.is_file()), None)
    if path is None:
        raise KernelError(
            "the compiled CPU kernels are missing: install handopt with 'pip install .' (a C++17 compiler is needed, "
            "for example 'apt install g++'); running from a source folder that is not installed does not work"
        )
    # Waiting threads spin for less than a millisecond, enough to bridge the gap between two ops, and then sleep:
    # libgomp's own default spins so long that everybody stalls where processes share the cores.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    try:
        handle = ctypes.CDLL(str(path))
    except OSError as error:
        raise KernelError(f"{path} cannot be loaded ({error}); run 'pip install --force-reinstall .'") from error
    try:
        for name in ("handopt_source_hash", "handopt_schedule"):
            getattr(handle, name).restype = ctypes.c_char_p
    except AttributeError as error:
        raise KernelError(f"{path} is not handopt's library of kernels; check {LIBRARY_VARIABLE}") from error
    if handle.handopt_source_hash().decode() != source_hash():
        raise KernelError(
            f"{path} was compiled from other kernel sources than those in {kernel_folder()}; "
            "run 'pip install .' (or 'pip install -e .') again"
        )
    handle.handopt_keep_freed_memory()
    return Library(handle, path, handle.handopt_schedule().decode())


def _library_candidates() -> list[Path]:
    folder = files("handopt")
    return [Path(str(folder.joinpath(f"libhandopt_kernels{suffix}"))) for suffix in (".so", ".dylib")]


@cache
def _cpu_function(kernel: str, real: np.dtype[Any]) -> Any:
    function = getattr(library().handle, kernel + _SUFFIX[real])
    scalar = ctypes.c_float if real == np.float32 else ctypes.c_double
    types = {"r": scalar, "i": ctypes.c_int}
    function.argtypes = [types.get(kind, ctypes.c_void_p) for _, kind in SIGNATURES[kernel]]
    function.restype = None
    return function


# ------------------------------------------------------------------------------------------------ CUDA


@cache
def kernel_folder() -> Path:
    """The folder of the kernel sources."""
    return package_folder("kernels")


@cache
def source_hash() -> str:
    """A hash of all kernel sources, the same as the build bakes into the library."""
    files = sorted(p for p in kernel_folder().iterdir() if p.suffix in (".cu", ".h", ".cpp"))
    lines = "".join(f"{p.name}:{hashlib.sha256(p.read_bytes()).hexdigest()}\n" for p in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def cuda_sources() -> dict[str, Path]:
    """The kernel files by name."""
    return {path.stem: path for path in sorted(kernel_folder().glob("*.cu"))}


def nvrtc_options(real: str) -> tuple[str, ...]:
    """The options that NVRTC compiles with. real: 'float' or 'double'. The hash keeps CuPy's cache from going stale."""
    return ("-std=c++17", f"-DREAL={real}", f"-DSOURCE_HASH={source_hash()}", f"-I{kernel_folder()}")


def _launch_cuda(kernel: str, items: int, arguments: tuple[Any, ...]) -> None:
    import cupy

    dtype = arguments[0].dtype
    scalars = {"r": dtype.type, "i": np.int32}
    packed = tuple(
        scalars[kind](argument) if kind in scalars else argument
        for argument, (_, kind) in zip(arguments, SIGNATURES[kernel], strict=True)
    )
    blocks = min(-(-items // CUDA_BLOCK), CUDA_MAX_BLOCKS)
    with cupy.cuda.Device(arguments[0].device.id):
        _cuda_function(kernel, dtype)((blocks,), (CUDA_BLOCK,), packed)


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
