"""Read the arrays of a pickle without executing anything of it.

A pickle is a program that may call whatever it names. This reader knows the few names that models of hands and bodies
need (arrays of NumPy, sparse matrices of SciPy, chumpy's Ch and Select), puts inert records in their place and turns
these into arrays itself; it refuses every other name. Neither NumPy, SciPy nor chumpy see the pickle.
"""

import os
import pickle
import re
import struct
from typing import IO, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from handopt.errors import RigError

_KNOWN: Final = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): "array" for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): "scalar" for core in ("core", "_core")},
    ("numpy", "ndarray"): "object",
    ("numpy", "dtype"): "dtype",
    **{
        (f"scipy.sparse.{under}{kind}", f"{kind}_{form}"): kind
        for under in ("", "_")
        for kind in ("csc", "csr")
        for form in ("matrix", "array")
    },
    ("chumpy.ch", "Ch"): "chumpy",
    ("chumpy.reordering", "Select"): "chumpy",
    **{(module, name): "object" for module in ("__builtin__", "builtins") for name in ("object", "set")},
    **{(module, "_reconstructor"): "reconstructor" for module in ("copy_reg", "copyreg")},
    **{(module, "bytes"): "bytes" for module in ("__builtin__", "builtins")},
    ("_codecs", "encode"): "encode",
}
_NUMBER = re.compile(r"[<>|=]?[fiub][1248]$")
_REFUSED_OPCODES = b"\x96\x97\x98\x82\x83\x84PQ"  # buffers, registries, persistent ids
_DAMAGED = (
    *(pickle.UnpicklingError, EOFError, KeyError, IndexError, ValueError, TypeError, AttributeError, AssertionError),
    *(MemoryError, RecursionError, OverflowError, struct.error),
)


def read_pickle(file: IO[bytes], where: str) -> Any:
    """The object in a pickle; arrays, matrices and numbers in it are records, which array_of turns into arrays.

    file: from where the pickle begins; where: what messages call it. Strings of Python 2 are read as latin1. Raises
    RigError for a pickle that is damaged or names anything but arrays.
    """
    try:
        return _Reader(file, where).load()
    except RigError:
        raise
    except _DAMAGED as error:
        raise RigError(f"{where}: the pickle is truncated, encrypted or damaged ({error}); copy it again") from error


def array_of(entry: Any, where: str) -> NDArray[Any] | None:
    """The array that an entry of a pickle stands for; None for anything else. Raises RigError where it is damaged."""
    if not isinstance(entry, _Record):
        return None
    try:
        values = entry.array()
    except _DAMAGED as error:
        raise RigError(f"{where}: an array of the pickle is damaged ({error})") from error
    return None if values is None else np.asarray(values)


class _Record:
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
            return _numbers(self.arguments[1], self.arguments[0])[0]
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
        return _numbers(content, dtype).reshape([int(size) for size in shape], order="F" if is_fortran else "C")

    def _sparse(self) -> NDArray[np.float64]:
        """A compressed sparse matrix as a dense one."""
        state = self.state
        shape = tuple(int(size) for size in state.get("_shape", state.get("shape")))
        values, inner, starts = (state[name].plain() for name in ("data", "indices", "indptr"))
        by_column = self.kind == "csc"
        if len(shape) != 2 or min(shape) < 1 or shape[0] * shape[1] > _MOST_ENTRIES:
            raise ValueError(f"a sparse matrix of shape {shape}")
        counts = np.diff(starts)
        if len(counts) != shape[by_column] or counts.min() < 0 or not counts.sum() == len(values) == len(inner):
            raise ValueError("a sparse matrix whose parts differ in length")
        outer = np.repeat(np.arange(len(counts)), counts)
        dense = np.zeros(shape)
        np.add.at(dense, (inner, outer) if by_column else (outer, inner), values)
        return dense

    def _chumpy(self) -> NDArray[Any]:
        """A chumpy array: Ch holds its values as x; Select takes the entries idxs of a."""
        state = self.state
        if "x" in state:
            return np.asarray(state["x"].array())
        chosen = np.asarray(state["a"].array()).ravel()[state["idxs"].plain()]
        shape = state.get("preferred_shape")
        return np.reshape(chosen, chosen.shape if shape is None else [int(size) for size in shape])


def _numbers(content: Any, dtype: Any) -> NDArray[Any]:
    """The numbers (N,) in the bytes of an array, whose type is a record of numpy.dtype."""
    name = dtype.arguments[0]
    if not isinstance(name, str) or not _NUMBER.match(name):
        raise ValueError("an array of something other than numbers")
    swapped = isinstance(dtype.state, tuple) and dtype.state[1] == ">"
    raw = content.encode("latin1") if isinstance(content, str) else bytes(content)
    return np.frombuffer(raw, np.dtype(name).newbyteorder(">" if swapped else "="))


