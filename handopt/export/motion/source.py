"""A track's motion as its files hold it: how each joint is turned from the rest pose, in a frame with y up."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from handopt.draw.film import read_arrays
from handopt.errors import OutputError
from handopt.export.gltf_buffer import M_PER_MM, Y_UP
from handopt.rig.joints import CANONICAL, KEYPOINT_JOINTS
from handopt.rig.pose import posed_keypoints
from handopt.rig.skinned import Skinned
from handopt.tracking.track import ARRAYS_NAME
from handopt.typing import Floats

DEFAULT_FPS: Final = 30.0
POSE: Final = ("rotation", "translation_mm", "angles_rad")


@dataclass(frozen=True)
class HandMotion:
    """T frames of a hand that is known in all of them; x right, y up, z towards the viewer.

    side: 'right' or 'left'. time_s: (T,) from 0. fps. hand: its arrays. rest_mm: (21, 3) joints of the rest pose, in
    the rig's frame. turned: (T, 21, 3, 3) rotations of the joints from the rest pose. joints_m: (T, 21, 3).
    transforms: (T, J, 3, 4) of the rig's joints, rest -> camera, mm. angles_rad: (T, 15, 3). scale: of the hand.
    """

    side: str
    time_s: Floats
    fps: float
    hand: Skinned
    rest_mm: Floats
    turned: Floats
    joints_m: Floats
    transforms: Floats
    angles_rad: Floats
    scale: float

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Canonical names of the rig's J joints."""
        if len(self.hand.parents) == len(CANONICAL):
            return CANONICAL
        names = dict(zip(self.hand.keypoint_joints.tolist(), KEYPOINT_JOINTS, strict=True))
        return tuple(names.get(joint, f"joint-{joint}") for joint in range(len(self.hand.parents)))


def read_motion(track: Path) -> HandMotion:
    """The motion in a folder of `handopt track`; frames without a pose are left out. Raises OutputError."""
    folder = track.parent if track.is_file() else track
    if not (folder / ARRAYS_NAME).is_file():
        raise OutputError(f"{track} is no track: motion is exported from one folder of handopt track")
    arrays = read_arrays(folder, lambda arrays: arrays)
    shown = arrays.known
    if not shown.any():
        raise OutputError(f"{folder} has no frame with a hand: there is no motion to export")
    time_s, scales = (np.asarray(arrays.values[name], np.float64)[shown] for name in ("time_s", "scale"))
    rotation, translation_mm, angles_rad = (np.asarray(arrays.values[name], np.float64)[shown] for name in POSE)
    hand, scale = Skinned.from_arrays(arrays.values), float(scales[0])
    transforms = hand.transforms(rotation, translation_mm, angles_rad, scales)
    keypoints = hand.keypoint_joints
    rest = hand.bind[keypoints, :, 3]
    return HandMotion(
        side="right" if int(hand.side_sign) > 0 else "left",
        time_s=time_s - time_s[0],
        fps=float(arrays.fps or DEFAULT_FPS),
        hand=hand,
        rest_mm=rest,
        turned=np.asarray(Y_UP @ transforms[:, keypoints, :, :3] / scale),
        joints_m=posed_keypoints(hand, transforms, angles_rad) @ Y_UP.T * M_PER_MM,
        transforms=transforms,
        angles_rad=angles_rad,
        scale=scale,
    )
