"""The rigged hand: load it from a file, check it, and what the optimiser needs to know about it."""

from handopt.rig.joints import ANGLE_NAMES, KEYPOINT_NAMES
from handopt.rig.keypoint_places import with_default_keypoints, with_keypoints
from handopt.rig.load import default_rig, load_limits, load_rig
from handopt.rig.model import Limits, Rig, with_proportions, with_shape
from handopt.rig.proportions import PROPORTION_NAMES

__all__ = [
    "ANGLE_NAMES",
    "KEYPOINT_NAMES",
    "PROPORTION_NAMES",
    "Limits",
    "Rig",
    "default_rig",
    "load_limits",
    "load_rig",
    "with_default_keypoints",
    "with_keypoints",
    "with_proportions",
    "with_shape",
]