_MOST_OPCODES: Final = 300_000
"""A model of MANO has less than a thousand."""
_MOST_ENTRIES: Final = 10_000_000  # of a joint regressor, as a dense matrix


class _Maker:
    """What the pickle calls in place of a class or function: it only makes records."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, *arguments: Any) -> Any:
        if self.kind == "bytes" and not arguments:
            return b""
        if self.kind == "encode":
            text, encoding = arguments
            if encoding != "latin1":
                raise ValueError(f"bytes in {encoding}")
            return text.encode("latin1")
        if self.kind == "reconstructor":
            return arguments[0](*arguments[3:])
        return _Record(self.kind, arguments)


_PythonUnpickler: Any = pickle._Unpickler
"""The unpickler in Python, whose memo, unlike that of the one in C, cannot be made to fill the memory."""


class _WithoutExcess:
    """A file that is never asked for more than it holds, as memory for all that is asked would be taken first."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, here = file, file.tell()
        self._end = file.seek(0, os.SEEK_END)
        file.seek(here)
        self.readline = file.readline

    def read(self, count: int) -> bytes:
        """At most that many bytes."""
        return self._file.read(min(count, self._end - self._file.tell()))


class _Counted(dict[int, Any]):
    """What each opcode calls, up to a number of opcodes: one byte of a file can make an object of hundreds."""

    steps = 0

    def __getitem__(self, code: int) -> Any:
        self.steps += 1
        if self.steps > _MOST_OPCODES:
            raise ValueError(f"more than {_MOST_OPCODES} instructions")
        return super().__getitem__(code)


class _Reader(_PythonUnpickler):  # type: ignore[misc]
    """An unpickler that finds makers of records where the pickle names something, and refuses all other names."""

    dispatch: ClassVar = {
        code: method for code, method in _PythonUnpickler.dispatch.items() if code not in _REFUSED_OPCODES
    }

    def __init__(self, file: IO[bytes], where: str) -> None:
        super().__init__(_WithoutExcess(file), fix_imports=False, encoding="latin1", errors="strict")
        self._where = where
        self.dispatch = _Counted(type(self).dispatch)  # type: ignore[misc]

    def find_class(self, module: str, name: str) -> _Maker:
        """What stands for a name of the pickle. Raises RigError for a name that is not known."""
        kind = _KNOWN.get((module, name))
        if kind is None:
            raise RigError(
                f"{self._where}: the pickle asks for {module}.{name}, which no model of a hand needs: "
                "it was refused, and nothing of it was executed; use a file from the model's own site"
            )
        return _Maker(kind)

    def load_frame(self) -> None:
        """Opcode FRAME: only says how much to read at once, which would be a copy of the file."""
        self.read(8)

    dispatch[pickle.FRAME[0]] = load_frame

    def load_newobj(self) -> None:
        """Opcode NEWOBJ: a record in place of cls.__new__(cls, *arguments)."""
        arguments = self.stack.pop()
        self.stack[-1] = self.stack[-1](*arguments)

    dispatch[pickle.NEWOBJ[0]] = load_newobj

    def load_empty_set(self) -> None:
        """Opcode EMPTY_SET: chumpy keeps sets of what has changed, which nobody needs."""
        self.append(_Record("object", ()))

    dispatch[pickle.EMPTY_SET[0]] = load_empty_set

    def load_additems(self) -> None:
        """Opcode ADDITEMS: the set's items are dropped, as hashing a nested tuple can take for ever."""
        self.pop_mark()

    dispatch[pickle.ADDITEMS[0]] = load_additems

    def load_frozenset(self) -> None:
        """Opcode FROZENSET: as a set."""
        self.pop_mark()
        self.append(_Record("object", ()))

    dispatch[pickle.FROZENSET[0]] = load_frozenset

    def load_dict(self) -> None:
        """Opcode DICT: a dictionary of the items since the mark."""
        items = self.pop_mark()
        self.append(_dictionary(items))

    dispatch[pickle.DICT[0]] = load_dict

    def load_setitem(self) -> None:
        """Opcode SETITEM: one more item of the dictionary below."""
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1].update(_dictionary([key, value]))

    dispatch[pickle.SETITEM[0]] = load_setitem

    def load_setitems(self) -> None:
        """Opcode SETITEMS: more items of the dictionary below the mark."""
        items = self.pop_mark()
        self.stack[-1].update(_dictionary(items))

    dispatch[pickle.SETITEMS[0]] = load_setitems


def _dictionary(items: list[Any]) -> dict[str, Any]:
    """A dictionary of keys and values in turn; keys are texts, as hashing a nested tuple can take for ever."""
    if not all(isinstance(key, str) for key in items[::2]):
        raise ValueError("a dictionary whose keys are no texts")
    return dict(zip(items[::2], items[1::2], strict=True))
