"""The label files of DexYCB (Chao et al., CVPR 2021): one labels_NNNNNN.npz for each image.

Layout (https://dex-ycb.github.io and https://github.com/NVlabs/dex-ycb-toolkit): `seg` (H, W) uint8, 255 where the hand
is; `pose_y` (objects, 3, 4); `pose_m` (1, 51), MANO's parameters, zeros where nobody knows them; `joint_3d` (1, 21, 3)
in metres in the camera frame and `joint_2d` (1, 21, 2) in pixels, wrist first, thumb to little finger, base to tip. The
side stands in the sequence's meta.yml, the camera in a file of its own: here in `mano_side` and `camera` of each file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from handopt.export.labels.coco import silhouette
from handopt.export.labels.records import LabelRecord
from handopt.input.camera import CAMERA_KEYS

M_PER_MM: Final = 1e-3
HAND_VALUE: Final = 255
MANO_PARAMETERS: Final = 51


def write_dexycb(records: Sequence[LabelRecord], folder: Path) -> list[str]:
    """Write a file for each image. Returns what the user should know."""
    bare = 0
    for number, record in enumerate(records):
        mask = np.zeros((record.camera.height, record.camera.width), np.uint8)
        if record.has_arrays:
            mask[silhouette(record)] = HAND_VALUE
        else:
            bare += 1
        np.savez_compressed(
            folder / f"labels_{number:06d}.npz",
            seg=mask,
            pose_y=np.zeros((0, 3, 4), np.float32),
            pose_m=np.zeros((1, MANO_PARAMETERS), np.float32),
            joint_3d=(record.joints_mm * M_PER_MM)[None].astype(np.float32),
            joint_2d=record.joints_px[None].astype(np.float32),
            mano_side=np.array(record.hand),
            camera=np.array([getattr(record.camera, key) for key in CAMERA_KEYS]),
        )
    notes = ["pose_m is zero: MANO's own parameters are written by format='mano'."]
    if bare:
        notes.append(f"{bare} of {len(records)} files have an empty seg: their results have no trace.npz.")
    return notes
