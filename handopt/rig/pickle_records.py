"""What stands for an object of a pickle while it is read without executing it, and the array that it means."""

import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SHORT: Final = 1024
"""Bytes of a string of Python 2 that is read as text; longer ones are the numbers of an array and stay bytes."""
_MOST_ENTRIES: Final = 10_000_000  # of a joint regressor, as a dense matrix
_MOST_CHOSEN: Final = 16_000_000  # all shape directions of SMPL-X have 12.6 million
_MOST_SELECTIONS: Final = 8  # of selections; MANO's files have one
_NUMBER = re.compile(r"[<>|=]?[fiub][1248]$")


class Record:
    """An object of the pickle as data: which kind it is, the arguments of its making, and its state."""

    __slots__ = ("arguments", "kind", "state")

    def __init__(self, kind: str, arguments: tuple[Any, ...]) -> None:
        self.kind, self.arguments = kind, arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        """Called by the pickle; keeps the state."""
        self.state = state

    def array(self) -> Any:
        """The array that the record stands for, None where it is no array. Raises ValueError, TypeError and others."""
        if self.kind == "array":
            return self._array()
        if self.kind == "scalar":
            return numbers_in(self.arguments[1], self.arguments[0])[0]
        if self.kind == "chumpy":
            return self._chumpy()
        return self._sparse() if self.kind in ("csc", "csr") else None

    def plain(self) -> NDArray[Any]:
        """The array of a record that holds plain numbers, which a record within another one must be."""
        if self.kind != "array":
            raise ValueError(f"a {self.kind} where an array is expected")
        return np.asarray(self._array())

    def _array(self) -> Any:
        _, shape, dtype, is_fortran, content = self.state
        if isinstance(content, list):  # an array of objects
            (entry,) = content
            return entry.array()
        return numbers_in(content, dtype).reshape([int(size) for size in shape], order="F" if is_fortran else "C")

    def _sparse(self) -> NDArray[np.float64]:
        """A compressed sparse matrix as a dense one."""
        state = self.state
        shape = tuple(int(size) for size in state.get("_shape", state.get("shape")))
        values, inner, starts = (state[name].plain() for name in ("data", "indices", "indptr"))
        by_column = self.kind == "csc"
        if len(shape) != 2 or min(shape) < 1 or shape[0] * shape[1] > _MOST_ENTRIES:
            raise ValueError(f"a sparse matrix of shape {shape}")
        if max(len(values), len(starts)) > _MOST_ENTRIES:
            raise ValueError(f"a sparse matrix of {len(values)} entries")
        counts = np.diff(starts)
        if len(counts) != shape[by_column] or counts.min() < 0 or not counts.sum() == len(values) == len(inner):
            raise ValueError("a sparse matrix whose parts differ in length")
        outer = np.repeat(np.arange(len(counts)), counts)
        dense = np.zeros(shape)
        np.add.at(dense, (inner, outer) if by_column else (outer, inner), values)
        return dense

    def _chumpy(self) -> NDArray[Any]:
        """A chumpy array: Ch holds its values as x; Select takes the entries idxs of a, which may be one itself."""
        selections: list[dict[str, Any]] = []
        inner: Record = self
        total = 0
        while inner.kind == "chumpy" and "x" not in inner.state:
            selections.append(inner.state)
            total += len(inner.state["idxs"].plain())
            if total > _MOST_CHOSEN or len(selections) > _MOST_SELECTIONS:
                raise ValueError(f"selections of over {_MOST_CHOSEN} entries, or over {_MOST_SELECTIONS} nested")
            inner = inner.state["a"]
        chosen = np.asarray((inner.state["x"] if inner.kind == "chumpy" else inner).array())
        for state in reversed(selections):
            chosen = chosen.ravel()[state["idxs"].plain()]
            shape = state.get("preferred_shape")
            chosen = np.reshape(chosen, chosen.shape if shape is None else [int(size) for size in shape])
        return chosen


def numbers_in(content: Any, dtype: Any) -> NDArray[Any]:
    """The numbers (N,) in the bytes of an array, whose type is a record of numpy.dtype."""
    name = dtype.arguments[0]
    if not isinstance(name, str) or not _NUMBER.match(name):
        raise ValueError("an array of something other than numbers")
    order: Any = dtype.state[1] if isinstance(dtype.state, tuple) else "|"
    raw = content.encode("latin1") if isinstance(content, str) and len(content) <= SHORT else content
    if not isinstance(raw, bytes):
        raise ValueError(f"an array whose numbers are in a {type(raw).__name__}")
    kind = np.dtype(name)
    return np.frombuffer(raw, kind.newbyteorder(order) if order in ("<", ">") else kind)
