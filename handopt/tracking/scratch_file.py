"""A temporary file for what a track keeps of its earlier frames. It has no name, and is in memory while it is small."""

import tempfile
from os import PathLike
from typing import IO, Final

from handopt.errors import OutputError

DEPTH: Final = "the depth around the hand, which videos show,"
POSES: Final = "what is known of earlier frames"


class ScratchFile:
    """Bytes at places. Closed with the last object that holds it.

    Where the system can do so the file has no name from the start, so that a kill leaves nothing.
    """

    def __init__(self, scratch: str | PathLike[str] | None, in_memory: int, what: str) -> None:
        """scratch: folder of the file, the system's if None. in_memory: bytes before it is begun. what: for errors."""
        self._folder, self._what = None if scratch is None else str(scratch), what
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(in_memory, dir=self._folder)  # noqa: SIM115

    def __del__(self) -> None:
        self._file.close()

    def write(self, place: int, data: bytes) -> None:
        """Write some bytes. Raises OutputError where the file cannot be written."""
        try:
            self._file.seek(place)
            self._file.write(data)
        except OSError as error:
            where = self._folder or tempfile.gettempdir()
            raise OutputError(
                f"{self._what} cannot be kept in {where} ({error.strerror or error}): free some space there"
            ) from error

    def read(self, place: int, count: int) -> bytes:
        """So many bytes, fewer where nothing was written."""
        self._file.seek(place)
        return self._file.read(count)
