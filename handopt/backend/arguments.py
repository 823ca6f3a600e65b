"""The checks of an op's arguments, before a kernel that trusts them is launched."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from handopt.backend.devices import CPU, Array, Device, device_of, namespace, using
from handopt.errors import ShapeError

REAL_TYPES = (np.dtype(np.float32), np.dtype(np.float64))
_INT32 = np.dtype(np.int32)
_vouched: ContextVar[bool] = ContextVar("vouched", default=False)


@contextmanager
def known_indices() -> Iterator[None]:
    """Look at no values of index arrays meanwhile: they are a rig's, and were looked at before. Shapes are checked.

    Other threads look at those that they are given.
    """
    before = _vouched.set(True)
    try:
        yield
    finally:
        _vouched.reset(before)


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
        if array.dtype not in REAL_TYPES:
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
        return isinstance(array, np.ndarray) and not _vouched.get()

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
            if self.device is CPU:
                return array
        device = device_of(array)
        if self.device is None:
            self.device, self._first = device, name
        elif device != self.device:
            raise ShapeError(f"{name}: is on {device}, but {self._first} is on {self.device}")
        return array
