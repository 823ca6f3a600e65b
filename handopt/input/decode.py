"""Decoding the files that hold depth images into plain arrays, with every limit checked before anything is decoded."""

import struct
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handopt.errors import DepthError
from handopt.files import UnreadableError, open_regular
from handopt.input.npy import NpyHeader, read_npy_array, read_npy_header
from handopt.input.png import check_png
from handopt.input.tiff import check_tiff
from handopt.typing import AnyArray

MAX_PIXELS = 40_000_000
MAX_BYTES = 512 * 2**20
MIN_SIDE_PX = 8

_HEADER_BYTES = 1 << 16
_MAX_ARRAYS = 64
_TIFF_BITS_PER_SAMPLE = 258
_PNG_BIT_DEPTH_AT = 24
_CONVERT = "convert it to a 16-bit PNG, a 32-bit float TIFF or .npy"
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"\x93NUMPY": "npy",
    b"PK\x03\x04": "npz",
    b"PK\x05\x06": "npz",
    b"v/1\x01": "exr",
    b"P5": "pgm",
}


def decode_file(path: Path, notes: list[str]) -> AnyArray:
    """Return the values of an image file: (H, W), or (H, W, C) of 8 bits; sentences on choices go into notes.

    The format is inferred from the content, not from the name. Raises DepthError.
    """
    values = _READERS[_kind(path)](path, notes)
    check_shape(path, values.shape)
    return values


def check_shape(path: Path, shape: Sequence[int]) -> None:
    """Raise DepthError unless a shape, perhaps only announced by a header, is that of an image of a sane size."""
    sizes = [size for size in shape if size != 1]
    if len(shape) > 3 or (len(sizes) == 3 and sizes[2] > 4):
        raise DepthError(f"{path}: holds an array of shape {tuple(shape)}, expected one image (height, width)")
    if len(sizes) < 2 or min(sizes[:2]) < MIN_SIDE_PX:
        raise DepthError(
            f"{path}: holds an array of shape {tuple(shape)}, "
            f"expected an image (height, width) of at least {MIN_SIDE_PX} pixels a side"
        )
    if sizes[0] * sizes[1] > MAX_PIXELS:
        raise DepthError(
            f"{path}: has {sizes[1]} x {sizes[0]} pixels, the limit is {MAX_PIXELS // 10**6} million; "
            "crop it, or scale it down, and give the camera= of what is left"
        )


def _kind(path: Path) -> str:
    """Return the format of a file by its first bytes. Raises DepthError if it is not a depth image."""
    try:
        with open_regular(path, MAX_BYTES) as file:
            head = file.read(16)
    except UnreadableError as error:
        hint = "check the path" if "not exist" in str(error) else "expected a depth image"
        raise DepthError(f"{path}: {error}; {hint}") from error
    except OSError as error:
        raise DepthError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not head:
        raise DepthError(f"{path}: is empty (0 bytes); copy or export it again")
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            return kind
    if head.startswith(b"\xff\xd8\xff"):
        raise DepthError(f"{path}: is a JPEG picture, 8 bits and lossy, which cannot hold depth; give the depth image")
    raise DepthError(f"{path}: is not an image that handopt reads (PNG, TIFF, PGM, .npy, .npz, EXR); {_CONVERT}")


def _read_pillow(path: Path, _notes: list[str]) -> AnyArray:
    """Decode a PNG or TIFF file. Raises DepthError."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=("PNG", "TIFF")) as image:
                check_shape(path, (image.height, image.width))
                if image.format == "PNG":
                    check_png(path)
                else:
                    check_tiff(path, image)
                if getattr(image, "n_frames", 1) > 1:
                    raise DepthError(f"{path}: holds several images; save the one to be fitted as a file of its own")
                if image.mode not in ("I", "F") and not image.mode.startswith("I;16") and _bits(path, image) > 8:
                    raise DepthError(f"{path}: holds several channels of 16 bits; save the depth as one channel")
                return np.array(image)
    except DepthError:
        raise
    except Image.DecompressionBombError as error:
        raise DepthError(f"{path}: is far larger than the limit of {MAX_PIXELS // 10**6} million pixels") from error
    except UnidentifiedImageError as error:
        raise DepthError(f"{path}: is damaged, or of a kind that Pillow does not read; {_CONVERT}") from error
    except Exception as error:  # Pillow raises almost anything on damaged files
        raise DepthError(f"{path}: is damaged or cut short ({error}); copy or export it again") from error


def _bits(path: Path, image: Any) -> int:
    """Return the bits of one channel in the file; Pillow silently reduces 16-bit colours to 8 bits."""
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(_PNG_BIT_DEPTH_AT + 1)[_PNG_BIT_DEPTH_AT]
    return int(max(image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (1,))))


def _read_npy(path: Path, _notes: list[str]) -> AnyArray:
    """Read a .npy file. Raises DepthError."""
    with path.open("rb") as file:
        _check_header(path, read_npy_header(path, file))
        file.seek(0)
        return read_npy_array(path, file)


def _read_npz(path: Path, notes: list[str]) -> AnyArray:
    """Read "depth", or else the first 2D array, of a .npz file. Raises DepthError."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            headers: dict[str, NpyHeader] = {}
            for name in ["depth.npy"] if "depth.npy" in names else names[:_MAX_ARRAYS]:
                with archive.open(name) as file:
                    headers[name] = read_npy_header(path, file)
            name = _choose(path, headers, notes)
            with archive.open(name) as file:
                return read_npy_array(path, file)
    except DepthError:
        raise
    except Exception as error:  # zipfile and zlib raise almost anything on damaged files
        raise DepthError(f"{path}: is damaged, or not a .npz file ({error}); save it again") from error


