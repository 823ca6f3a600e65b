"""Camera, unit and side of a sequence, from options, files beside the first frame, and the frame itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.input.camera import Sidecar, hand_of
from handopt.input.depth import counts_to_mm
from handopt.input.reader import Reader
from handopt.input.sequence.base import StreamInfo


@dataclass(frozen=True)
class SourceOptions:
    """What the user says of a source: camera, mm per count, encoding of files, frames a second; None leaves it open."""

    camera: str | None = None
    unit: float | None = None
    encoding: str = "auto"
    fps: float | None = None


def stream_info(counts: NDArray[Any], path: Path, asked: SourceOptions, name: str) -> StreamInfo:
    """Settle the facts by the first frame with depth in it, counts (H, W). Raises CameraError and DepthError."""
    notes: list[str] = []
    reader = Reader(asked.camera, asked.unit)
    beside = reader.beside(path)
    unit = reader.unit_of(path, beside, notes)
    _, unit_mm = counts_to_mm(counts, Path(name), unit, notes)
    height, width = counts.shape
    camera = reader.camera_of(path, beside, width, height, notes)
    return StreamInfo(camera, unit_mm, _hand(beside, asked), list(dict.fromkeys(notes)))


def _hand(beside: Sidecar | None, asked: SourceOptions) -> str | None:
    named = None if asked.camera is None else hand_of(asked.camera)
    return named if named is not None else (None if beside is None else beside.hand)


def has_depth(counts: NDArray[Any]) -> bool:
    """Whether anything is measured in counts (H, W)."""
    return bool(((counts > 0) & (counts < np.inf)).any()) if counts.dtype.kind == "f" else bool((counts > 0).any())
