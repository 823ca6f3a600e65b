"""A hand's motion on a figure in the T-pose: as VRM animation, and as poses of SMPL-H and MANO."""

from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.export.gltf_buffer import children_of
from handopt.export.motion.character import add_animation
from handopt.export.motion.retarget import retarget
from handopt.export.motion.source import HandMotion
from handopt.export.motion.t_pose import t_pose
from handopt.rig.joints import ANGLE_JOINTS, ANGLE_NAMES, DIGITS
from handopt.typing import Floats

SMPLH_JOINTS: Final = 52
SMPLH_WRIST: Final = {"left": 20, "right": 21}
SMPLH_FINGERS: Final = {"left": 22, "right": 37}
"""Joint of SMPL-H where the 15 joints of a hand begin; they stand in MANO's order."""
MANO_DIGITS: Final = ("index", "middle", "pinky", "ring", "thumb")
BETAS: Final = 16
_VRM_PARTS: Final = {
    "thumb": ("Metacarpal", "Proximal", "Distal"),
    **dict.fromkeys(DIGITS[1:], ("Proximal", "Intermediate", "Distal")),
}


def vrm_bone(joint: str, side: str) -> str:
    """What VRM 1 calls a turning joint of a hand, given by its canonical name."""
    if joint == "wrist":
        return f"{side}Hand"
    digit, part = ANGLE_NAMES[ANGLE_JOINTS.index(joint)].split("_")
    row = ("cmc", "mcp", "ip").index(part) if digit == "thumb" else ("mcp", "pip", "dip").index(part)
    return f"{side}{'Little' if digit == 'pinky' else digit.capitalize()}{_VRM_PARTS[digit][row]}"


def write_vrma(motion: HandMotion, path: Path) -> list[str]:
    """Write a VRM animation: VRMC_vrm_animation 1.0 in a binary glTF file. Returns what the user should know.

    The bones between hips and hand are there, as players want them, and do not move; nor does the hand's place.
    """
    import pygltflib as gltf

    target = t_pose(motion.side, motion.scale * motion.rest_mm)
    moved = retarget(motion, target)
    parents = np.array(target.parents)
    document = gltf.GLTF2(asset=gltf.Asset(version="2.0", generator="handopt"), scene=0)
    document.scenes.append(gltf.Scene(nodes=[0]))
    for node, name in enumerate(target.names):
        before = target.rest[target.parents[node], :3, 3] if target.parents[node] >= 0 else np.zeros(3)
        place = target.rest[node, :3, 3] - before
        children = children_of(parents, node) or None
        document.nodes.append(gltf.Node(name=name, translation=place.tolist(), children=children))
    bones = {name: {"node": node} for node, name in enumerate(target.names) if node < target.bones["wrist"]}
    turning = {joint: node for joint, node in target.bones.items() if not joint.endswith("-tip")}
    bones |= {vrm_bone(joint, motion.side): {"node": node} for joint, node in turning.items()}
    document.extensionsUsed = ["VRMC_vrm_animation"]
    document.extensions = {"VRMC_vrm_animation": {"specVersion": "1.0", "humanoid": {"humanBones": bones}}}
    add_animation(document, motion, target, moved, range(len(target.names)))
    path.write_bytes(b"".join(document.save_to_bytes()))
    return []


def write_amass(motion: HandMotion, path: Path) -> list[str]:
    """Write poses in the keys of AMASS and of MANO's layers, and return what the user should know.

    poses: (T, 156) axis-angles of SMPL-H in rad, of which the hand and its wrist move; trans (T, 3); betas (16,);
    gender; mocap_framerate; and of the hand alone: side, global_orient (T, 3), hand_pose (T, 45), transl (T, 3) m of
    the wrist, time_s, rest_joints (21, 3) m from the wrist, in the order of the keypoints. Layout:
    https://amass.is.tue.mpg.de and https://github.com/nghorbani/amass; order of MANO's joints as in handopt.rig.joints.
    Zero is the T-pose with a flat hand, as with flat_hand_mean=True.
    """
    target = t_pose(motion.side, motion.scale * motion.rest_mm)
    moved, rest = retarget(motion, target), target.keypoints()
    count = len(motion)
    wrist = _axis_angles(moved.local[target.bones["wrist"]])
    fingers = np.concatenate(
        [
            _axis_angles(moved.local[target.bones[joint]])
            for digit in MANO_DIGITS
            for joint, name in zip(ANGLE_JOINTS, ANGLE_NAMES, strict=True)
            if name.startswith(digit)
        ],
        axis=1,
    )
    poses = np.zeros((count, SMPLH_JOINTS, 3))
    poses[:, SMPLH_WRIST[motion.side]] = wrist
    first = SMPLH_FINGERS[motion.side]
    poses[:, first : first + len(ANGLE_JOINTS)] = fingers.reshape(count, -1, 3)
    arrays: dict[str, Any] = {
        "poses": poses.reshape(count, -1),
        "trans": np.zeros((count, 3)),
        "betas": np.zeros(BETAS),
        "gender": np.array("neutral"),
        "mocap_framerate": np.array(motion.fps),
        "side": np.array(motion.side),
        "global_orient": wrist,
        "hand_pose": fingers,
        "transl": motion.joints_m[:, 0],
        "time_s": motion.time_s,
        "rest_joints": rest - rest[0],
    }
    np.savez_compressed(path, **arrays)
    return ["The rest pose is a flat hand in general, not MANO's own."]


def _axis_angles(rotations: Floats) -> Floats:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(rotations).as_rotvec())
