"""The depth around the hand in a long track: unpacked into a temporary file, and read a frame at a time."""

import math
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Final

import numpy as np

from handopt.files import UnreadableError, open_regular
from handopt.input.arrays import naming_damage
from handopt.input.npy import read_npy_header
from handopt.typing import AnyArray

NAME: Final = "window_depth_mm"
LARGE_BYTES: Final = 64 << 20
"""Windows that take more go to a file; those of about 1300 frames."""
MAX_BYTES: Final = 4 << 30
"""Of the file: about 80,000 frames."""


class StoredWindows:
    """Depth (W, S, S) uint16, mm, in a file without a name: reads like an array, one frame at a time."""

    def __init__(self, shape: tuple[int, int, int], file: IO[bytes]) -> None:
        """Made by `stored_windows`."""
        self.shape, self.dtype, self._file = shape, np.dtype(np.uint16), file

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, row: int) -> AnyArray:
        """A frame (S, S)."""
        size = self.shape[1] * self.shape[2] * self.dtype.itemsize
        self._file.seek(range(len(self))[row] * size)
        data = self._file.read(size).ljust(size, b"\0")  # frames at the end that show nothing were never written
        return np.frombuffer(data, self.dtype).reshape(self.shape[1:])

    def __del__(self) -> None:
        self._file.close()


def stored_windows(path: Path) -> StoredWindows | None:
    """The windows of track.npz, unpacked a frame at a time; None where they are few, or not stored as handopt does.

    Raises UnreadableError where they are damaged or too many, and OSError where the temporary file cannot be written.
    """
    with naming_damage(path, passing=OSError), open_regular(path) as raw, zipfile.ZipFile(raw) as archive:
        if f"{NAME}.npy" not in archive.namelist():
            return None
        with archive.open(f"{NAME}.npy") as stream:
            shape, fortran_order, dtype = read_npy_header(path, stream)
            size = math.prod(shape) * 2
            if len(shape) != 3 or fortran_order or dtype != np.uint16 or size <= LARGE_BYTES:
                return None
            if size > MAX_BYTES:
                raise UnreadableError(f"announces {size >> 20} MiB of {NAME}, the limit is {MAX_BYTES >> 20} MiB")
            return _unpacked((shape[0], shape[1], shape[2]), stream)


def _unpacked(shape: tuple[int, int, int], stream: IO[bytes]) -> StoredWindows:
    size = shape[1] * shape[2] * 2
    windows = StoredWindows(shape, tempfile.TemporaryFile())  # noqa: SIM115  # closed with the windows
    for row in range(shape[0]):
        data = stream.read(size)
        if len(data) != size:
            raise UnreadableError(f"is damaged or cut short ({NAME} ends in frame {row})")
        if data.count(0) != size:
            windows._file.seek(row * size)
            windows._file.write(data)
    return windows
