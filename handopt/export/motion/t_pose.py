"""The hand of a humanoid in the T-pose: arms stretched out, palms down, fingers straight, thumb forward by 45 degrees.

It is the rest pose of VRM's humanoid and of SMPL-H, whose bones all have the world's axes there: y up, the figure looks
along +z, its right hand at -x (https://github.com/vrm-c/vrm-specification, VRMC_vrm-1.0, humanoid.md).
"""

from typing import Final

import numpy as np

from handopt.export.motion.retarget import TargetRig
from handopt.rig.joints import KEYPOINT_JOINTS, KEYPOINT_NAMES
from handopt.typing import Floats

THUMB_TURN_RAD: Final = np.pi / 4
BODY_M: Final = {
    "hips": (None, (0.0, 0.95, 0.0)),
    "spine": ("hips", (0.0, 0.12, 0.0)),
    "chest": ("spine", (0.0, 0.2, 0.0)),
    "Shoulder": ("chest", (0.03, 0.14, 0.0)),
    "UpperArm": ("Shoulder", (0.13, 0.0, 0.0)),
    "LowerArm": ("UpperArm", (0.28, 0.0, 0.0)),
}
"""Parent and offset of the bones between hips and hand, of the left arm, in metres: a figure of 1.7 m."""


def t_pose(side: str, rest_mm: Floats) -> TargetRig:
    """The skeleton of a figure with one arm, whose hand has the sizes of joints (21, 3) mm."""
    outward = 1.0 if side == "left" else -1.0
    names, parents, places = list[str](), list[int](), list[Floats]()
    for name, (parent, offset) in BODY_M.items():
        called = name if name[0].islower() else f"{side}{name}"
        before = -1 if parent is None else names.index(parent if parent[0].islower() else f"{side}{parent}")
        names.append(called)
        parents.append(before)
        places.append(np.array(offset) * (outward, 1.0, 1.0) + (places[before] if before >= 0 else 0.0))
    wrist = places[-1] + np.array([0.26 * outward, 0.0, 0.0])
    start = len(names)
    joints = wrist + _hand_m(rest_mm, outward)
    for row, place in enumerate(joints):
        names.append(KEYPOINT_JOINTS[row])
        parents.append(start - 1 if row == 0 else start if row % 4 == 1 else start + row - 1)
        places.append(place)
    rest = np.tile(np.eye(4), (len(names), 1, 1))
    rest[:, :3, 3] = np.array(places)
    bones = {joint: start + row for row, joint in enumerate(KEYPOINT_JOINTS)}
    return TargetRig(tuple(names), tuple(parents), rest, bones, moves=False)


def _hand_m(rest_mm: Floats, outward: float) -> Floats:
    """Joints (21, 3) of the hand in the T-pose, from its wrist, with the lengths of a hand in another pose."""
    along, forward = np.array([outward, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
    thumb = np.cos(THUMB_TURN_RAD) * along + np.sin(THUMB_TURN_RAD) * forward
    wrist, index, middle, pinky = (
        rest_mm[KEYPOINT_NAMES.index(name)] for name in ("wrist", "index_mcp", "middle_mcp", "pinky_mcp")
    )
    axis = (middle - wrist) / np.linalg.norm(middle - wrist)
    across = index - pinky
    across = across - (across @ axis) * axis
    across = across / np.linalg.norm(across)
    out, up = np.cross(axis, across), np.cross(along, forward)  # so that the palm stays as it is
    joints = np.zeros((len(KEYPOINT_NAMES), 3))
    for row in range(1, len(KEYPOINT_NAMES)):
        if row % 4 == 1:
            offset = rest_mm[row] - wrist
            joints[row] = (offset @ axis) * along + (offset @ across) * forward + (offset @ out) * up
        else:
            length = np.linalg.norm(rest_mm[row] - rest_mm[row - 1])
            joints[row] = joints[row - 1] + length * (thumb if row < 5 else along)
    return joints * 1e-3
