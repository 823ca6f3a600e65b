"""Camera, unit and side of a sequence, from options, files beside the first frame, and the frame itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.camera import Camera, Sidecar, hand_of, load_camera, presets, sidecar, unit_of
from handopt.depth import counts_to_mm
from handopt.errors import CameraError
from handopt.sources.base import Facts

SENSOR_SUFFIX = ".png"


@dataclass(frozen=True)
class Asked:
    """What the user says of a source: camera, mm per count, encoding of files, frames a second; None leaves it open."""

    camera: str | None = None
    unit: float | None = None
    encoding: str = "auto"
    fps: float | None = None


def facts_of(counts: NDArray[Any], path: Path, asked: Asked, name: str) -> Facts:
    """Settle the facts by the first frame with depth in it, counts (H, W). Raises CameraError and DepthError."""
    notes: list[str] = []
    beside = _beside(path, asked)
    unit = _unit(path, beside, asked, notes)
    _, unit_mm = counts_to_mm(counts, Path(name), unit, notes)
    height, width = counts.shape
    camera = _camera(path, beside, asked, width, height, notes)
    return Facts(camera, unit_mm, _hand(beside, asked), list(dict.fromkeys(notes)))


def _beside(path: Path, asked: Asked) -> Sidecar | None:
    try:
        return sidecar(path)
    except CameraError:
        if asked.camera is not None and asked.unit is not None:
            return None
        raise


def _unit(path: Path, beside: Sidecar | None, asked: Asked, notes: list[str]) -> float | None:
    """Mm per count by --unit, the --camera file, the file beside the frames or the preset; None leaves a guess."""
    if asked.unit is not None:
        return asked.unit
    named = None if asked.camera is None else unit_of(asked.camera)
    preset = asked.camera is not None and asked.camera.strip().lower().replace("_", "-") in presets()
    if named is not None and not preset:
        notes.append(f"One count is {named:g} mm, as {asked.camera} says.")
        return named
    if beside is not None and beside.unit_mm is not None:
        notes.append(beside.notes["unit"])
        return beside.unit_mm
    if named is not None and path.suffix.lower() == SENSOR_SUFFIX:
        notes.append(f"One count was taken for {named:g} mm, as is usual for {asked.camera} (--unit changes this).")
        return named
    return None


def _camera(path: Path, beside: Sidecar | None, asked: Asked, width: int, height: int, notes: list[str]) -> Camera:
    if asked.camera is not None:
        camera = load_camera(asked.camera, width, height)
    elif beside is not None and beside.camera is not None:
        notes.append(beside.notes["camera"])
        camera = beside.camera.sized(width, height)
    else:
        raise CameraError(
            f"{path}: its camera is unknown: give --camera (a preset such as kinect, a JSON file, or fx,fy,cx,cy), "
            f"or put {path.stem}.json or camera.json beside it"
        )
    notes += camera.assumptions
    return camera


def _hand(beside: Sidecar | None, asked: Asked) -> str | None:
    named = None if asked.camera is None else hand_of(asked.camera)
    return named if named is not None else (None if beside is None else beside.hand)


def has_depth(counts: NDArray[Any]) -> bool:
    """Whether anything is measured in counts (H, W)."""
    return bool(((counts > 0) & (counts < np.inf)).any()) if counts.dtype.kind == "f" else bool((counts > 0).any())
