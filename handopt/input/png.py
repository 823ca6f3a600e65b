"""The checksums of a PNG file, which Pillow does not compare for the pixels."""

import struct
import zlib
from pathlib import Path
from typing import Final

from handopt.errors import DepthError

_SIGNATURE_BYTES: Final = 8
_BLOCK: Final = 1 << 20


def check_png(path: Path) -> None:
    """Refuse a file with a chunk whose CRC is wrong, or that ends before its last chunk. Raises DepthError."""
    with path.open("rb") as file:
        file.seek(_SIGNATURE_BYTES)
        while True:
            head = file.read(8)
            if len(head) < 8:
                raise DepthError(f"{path}: is damaged or cut short (it has no end); copy or export it again")
            length, kind = struct.unpack(">I4s", head)
            crc, left = zlib.crc32(kind), length
            while left:
                block = file.read(min(_BLOCK, left))
                if not block:
                    raise DepthError(
                        f"{path}: is damaged or cut short (in its {_name(kind)} chunk); copy or export it again"
                    )
                crc, left = zlib.crc32(block, crc), left - len(block)
            if file.read(4) != struct.pack(">I", crc):
                raise DepthError(
                    f"{path}: is damaged (the checksum of its {_name(kind)} chunk is wrong); copy or export it again"
                )
            if kind == b"IEND":
                return


def _name(kind: bytes) -> str:
    return kind.decode("ascii", "replace")
