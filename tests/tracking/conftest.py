"""Tests of tracking fit the same few frames from scratch: each of these fits is done once."""

from typing import Any

import pytest

from handopt.fitting import fit
from handopt.result import FitResult
from handopt.tracking import tracker

_FITS: dict[tuple[Any, ...], FitResult] = {}


@pytest.fixture(autouse=True)
def _each_image_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results of the real fit, which depend on nothing but its arguments."""

    def remembered(
        depth_mm: Any, camera: Any, *, rig: Any, center: Any, ignore: Any, config: Any, device: str, seed: int
    ) -> FitResult:
        ignored = None if ignore is None else ignore.tobytes()
        key = (depth_mm.tobytes(), ignored, camera, rig.rest_mm.tobytes(), rig.side, center, repr(config), device, seed)
        if key not in _FITS:
            _FITS[key] = fit(
                depth_mm, camera, rig=rig, center=center, ignore=ignore, config=config, device=device, seed=seed
            )
        return _FITS[key]

    monkeypatch.setattr(tracker, "fit", remembered)
