"""PNG files, written quickly: one filter and the fastest level, where Pillow tries all filters for each row."""

import struct
import zlib

import numpy as np

from handopt.typing import Bytes

LEVEL = 1
_TRUE_COLOUR, _INDEXED = 2, 3
_FILTER_UP = 2


def encode_indexed(rows: Bytes, table: Bytes) -> bytes:
    """Encode palette rows (H, W) uint8 and colours (256, 3)."""
    height, width = rows.shape
    lines = np.zeros((height, width + 1), np.uint8)
    lines[:, 1:] = rows
    return _file(width, height, _INDEXED, lines, (b"PLTE", table.tobytes()))


def encode_rgb(image: Bytes) -> bytes:
    """Encode an image (H, W, 3) uint8; each row is written as its difference from the one above."""
    height, width = image.shape[:2]
    flat = image.reshape(height, 3 * width)
    lines = np.empty((height, 3 * width + 1), np.uint8)
    lines[:, 0] = _FILTER_UP
    lines[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=lines[1:, 1:])
    return _file(width, height, _TRUE_COLOUR, lines)


def _file(width: int, height: int, kind: int, lines: Bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    packed = zlib.compress(lines.data, LEVEL)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in ((b"IHDR", header), *chunks, (b"IDAT", packed), (b"IEND", b""))
    )
