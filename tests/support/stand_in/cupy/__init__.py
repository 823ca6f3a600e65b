"""A strict stand-in for CuPy without a GPU: kernels run in the GPU's schedule, compiled for the CPU with one thread.

It is no GPU: it shows that the host code does only what CuPy allows, and that the kernels' grid schedule is right; it
shows no races and no times. Like CuPy it refuses implicit conversions to NumPy, NumPy operands, and kernel scalars
without a type. A name that CuPy 13.6 or 14 lacks is an AttributeError, one that is not needed yet a
NotImplementedError. COUNTS has the launches, synchronisations and copies since it was cleared; a graph is one launch.
New memory holds NaN. Copies from page-locked memory run when somebody waits for them: see streams.py. While a stream is
captured kernels are kept and nothing else is allowed.
HANDOPT_STAND_IN names the library (CMake: HANDOPT_EMULATE_CUDA).
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
from cupy.arrays import along, elementwise, host, ndarray, reduction
from cupy.counting import COUNTS, launched, missing, not_captured, refused, synchronised
from cupy.devices import RawModule, cuda

__all__ = ["COUNTS", "RawModule", "cuda", "ndarray"]
__version__ = "14.0.1"
GARBAGE = {"f": np.nan, "i": -(2**30), "u": 2**60, "b": False}
"""What new memory holds, by kind of numbers."""
ELEMENTWISE = (
    "abs add arccos arcsin arctan2 cos divide equal exp floor greater isfinite isinf isnan less log logical_and "
    "logical_not logical_or maximum minimum multiply negative rint sign sin sqrt square subtract tan true_divide"
)

float32, float64, int32, int64, uint64, bool_ = np.float32, np.float64, np.int32, np.int64, np.uint64, np.bool_
pi, inf, nan, newaxis = np.pi, np.inf, np.nan, None

for _name in ELEMENTWISE.split():
    globals()[_name] = elementwise(_name)
for _name in ("sum", "mean", "prod", "any", "all", "min", "max"):
    globals()[_name] = reduction(_name)
for _name in ("argmin", "argmax", "argsort", "cumsum"):
    globals()[_name] = along(_name)


def matmul(first: Any, second: Any) -> ndarray:
    """The product of two arrays of the device."""
    return ndarray._times(first, second)


def where(condition: Any, one: Any = None, other: Any = None) -> Any:
    """The elements of two arrays, or where a condition holds, for which it waits."""
    if not isinstance(condition, ndarray):
        refused("where", condition)
    if one is None:
        synchronised("where")
        return tuple(ndarray(each) for each in np.nonzero(condition.values))
    launched("where")
    return ndarray(np.where(condition.values, host(one, "where"), host(other, "where")))


def _joined(name: str) -> Any:
    def call(arrays: Any, axis: int = 0) -> ndarray:
        given = [each.values if isinstance(each, ndarray) else refused(name, each) for each in arrays]
        launched(name, len(given))
        return ndarray(getattr(np, name)(given, axis))

    return call


concatenate, stack = _joined("concatenate"), _joined("stack")


def asarray(values: Any, dtype: Any = None) -> ndarray:
    """Copy values to the device, unless they are there."""
    if isinstance(values, ndarray):
        return values if dtype is None else values.astype(dtype, copy=False)
    if isinstance(values, list | tuple) and [each for each in values if isinstance(each, ndarray)]:
        return stack(values).astype(dtype or values[0].dtype, copy=False)
    not_captured("asarray")
    COUNTS["copies to device"] += 1
    array = np.array(values, dtype)
    if array.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {array.dtype}")
    return ndarray(array)


array = asarray


def ascontiguousarray(values: Any, dtype: Any = None) -> ndarray:
    """As asarray, with rows one after the other."""
    given = asarray(values, dtype)
    if not given.flags.c_contiguous:
        launched("ascontiguousarray")
        return ndarray(np.ascontiguousarray(given.values))
    return given


def empty(shape: Any, dtype: Any = float) -> ndarray:
    """New memory, which holds NaN, or a number that is no index."""
    not_captured("empty")
    return ndarray(np.full(shape, GARBAGE[np.dtype(dtype).kind], dtype))


def _filled(name: str) -> Any:
    def call(shape: Any, *value: Any, dtype: Any = float if name != "full" else None) -> ndarray:
        numbers = [host(each, name) for each in value[: name == "full"]]
        launched(name)
        return ndarray(getattr(np, name)(shape, *numbers, dtype=value[-1] if len(value) > len(numbers) else dtype))

    return call


zeros, ones, full = _filled("zeros"), _filled("ones"), _filled("full")


def _like(name: str) -> Any:
    def call(like: ndarray, *value: Any, dtype: Any = None) -> ndarray:
        launched(name)
        return ndarray(getattr(np, name)(like.values, *(host(each, name) for each in value), dtype=dtype))

    return call


zeros_like, ones_like, full_like = _like("zeros_like"), _like("ones_like"), _like("full_like")


def empty_like(like: ndarray, dtype: Any = None) -> ndarray:
    """New memory as that of another array."""
    return empty(like.shape, dtype or like.dtype)


def arange(*bounds: Any, dtype: Any = None) -> ndarray:
    """Numbers in a row."""
    launched("arange")
    return ndarray(np.arange(*bounds, dtype=dtype))


def eye(size: int, dtype: Any = float) -> ndarray:
    """The unit matrix."""
    launched("eye", 2)
    return ndarray(np.eye(size, dtype=dtype))


def _of_arrays(name: str, launches: int) -> Any:
    def call(*given: Any, **options: Any) -> ndarray:
        arrays = [each.values if isinstance(each, ndarray) else each for each in given]
        if [each for each in given if isinstance(each, np.ndarray)]:
            refused(name, given[0])
        launched(name, launches)
        return ndarray(np.asarray(getattr(np, name)(*arrays, **options)))

    return call


repeat, pad, clip = (_of_arrays(name, 1) for name in ("repeat", "pad", "clip"))
einsum, trace = _of_arrays("einsum", 4), _of_arrays("trace", 2)


def broadcast_to(given: ndarray, shape: Any) -> ndarray:
    """A view of another shape."""
    return ndarray(np.broadcast_to(given.values, shape))


def asnumpy(given: Any) -> Any:
    """Copy to the host."""
    return given.get() if isinstance(given, ndarray) else np.asarray(given)


def _norm(given: ndarray, axis: Any = None, keepdims: bool = False) -> ndarray:
    launched("norm", 2)
    return ndarray(np.asarray(np.linalg.norm(given.values, axis=axis, keepdims=keepdims)))


linalg = SimpleNamespace(norm=_norm)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise missing(name, f"cupy.{name}")
