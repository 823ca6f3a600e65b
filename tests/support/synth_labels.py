"""Poses a rig as the labels of a synthetic image say, by the slow twins."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.rig import Rig, with_proportions
from support import reference


def reposed(label: dict[str, Any], rig: Rig) -> NDArray[np.float64]:
    """The joints (21, 3) of a rig in the pose and shape of a label."""
    rig = with_proportions(rig, list(label["shape"]["proportions"].values()))
    pose = label["pose"]
    transforms = reference.forward_kinematics(
        np.array([list(pose["angles_rad"].values())]), np.array([pose["rotation"]]), np.array([pose["translation_mm"]]),
        np.array([label["shape"]["scale"]]), rig.parents, rig.articulated, rig.bind, rig.side_sign,
    )  # fmt: skip
    return reference.skin(transforms, rig.keypoints_mm, rig.keypoint_joints[:, None], np.ones((21, 1)))[0]
