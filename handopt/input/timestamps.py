"""When frames were taken: the time in a JSON document, and the times in a .npz archive."""

import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.errors import DepthError
from handopt.files import UnreadableError
from handopt.input.arrays import ArraySpec, read_arrays
from handopt.typing import Floats

TIME, RATE = "time_s", "fps"
LATEST_S: Final = 1e16
"""A date in seconds is 2e9 today, and a million times that where somebody wrote microseconds."""
MOST_FPS: Final = 1e6
ARRAYS: Final = {
    TIME: ArraySpec("number", (None,), -LATEST_S, LATEST_S, optional=True),
    RATE: ArraySpec("number", None, optional=True),
}
"""Arrays beside a stack."""


def time_of(document: Any) -> float | None:
    """The number "time_s" of a JSON object, s, at its top or under "sequence"; None if there is none.

    A time that no clock can give is none.
    """
    for each in (document, document.get("sequence") if isinstance(document, dict) else None):
        value = each.get(TIME) if isinstance(each, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LATEST_S:
            return float(value)
    return None


def times_within(path: Path, frames: int | None) -> tuple[Floats | None, float | None]:
    """What arrays of a .npz file say beside its stack: "time_s" (T,), s, and "fps". Raises DepthError.

    frames: how many the stack has
    """
    if not zipfile.is_zipfile(path):
        return None, None
    try:
        arrays, _ = read_arrays(path, ARRAYS)
    except UnreadableError as error:
        raise DepthError(f"{path}: {error}; copy or save it again") from error
    times, rate = (None if each is None else np.asarray(each, np.float64) for each in map(arrays.get, ARRAYS))
    if times is not None and (times.shape != (frames,) or (np.diff(times) <= 0).any()):
        raise DepthError(
            f"{path}: {TIME} must hold a time for each of its {frames} frames, each later than the one before; "
            "save it again, or give fps="
        )
    if rate is not None and rate.size == 1 and 0 < rate.ravel()[0] <= MOST_FPS:
        return times, float(rate.ravel()[0])
    if rate is not None:
        raise DepthError(
            f"{path}: {RATE} must be one number above 0, {MOST_FPS:g} at most; save it again, or give fps="
        )
    return times, None
