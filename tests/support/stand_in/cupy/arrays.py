"""The arrays of the stand-in for CuPy."""

from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
from cupy.counting import COUNTS, launched, missing, refused, synchronised
from cupy.streams import copied, get_current_stream

SCALARS = (bool, int, float, np.generic)
BINARY = "add sub mul truediv floordiv mod pow and or xor"
COMPARED = "lt le gt ge eq ne neg pos abs invert"


def host(value: Any, what: str) -> Any:
    """The values of an operand: an array of the device, or a number."""
    if isinstance(value, ndarray):
        return value.values
    return value if isinstance(value, SCALARS) else refused(what, value)


class ndarray:
    """An array that only this module looks into."""

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: Any) -> None:
        self.values = values

    dtype = property(lambda self: self.values.dtype)
    shape = property(lambda self: self.values.shape)
    ndim = property(lambda self: self.values.ndim)
    size = property(lambda self: self.values.size)
    nbytes = property(lambda self: self.values.nbytes)
    strides = property(lambda self: self.values.strides)
    flags = property(lambda self: self.values.flags)
    device = property(lambda _self: SimpleNamespace(id=0))
    T = property(lambda self: ndarray(self.values.T))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"version": 3, "shape": self.shape, "typestr": self.dtype.str, "data": (self.address, False)}

    @property
    def address(self) -> int:
        return int(self.values.__array_interface__["data"][0])

    def __array__(self, *_arguments: Any, **_options: Any) -> NoReturn:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` instead.")

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or any(isinstance(each, np.ndarray) and each.ndim for each in inputs):
            raise TypeError(f"numpy.{function.__name__} of a NumPy and a CuPy array")
        return elementwise(function.__name__)(*inputs, **options)

    def __array_function__(self, function: Any, _types: Any, _arguments: Any, _options: Any) -> NoReturn:
        raise TypeError(f"numpy.{function.__name__} of a CuPy array: call cupy's own")

    def __getattr__(self, name: str) -> NoReturn:
        raise missing(f".{name}", f"ndarray.{name}")

    # Copies to the host, for which it waits.
    def get(self) -> Any:
        COUNTS["copies to host"] += 1
        synchronised("get")
        return self.values.copy()

    def set(self, values: Any, stream: Any = None) -> None:
        """Copy from the host on a stream."""
        if not isinstance(values, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if values.dtype != self.dtype or values.shape != self.shape:
            raise ValueError(f"{values.dtype} {values.shape} cannot be set to {self.dtype} {self.shape}")
        if not self.flags.c_contiguous:
            raise RuntimeError("Cannot set to non-contiguous array")
        copied(np.ascontiguousarray(values), self.values, stream or get_current_stream())

    def item(self) -> Any:
        synchronised("item")
        return self.values.item()

    def tolist(self) -> Any:
        synchronised("tolist")
        return self.values.tolist()

    def __bool__(self) -> bool:
        synchronised("bool")
        return bool(self.values)

    def __int__(self) -> int:
        synchronised("int")
        return int(self.values)

    def __float__(self) -> float:
        synchronised("float")
        return float(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Any:
        return (self[row] for row in range(len(self)))

    # Views, and what copies on the device.
    def __getitem__(self, key: Any) -> "ndarray":
        keys, copied = _indices(key)
        if copied:
            launched("take")
        if copied:
            return ndarray(np.asarray(self.values[keys]))
        return ndarray(self.values[keys if Ellipsis in keys else (*keys, Ellipsis)])  # a number becomes a view too

    def __setitem__(self, key: Any, value: Any) -> None:
        keys, _ = _indices(key)
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        launched("setitem")
        self.values[keys] = host(value, "setitem")

    def copy(self) -> "ndarray":
        launched("copy")
        return ndarray(self.values.copy())

    def astype(self, dtype: Any, copy: bool = True) -> "ndarray":
        if not copy and self.dtype == dtype:
            return self
        launched("astype")
        return ndarray(self.values.astype(dtype))

    def reshape(self, *shape: Any) -> "ndarray":
        changed = self.values.reshape(*shape)
        if not np.shares_memory(changed, self.values) and changed.size:
            launched("copy")
        return ndarray(changed)

    def ravel(self) -> "ndarray":
        return self.reshape(-1)

    def transpose(self, *axes: Any) -> "ndarray":
        return ndarray(self.values.transpose(*axes))

    def swapaxes(self, first: int, second: int) -> "ndarray":
        return ndarray(self.values.swapaxes(first, second))

    def fill(self, value: Any) -> None:
        launched("fill")
        self.values.fill(host(value, "fill"))

    def clip(self, low: Any = None, high: Any = None, out: "ndarray | None" = None) -> "ndarray":
        launched("clip")
        bounds = [None if each is None else host(each, "clip") for each in (low, high)]
        clipped = np.asarray(self.values.clip(*bounds))
        if out is None:
            return ndarray(clipped)
        out.values[...] = clipped
        return out

    @staticmethod
    def _times(first: Any, second: Any) -> "ndarray":
        given = [each.values if isinstance(each, ndarray) else refused("matmul", each) for each in (first, second)]
        launched("matmul")
        return ndarray(np.matmul(*given))

    def __matmul__(self, other: Any) -> "ndarray":
        return self._times(self, other)

    def __rmatmul__(self, other: Any) -> "ndarray":
        return self._times(other, self)


def _indices(key: Any) -> tuple[tuple[Any, ...], bool]:
    """An index for NumPy, and whether values are gathered."""
    keys, copied = [], False
    for each in key if isinstance(key, tuple) else (key,):
        if isinstance(each, ndarray):
            if each.dtype == bool:
                synchronised("boolean index")
            keys.append(each.values)
            copied = True
        elif isinstance(each, list | np.ndarray):
            COUNTS["copies to device"] += 1
            keys.append(np.asarray(each))
            copied = True
        else:
            keys.append(each)
    return tuple(keys), copied


def _operator(name: str, in_place: bool) -> Any:
    def call(self: ndarray, *others: Any) -> Any:
        if any(isinstance(each, np.ndarray) for each in others):
            refused(name, others[0])
        if not all(isinstance(each, (ndarray, *SCALARS)) for each in others):
            return NotImplemented
        launched(name.strip("_"))
        result = getattr(self.values, name)(*(host(each, name) for each in others))
        return self if in_place else ndarray(np.asarray(result))

    return call


for _name in BINARY.split():
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__", in_place=False))
    setattr(ndarray, f"__r{_name}__", _operator(f"__r{_name}__", in_place=False))
    setattr(ndarray, f"__i{_name}__", _operator(f"__i{_name}__", in_place=True))
for _name in COMPARED.split():
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__", in_place=False))


def reduction(name: str) -> Any:
    def call(self: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> ndarray:
        if not isinstance(self, ndarray):
            refused(name, self)
        launched(name)
        options = {"dtype": dtype} if dtype is not None else {}
        return ndarray(np.asarray(getattr(self.values, name)(axis=axis, keepdims=keepdims, **options)))

    return call


def along(name: str) -> Any:
    def call(self: Any, axis: Any = -1 if name == "argsort" else None) -> ndarray:
        if not isinstance(self, ndarray):
            refused(name, self)
        launched(name)
        return ndarray(np.asarray(getattr(self.values, name)(axis=axis)))

    return call


for _name in ("sum", "mean", "prod", "any", "all", "min", "max"):
    setattr(ndarray, _name, reduction(_name))
for _name in ("argmin", "argmax", "argsort", "cumsum"):
    setattr(ndarray, _name, along(_name))


def elementwise(name: str) -> Any:
    def call(*operands: Any, out: Any = None) -> ndarray:
        if not [each for each in operands if isinstance(each, ndarray)]:
            refused(name, operands[0])
        launched(name)
        result = getattr(np, name)(*(host(each, name) for each in operands))
        if out is None:
            return ndarray(np.asarray(result))
        given = out[0] if isinstance(out, tuple) else out
        given.values[...] = result
        return given

    return call
