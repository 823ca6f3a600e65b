"""How smoothly and how promptly predicted joints move, where frames are those of a sequence."""

from typing import Any, Final

import numpy as np

from handopt.typing import Floats

LAGS: Final = np.arange(-1.0, 3.01, 0.05)
"""Frames that are tried."""
LEAST_FRAMES: Final = 12
_MARGIN = 3


def motion(joints_mm: Floats, truth_mm: Floats, time_s: Floats) -> dict[str, Any]:
    """Jitter of predictions and of labels (T, J, 3), m/s^2, and lag in frames; None where there is too little.

    time_s: (T,) of the frames
    """
    return {
        "frames": len(time_s),
        "jitter_m_s2": jitter(joints_mm, time_s),
        "label_jitter_m_s2": jitter(truth_mm, time_s),
        "lag_frames": lag(joints_mm, truth_mm),
    }


def jitter(joints_mm: Floats, time_s: Floats) -> float | None:
    """Mean acceleration of joints (T, J, 3) at times (T,), m/s^2; frames with NaN are left out. None without any."""
    gone = np.diff(time_s)
    if len(gone) < 2 or (gone <= 0).any():
        return None
    speed = np.diff(joints_mm, axis=0) / gone[:, None, None]
    acceleration = np.diff(speed, axis=0) / (0.5 * (gone[1:] + gone[:-1]))[:, None, None]
    length = np.linalg.norm(acceleration, axis=2) / 1000
    known = np.isfinite(length)
    return float(length[known].mean()) if known.any() else None


def lag(joints_mm: Floats, truth_mm: Floats) -> float | None:
    """By how many frames joints (T, J, 3) come after the labels: the shift with the least median squared error.

    A constant offset of each joint does not count. None where there are too few frames, or nothing moves.
    """
    inner = np.arange(_MARGIN, len(truth_mm) - _MARGIN)
    inner = inner[np.isfinite(joints_mm[inner]).all(axis=(1, 2))]
    if len(inner) < LEAST_FRAMES or np.ptp(truth_mm[inner], axis=0).max() < 1.0:
        return None
    errors = []
    for shift in LAGS:
        at = inner - shift
        low = np.floor(at).astype(int)
        share = (at - low)[:, None, None]
        expected = (1 - share) * truth_mm[low] + share * truth_mm[low + 1]
        off = joints_mm[inner] - expected
        errors.append(np.median(((off - off.mean(axis=0)) ** 2).sum(axis=2)))
    return round(float(LAGS[int(np.argmin(errors))]), 2)
