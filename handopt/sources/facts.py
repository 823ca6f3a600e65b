"""Camera, unit and side of a sequence, from options, files beside the first frame, and the frame itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.camera import Camera, Sidecar, hand_of, load_camera
from handopt.depth import counts_to_mm
from handopt.errors import CameraError
from handopt.reader import Reader
from handopt.sources.base import Facts


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
    reader = Reader(asked.camera, asked.unit)
    beside = reader.beside(path)
    unit = reader.unit_of(path, beside, notes)
    _, unit_mm = counts_to_mm(counts, Path(name), unit, notes)
    height, width = counts.shape
    camera = _camera(path, beside, asked, width, height, notes)
    return Facts(camera, unit_mm, _hand(beside, asked), list(dict.fromkeys(notes)))


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
