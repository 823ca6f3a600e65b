"""Which joints an image shows."""

import numpy as np

from handopt.input.camera import Camera
from handopt.observation.observation import Observation
from handopt.rig.anatomy import JOINT_DEPTH_MM
from handopt.typing import Bools, FloatImage, Reals


def with_things(fitted_mm: FloatImage, observation: Observation) -> FloatImage:
    """A z-buffer (H, W) of a fitted hand with what is held in front of it, mm, 0 where there is no hand."""
    if observation.other is None:
        return fitted_mm
    before = observation.other & (observation.depth_mm > 0) & (observation.depth_mm < fitted_mm)
    return np.where(before, observation.depth_mm, fitted_mm)


def visible_joints(joints_mm: Reals, depth_mm: Reals, camera: Camera, scale: float) -> Bools:
    """Which joints (21, 3) are seen, (21,): those with no more than their own flesh in front of them.

    depth_mm: (H, W) z-buffer, 0 where there is nothing; scale: of the hand
    """
    pixels = np.rint(camera.project(joints_mm)).astype(int)
    columns, rows = np.clip(pixels[:, 0], 0, camera.width - 1), np.clip(pixels[:, 1], 0, camera.height - 1)
    inside = (pixels[:, 0] == columns) & (pixels[:, 1] == rows)
    surface = depth_mm[rows, columns]
    return np.asarray(inside & (surface > 0) & (joints_mm[:, 2] - surface < JOINT_DEPTH_MM * scale))