def _choose(path: Path, headers: dict[str, NpyHeader], notes: list[str]) -> str:
    """Return the name of the array that holds the depth, after checking its header."""
    images = [name for name, (shape, _, dtype) in headers.items() if len(shape) == 2 and dtype.kind in "uif"]
    images = [name for name in images if headers[name].dtype.itemsize > 1] or images
    if "depth.npy" in headers:
        name = "depth.npy"
    elif images:
        name = images[0]
        if len(headers) > 1:
            notes.append(
                f"The depth was read from {name[:-4]!r}, the first image of {len(headers)} arrays in the file."
            )
    else:
        listed = ", ".join(f"{each[:-4]} {shape} {dtype}" for each, (shape, _, dtype) in list(headers.items())[:8])
        raise DepthError(
            f"{path}: holds no 2D array of numbers ({listed or 'no arrays'}); name the depth image 'depth'"
        )
    _check_header(path, headers[name])
    return name


def _check_header(path: Path, header: NpyHeader) -> None:
    shape, _, dtype = header
    if dtype.hasobject:
        raise DepthError(f"{path}: holds Python objects, which could run code and are not loaded; save plain numbers")
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise DepthError(f"{path}: holds values of type {dtype}, expected integers or floats of up to 64 bits")
    check_shape(path, shape)
    if len(shape) == 3 and 1 not in shape and dtype != np.uint8:
        raise DepthError(f"{path}: holds {shape[2]} values of type {dtype} per pixel, expected one depth per pixel")


def _read_exr(path: Path, notes: list[str]) -> AnyArray:
    """Decode an EXR file with whatever reader imageio finds. Raises DepthError."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    window = b"dataWindow\0box2i\0"
    at = head.find(window) + len(window) + 4
    if window not in head or len(head) < at + 16:
        raise DepthError(f"{path}: is a damaged EXR file; export it again, or {_CONVERT}")
    x0, y0, x1, y1 = struct.unpack_from("<4i", head, at)
    shape = (y1 - y0 + 1, x1 - x0 + 1)
    check_shape(path, shape)
    values = _imread_exr(path)
    if values.shape[:2] == shape:
        values = np.moveaxis(values.reshape(*shape, -1), -1, 0)
    if values.shape[-2:] != shape:
        raise DepthError(f"{path}: decodes to an array of shape {values.shape}, not to {shape}; {_CONVERT}")
    first, *others = values.reshape(-1, *shape)[:3]
    if not all(np.array_equal(first, other, equal_nan=True) for other in others):
        raise DepthError(f"{path}: its colour channels differ, so it is no depth image; save depth as one channel")
    if others:
        notes.append("The depth was read from the first channel of the EXR file; the others are equal to it.")
    return np.asarray(first)


def _imread_exr(path: Path) -> AnyArray:
    """Return what the first imageio plugin makes of an EXR file that keeps its floats. Raises DepthError."""
    import imageio.v3 as iio

    data = path.read_bytes()  # given a path, imageio leaves the file open where a plugin fails
    plugins: tuple[dict[str, Any], ...] = ({"plugin": "pyav", "format": None}, {})
    for options in plugins:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                values = np.asarray(iio.imread(data, extension=".exr", **options))
        except Exception:  # each plugin has its own errors
            continue
        if values.dtype.kind == "f":
            return values
    raise DepthError(
        f"{path}: imageio finds no reader here for this EXR file (pip install 'imageio[pyav]' reads 32-bit Y and RGB "
        "channels); or convert it to a 32-bit float TIFF or .npy"
    )


def _read_pgm(path: Path, _notes: list[str]) -> AnyArray:
    """Decode a binary PGM file. Raises DepthError."""
    from handopt.input.plain_files import read_pgm

    return read_pgm(path, MAX_BYTES, check_shape)


_READERS: dict[str, Callable[[Path, list[str]], AnyArray]] = {
    "png": _read_pillow,
    "tiff": _read_pillow,
    "npy": _read_npy,
    "npz": _read_npz,
    "exr": _read_exr,
    "pgm": _read_pgm,
}
