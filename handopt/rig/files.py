"""Read a model's file whole, if it is a file of a reasonable size."""

from pathlib import Path

from handopt import files
from handopt.errors import RigError


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes. Raises RigError."""
    try:
        return files.read_bytes(path, most)
    except files.UnreadableError as error:
        raise RigError(f"{path}: the model cannot be read: {error.reason}") from error
