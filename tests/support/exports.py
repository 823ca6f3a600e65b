"""Folders of results for tests of what is exported of them: a right and a left hand, and tracks of both."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handopt.result import FitResult
from handopt.storage import save
from handopt.storage.track_folder import save_track
from support.factories import fit_result
from support.sequences import followed

SIDES = ("right", "left")


@dataclass(frozen=True)
class Fits:
    """A folder of fits, and the results in it by their names."""

    folder: Path
    results: dict[str, FitResult]


def write_fits(folder: Path) -> Fits:
    """Write fits/right/000 and fits/left/000, of confidence 0.93 and 0.4, with images of the same names."""
    results = {}
    for side, confidence in zip(SIDES, (0.93, 0.4), strict=True):
        result = fit_result(side, iterations=2, image=f"frames/{side}/000.png", confidence=confidence)
        save(result, folder / "fits" / side / "000", renders=False, overlay=False)
        results[f"{side}/000"] = result
    return Fits(folder / "fits", results)


def write_track(folder: Path, side: str) -> Path:
    """Write a track of a hand."""
    return save_track(followed(side), folder / f"{side}-track", video=False)


def pinhole(result: FitResult) -> np.ndarray:
    """The pixels (21, 2) of a result's joints, from the numbers of its camera."""
    x, y, z = np.asarray(result.joints_mm, np.float64).T
    camera = result.camera
    return np.column_stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy])
