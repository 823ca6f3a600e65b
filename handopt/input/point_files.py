"""The points of .ply and .pcd files, text or binary."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Final

import numpy as np

from handopt.errors import DepthError
from handopt.typing import AnyArray, Floats

MAX_BYTES: Final = 1 << 30
MAX_POINTS: Final = 20_000_000
MAX_KEPT: Final = 2_000_000
"""Points that are read at most, evenly spread over the file: six times as many as the pixels of a depth camera."""
LINES_AT_ONCE: Final = 250_000
MAX_HEADER_LINES: Final = 500
_PLY_TYPES: Final[Mapping[str, str]] = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8",
}  # fmt: skip
_PCD_TYPES: Final = frozenset(("f4", "f8", *(f"{sign}{size}" for sign in "iu" for size in (1, 2, 4, 8))))


@dataclass(frozen=True)
class Points:
    """Points (N, 3) as a file has them. shape: rows and columns, where they are organised.

    viewpoint: rotation (3, 3) and place (3,) of the sensor in the frame of the points, where the file states one.
    """

    xyz: AnyArray
    shape: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()
    viewpoint: tuple[Floats, Floats] | None = None


def read_ply(path: Path, file: IO[bytes]) -> Points:
    """Read the vertices of a PLY file; faces are left out with a note. Raises DepthError."""
    header = _header(path, file, "end_header")
    form = next((words[1] for words in header if words[0] == "format" and len(words) > 1), "")
    elements: list[tuple[str, int, list[list[str]]]] = []
    for words in header:
        if words[0] == "element" and len(words) == 3:
            elements.append((words[1], _count(path, words[2]), []))
        elif words[0] == "property" and elements:
            elements[-1][2].append(words[1:])
    if not elements or elements[0][0] != "vertex":
        raise DepthError(f"{path}: its first element is not the vertices; export it as a plain point cloud")
    _, count, properties = elements[0]
    if any(words[0] not in _PLY_TYPES for words in properties):
        raise DepthError(f"{path}: a property of its vertices is a list; export it as a plain point cloud")
    names = [words[-1] for words in properties]
    orders = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
    if form not in orders:
        raise DepthError(f"{path}: its PLY format {form!r} is not known; export it again")
    kinds = [orders[form] + _PLY_TYPES[words[0]] for words in properties]
    xyz = _text(path, file, count, names) if form == "ascii" else _binary(path, file, count, names, kinds)
    notes = _left_out(path, len(xyz), count)
    faces = next((number for name, number, _ in elements if name == "face"), 0)
    notes += (f"{path.name} is a mesh of {faces} faces: its vertices were taken as points.",) if faces else ()
    return Points(xyz, None, notes)


def read_pcd(path: Path, file: IO[bytes]) -> Points:
    """Read a PCD file (Point Cloud Library, version 0.7). Raises DepthError."""
    header = {words[0]: words[1:] for words in _header(path, file, "DATA")}
    if not {"FIELDS", "SIZE", "TYPE", "DATA"} <= header.keys():
        raise DepthError(f"{path}: is no point cloud that handopt reads (PLY, PCD, .npy of N x 3)")
    repeats = [_count(path, each) for each in header.get("COUNT", ["1"] * len(header["FIELDS"]))]
    if not len(header["FIELDS"]) == len(header["SIZE"]) == len(header["TYPE"]) == len(repeats):
        raise DepthError(f"{path}: FIELDS, SIZE, TYPE and COUNT differ in length; export it again")
    width, height = (_count(path, "".join(header.get(name, ["1"])[:1])) for name in ("WIDTH", "HEIGHT"))
    count = _count(path, "".join(header["POINTS"][:1])) if "POINTS" in header else _count(path, str(width * height))
    names: list[str] = []
    kinds: list[str] = []
    for name, size, kind, repeat in zip(header["FIELDS"], header["SIZE"], header["TYPE"], repeats, strict=True):
        if kind.lower() + size not in _PCD_TYPES or repeat > 4096:
            raise DepthError(f"{path}: its field {name} is of a type that is not known; export it again")
        names += [name if index == 0 else f"{name}_{index}" for index in range(repeat)]
        kinds += [f"<{kind.lower()}{size}"] * repeat
    form = header["DATA"][0] if header["DATA"] else ""
    if form == "ascii":
        xyz = _text(path, file, count, names)
    elif form == "binary":
        xyz = _binary(path, file, count, names, kinds)
    elif form == "binary_compressed":
        xyz = _compressed(path, file, count, names, kinds)
    else:
        raise DepthError(f"{path}: its PCD data are {form!r}, expected ascii, binary or binary_compressed")
    organised = (height, width) if height > 1 and height * width == count == len(xyz) else None
    return Points(xyz, organised, _left_out(path, len(xyz), count), _viewpoint(path, header.get("VIEWPOINT", [])))


def _header(path: Path, file: IO[bytes], last: str) -> list[list[str]]:
    """The words of the header's lines, up to and with one that begins with `last`."""
    lines: list[list[str]] = []
    for _ in range(MAX_HEADER_LINES):
        line = file.readline(4096)
        if not line:
            break
        words = line.decode("latin-1").split()
        if not words or words[0].startswith("#"):
            continue
        lines.append(words)
        if words[0] == last:
            return lines
    raise DepthError(
        f"{path}: is no point cloud that handopt reads (PLY, PCD, .npy of N x 3), or its header is damaged"
    )


