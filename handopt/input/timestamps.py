"""When frames were taken: the time in a JSON document, and the times in a .npz archive."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from handopt.errors import DepthError
from handopt.typing import Floats

TIME, RATE = "time_s", "fps"


def time_of(document: Any) -> float | None:
    """The number "time_s" of a JSON object, s, at its top or under "sequence"; None if there is none."""
    for each in (document, document.get("sequence") if isinstance(document, dict) else None):
        value = each.get(TIME) if isinstance(each, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    return None


def times_within(path: Path, frames: int | None) -> tuple[Floats | None, float | None]:
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
            "save it again, or give fps="
        )
    if rate is not None and not (rate.size == 1 and np.isfinite(rate).all() and rate.ravel()[0] > 0):
        raise DepthError(f"{path}: {RATE} must be one number above 0; save it again, or give fps=")
    return times, None if rate is None else float(rate.ravel()[0])


def _numbers(archive: Any, name: str) -> Floats | None:
    if name not in archive.files:
        return None
    values = archive[name]
    if values.dtype.kind not in "fiu":
        raise DepthError(f"{name} must hold numbers")
    return np.asarray(values, np.float64)
