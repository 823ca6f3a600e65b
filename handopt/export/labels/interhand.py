"""The files of InterHand2.6M (Moon et al., ECCV 2020), which its data/InterHand2.6M/dataset.py loads.

Layout (https://github.com/facebookresearch/InterHand2.6M, DATASET.md and that loader): InterHand2.6M_train_data.json is
in the format of COCO; its images name a capture, a camera and a frame. _camera.json has for each capture and camera the
position campos in mm, the rotation camrot (world to camera), focal and princpt in pixels. _joint_3d.json has for each
capture and frame 42 joints in mm in the world, those of the right hand first, from the tip of each finger to its base,
thumb to little finger, the wrist last. The world is the camera's frame here.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.evaluation.mapping import INTERHAND_ROWS
from handopt.export.labels.coco import box_of
from handopt.export.labels.records import LabelRecord, image_names

CAPTURE: Final = "0"
HAND_JOINTS: Final = 21


def write_interhand(records: Sequence[LabelRecord], folder: Path) -> list[str]:
    """Write the three files. Returns what the user should know."""
    cameras: dict[tuple[float, float, float, float], str] = {}
    intrinsics: dict[str, dict[str, Any]] = {"campos": {}, "camrot": {}, "focal": {}, "princpt": {}}
    images, annotations, joints = [], [], {}
    names = image_names(records)
    for number, record in enumerate(records):
        camera = record.camera
        key = (camera.fx, camera.fy, camera.cx, camera.cy)
        name = cameras.setdefault(key, str(len(cameras)))
        intrinsics["campos"][name], intrinsics["camrot"][name] = [0.0, 0.0, 0.0], np.eye(3).tolist()
        intrinsics["focal"][name] = [camera.fx, camera.fy]
        intrinsics["princpt"][name] = [camera.cx, camera.cy]
        place = 0 if record.hand == "right" else HAND_JOINTS
        world, valid = np.zeros((2 * HAND_JOINTS, 3)), np.zeros((2 * HAND_JOINTS, 1), int)
        rows = place + np.array(INTERHAND_ROWS)
        world[rows], valid[rows] = record.joints_mm, 1
        joints[str(number)] = {
            "world_coord": world.tolist(),
            "joint_valid": valid.tolist(),
            "hand_type": record.hand,
            "hand_type_valid": True,
        }
        images.append(
            {
                "id": number,
                "file_name": names[number],
                "width": camera.width,
                "height": camera.height,
                "capture": int(CAPTURE),
                "subject": 0,
                "seq_name": "handopt",
                "camera": name,
                "frame_idx": number,
            }
        )
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "bbox": box_of(record.joints_px[np.isfinite(record.joints_px).all(axis=1)]),
                "joint_valid": valid.ravel().tolist(),
                "hand_type": record.hand,
                "hand_type_valid": 1,
            }
        )
    documents = {
        "data": {"images": images, "annotations": annotations},
        "camera": {CAPTURE: intrinsics},
        "joint_3d": {CAPTURE: joints},
    }
    for name, document in documents.items():
        path = folder / f"InterHand2.6M_train_{name}.json"
        path.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
    return []
