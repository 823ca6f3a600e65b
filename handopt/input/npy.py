"""The headers and values of .npy streams, with every error said as one of the file."""

import io
import warnings
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from handopt.errors import DepthError
from handopt.typing import AnyArray

MAX_HEADER_BYTES = 1 << 16


class NpyHeader(NamedTuple):
    """What a .npy stream announces."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]


def read_npy_header(path: Path, file: IO[bytes]) -> NpyHeader:
    """Read the header of a seekable .npy stream, at most 64 KiB of it, and leave the stream at its first value.

    path: of the file, for messages. Raises DepthError.
    """
    start = file.tell()
    head = io.BytesIO(file.read(MAX_HEADER_BYTES))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(head)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran_order, dtype = read(head)
    except Exception as error:  # the header is evaluated as Python literals
        raise DepthError(f"{path}: has a damaged array header ({error}); save it again with numpy.save") from error
    file.seek(start + head.tell())
    return NpyHeader(shape, fortran_order, dtype)


def read_npy_array(path: Path, file: IO[bytes]) -> AnyArray:
    """Read a .npy stream from its start, without running pickled code. Raises DepthError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except Exception as error:  # zlib and NumPy raise almost anything on damaged files
        raise DepthError(f"{path}: is damaged or cut short ({error}); copy or save it again") from error