def _count(path: Path, text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text) or int(text) > MAX_POINTS:
        raise DepthError(f"{path}: states {text[:20]!r} as a number of points, expected at most {MAX_POINTS}")
    return int(text)


def _columns(path: Path, names: list[str]) -> list[int]:
    missing = [name for name in "xyz" if name not in names]
    if missing:
        raise DepthError(f"{path}: its points have no {', '.join(missing)}; export x, y and z")
    return [names.index(name) for name in "xyz"]


def _text(path: Path, file: IO[bytes], count: int, names: list[str]) -> AnyArray:
    columns = _columns(path, names)
    if count == 0:
        raise DepthError(f"{path}: holds no points")
    step = _step(count)
    lines = islice(file, 0, count, step)
    parts = []
    try:
        while some := list(islice(lines, LINES_AT_ONCE)):
            parts.append(np.loadtxt(some, np.float64, comments=None, usecols=columns, ndmin=2))
    except ValueError as error:
        raise DepthError(f"{path}: its points are damaged ({error}); export it again") from error
    values = np.concatenate(parts) if parts else np.zeros((0, 3))
    if len(values) < -(-count // step):
        raise DepthError(f"{path}: is cut short, it has {step * len(values)} of {count} points: copy it again")
    return np.asarray(values)


def _binary(path: Path, file: IO[bytes], count: int, names: list[str], kinds: list[str]) -> AnyArray:
    columns = _columns(path, names)
    kind = np.dtype([(f"f{index}", each) for index, each in enumerate(kinds)])
    data = file.read(count * kind.itemsize)
    if count == 0 or len(data) < count * kind.itemsize:
        raise DepthError(f"{path}: is cut short or empty, {count} points were stated: copy it again")
    rows = np.frombuffer(data, kind)
    return np.stack([rows[f"f{column}"][:: _step(count)] for column in columns], axis=1)


def _step(count: int) -> int:
    """Every how many points one is read."""
    return max(1, -(-count // MAX_KEPT))


def _left_out(path: Path, kept: int, count: int) -> tuple[str, ...]:
    return (f"Of the {count} points of {path.name}, one in {_step(count)} was read.",) if kept < count else ()


def _compressed(path: Path, file: IO[bytes], count: int, names: list[str], kinds: list[str]) -> AnyArray:
    """PCL's binary_compressed: two sizes, then LZF data of one field after the other."""
    columns = _columns(path, names)
    sizes = np.frombuffer(file.read(8), "<u4")
    total = count * sum(np.dtype(kind).itemsize for kind in kinds)
    if len(sizes) != 2 or sizes[1] != total:
        raise DepthError(f"{path}: its compressed data are not of {count} points: copy it again")
    data = _unpacked(path, file.read(int(sizes[0])), total)
    starts = np.cumsum([0, *(count * np.dtype(kind).itemsize for kind in kinds)])
    fields = (np.frombuffer(data, kinds[each], count, int(starts[each])) for each in columns)
    return np.stack([field[:: _step(count)] for field in fields], axis=1)


def _unpacked(path: Path, data: bytes, size: int) -> bytes:
    """LZF (Marc Lehmann): a control byte below 32 begins literals, others copy from what is there already."""
    out = bytearray()
    at = 0
    try:
        while at < len(data) and len(out) <= size:
            control = data[at]
            at += 1
            if control < 32:
                out += data[at : at + control + 1]
                at += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += data[at]
                at += 1
            start = len(out) - ((control & 31) << 8) - data[at] - 1
            at += 1
            if start < 0:
                raise IndexError
            length += 2
            while length:  # what is copied may overlap what is written
                piece = out[start : start + length]
                out += piece
                start, length = start + len(piece), length - len(piece)
    except IndexError:
        raise DepthError(f"{path}: its compressed data are damaged: copy it again") from None
    if len(out) != size:
        raise DepthError(f"{path}: its compressed data are cut short: copy it again")
    return bytes(out)


def _viewpoint(path: Path, words: list[str]) -> tuple[Floats, Floats] | None:
    """Rotation and place of the sensor: tx ty tz qw qx qy qz; None where it is the origin."""
    from scipy.spatial.transform import Rotation

    if not words:
        return None
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError:
        numbers = np.zeros(0)
    if numbers.shape != (7,) or not np.isfinite(numbers).all() or not numbers[3:].any():
        raise DepthError(f"{path}: its VIEWPOINT is damaged; correct it or remove the line")
    if np.allclose(numbers, (0, 0, 0, 1, 0, 0, 0)):
        return None
    return Rotation.from_quat(numbers[[4, 5, 6, 3]]).as_matrix(), numbers[:3]
