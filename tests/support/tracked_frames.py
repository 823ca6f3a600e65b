"""Frames as a tracker has fitted them, made up."""

import numpy as np

from handopt.tracking.frame_fit import FrameFit
from handopt.tracking.frame_residuals import ShapeEstimate
from handopt.tracking.pose_estimate import Placed, PoseEstimate


def stub(unexplained: float, *, refitted: bool = False) -> FrameFit:
    """A fit at a place of its own that leaves so much unexplained."""
    placed = Placed(np.eye(3), np.array([0.0, 0.0, 400.0]), np.zeros((15, 3)))
    joints = np.tile([0.0, 0.0, 400.0], (21, 1))
    shape = ShapeEstimate(np.zeros(14), np.eye(14))
    covariance = np.eye(29, dtype=np.float32)
    return FrameFit(PoseEstimate(placed, shape, joints, np.ones(21, np.bool_), unexplained, refitted, covariance))
