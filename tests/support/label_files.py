"""Makes label files and result folders of made-up hands, in every format that `handopt eval` reads."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.rig import KEYPOINT_NAMES, default_rig

Floats = NDArray[np.float64]

NYU = (588.036865, 587.075073, 320.0, 240.0)
INTEL = (241.42, 241.42, 160.0, 120.0)


def hand(x: float = -20.0, y: float = 30.0, z: float = 500.0) -> Floats:
    """Keypoints (21, 3) of the open rest hand, palm to the camera and fingers up, its wrist at a place in mm."""
    keypoints = default_rig("right").keypoints_mm
    upright = (keypoints - keypoints[0]) @ np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    return np.asarray(upright + np.array([x, y, z]))


def pixels(joints_mm: Floats, camera: Sequence[float]) -> Floats:
    """u, v in pixels and d in mm of joints (..., 3)."""
    fx, fy, cx, cy = camera
    x, y, z = np.moveaxis(joints_mm, -1, 0)
    return np.stack([cx + fx * x / z, cy + fy * y / z, z], axis=-1)


def write_text(path: Path, joints: Floats, names: Iterable[str] = (), first: str = "") -> Path:
    """Write joints (N, J, 3) a line each, after names and below a first line where these are given."""
    rows = [" ".join(f"{number:.6f}" for number in frame.ravel()) for frame in joints]
    rows = [f"{name} {row}" for name, row in zip(names, rows, strict=True)] if names else rows
    path.write_text("".join(f"{row}\n" for row in ([first] if first else []) + rows))
    return path


def write_label(path: Path, joints_mm: Floats, visible: Sequence[bool] | None = None, /, **more: Any) -> Path:
    """Write NAME.json of the synthetic layout, and an empty NAME.png beside it."""
    document: dict[str, Any] = {"keypoints": list(KEYPOINT_NAMES), "joints_mm": joints_mm.tolist()}
    if visible is not None:
        document["joint_visible"] = [bool(each) for each in visible]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document | more))
    path.with_suffix(".png").touch()
    return path


def write_result(folder: Path, joints_mm: Floats, image: str | None = None, /, **more: Any) -> Path:
    """Write as much of a result folder as is read of it."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {"format": "handopt.result/1", "image": image, "keypoints": list(KEYPOINT_NAMES)}
    (folder / "result.json").write_text(json.dumps({**document, "joints_mm": joints_mm.tolist(), **more}))
    return folder
