"""Normalised crops of the depth around each hand, with what takes them back to the image: input for training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from handopt.errors import OutputError
from handopt.export.labels.records import LabelRecord
from handopt.observation.crop import Crop
from handopt.typing import FloatImage, Floats

DEPTH_NAME: Final = "crops_depth.npy"
ARRAYS_NAME: Final = "crops.npz"
SIZES_PX: Final = (16, 512)
FAR: Final = 1.0
"""Normalised depth of the cube's far face, and of what lies behind it or was not measured."""


def write_crops(records: Sequence[LabelRecord], folder: Path, size: int) -> list[str]:
    """Write crops_depth.npy, (N, size, size) float32, and crops.npz, and return what the user should know.

    Each crop shows the cube around the hand that its result keeps, 300 mm for a fit, as Oberweger et al. (*Hands Deep
    in Deep Learning*, CVWW 2015) normalise it: depth from -1 at the near face to 1 at the far one, where all else is
    put. crops.npz: names; center_mm (N, 3) and half_mm (N,) of the cubes; image_to_crop (N, 3, 3), which takes
    homogeneous pixels of the image to pixels of the crop; joints (N, 21, 3), u and v in pixels of the crop and the
    normalised depth; joints_normalised (N, 21, 3), (joint - center_mm) / half_mm. Raises OutputError.
    """
    if not SIZES_PX[0] <= size <= SIZES_PX[1]:
        raise OutputError(f"crop= must be from {SIZES_PX[0]} to {SIZES_PX[1]} pixels, not {size}")
    bare = next((record for record in records if not record.has_arrays), None)
    if bare is not None:
        raise OutputError(f"{bare.folder} has no depth around its hand (trace.npz): fit it again, or leave out crop=")
    depths = np.lib.format.open_memmap(
        folder / DEPTH_NAME, mode="w+", dtype=np.float32, shape=(len(records), size, size)
    )
    centers, halves, matrices, joints, relative = ([np.zeros(0)] * len(records) for _ in range(5))
    for row, record in enumerate(records):
        depths[row], crop = _crop(record, size)
        centers[row], halves[row] = np.array(crop.center_mm), np.array(crop.half_mm)
        matrices[row] = image_to_crop(crop)
        relative[row] = (record.joints_mm - centers[row]) / crop.half_mm
        joints[row] = np.column_stack([crop.as_camera().project(record.joints_mm), relative[row][:, 2]])
    depths.flush()
    del depths
    np.savez_compressed(
        folder / ARRAYS_NAME,
        names=np.array([record.name for record in records]),
        center_mm=np.stack(centers),
        half_mm=np.stack(halves),
        image_to_crop=np.stack(matrices),
        joints=np.stack(joints),
        joints_normalised=np.stack(relative),
    )
    return []


def image_to_crop(crop: Crop) -> Floats:
    """The matrix (3, 3) that takes homogeneous pixels of the camera's image to pixels of a crop."""
    ax, bx, ay, by = (float(value) for value in crop.coefficients[:4])
    camera = crop.camera
    u, v = ax / camera.fx, ay / camera.fy
    return np.array([[u, 0.0, bx - u * camera.cx], [0.0, v, by - v * camera.cy], [0.0, 0.0, 1.0]])


def _crop(record: LabelRecord, size: int) -> tuple[FloatImage, Crop]:
    """Normalised depth (size, size) of a record, looked up in the window that its result keeps, and the crop."""
    film, row = record.film()
    window = film.crop(row)
    crop = Crop(window.center_mm, window.half_mm, size, window.camera)
    across = (np.arange(size) + 0.5) * window.size / size - 0.5
    nearest = np.clip(np.rint(across), 0, window.size - 1).astype(int)
    depth = film.depth(row)[np.ix_(nearest, nearest)]
    normalised = (depth - crop.center_mm[2]) / crop.half_mm
    normalised[(depth <= 0) | (normalised > FAR) | (normalised < -FAR)] = FAR
    return normalised.astype(np.float32), crop
