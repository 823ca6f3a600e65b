"""The files of FreiHAND (Zimmermann et al., ICCV 2019): training_xyz.json, training_K.json, training_scale.json.

Layout: https://github.com/lmb-freiburg/freihand (view_samples.py and utils/fh_utils.py load the three files as lists
with one entry for each image): 21 joints in metres in the camera frame, wrist first, thumb to little finger, base to
tip; the 3 x 3 camera matrix; the length of the middle finger's proximal phalanx in metres. The set holds right hands
only and has no key for the side, so that training_hand.json says it here, and names.txt how each image is called.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.export.labels.records import LabelRecord
from handopt.rig.joints import KEYPOINT_NAMES
from handopt.typing import Floats

M_PER_MM: Final = 1e-3
SCALE_BONE: Final = (KEYPOINT_NAMES.index("middle_mcp"), KEYPOINT_NAMES.index("middle_pip"))


def write_freihand(records: Sequence[LabelRecord], folder: Path) -> list[str]:
    """Write the lists, one entry for each image. Returns what the user should know."""
    joints_m = [record.joints_mm * M_PER_MM for record in records]
    lists: dict[str, list[Any]] = {
        "training_xyz.json": [joints.tolist() for joints in joints_m],
        "training_K.json": [_matrix(record).tolist() for record in records],
        "training_scale.json": [_bone_length(joints) for joints in joints_m],
        "training_hand.json": [record.hand for record in records],
    }
    for name, values in lists.items():
        (folder / name).write_text(json.dumps(values, allow_nan=False), encoding="utf-8")
    left = sum(record.hand == "left" for record in records)
    which = "FreiHAND has right hands only, and training_hand.json says which are left."
    return [f"{left} left hands stand among them as they are: {which}"] if left else []


def _matrix(record: LabelRecord) -> Floats:
    camera = record.camera
    return np.array([[camera.fx, 0.0, camera.cx], [0.0, camera.fy, camera.cy], [0.0, 0.0, 1.0]])


def _bone_length(joints_m: Floats) -> float:
    first, second = SCALE_BONE
    return float(np.linalg.norm(joints_m[second] - joints_m[first]))
