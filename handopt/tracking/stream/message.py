"""A frame of a track as JSON values: what is printed and sent while the track goes on."""

import math
from typing import Any

import numpy as np

from handopt.rig import ANGLE_NAMES
from handopt.tracking.frame_estimate import FrameEstimate


def line_of(estimate: FrameEstimate) -> dict[str, Any]:
    """One frame as a line of track.jsonl has it, as far as it is known by this frame."""
    known = estimate.tracked
    angles = estimate.angles_rad.round(5).tolist()
    pose = {
        "rotation": estimate.rotation.round(6).tolist(),
        "translation_mm": estimate.translation_mm.round(3).tolist(),
        "angles_rad": dict(zip(ANGLE_NAMES, angles, strict=True)),
    }
    return {
        "frame": estimate.frame,
        "name": estimate.name,
        "time_s": None if estimate.time_s is None else round(estimate.time_s, 6),
        "tracked": known,
        "bridged": False,
        "refitted": estimate.refitted,
        "unexplained_fraction": _rounded(estimate.unexplained_fraction, 4),
        "confidence": _rounded(estimate.confidence, 3),
        "error": estimate.error,
        "joints_mm": estimate.joints_mm.round(3).tolist() if known else None,
        "joint_uncertainty_mm": estimate.joint_uncertainty_mm.round(2).tolist() if known else None,
        "joint_visible": np.asarray(estimate.joint_visible).tolist() if known else None,
        "pose": pose if known else None,
    }


def _rounded(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None
