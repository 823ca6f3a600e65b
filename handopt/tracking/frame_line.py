"""One frame of a track as JSON values: a line of track.jsonl, and what is printed and sent while a track goes on."""

import math
from typing import Any

from handopt.rig import ANGLE_NAMES
from handopt.tracking.pose_estimate import Placed
from handopt.typing import Bools, Reals


def frame_line(
    *,
    frame: int,
    name: str,
    time_s: float | None,
    tracked: bool,
    bridged: bool,
    refitted: bool,
    unexplained_fraction: float,
    confidence: float,
    error: str | None,
    joints_mm: Reals | None,
    joint_uncertainty_mm: Reals | None,
    joint_visible: Bools | None,
    placed: Placed | None,
) -> dict[str, Any]:
    """The line of a frame; what is not known of it is None. Keys and units: handopt/storage/README.md."""
    return {
        "frame": frame,
        "name": name,
        "time_s": None if time_s is None else round(float(time_s), 6),
        "tracked": bool(tracked),
        "bridged": bool(bridged),
        "refitted": bool(refitted),
        "unexplained_fraction": _rounded(unexplained_fraction, 4),
        "confidence": _rounded(confidence, 3),
        "error": error,
        "joints_mm": None if joints_mm is None else joints_mm.round(3).tolist(),
        "joint_uncertainty_mm": None if joint_uncertainty_mm is None else joint_uncertainty_mm.round(2).tolist(),
        "joint_visible": None if joint_visible is None else joint_visible.tolist(),
        "pose": None if placed is None else _pose(placed),
    }


def _pose(placed: Placed) -> dict[str, Any]:
    angles = placed.angles_rad.round(5).tolist()
    return {
        "rotation": placed.rotation.round(6).tolist(),
        "translation_mm": placed.translation_mm.round(3).tolist(),
        "angles_rad": dict(zip(ANGLE_NAMES, angles, strict=True)),
    }


def _rounded(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None
