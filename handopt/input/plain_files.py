"""Depth without a container: binary PGM, and files of numbers without any header."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from handopt.errors import DepthError
from handopt.files import UnreadableError, read_bytes
from handopt.typing import AnyArray

MAX_RAW_BYTES: Final = 512 * 2**20
TYPES: Final = ("uint16", "int16", "uint32", "float32", "float64")
"""Types of numbers in files without a header, least significant byte first; with > before, most significant first."""
_LAYOUT = re.compile(r"(\d{1,6})x(\d{1,6}):([<>]?)(\w+)")
_PGM = re.compile(rb"P5(?:\s+|#[^\n]*\n)+(\d+)(?:\s+|#[^\n]*\n)+(\d+)(?:\s+|#[^\n]*\n)+(\d+)\s")


@dataclass(frozen=True)
class RawLayout:
    """How a file without a header holds an image."""

    width: int
    height: int
    dtype: str


def raw_layout(text: str) -> RawLayout | None:
    """The layout that a text such as "640x480:uint16" names, else None."""
    match = _LAYOUT.fullmatch(text)
    if match is None or match[4] not in TYPES or not (int(match[1]) and int(match[2])):
        return None
    kind = np.dtype(match[4]).newbyteorder(">" if match[3] == ">" else "<")
    return RawLayout(int(match[1]), int(match[2]), kind.str)


def read_raw(path: Path, layout: RawLayout) -> AnyArray:
    """The counts (H, W) of a file without a header. Raises DepthError where it has another size."""
    kind = np.dtype(layout.dtype)
    needed = layout.width * layout.height * kind.itemsize
    data = _content(path, MAX_RAW_BYTES)
    if len(data) != needed:
        raise DepthError(
            f"{path}: has {len(data)} bytes, but {layout.width} x {layout.height} of {kind.name} are {needed}; change "
            "encoding="
        )
    return np.frombuffer(data, kind).reshape(layout.height, layout.width).astype(kind.newbyteorder("="))


def read_pgm(path: Path, limit: int, check_shape: Callable[[Path, Sequence[int]], None]) -> AnyArray:
    """The counts (H, W) of a binary PGM file, 8 or 16 bits. check_shape: refuses a size. Raises DepthError."""
    data = _content(path, limit)
    header = _PGM.match(data[:4096])
    if header is None:
        raise DepthError(f"{path}: its PGM header is damaged; export it again")
    width, height, most = (int(each) for each in header.groups())
    check_shape(path, (height, width))
    if not 0 < most < 65536:
        raise DepthError(f"{path}: states {most} as its largest value, expected 1 to 65535")
    kind = np.dtype(">u2" if most > 255 else "u1")  # https://netpbm.sourceforge.net/doc/pgm.html
    needed = width * height * kind.itemsize
    body = data[header.end() :]
    if len(body) < needed:
        raise DepthError(f"{path}: is cut short, it has {len(body)} of {needed} bytes: copy it again")
    return np.frombuffer(body, kind, width * height).reshape(height, width).astype(kind.newbyteorder("="))


def _content(path: Path, limit: int) -> bytes:
    try:
        return read_bytes(path, limit)
    except UnreadableError as error:
        raise DepthError(f"{path}: {error}; check the path") from error
