"""MANO as a function of its parameters, with its Jacobian (Romero, Tzionas, Black, 2017; Eq. 2 to 8 of SMPL).

The parameters are one vector: axis-angles of the hand and of 15 joints (48 numbers), S betas, and a translation in m.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from handopt.rig.mano_file import JOINTS, MANO_PARENTS, ManoModel
from handopt.typing import Floats

POSE: Final = 3 * JOINTS
"""Numbers of the pose at the start of the parameters."""
_BELOW: Final = np.eye(JOINTS)
"""(16, 16): 1 where joint j is joint k or hangs from it."""
for _joint in range(JOINTS - 1, 0, -1):
    _BELOW[MANO_PARENTS[_joint]] += _BELOW[_joint]
_SMALL_RAD: Final = 1e-4


@dataclass(frozen=True, eq=False)
class Layer:
    """P = V + 16 points that move with the hand: the vertices, and after them the joints.

    rest: (P, 3) m; shapedirs: (P, 3, S); posedirs: (P, 3, 135), zero for joints; weights: (P, 16); joints: (16, 3) m;
    joint_shapedirs: (16, 3, S); vertices: V.
    """

    rest: Floats
    shapedirs: Floats
    posedirs: Floats
    weights: Floats
    joints: Floats
    joint_shapedirs: Floats
    vertices: int

    @classmethod
    def of(cls, model: ManoModel) -> "Layer":
        """The layer of a model."""
        return cls(
            rest=np.concatenate([model.template, model.joints]),
            shapedirs=np.concatenate([model.shapedirs, model.joint_shapedirs]),
            posedirs=np.concatenate([model.posedirs, np.zeros((JOINTS, *model.posedirs.shape[1:]))]),
            weights=np.concatenate([model.weights, np.eye(JOINTS)]),
            joints=model.joints,
            joint_shapedirs=model.joint_shapedirs,
            vertices=len(model.template),
        )

    @property
    def betas(self) -> int:
        """S."""
        return int(self.shapedirs.shape[2])

    def points(self, parameters: Floats) -> Floats:
        """(P, 3) m of parameters (48 + S + 3,)."""
        return _posed(self, parameters)[0]

    def turns(self, parameters: Floats) -> Floats:
        """(16, 3, 3) rotations of the joints from the rest pose to the camera."""
        return _posed(self, parameters)[2]

    def points_and_jacobian(self, parameters: Floats) -> tuple[Floats, Floats]:
        """(P, 3) m, and its derivatives (P, 3, 48 + S + 3) by the parameters."""
        points, rotations, turns, places, placed = _posed(self, parameters)
        count = len(points)
        left = np.array([_left_jacobian(vector) for vector in parameters[:POSE].reshape(JOINTS, 3)])
        axes = np.concatenate([left[:1], turns[list(MANO_PARENTS[1:])] @ left[1:]])
        lever = _BELOW @ (self.weights[..., None] * placed) - (self.weights @ _BELOW.T)[..., None] * places
        turned = np.einsum("pkab,kbc->pakc", -_cross(lever), axes)
        changes = np.einsum("kcij,kjl->kilc", _cross(left[1:].transpose(0, 2, 1)), rotations[1:])
        moved = self._posedirs_by_joint @ changes.reshape(JOINTS - 1, 9, 3)
        blended = (self.weights @ turns.reshape(JOINTS, 9)).reshape(-1, 3, 3)
        moved = moved.reshape(JOINTS - 1, count, 3, 3).transpose(1, 2, 0, 3).reshape(count, 3, -1)
        jacobian = np.empty((count, 3, POSE + self.betas + 3))
        jacobian[:, :, :POSE] = turned.reshape(count, 3, POSE)
        jacobian[:, :, 3:POSE] += blended @ moved
        jacobian[:, :, POSE:-3] = self._by_betas(turns, blended)
        jacobian[:, :, -3:] = np.eye(3)
        return points, jacobian

    @cached_property
    def _posedirs_by_joint(self) -> Floats:
        """(15, 3 P, 9)."""
        by_joint = self.posedirs.reshape(-1, JOINTS - 1, 9).transpose(1, 0, 2)
        return np.ascontiguousarray(by_joint)

    def _by_betas(self, turns: Floats, blended: Floats) -> Floats:
        """(P, 3, S)."""
        places = np.empty_like(self.joint_shapedirs)
        places[0] = self.joint_shapedirs[0]
        for joint, parent in enumerate(MANO_PARENTS[1:], 1):
            places[joint] = places[parent] + turns[parent] @ (
                self.joint_shapedirs[joint] - self.joint_shapedirs[parent]
            )
        offsets = places - turns @ self.joint_shapedirs
        return np.asarray(
            blended @ self.shapedirs + (self.weights @ offsets.reshape(JOINTS, -1)).reshape(-1, 3, self.betas)
        )


def _posed(layer: Layer, parameters: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Points (P, 3), local and global rotations (16, 3, 3), joints (16, 3), and points under each joint (P, 16, 3)."""
    from scipy.spatial.transform import Rotation

    rotations = Rotation.from_rotvec(parameters[:POSE].reshape(JOINTS, 3)).as_matrix()
    betas = parameters[POSE:-3]
    rest = layer.rest + layer.shapedirs @ betas + layer.posedirs @ (rotations[1:] - np.eye(3)).ravel()
    joints = layer.joints + layer.joint_shapedirs @ betas
    turns, places = np.empty_like(rotations), np.empty_like(joints)
    turns[0], places[0] = rotations[0], joints[0] + parameters[-3:]
    for joint, parent in enumerate(MANO_PARENTS[1:], 1):
        turns[joint] = turns[parent] @ rotations[joint]
        places[joint] = places[parent] + turns[parent] @ (joints[joint] - joints[parent])
    shifts = places - np.einsum("jab,jb->ja", turns, joints)
    placed = (rest @ turns.reshape(POSE, 3).T).reshape(-1, JOINTS, 3) + shifts
    return (layer.weights[..., None] * placed).sum(axis=1), rotations, turns, places, placed


def _cross(vectors: Floats) -> Floats:
    """(..., 3, 3) matrices of the cross products with vectors (..., 3)."""
    result = np.zeros((*vectors.shape, 3))
    for row, column, axis, sign in ((0, 1, 2, -1), (0, 2, 1, 1), (1, 2, 0, -1)):
        result[..., row, column] = sign * vectors[..., axis]
        result[..., column, row] = -sign * vectors[..., axis]
    return result


def _left_jacobian(vector: Floats) -> Floats:
    """(3, 3): how an axis-angle's change turns, exp(v + dv) = exp(J dv) exp(v) (Sola et al. 2018, Eq. 145)."""
    angle, cross = float(np.linalg.norm(vector)), _cross(vector)
    if angle < _SMALL_RAD:
        return np.eye(3) + 0.5 * cross + cross @ cross / 6
    first, second = (1 - np.cos(angle)) / angle**2, (angle - np.sin(angle)) / angle**3
    return np.asarray(np.eye(3) + first * cross + second * cross @ cross)
