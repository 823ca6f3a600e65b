"""The hand in a frame some frames later: smoothed with the frames before and after it, as the finished track is."""

from dataclasses import replace
from typing import Final

from handopt.tracking.assemble import TrackedHand, assemble, rate
from handopt.tracking.config import TrackingConfig
from handopt.tracking.depth_crops import DepthCrops
from handopt.tracking.frame_estimate import FrameEstimate
from handopt.tracking.frame_log import FrameLog

CONTEXT: Final = 30
"""Frames before a frame with which it is smoothed. Two cycles of the smoother's cutoff are 13 frames at 30 a second."""
DEFAULT_FPS: Final = 30.0


def delayed_estimate(
    steps: FrameLog, hand: TrackedHand, frame: int, fps: float | None, config: TrackingConfig
) -> FrameEstimate:
    """The hand in one of the frames so far, smoothed with CONTEXT frames before it and all after it.

    A short gap between frames with a hand is bridged. fps: of the source, else by the frames' times, else 30.
    """
    first = max(0, frame - CONTEXT)
    window, row = steps[first:], frame - first
    step = window[row]
    facts = (frame, step.frame.name, step.frame.time_s, step.frame.problem, hand.side)
    if not any(each.pose is not None for each in window):
        return FrameEstimate(*facts, tracked=False)
    given = fps or rate(window) or DEFAULT_FPS
    track = assemble(window, hand, "", given, DepthCrops(1), (), 0.0, config.confidence).smooth(config.smoothing)
    if not track.known[row]:
        return FrameEstimate(*facts, tracked=False)
    estimate = FrameEstimate(
        *facts, bool(track.tracked[row]), bool(track.refitted[row]), float(track.confidence[row]),
        float(track.unexplained_fraction[row]), track.joint_visible[row], track.rotation[row],
        track.translation_mm[row], track.angles_rad[row], track.scale, track.proportions, hand.rig, step.pose,
    )  # fmt: skip
    return replace(estimate, bridged=bool(track.bridged[row]))
