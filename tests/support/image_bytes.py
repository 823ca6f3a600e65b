"""Image files as bytes, whole and deceptive, for tests of decoding."""

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SHAPE = (24, 32)
SCENE = (600 + np.arange(24 * 32).reshape(SHAPE) % 97).astype(np.uint16)


def save_png(path: Path, values: NDArray[Any]) -> Path:
    Image.fromarray(values).save(path, format="PNG")
    return path


def png_bytes(values: NDArray[Any], format_name: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, format=format_name, **options)
    return stream.getvalue()


def png_header(width: int, height: int, bits: int, colour: int, data: bytes = b"") -> bytes:
    """A PNG file from scratch; colour 0 is grey, 2 RGB, 4 grey and alpha."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def npy_bytes(values: NDArray[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values, **options)
    return stream.getvalue()


def npy_announcing(shape: tuple[int, ...], dtype: str = "<f4", data: bytes = b"") -> bytes:
    """A .npy file whose header announces more than follows."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue() + data


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def exr_bytes(values: NDArray[np.float32]) -> bytes:
    """An uncompressed EXR file with one float channel, Z."""
    height, width = values.shape

    def attribute(name: str, kind: str, body: bytes) -> bytes:
        return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(body)) + body

    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    head = b"v/1\x01" + struct.pack("<i", 2)
    head += attribute("channels", "chlist", b"Z\0" + struct.pack("<iiii", 2, 0, 1, 1) + b"\0")
    head += attribute("compression", "compression", b"\0") + attribute("dataWindow", "box2i", box)
    head += attribute("displayWindow", "box2i", box) + attribute("lineOrder", "lineOrder", b"\0")
    head += attribute("pixelAspectRatio", "float", struct.pack("<f", 1.0))
    head += attribute("screenWindowCenter", "v2f", struct.pack("<ff", 0.0, 0.0))
    head += attribute("screenWindowWidth", "float", struct.pack("<f", 1.0)) + b"\0"
    lines = [struct.pack("<ii", y, 4 * width) + values[y].astype("<f4").tobytes() for y in range(height)]
    first = len(head) + 8 * height
    offsets = struct.pack(f"<{height}Q", *(first + y * len(lines[0]) for y in range(height)))
    return head + offsets + b"".join(lines)
