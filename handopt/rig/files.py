"""Read a model's file whole, if it is a file of a reasonable size."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from handopt import files
from handopt.errors import RigError


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes. Raises RigError."""
    try:
        return files.read_bytes(path, most)
    except files.UnreadableError as error:
        raise RigError(f"{path}: the model cannot be read: {error.reason}") from error


@contextmanager
def opened(path: Path, most: int) -> Iterator[IO[bytes]]:
    """A regular file of at most `most` bytes, to be read in parts. Raises RigError."""
    try:
        with files.open_regular(path, most) as file:
            yield file
    except files.UnreadableError as error:
        raise RigError(f"{path}: the model cannot be read: {error.reason}") from error
    except OSError as error:
        raise RigError(f"{path}: the model cannot be read: {error.strerror or error}") from error
