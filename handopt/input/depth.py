"""Depth images in millimetres: encodings, units, and checks that a file is a depth image."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handopt.errors import DepthError
from handopt.input.decode import decode_file
from handopt.input.no_depth import is_no_depth, no_depth_constants, note_on
from handopt.input.plain_files import raw_layout, read_raw
from handopt.typing import AnyArray, Bools

DEPTH_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".npy", ".npz", ".exr", ".pgm", ".ply", ".pcd"})
ENCODINGS = ("auto", "raw", "nyu")
NEAREST_MM = 50.0
FARTHEST_MM = 10_000.0
ENDLESS_MM = 1e6  # 1 km: a value beyond it stands for no measurement
PLAUSIBLE_MM = (200.0, 1500.0)
SUGGESTED_UNITS_MM = (0.001, 0.01, 0.1, 0.125, 0.25, 1.0, 10.0, 100.0, 1000.0)

_MAX_INVALID_SHARE = 0.99
_METRES_BELOW = 20.0
_SUSPICIOUS_MM = 2000.0
_BLOCK_PX = 1 << 20
_SAME_UNIT = 0.02
"""Relative difference up to which two units are one: a RealSense states 0.124987 mm for 1/8 mm."""


@dataclass(frozen=True, eq=False)
class DepthImage:
    """A depth image. depth_mm: (H, W) float32, mm, 0 = no measurement. unit_mm: mm per count of the file.

    assumptions: one sentence for each thing that was guessed or corrected.
    """

    depth_mm: NDArray[np.float32]
    path: Path
    unit_mm: float
    assumptions: tuple[str, ...]


def is_depth_file(path: str | Path) -> bool:
    """Say whether a file name looks like that of a depth image."""
    return Path(path).suffix.lower() in DEPTH_SUFFIXES


def without_masks(files: Iterable[Path]) -> list[Path]:
    """Leave masks out of the depth files of a folder: NAME_mask.png beside NAME.png, as handopt synth writes them."""
    listed = list(files)
    masks = {file.parent / f"{file.stem}_mask.png" for file in listed}
    return [file for file in listed if file not in masks]


def read_depth(path: str | Path, *, unit: float | None = None, encoding: str = "auto") -> DepthImage:
    """Read a depth image: 16-bit PNG, TIFF, .npy, .npz, EXR, or an RGB PNG in the NYU encoding.

    It takes no notice of JSON files beside the image, such as camera.json; handopt.read_image does.
    unit: mm per count, None to assume 1 mm for integers, and metres or millimetres by the values for floats.
    encoding: "auto", "raw" (one channel), "nyu" (depth = green * 256 + blue, Tompson et al., TOG 2014), or
    WIDTHxHEIGHT:TYPE for a file without a header, such as "640x480:uint16".
    Raises DepthError.
    """
    path = Path(path)
    layout = raw_layout(encoding)
    if encoding not in ENCODINGS and layout is None:
        raise DepthError(f"encoding={encoding!r}: expected one of {', '.join(ENCODINGS)}, or such as 640x480:uint16")
    if unit is not None and not (np.isfinite(unit) and unit > 0):
        raise DepthError(f"unit={unit:g}: expected mm per count above 0")
    notes: list[str] = []
    counts = read_raw(path, layout) if layout else single_channel(decode_file(path, notes), path, encoding, notes)
    depth_mm, unit_mm = counts_to_mm(counts, path, unit, notes)
    return DepthImage(depth_mm, path, unit_mm, tuple(notes))


def single_channel(values: AnyArray, path: Path, encoding: str, notes: list[str]) -> AnyArray:
    """Return counts (H, W) from decoded values. Raises DepthError if they are a picture."""
    if values.ndim == 3 and 1 in values.shape:
        values = values.reshape([size for size in values.shape if size != 1])
    coloured = values.ndim == 3 and values.shape[2] in (3, 4) and values.dtype == np.uint8
    if coloured and encoding != "raw":
        return _decode_nyu(values, path, encoding, notes)
    if encoding == "nyu":
        raise DepthError(f"{path}: encoding='nyu' needs an 8-bit RGB image, this one is {_describe(values)}")
    if values.ndim == 3:
        raise DepthError(
            f"{path}: is {_describe(values)}, expected one depth per pixel; give the depth image, or encoding='nyu' "
            "if 8-bit green and blue hold the depth"
        )
    if values.dtype.itemsize == 1:
        raise DepthError(
            f"{path}: is {_describe(values)}: a picture, or depth cut to 256 steps, which is too coarse to fit a hand; "
            "export the depth with 16 bits and give unit="
        )
    return values


def _describe(values: AnyArray) -> str:
    channels = values.shape[2] if values.ndim == 3 else 1
    bits = 1 if values.dtype == np.bool_ else 8 * values.dtype.itemsize
    return f"{'an' if bits == 8 else 'a'} {bits}-bit image with {channels} channel{'s' if channels > 1 else ''}"


def _decode_nyu(rgb: AnyArray, path: Path, encoding: str, notes: list[str]) -> AnyArray:
    """Return green * 256 + blue (the NYU dataset's encoding). Raises DepthError if that is not depth."""
    depth = rgb[..., 1].astype(np.uint16) * np.uint16(256) + rgb[..., 2]
    reason = _why_not_nyu(rgb, depth)
    if encoding == "auto":
        if reason:
            raise DepthError(
                f"{path}: is an 8-bit colour picture and not in the NYU encoding ({reason}); give the depth image "
                "with unit=, or encoding='nyu' if its depth is green * 256 + blue all the same"
            )
        notes.append("The file was read in the NYU encoding, depth = green * 256 + blue, which its channels fit.")
    elif reason:
        notes.append(f"The file was read in the NYU encoding as asked, although it does not look like it ({reason}).")
    return depth


def _why_not_nyu(rgb: AnyArray, depth: AnyArray) -> str | None:
    """Return why an RGB image cannot be in the NYU encoding, or None.

    Depth is continuous where green, its high byte, steps by one: there blue must jump the other way. Pictures do not do
    that, and they use red.
    """
    red = np.count_nonzero(rgb[..., 0]) / depth.size
    if red > 0.01:
        return f"{red:.0%} of the pixels have red in them"
    valid = depth > 0
    if not valid.any():
        return None
    if depth.max() < 256:
        return "green, the high byte, is empty"
    if np.percentile(depth[valid], 99) > FARTHEST_MM:
        return f"it would reach {depth.max() / 1000:.0f} m"
    neighbours = valid[:, 1:] & valid[:, :-1]
    step = np.abs(np.diff(depth.astype(np.int32), axis=1))[neighbours]
    if step.size == 0 or np.mean(step <= 50) < 0.5:
        return "its surfaces would be torn"
    carry = np.abs(np.diff(rgb[..., 1].astype(np.int16), axis=1))[neighbours] == 1
    if np.count_nonzero(carry) >= 8 and np.mean(step[carry] < 128) < 0.5:
        return "blue does not wrap round where green steps"
    return None


def counts_to_mm(
    counts: AnyArray, path: Path, unit: float | None, notes: list[str]
) -> tuple[NDArray[np.float32], float]:
    """Return depth (H, W) in mm and the mm per count. Raises DepthError."""
    dropped = _invalid(counts, path, unit, notes)
    near, median, far = _quantiles(counts[(counts > 0) & ~dropped], path)
    if unit is None:
        unit = 1000.0 if counts.dtype.kind == "f" and median < _METRES_BELOW else 1.0
        if counts.dtype.kind == "f":
            name = "metres" if unit == 1000.0 else "millimetres"
            notes.append(f"The values were assumed to be {name}: their median is {median:.4g} (unit= changes this).")
        else:
            notes.append("One count was assumed to be 1 mm, since nothing says otherwise (unit= changes this).")
    _check_unit(near * unit, median, far * unit, unit, path, notes)
    return _in_mm(counts, dropped, unit, notes), float(unit)


def _check_unit(near_mm: float, median: float, far_mm: float, unit: float, path: Path, notes: list[str]) -> None:
    """Refuse a unit with which no hand can be there, and note one that is doubtful. Raises DepthError."""
    advice = _advice(median, unit)
    if near_mm > FARTHEST_MM or far_mm < NEAREST_MM:
        raise DepthError(
            f"{path}: with {unit:g} mm per count everything is {_distance(near_mm)} to {_distance(far_mm)} away, "
            f"where no hand can be; the unit looks wrong{advice or ': change unit='}"
        )
    if advice and near_mm > _SUSPICIOUS_MM:
        notes.append(f"Nothing is nearer than {_distance(near_mm)}, so the unit may be wrong{advice}.")
    elif advice and far_mm < PLAUSIBLE_MM[0]:
        notes.append(f"Nothing is farther than {_distance(far_mm)}, so the unit may be wrong{advice}.")
    elif not _is_usual(unit):
        notes.append(
            f"{unit:g} mm per count is unusual; the nearest pixels are {_distance(near_mm)} away with it"
            f"{advice or _usual_units()}."
        )


def _in_mm(counts: AnyArray, dropped: Bools, unit: float, notes: list[str]) -> NDArray[np.float32]:
    """Depth (H, W) in mm, 0 where counts are dropped, some rows at a time."""
    depth_mm, far = np.empty(counts.shape, np.float32), 0
    rows = max(1, _BLOCK_PX // counts.shape[1])
    for first in range(0, len(counts), rows):
        block = slice(first, first + rows)
        values = counts[block].astype(np.float64)
        values[dropped[block]] = 0.0
        with np.errstate(over="ignore", under="ignore"):
            part = (values * unit).astype(np.float32)
        if counts.dtype.kind == "f":
            endless = part > ENDLESS_MM
            far += int(np.count_nonzero(endless))
            part[endless] = 0.0
        part[~np.isfinite(part)] = 0.0
        depth_mm[block] = part
    if far:
        notes.append(f"Pixels more than 1 km away count as unmeasured: {far}.")
    return depth_mm


def _quantiles(measured: AnyArray, path: Path) -> tuple[float, float, float]:
    """The first percentile, the median and the 99th percentile of what is measured (N,), which is sorted in part.

    They are those of numpy.percentile for float64, without a copy of that type. Raises DepthError where N is 0.
    """
    if measured.size == 0:
        raise DepthError(
            f"{path}: every pixel is 0 or unmeasured: there is no depth in this image; check that it is the depth "
            "image, and record or export it again"
        )
    places = [share * (measured.size - 1) for share in (0.01, 0.5, 0.99)]
    below = [int(place) for place in places]
    above = [min(place + 1, measured.size - 1) for place in below]
    measured.partition(sorted({*below, *above}))
    found = []
    for place, low, high in zip(places, below, above, strict=True):
        one, other, share = float(measured[low]), float(measured[high]), place - low
        found.append(other - (other - one) * (1 - share) if share >= 0.5 else one + (other - one) * share)
    return found[0], found[1], found[2]


def without_value(counts: AnyArray, endless: float) -> Iterator[tuple[str, Bools]]:
    """Pixels (H, W) whose counts are no measurement although they are not 0, with what is wrong with them.

    endless: the count beyond which a float stands for no measurement
    """
    if counts.dtype.kind != "f":
        if counts.dtype.kind == "i":
            yield "negative", counts < 0
        return
    endless = np.float64(endless)
    yield "negative", (counts < 0) & (counts > -np.inf)
    yield "NaN", np.isnan(counts)
    yield "infinite", np.isinf(counts)
    yield f"above {endless:.0e}", (counts > endless) & (counts < np.inf)


def _invalid(counts: AnyArray, path: Path, unit: float | None, notes: list[str]) -> Bools:
    """Pixels (H, W) where nothing was measured although they are not 0, and a note on them. Raises DepthError."""
    unit_mm = 1.0 if unit is None else unit
    constants = no_depth_constants(counts, unit_mm)
    dropped, listed = is_no_depth(counts, constants), []
    for name, where in without_value(counts, max(1.0, 1.0 / unit_mm) * ENDLESS_MM):
        if count := int(np.count_nonzero(where)):
            listed.append(f"{count} {name}")
            dropped |= where
    if np.count_nonzero(dropped) > _MAX_INVALID_SHARE * counts.size:
        every = [*listed, *(f"{np.count_nonzero(counts == value)} of {value}" for value in constants)]
        raise DepthError(
            f"{path}: of its {counts.size} pixels {', '.join(every)}: there is no depth to use; export it again"
        )
    if listed:
        notes.append(f"Pixels without a usable value count as unmeasured: {', '.join(listed)}.")
    if constants:
        notes.append(note_on(constants))
    return dropped


def _is_usual(unit: float) -> bool:
    """Say whether a unit is one that cameras use, as near as they state it."""
    return any(abs(unit / each - 1) < _SAME_UNIT for each in SUGGESTED_UNITS_MM)


def _usual_units() -> str:
    return f"; usual are {', '.join(f'{each:g}' for each in SUGGESTED_UNITS_MM)}"


def _advice(median: float, unit: float) -> str:
    """Return which unit would bring the median count to where hands are, or an empty string."""
    low, high = PLAUSIBLE_MM
    units = [each for each in SUGGESTED_UNITS_MM if low <= median * each <= high and each != unit]
    if not units:
        return ""
    listed = " or ".join(f"unit={each:g} ({_distance(median * each)})" for each in units)
    return f"; the middle of the scene would be at a hand's distance with {listed}"


def _distance(distance_mm: float) -> str:
    if distance_mm < 1000.0:
        return f"{distance_mm:.3g} mm"
    return f"{distance_mm / 1000.0:.{1 if distance_mm < 100_000.0 else 0}f} m"
