"""A frame of a track as JSON values: what is printed and sent while the track goes on."""

from typing import Any

import numpy as np

from handopt.tracking.frame_estimate import FrameEstimate
from handopt.tracking.frame_line import frame_line
from handopt.tracking.pose_estimate import Placed


def line_of(estimate: FrameEstimate) -> dict[str, Any]:
    """One frame as a line of track.jsonl has it, as far as it is known by this frame."""
    known = estimate.tracked or estimate.bridged
    return frame_line(
        frame=estimate.frame,
        name=estimate.name,
        time_s=estimate.time_s,
        tracked=estimate.tracked,
        bridged=estimate.bridged,
        refitted=estimate.refitted,
        unexplained_fraction=estimate.unexplained_fraction,
        confidence=estimate.confidence,
        error=estimate.error,
        joints_mm=estimate.joints_mm if known else None,
        joint_uncertainty_mm=estimate.joint_uncertainty_mm if estimate.tracked else None,
        joint_visible=np.asarray(estimate.joint_visible) if known else None,
        placed=Placed(estimate.rotation, estimate.translation_mm, estimate.angles_rad) if known else None,
    )


def hand_of(estimate: FrameEstimate) -> dict[str, Any]:
    """Which hand a frame is of: its side, and its number where several hands are followed."""
    return {"hand": estimate.hand} | ({} if estimate.number is None else {"number": estimate.number})
