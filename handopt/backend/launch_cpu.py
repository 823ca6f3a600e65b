"""The compiled CPU kernels: loading the library, its threads, and calls by ctypes."""

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handopt.backend.signatures import SIGNATURES
from handopt.backend.sources import kernel_folder, source_hash
from handopt.errors import KernelError

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController, threadpool_limits

LIBRARY_VARIABLE = "HANDOPT_LIBRARY"
LEVEL_VARIABLE = "HANDOPT_LEVEL"
"""Which of the kernels that the processor can run are taken: base, v3 or v4 (x86-64-v4); by default the highest."""
SPIN_COUNT = "10000"
_BYTE = ctypes.c_char
# The suffix of a CPU kernel's name by real type
_SUFFIX = {np.dtype(np.float32): "_f32", np.dtype(np.float64): "_f64"}


@dataclass(frozen=True)
class Library:
    """The compiled CPU kernels."""

    handle: ctypes.CDLL
    path: Path
    schedule: str
    level: str
    """What the names of the kernels that suit this processor end in."""
    compiler: str


class _PoseThreads(threading.local):
    """How many threads each thread of Python may compute poses with; the last one counts."""

    def __init__(self) -> None:
        self.counts: list[int] = []


@dataclass
class _OneBlasThread:
    """Keeps BLAS at one thread for as long as any thread of Python needs that; it has one setting for all of them."""

    users: int = 0
    before: "dict[bool, threadpool_limits]" = field(default_factory=dict)
    """What the threads were, by whether SciPy's linear algebra was loaded, which may happen meanwhile."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self) -> None:
        """A thread of Python needs it from now on."""
        with self.lock:
            _take_blas_over()
            with_scipy = "scipy.linalg" in sys.modules
            self.before.setdefault(with_scipy, _blas(with_scipy).limit(limits=1))
            self.users += 1

    def leave(self) -> None:
        """It needs it no more."""
        with self.lock:
            self.users -= 1
            if self.users == 0 and self.before:
                _take_blas_over()
                for limits in reversed(self.before.values()):
                    limits.restore_original_limits()
                self.before.clear()


_pose_threads = _PoseThreads()
_one_blas_thread = _OneBlasThread()


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
    """Set how many threads the CPU kernels use that this thread of Python calls. Results do not depend on it."""
    library().handle.handopt_set_threads(max(1, count))


@contextmanager
def some_cpu_threads(count: int) -> Iterator[None]:
    """Run CPU kernels on so many threads meanwhile; BLAS stays as it is."""
    threads = cpu_threads()
    set_cpu_threads(count)
    try:
        yield
    finally:
        set_cpu_threads(threads)


@contextmanager
def one_cpu_thread(*, poses_side_by_side: bool = False) -> Iterator[None]:
    """Run CPU kernels and BLAS on one thread meanwhile: for many short launches, which cost less than waking others.

    poses_side_by_side: let launches that compute many poses (handopt.ops.minimise_poses) use all threads all the same.
    What BLAS rounds depends on how many threads it has; so it is the same everywhere.
    """
    threads = cpu_threads()
    set_cpu_threads(1)
    is_first = not _pose_threads.counts
    if is_first:
        _one_blas_thread.enter()
    _pose_threads.counts.append(max(1, threads) if poses_side_by_side else 1)
    try:
        yield
    finally:
        _pose_threads.counts.pop()
        if is_first:
            _one_blas_thread.leave()
        set_cpu_threads(threads)


def threads_for_poses() -> int:
    """How many threads may compute poses side by side."""
    return _pose_threads.counts[-1] if _pose_threads.counts else max(1, cpu_threads())


@cache
def _blas(with_scipy: bool) -> "ThreadpoolController":
    """The thread pools of BLAS that are loaded. with_scipy: whether SciPy's linear algebra, with one of its own, is."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def _take_blas_over() -> None:
    """Let this thread of Python set BLAS's threads: from 3.8 on threadpoolctl lets only one, until that gives it up."""
    import threadpoolctl

    give_up = getattr(getattr(threadpoolctl, "OpenBLASController", None), "clear_controlling_thread", None)
    if give_up is not None:
        give_up(force=True)


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
        for name in ("handopt_source_hash", "handopt_schedule", "handopt_level", "handopt_compiler"):
            getattr(handle, name).restype = ctypes.c_char_p
    except AttributeError as error:
        raise KernelError(f"{path} is not handopt's library of kernels; check {LIBRARY_VARIABLE}") from error
    if handle.handopt_source_hash().decode() != source_hash():
        raise KernelError(
            f"{path} was compiled from other kernel sources than those in {kernel_folder()}; "
            "run 'pip install .' (or 'pip install -e .') again"
        )
    handle.handopt_keep_freed_memory()
    level = _level_asked_for(handle.handopt_level().decode())
    return Library(handle, path, handle.handopt_schedule().decode(), level, handle.handopt_compiler().decode())


def _level_asked_for(highest: str) -> str:
    """What the names of the kernels end in. highest: what suits the processor. Raises KernelError."""
    asked = os.environ.get(LEVEL_VARIABLE)
    if not asked:
        return highest
    levels = {"base": "", "v3": "_v3", "v4": "_v4"}
    can = [name for name, suffix in levels.items() if suffix <= highest]
    if asked not in can:
        raise KernelError(f"{LEVEL_VARIABLE}={asked}: this library on this processor has {', '.join(can)}; unset it")
    return levels[asked]


def _library_candidates() -> list[Path]:
    folder = files("handopt")
    return [Path(str(folder.joinpath(f"libhandopt_kernels{suffix}"))) for suffix in (".so", ".dylib")]


@cache
def _cpu_function(kernel: str, real: np.dtype[Any]) -> Any:
    function = getattr(library().handle, kernel + _SUFFIX[real] + library().level)
    scalar = ctypes.c_float if real == np.float32 else ctypes.c_double
    types = {"r": scalar, "i": ctypes.c_int}
    function.argtypes = [types.get(kind, ctypes.c_void_p) for _, kind in SIGNATURES[kernel]]
    function.restype = None
    return function


def launch_cpu(kernel: str, arguments: tuple[Any, ...]) -> None:
    """Run a kernel on NumPy arrays, in the precision of the first."""
    function = _cpu_function(kernel, arguments[0].dtype)
    function(*[_address(a) if isinstance(a, np.ndarray) else a for a in arguments])


def _address(array: np.ndarray[Any, Any]) -> int:
    """Where an array's data lies: the quick way for arrays that can be written, numpy's own for the others."""
    try:
        return ctypes.addressof(_BYTE.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return array.ctypes.data
