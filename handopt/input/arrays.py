"""Arrays of a .npz file that anybody may have made: sizes, types, shapes and ranges are checked once, here."""

import math
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import numpy as np

from handopt.errors import DepthError
from handopt.files import UnreadableError, open_regular
from handopt.input.npy import read_npy_array, read_npy_header
from handopt.typing import AnyArray

MAX_BYTES: Final = 512 * 2**20
"""Of all arrays that are read from a file, unpacked."""
MAX_NAMES: Final = 1024
KINDS: Final = {"number": "fiu", "whole": "iu", "flag": "b", "text": "U"}
NOUNS: Final = {"number": "numbers", "whole": "whole numbers", "flag": "true or false", "text": "text"}


@dataclass(frozen=True)
class ArraySpec:
    """What an array of a file must be.

    kind: 'number', 'whole', 'flag' or 'text'. shape: sizes, None for any shape; a name stands for one size in all
    arrays of a file, None for any size. low, high: its least and largest value. gaps: whether values may be NaN, and
    infinite where there are no bounds. optional: whether it may be missing.
    """

    kind: str
    shape: tuple[int | str | None, ...] | None
    low: float = -math.inf
    high: float = math.inf
    gaps: bool = False
    optional: bool = False


@contextmanager
def naming_damage(path: Path, passing: type[Exception] = UnreadableError) -> Iterator[None]:
    """Turn what reading a .npz file raises into UnreadableError, without the file's name. passing: but for this."""
    try:
        yield
    except (UnreadableError, passing):
        raise
    except DepthError as error:
        raise UnreadableError(str(error).removeprefix(f"{path}: ")) from error
    except Exception as error:  # zipfile and zlib raise almost anything on damaged files
        kind = type(error).__name__
        raise UnreadableError(f"is damaged or cut short ({kind}: {error})", kind) from error


def read_arrays(
    path: Path, specs: Mapping[str, ArraySpec], limit: int = MAX_BYTES
) -> tuple[dict[str, AnyArray], dict[str, int]]:
    """Read the arrays that are specified, and no other, from a .npz file; and the size that each name stands for.

    Numbers come as they are stored. Nothing behind this has to check again. Raises UnreadableError, whose message says
    what is wrong without the file's name.
    """
    sizes: dict[str, int] = {}
    with naming_damage(path), open_regular(path) as file, zipfile.ZipFile(file) as archive:
        present = set(archive.namelist()[:MAX_NAMES])
        missing = [name for name, spec in specs.items() if f"{name}.npy" not in present and not spec.optional]
        if missing:
            raise UnreadableError(f"lacks {missing[0]!r}")
        wanted = {name: spec for name, spec in specs.items() if f"{name}.npy" in present}
        total = 0
        for name, spec in wanted.items():
            with archive.open(f"{name}.npy") as stream:
                total += _checked_header(path, stream, name, spec, sizes)
        if total > limit:
            raise UnreadableError(f"announces {total >> 20} MiB of arrays, the limit is {limit >> 20} MiB")
        arrays = {}
        for name, spec in wanted.items():
            with archive.open(f"{name}.npy") as stream:
                arrays[name] = _checked_values(read_npy_array(path, stream), name, spec)
        return arrays, sizes


def _checked_header(path: Path, stream: IO[bytes], name: str, spec: ArraySpec, sizes: dict[str, int]) -> int:
    """How many bytes an array announces, after its type and shape are checked and its sizes noted."""
    shape, _, dtype = read_npy_header(path, stream)
    if dtype.hasobject or dtype.kind not in KINDS[spec.kind] or (spec.kind != "text" and dtype.itemsize > 8):
        raise UnreadableError(f"{name} must hold {NOUNS[spec.kind]}, and holds values of type {dtype}")
    wanted_shape = shape if spec.shape is None else spec.shape
    fits = len(shape) == len(wanted_shape) and all(
        wanted is None or size == (sizes.setdefault(wanted, size) if isinstance(wanted, str) else wanted)
        for wanted, size in zip(wanted_shape, shape, strict=True)
    )
    if not fits:
        expected = ", ".join(f"{each}={sizes[each]}" if each in sizes else str(each or "any") for each in wanted_shape)
        raise UnreadableError(f"{name} has shape {shape}, expected ({expected})")
    return math.prod(shape) * dtype.itemsize


def _checked_values(values: AnyArray, name: str, spec: ArraySpec) -> AnyArray:
    if values.dtype.kind == "U" and values.size and values.dtype.itemsize:
        codes = np.ascontiguousarray(values).view(np.dtype(np.uint32).newbyteorder(values.dtype.byteorder))
        if int(codes.max()) > sys.maxunicode:
            raise UnreadableError(f"{name} has characters that do not exist")
    if values.dtype.kind not in "fiu" or not values.size:
        return values
    numbers = values.astype(np.float32) if values.dtype.itemsize == 2 and values.dtype.kind == "f" else values
    low, high = float(numbers.min()), float(numbers.max())
    if math.isnan(low):  # there is one
        if not spec.gaps:
            raise UnreadableError(f"{name} has values that are no numbers")
        if np.isnan(numbers).all():
            return values
        low, high = float(np.nanmin(numbers)), float(np.nanmax(numbers))
    if not (spec.low <= low and high <= spec.high):
        raise UnreadableError(f"{name} has values from {low:g} to {high:g}, expected {spec.low:g} to {spec.high:g}")
    if not spec.gaps and (math.isinf(low) or math.isinf(high)):
        raise UnreadableError(f"{name} has infinite values")
    return values
