"""The bank of rendered poses: each has a short description of its image, and the pose, in few bytes.

A description holds the features that a small network computes from a view (handopt.proposals.features), projected on
the principal axes of all images. Images with similar descriptions show similar poses.
"""

import zipfile
import zlib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from handopt.assets import asset
from handopt.errors import HandoptError
from handopt.ops.networks import in_blocks, nearest_descriptions
from handopt.proposals.network import Network, network_from_arrays

ASSET: Final = "proposals.npz"
FORMAT: Final = 2
"""Of the file's layout."""
FREE_ANGLES: Final = 22
"""Angles of the default rig that may move."""
ANGLE_STEP_RAD: Final = 0.02
"""Angles are stored in steps of this, rad, so that a byte holds +-2.5 rad."""
QUATERNION_STEP: Final = 1 / 32000
"""Components of quaternions are stored in steps of this, in 16 bits."""
WRIST_STEP_MM: Final = 0.02
"""Wrists are stored in steps of this, mm, in 16 bits."""
SCALE_STEP: Final = 0.005
"""Scales are stored in steps of this from 1, so that a byte holds 0.36 to 1.64."""
NETWORK: Final = "network."
"""What the names of the network's arrays begin with in the file."""
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
class PoseBank:
    """N poses of the default right hand, each in a view of its own.

    A view is described by the network's (hidden,) features of it, minus mean: (hidden,), projected on axes: (hidden,
    d). descriptions: (N, d) int8 steps of `step`. middle: (45,) rad, the zero of the angles. angles: (N, free), of the
    angles that may move. quaternions: (N, 4) w first, rig -> view. wrists: (N, 3) from the view's centre. scales: (N,)
    from 1. The last four are whole numbers of the steps above.
    """

    network: Network
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
    def _blocks(self) -> NDArray[np.int8]:
        """The descriptions as they are searched."""
        return in_blocks(self.descriptions)

    @cached_property
    def _squares(self) -> NDArray[np.float32]:
        """(N,), exact: sums of squares of whole numbers of one byte."""
        return np.asarray(np.einsum("nd,nd->n", self.descriptions, self.descriptions, dtype=np.int32), np.float32)

    def nearest(self, features: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The poses whose images are the most similar to any of several views, nearest first.

        features: (T, hidden) of the views. Returns the rows (count,) of the poses, and which view each is similar to.
        """
        wanted = (features - self.mean) @ self.axes / np.float32(self.step)
        return nearest_descriptions(self._blocks, self._squares, np.asarray(wanted, np.float32), count)


@cache
def default_bank() -> PoseBank:
    """The bank that comes with handopt. Raises HandoptError where its file is missing or broken."""
    return load_bank(asset(ASSET))


def load_bank(path: Path) -> PoseBank:
    """Read a bank that scripts/train/build_proposals.py wrote. Raises HandoptError where it cannot be used."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            if int(file["format"]) != FORMAT:
                raise ValueError(f"format {int(file['format'])}, expected {FORMAT}")
            arrays = {name: file[name] for name in _ARRAYS}
            network = network_from_arrays(
                {name.removeprefix(NETWORK): file[name] for name in file.files if name.startswith(NETWORK)}
            )
        for name, (dtype, dimensions) in _ARRAYS.items():
            if arrays[name].dtype != dtype or arrays[name].ndim != dimensions:
                raise ValueError(f"{name} is {arrays[name].dtype} with {arrays[name].ndim} axes")
        width = arrays["descriptions"].shape[1]
        hidden = network.weights["inner.bias"].size
        shapes = {"mean": (hidden,), "axes": (hidden, width), "middle": (45,)}
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
    return PoseBank(network, **{**arrays, "step": float(arrays["step"])})
