"""Poses of a rig in NumPy: the joint transforms of T poses, and where vertices and keypoints go with them."""

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from handopt.errors import ShapeError
from handopt.ops.kinematics import forward_kinematics
from handopt.ops.rotation_features import rotation_features
from handopt.ops.skinning import skin
from handopt.rig.pose_correctives import PoseCorrectives
from handopt.typing import Floats, Ints


class Posable(Protocol):
    """The arrays that posing needs; handopt.rig.Rig and handopt.rig.skinned.Skinned have them."""

    @property
    def rest_mm(self) -> Floats:
        """(V, 3) vertices of the bind pose."""

    @property
    def skin_indices(self) -> Ints:
        """(V, 4) joint of each weight."""

    @property
    def skin_weights(self) -> Floats:
        """(V, 4) skinning weights."""

    @property
    def parents(self) -> Ints:
        """(J,) parent of each joint."""

    @property
    def articulated(self) -> Ints:
        """(15,) joint of each row of angles."""

    @property
    def bind(self) -> Floats:
        """(J, 3, 4) joint -> rig, mm."""

    @property
    def keypoint_joints(self) -> Ints:
        """(21,) joint of each keypoint."""

    @property
    def keypoint_offsets_mm(self) -> Floats | None:
        """(21, 3) of each keypoint from its joint in the bind pose, if they differ."""

    @property
    def pose_correctives(self) -> PoseCorrectives | None:
        """How the rest mesh changes with the pose, if it does."""

    @property
    def side_sign(self) -> "int | np.ndarray":
        """+1 for a right hand, -1 for a left one."""


def joint_transforms(
    rig: Posable,
    rotation: ArrayLike,
    translation_mm: ArrayLike,
    angles_rad: ArrayLike,
    scale: ArrayLike,
    bind: Floats | None = None,
) -> Floats:
    """Joint transforms (T, J, 3, 4) of T poses, rest space -> camera space, mm (METHOD.md, section 1).

    rotation: (T, 3, 3) rig -> camera. translation_mm: (T, 3), of the wrist. angles_rad: (T, 15, 3) twist, abduction,
    flexion. scale: (T,). bind: (J, 3, 4) instead of the rig's own. Raises ShapeError.
    """
    angles, turns, places, scales = (
        np.ascontiguousarray(values, np.float64) for values in (angles_rad, rotation, translation_mm, scale)
    )
    bind = rig.bind if bind is None else bind
    return np.asarray(
        forward_kinematics(angles, turns, places, scales, rig.parents, rig.articulated, bind, int(rig.side_sign))
    )


def posed_vertices(rig: Posable, transforms: Floats, angles_rad: Floats | None = None) -> Floats:
    """Vertices (T, V, 3) mm under joint transforms (T, J, 3, 4) (paper, Eq. 1).

    angles_rad: (T, 15, 3) of the transforms, which a rig with pose correctives needs. Raises ShapeError without them.
    """
    rest = rig.rest_mm
    if rig.pose_correctives is not None:
        rest = rest + _corrected(rig, angles_rad, rig.pose_correctives.vertices)
    return np.asarray(skin(transforms, rest, rig.skin_indices, rig.skin_weights))


def posed_keypoints(rig: Posable, transforms: Floats, angles_rad: Floats | None = None) -> Floats:
    """Keypoints (T, 21, 3) mm under joint transforms (T, J, 3, 4). angles_rad: as in posed_vertices."""
    keypoints = np.ascontiguousarray(rig.bind[rig.keypoint_joints, :, 3])
    if rig.keypoint_offsets_mm is not None:
        keypoints = keypoints + rig.keypoint_offsets_mm
    rows, ones = rig.keypoint_joints[:, None], np.ones((len(keypoints), 1))
    if rig.pose_correctives is not None:
        keypoints = keypoints + _corrected(rig, angles_rad, rig.pose_correctives.joints[:, rig.keypoint_joints])
    return np.asarray(skin(transforms, keypoints, rows, ones))


def _corrected(rig: Posable, angles_rad: Floats | None, basis: Floats) -> Floats:
    """What pose correctives (135, N, 3) move of N points, (T, N, 3) mm."""
    if angles_rad is None:
        raise ShapeError("angles_rad: expected shape (T, 15, 3), because the rig has pose correctives; got None")
    features = rotation_features(np.ascontiguousarray(angles_rad, np.float64), int(rig.side_sign))
    return np.asarray(np.tensordot(features, basis, 1))
