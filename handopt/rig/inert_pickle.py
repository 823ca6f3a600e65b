"""Read the arrays of a pickle without executing anything of it.

A pickle is a program that may call whatever it names. This reader knows the few names that models of hands and bodies
need (arrays of NumPy, sparse matrices of SciPy, chumpy's Ch and Select), puts inert records in their place and turns
these into arrays itself; it refuses every other name. Neither NumPy, SciPy nor chumpy see the pickle.

Memory is that of the file and at most 480 MiB: the numbers of an array are never copied where the file has them as
bytes, and what is text is bounded.
"""

import codecs
import os
import pickle
import struct
from collections.abc import Callable
from typing import IO, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from handopt.errors import RigError
from handopt.rig.pickle_records import SHORT, Record

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
        raise RigError(
            f"{where}: the pickle is truncated, encrypted or damaged ({str(error) or 'it ends early'}); copy it again"
        ) from error


def array_of(entry: Any, where: str) -> NDArray[Any] | None:
    """The array that an entry of a pickle stands for; None for anything else. Raises RigError where it is damaged."""
    if not isinstance(entry, Record):
        return None
    try:
        values = entry.array()
    except _DAMAGED as error:
        raise RigError(f"{where}: an array of the pickle is damaged ({error})") from error
    return None if values is None else np.asarray(values)


_MOST_OPCODES: Final = 300_000
"""A model of MANO has less than a thousand."""
_LONGEST_LINE: Final = 320 << 20
"""Of pickles of protocol 0; the pose directions of SMPL-X have 122 MB, and as escaped text up to thrice as much."""
_LONGEST_TEXT: Final = 192 << 20
_LONGEST_ESCAPED_TEXT: Final = 16 << 20  # which may have four times as many bytes in memory
_MOST_TEXT: Final = 384 << 20
"""Of all texts, in which Python 3 writes bytes for Python 2."""
_LAST_OF_LATIN1: Final = 0xC3  # the first byte in UTF-8 of the characters from 0xC0 to 0xFF
_MOST_ENCODED: Final = 320 << 20


class _Maker:
    """What the pickle calls in place of a class or function: it only makes records."""

    __slots__ = ("encode", "kind")

    def __init__(self, kind: str, encode: Callable[[str, str], bytes]) -> None:
        self.kind, self.encode = kind, encode

    def __call__(self, *arguments: Any) -> Any:
        if self.kind == "bytes" and not arguments:
            return b""
        if self.kind == "encode":
            return self.encode(*arguments)
        if self.kind == "reconstructor":
            return arguments[0](*arguments[3:])
        return Record(self.kind, arguments)


_PythonUnpickler: Any = pickle._Unpickler
"""The unpickler in Python, whose memo, unlike that of the one in C, cannot be made to fill the memory."""


class _WithoutExcess:
    """A file that is never asked for more than it holds, as memory for all that is asked would be taken first."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, here = file, file.tell()
        self._end = file.seek(0, os.SEEK_END)
        file.seek(here)

    def readline(self) -> bytes:
        """A line of at most _LONGEST_LINE bytes."""
        line = self._file.readline(_LONGEST_LINE + 1)
        if len(line) > _LONGEST_LINE:
            raise ValueError(f"a line of more than {_LONGEST_LINE >> 20} MiB")
        return line

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
        self._text_bytes = self._encoded_bytes = 0

    def find_class(self, module: str, name: str) -> _Maker:
        """What stands for a name of the pickle. Raises RigError for a name that is not known."""
        kind = _KNOWN.get((module, name))
        if kind is None:
            raise RigError(
                f"{self._where}: the pickle asks for {module}.{name}, which no model of a hand needs: "
                "it was refused, and nothing of it was executed; use a file from the model's own site"
            )
        return _Maker(kind, self._encoded)

    def _encoded(self, text: str, encoding: str) -> bytes:
        """The bytes that a text stands for, up to a size of all: one text can be encoded again and again."""
        if encoding != "latin1":
            raise ValueError(f"bytes in {encoding}")
        self._encoded_bytes += len(text)
        if self._encoded_bytes > _MOST_ENCODED:
            raise ValueError(f"more than {_MOST_ENCODED >> 20} MiB in texts")
        return text.encode("latin1")

    def _decode_string(self, value: bytes) -> str | bytes:
        """A string of Python 2."""
        return value if len(value) > SHORT else value.decode("latin1")

    def load_string(self) -> None:
        """Opcode STRING: a quoted line, of which no copy is made."""
        line = self.readline()
        if len(line) < 3 or line[-1:] != b"\n" or line[0] != line[-2] or line[:1] not in (b'"', b"'"):
            raise ValueError("a string without quotes")
        self.append(self._decode_string(codecs.escape_decode(memoryview(line)[1:-2])[0]))

    dispatch[pickle.STRING[0]] = load_string

    def load_unicode(self) -> None:
        """Opcode UNICODE: a line of text."""
        line = self.readline()
        if len(line) > _LONGEST_ESCAPED_TEXT:
            raise ValueError(f"a line of text of more than {_LONGEST_ESCAPED_TEXT >> 20} MiB")
        self._count_text(len(line))
        text = str(memoryview(line)[:-1], "raw-unicode-escape")
        if len(text) > SHORT and not _is_latin1(text):
            raise ValueError("a long text that stands for no bytes")
        self.append(text)

    dispatch[pickle.UNICODE[0]] = load_unicode

    def _load_text(self, count: int) -> None:
        """Text in UTF-8. Long ones stand for bytes: other characters would take four times the memory."""
        self._count_text(count)
        if count > _LONGEST_TEXT:
            raise ValueError(f"a text of more than {_LONGEST_TEXT >> 20} MiB")
        data = self.read(count)
        if len(data) > SHORT and np.frombuffer(data, np.uint8).max() > _LAST_OF_LATIN1:
            raise ValueError("a long text that stands for no bytes")
        self.append(str(data, "utf-8", "surrogatepass"))

    def load_binunicode(self) -> None:
        """Opcode BINUNICODE."""
        self._load_text(int.from_bytes(self.read(4), "little"))

    dispatch[pickle.BINUNICODE[0]] = load_binunicode

    def load_binunicode8(self) -> None:
        """Opcode BINUNICODE8."""
        self._load_text(int.from_bytes(self.read(8), "little"))

    dispatch[pickle.BINUNICODE8[0]] = load_binunicode8

    def _count_text(self, count: int) -> None:
        self._text_bytes += count
        if self._text_bytes > _MOST_TEXT:
            raise ValueError(f"more than {_MOST_TEXT >> 20} MiB of texts")

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
        self.append(Record("object", ()))

    dispatch[pickle.EMPTY_SET[0]] = load_empty_set

    def load_additems(self) -> None:
        """Opcode ADDITEMS: the set's items are dropped, as hashing a nested tuple can take for ever."""
        self.pop_mark()

    dispatch[pickle.ADDITEMS[0]] = load_additems

    def load_frozenset(self) -> None:
        """Opcode FROZENSET: as a set."""
        self.pop_mark()
        self.append(Record("object", ()))

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


def _is_latin1(text: str) -> bool:
    try:
        text.encode("latin1")
    except UnicodeEncodeError:
        return False
    return True


def _dictionary(items: list[Any]) -> dict[str, Any]:
    """A dictionary of keys and values in turn; keys are texts, as hashing a nested tuple can take for ever."""
    if not all(isinstance(key, str) for key in items[::2]):
        raise ValueError("a dictionary whose keys are no texts")
    return dict(zip(items[::2], items[1::2], strict=True))
