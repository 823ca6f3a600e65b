"""Read a model's file whole, if it is a file of a reasonable size."""

import stat
from pathlib import Path

from handopt.errors import RigError


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes. Raises RigError."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise RigError(f"{path}: the model is not a regular file")
        if (size := status.st_size) > most:
            raise RigError(f"{path}: {size} bytes are too many for a model of a hand")
        return path.read_bytes()
    except OSError as error:
        raise RigError(f"{path}: the model cannot be read: {error.strerror}") from error
