"""When frames were taken, as files beside or around them say."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.errors import DepthError
from handopt.input.frame_time import time_of

TIME, RATE = "time_s", "fps"


def time_beside(image: Path) -> float | None:
    """The time in s that <stem>.json beside an image gives, at its top or under "sequence", or None."""
    try:
        document = json.loads(image.with_suffix(".json").read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    return time_of(document)


def times_within(path: Path, frames: int | None) -> tuple[NDArray[np.float64] | None, float | None]:
    """What arrays of a .npz file say beside its stack: "time_s" (T,), s, and "fps". Raises DepthError.

    frames: how many the stack has
    """
    if not zipfile.is_zipfile(path):
        return None, None
    try:
        with np.load(path, allow_pickle=False) as archive:
            times, rate = (_numbers(archive, name) for name in (TIME, RATE))
    except DepthError:
        raise
    except Exception as error:  # zipfile and zlib raise almost anything on damaged files
        raise DepthError(f"{path}: is damaged or cut short ({error}); copy or save it again") from error
    if times is not None and (times.shape != (frames,) or not np.isfinite(times).all() or (np.diff(times) <= 0).any()):
        raise DepthError(
            f"{path}: {TIME} must hold a time for each of its {frames} frames, each later than the one before; "
            "save it again, or give --fps"
        )
    if rate is not None and not (rate.size == 1 and np.isfinite(rate).all() and rate.ravel()[0] > 0):
        raise DepthError(f"{path}: {RATE} must be one number above 0; save it again, or give --fps")
    return times, None if rate is None else float(rate.ravel()[0])


def _numbers(archive: Any, name: str) -> NDArray[np.float64] | None:
    if name not in archive.files:
        return None
    values = archive[name]
    if values.dtype.kind not in "fiu":
        raise DepthError(f"{name} must hold numbers")
    return np.asarray(values, np.float64)
