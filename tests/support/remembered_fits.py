"""Tests of tracking fit the same few frames from scratch: in each process, each of these fits is done once."""

from typing import Any

import numpy as np
import pytest

from handopt.fitting import fit
from handopt.result import FitResult
from handopt.rig import Rig
from handopt.tracking import tracker

_FITS: dict[tuple[Any, ...], FitResult] = {}


def remember_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tracker use earlier results of the real fit, which depend on nothing but its arguments."""

    def remembered(depth_mm: Any, camera: Any, **options: Any) -> FitResult:
        key = (_key(depth_mm), _key(camera), *((name, _key(options[name])) for name in sorted(options)))
        if key not in _FITS:
            _FITS[key] = fit(depth_mm, camera, **options)
        return _FITS[key]

    monkeypatch.setattr(tracker, "fit", remembered)


def _key(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, Rig):
        return value.side, value.rest_mm.tobytes(), value.bind.tobytes(), value.limits.lower.tobytes()
    return repr(value)
