"""The bank of rendered poses: for each a short description of its image, and the pose, in few bytes.

A description holds, for 16 x 16 cells of a view (handopt.proposals.features), the share that the hand covers and its
mean depth, on the principal axes of all images. Poses whose descriptions are near look alike.
"""

import zipfile
import zlib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handopt.assets import asset
from handopt.errors import HandoptError

Floats = NDArray[np.floating[Any]]

CELLS: Final = 16
DEPTH_UNIT_MM: Final = 60.0
"""A depth that weighs as much as covering a whole cell."""
ASSET: Final = "proposals.npz"
FORMAT: Final = 1
FREE_ANGLES: Final = 22
"""Angles of the default rig that may move."""
ANGLE_STEP_RAD: Final = 0.02
QUATERNION_STEP: Final = 1 / 32000
WRIST_STEP_MM: Final = 0.02
SCALE_STEP: Final = 0.005
_ARRAYS: Final = {
    "descriptions": (np.int8, 2),
    "step": (np.float32, 0),
    "mean": (np.float32, 1),
    "axes": (np.float32, 2),
    "middle": (np.float32, 1),
    "angles": (np.int8, 2),
    "quaternions": (np.int16, 2),
    "wrists": (np.int16, 2),
    "scales": (np.int8, 1),
}


@dataclass(frozen=True, eq=False)
class Bank:
    """N poses of the default right hand in views of their own.

    descriptions: (N, d) int8 steps of `step`; mean: (512,) and axes: (512, d) of describe()'s numbers. middle: (45,)
    rad, from which angles count. angles: (N, free) of the angles that may move; quaternions: (N, 4) w first, rig ->
    view; wrists: (N, 3) from the view's centre; scales: (N,) from 1; all of them whole numbers of the steps above.
    """

    descriptions: NDArray[np.int8]
    step: float
    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    middle: NDArray[np.float32]
    angles: NDArray[np.int8]
    quaternions: NDArray[np.int16]
    wrists: NDArray[np.int16]
    scales: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.scales)

    @cached_property
    def _floats(self) -> NDArray[np.float32]:
        return self.descriptions.astype(np.float32)

    @cached_property
    def _squares(self) -> NDArray[np.float32]:
        return np.asarray(np.square(self._floats).sum(axis=1))

    def nearest(self, offset_mm: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """The rows of the most similar images, nearest first. offset_mm: (64, 64), NaN where no hand is."""
        wanted = (describe(offset_mm[None])[0] - self.mean) @ self.axes / np.float32(self.step)
        distance = self._squares - 2 * (self._floats @ wanted)
        count = min(count, len(self))
        rows = np.argpartition(distance, count - 1)[:count]
        return np.asarray(rows[np.lexsort((rows, distance[rows]))])


def describe(offset_mm: Floats) -> NDArray[np.float32]:
    """Describe views (N, 64, 64) mm, NaN where no hand is: (N, 512), covered shares of the cells and their depths."""
    seen = np.isfinite(offset_mm)
    depth = np.where(seen, offset_mm, 0) / DEPTH_UNIT_MM
    size = offset_mm.shape[1] // CELLS

    def cells(image: NDArray[Any]) -> NDArray[Any]:
        blocks = image.reshape(len(image), CELLS, size, CELLS, size)
        return np.asarray(blocks.mean(axis=(2, 4), dtype=np.float32).reshape(len(image), -1))

    return np.concatenate([cells(seen), cells(depth)], axis=1)


@cache
def default_bank() -> Bank:
    """The bank that comes with handopt. Raises HandoptError where its file is missing or broken."""
    return load_bank(asset(ASSET))


def load_bank(path: Path) -> Bank:
    """Read a bank that scripts/build_proposals.py wrote. Raises HandoptError where it cannot be used."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            if int(file["format"]) != FORMAT:
                raise ValueError(f"format {int(file['format'])}, expected {FORMAT}")
            arrays = {name: file[name] for name in _ARRAYS}
        for name, (dtype, dimensions) in _ARRAYS.items():
            if arrays[name].dtype != dtype or arrays[name].ndim != dimensions:
                raise ValueError(f"{name} is {arrays[name].dtype} with {arrays[name].ndim} axes")
        width = arrays["descriptions"].shape[1]
        shapes = {"mean": (2 * CELLS**2,), "axes": (2 * CELLS**2, width), "middle": (45,)}
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise ValueError(f"{name} has shape {arrays[name].shape}")
        for name, columns in {"quaternions": 4, "wrists": 3, "angles": FREE_ANGLES}.items():
            if arrays[name].shape[1] != columns:
                raise ValueError(f"{name} has {arrays[name].shape[1]} columns")
        counts = {len(arrays[name]) for name in ("descriptions", "angles", "quaternions", "wrists", "scales")}
        if len(counts) != 1 or 0 in counts:
            raise ValueError(f"its arrays have {sorted(counts)} rows")
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise HandoptError(f"{path} is no usable bank of proposals ({error}): install handopt again") from error
    return Bank(**{**arrays, "step": float(arrays["step"])})
