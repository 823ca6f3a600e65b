"""A rigged hand as a module: from a pose and a shape to vertices and joints."""

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike

from handopt.errors import ConfigError, RigError, ShapeError
from handopt.rig import Rig, default_rig
from handopt.torch.arrays import Tensor
from handopt.torch.kinematics import forward_kinematics
from handopt.torch.matrix_kinematics import matrix_kinematics
from handopt.torch.pose_correctives import corrected
from handopt.torch.posed_hand import posed_hand
from handopt.torch.rotations import (
    angles_to_matrix,
    axis_angle_to_matrix,
    matrix_to_angles,
    matrix_to_axis_angle,
    matrix_to_six_numbers,
    six_numbers_to_matrix,
)
from handopt.torch.skinning import skin, skin_normals

PoseKind = Literal["euler", "axis-angle", "6d"]
POSES = get_args(PoseKind)
ROWS = 16


class HandOutput(NamedTuple):
    """B posed hands in the camera frame, and what losses need of them.

    vertices: (B, V, 3) mm; joints: (B, 21, 3) mm, as handopt.KEYPOINT_NAMES; normals: (B, V, 3), without a gradient
    transforms: (B, J, 3, 4) mm, rest space -> camera; angles: (B, 15, 3) rad; scale: (B,)
    shape: (B, S) as given, or None; bending: (B or 1, V, 3) mm, how far given rest vertices stand out, or None
    """

    vertices: Tensor
    joints: Tensor
    normals: Tensor
    transforms: Tensor
    angles: Tensor
    scale: Tensor
    shape: Tensor | None
    bending: Tensor | None


class HandLayer(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    """A rigged hand, right or left, as a differentiable layer without parameters of its own.

    pose="euler": rows of a pose are three numbers: the first an axis-angle, rig -> camera, the other 15 are handopt's
    joint angles (twist, abduction, flexion: see handopt.Rig). pose="axis-angle": 16 axis-angles, those of the joints
    relative to their parents, in the axes of the rig at rest, as MANO has them. pose="6d": the same as six numbers
    each, the first two columns of the rotation. Pose correctives of a rig (posedirs of MANO) are added to its rest
    vertices, also to given ones, and to joints on the skin, with their gradient.
    """

    def __init__(
        self,
        hand: str | Rig = "right",
        pose: PoseKind = "axis-angle",
        *,
        freeze: bool = True,
        dtype: Any = torch.float32,
    ) -> None:
        """hand: 'right', 'left' or a rig, such as handopt.load_rig makes; pose: how a pose is written.

        freeze: with Euler angles, give no gradient to angles that the rig's limits hold fast, as handopt.fit does
        Raises ConfigError and RigError.
        """
        super().__init__()
        if pose not in POSES:
            raise ConfigError(f"pose: expected one of {', '.join(POSES)}, got {pose!r}")
        self.rig, self.pose, self.freeze = _rig_of(hand), pose, freeze
        self.side = self.rig.side_sign
        self.has_correctives = self.rig.pose_correctives is not None
        for name, values in _real_arrays(self.rig).items():
            self.register_buffer(name, torch.tensor(values, dtype=dtype), persistent=False)
        for name, values in _whole_arrays(self.rig).items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.int32), persistent=False)

    @property
    def faces(self) -> Any:
        """(F, 3) triangles of the mesh."""
        return self.rig.faces

    @property
    def shape_names(self) -> tuple[str, ...]:
        """Names of the S numbers of a shape: handopt's proportions, or what the rig brings, such as betas."""
        return self.rig.shape_names

    def forward(
        self,
        pose: Tensor,
        translation: Tensor,
        scale: Tensor | None = None,
        shape: Tensor | None = None,
        rest: Tensor | None = None,
    ) -> HandOutput:
        """Pose the hand.

        pose: (B, 16, 3), or (B, 16, 6) for 6d, or flat; translation: (B, 3) mm, where the wrist is; scale: (B,), 1 if
        None; shape: (B, S) or (S,) as shape_names, 0 if None; rest: (V, 3) mm, shared by the batch, or (B, V, 3): rest
        vertices in place of the rig's. Raises ShapeError.
        """
        poses = self._checked_pose(pose)
        scale = poses.new_ones(len(poses)) if scale is None else scale
        base, bind = self._shaped(shape, len(poses))
        bending = None if rest is None else self.bending(rest, base)
        base = base if rest is None else rest
        if self.pose == "euler" and shape is None and not self.has_correctives:
            free = self.free if self.freeze else self.all_free
            fixed = (self.indices, self.weights, self.rest_normals, self.keypoints, self.keypoint_joints, self.ones)
            chain = (self.parents, self.articulated, self.bind, free)
            found = posed_hand(poses, translation, scale, base, (*fixed, *chain), self.side)
            vertices, joints, normals, transforms, angles = found
            return HandOutput(vertices, joints, normals, transforms, angles, scale, None, bending)
        transforms, angles, local = self._transforms(poses, translation, scale, bind)
        keypoints = self.keypoints
        if shape is not None:
            keypoints = bind[..., self.keypoint_joints[:, 0].long(), :, 3] + self.keypoint_offsets
        if local is not None:
            base = corrected(base, local, self.vertex_correctives)
            keypoints = corrected(keypoints, local, self.keypoint_correctives)
        vertices = skin(transforms, base, self.indices, self.weights)
        joints = skin(transforms, keypoints, self.keypoint_joints, self.ones)
        normals = skin_normals(transforms, self.rest_normals, self.indices, self.weights)
        return HandOutput(vertices, joints, normals, transforms, angles, scale, shape, bending)

    def _transforms(
        self, poses: Tensor, translation: Tensor, scale: Tensor, bind: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Joint transforms, joint angles, and local rotations if correctives need them, of poses in any form."""
        if self.pose == "euler":
            free = self.free if self.freeze else self.all_free
            angles = torch.where(free > 0, poses[:, 1:], poses[:, 1:].detach())
            where = (poses[:, 0], translation, scale)
            transforms = forward_kinematics(angles, *where, self.parents, self.articulated, bind, self.side)
            return transforms, angles, angles_to_matrix(angles, self.side) if self.has_correctives else None
        turns = axis_angle_to_matrix(poses) if self.pose == "axis-angle" else six_numbers_to_matrix(poses)
        chain, axes = (self.articulated, self.last_turned, bind), self.joint_axes
        transforms = matrix_kinematics(turns[:, 1:], turns[:, 0], translation, scale, *chain)
        local = axes.mT @ turns[:, 1:] @ axes
        return transforms, matrix_to_angles(local, self.side), local if self.has_correctives else None

    def pose_of(self, rotation: ArrayLike, angles_rad: ArrayLike) -> Tensor:
        """The pose that this layer takes for what handopt.fit gives.

        rotation: (B, 3, 3) rig -> camera; angles_rad: (B, 15, 3). Returns (B, 16, 3), or (B, 16, 6) for 6d, without a
        gradient. Raises ShapeError.
        """
        turns, angles = np.asarray(rotation, np.float64), np.asarray(angles_rad, np.float64)
        if turns.shape != (len(turns), 3, 3) or angles.shape != (len(turns), 15, 3):
            raise ShapeError(
                f"pose: expected rotation (B, 3, 3) and angles_rad (B, 15, 3), got {turns.shape} and {angles.shape}"
            )
        if self.pose == "euler":
            rows = np.concatenate([matrix_to_axis_angle(turns)[:, None], angles], axis=1)
            return torch.as_tensor(rows).to(self.rest)
        axes = torch.from_numpy(self.rig.bind[self.rig.articulated, :, :3].copy())
        local = axes @ angles_to_matrix(torch.from_numpy(angles), self.side) @ axes.mT
        matrices = torch.cat([torch.from_numpy(turns)[:, None], local], dim=1)
        if self.pose == "6d":
            return matrix_to_six_numbers(matrices).to(self.rest)
        return torch.as_tensor(matrix_to_axis_angle(matrices.numpy())).to(self.rest)

    def _checked_pose(self, pose: Tensor) -> Tensor:
        numbers = 6 if self.pose == "6d" else 3
        if pose.ndim == 2 and pose.shape[1] == ROWS * numbers:
            return pose.unflatten(1, (ROWS, numbers))
        if pose.ndim != 3 or pose.shape[1:] != (ROWS, numbers):
            raise ShapeError(
                f"pose: expected shape (B, {ROWS}, {numbers}) or (B, {ROWS * numbers}), got {tuple(pose.shape)}"
            )
        return pose

    def _shaped(self, shape: Tensor | None, count: int) -> tuple[Tensor, Tensor]:
        """Rest vertices and bind matrices, of each image where shapes are given."""
        if shape is None:
            return self.rest, self.bind
        s = len(self.rig.shape_names)
        if shape.shape not in ((s,), (count, s)):
            raise ShapeError(f"shape: expected shape ({s},) or ({count}, {s}), got {tuple(shape.shape)}")
        moved = shape @ self.shape_basis
        moved = moved.unflatten(-1, (-1, 3))
        v = len(self.rest)
        places = (self.bind[..., 3] + moved[..., v:, :])[..., None]
        axes = self.bind[..., :3].expand(*places.shape[:-1], 3)
        return self.rest + moved[..., :v, :], torch.cat([axes, places], dim=-1)

    def bending(self, rest: Tensor, base: Tensor) -> Tensor:
        """The Laplacian (V, 3) mm of the offsets of rest vertices (V, 3) from a base (V, 3), which the loss weighs."""
        if rest.shape[-2:] != self.rest.shape:
            v = len(self.rest)
            raise ShapeError(f"rest: expected shape ({v}, 3) or (B, {v}, 3), got {tuple(rest.shape)}")
        offsets = rest - base
        around = offsets[..., self.neighbours.long(), :]
        return offsets - (around * self.neighbour_shares[..., None]).sum(dim=-2)


def _rig_of(hand: str | Rig) -> Rig:
    if isinstance(hand, Rig):
        return hand
    if hand not in ("right", "left"):
        raise RigError(f"hand: expected 'right', 'left' or a rig, got {hand!r}")
    return default_rig(hand)


def _real_arrays(rig: Rig) -> dict[str, Any]:
    vertices, joints = rig.shape_basis
    laplacian = rig.laplacian()
    _, shares = _neighbours(laplacian)
    moved = {}
    if (correctives := rig.pose_correctives) is not None:
        moved["vertex_correctives"] = correctives.vertices
        moved["keypoint_correctives"] = correctives.joints[:, rig.keypoint_joints]
    return {
        **moved,
        "rest": rig.rest_mm,
        "rest_normals": rig.normals,
        "weights": rig.skin_weights,
        "bind": rig.bind,
        "keypoints": rig.keypoints_mm,
        "keypoint_offsets": rig.keypoints_mm - rig.bind[rig.keypoint_joints, :, 3],
        "ones": np.ones((len(rig.keypoint_joints), 1)),
        "lower": rig.limits.lower,
        "upper": rig.limits.upper,
        "free": rig.limits.free,
        "all_free": np.ones(rig.limits.free.shape),
        "joint_axes": rig.bind[rig.articulated, :, :3],
        "shape_basis": np.concatenate([vertices, joints], axis=1).reshape(len(vertices), -1),
        "neighbour_shares": shares,
    }


def _whole_arrays(rig: Rig) -> dict[str, Any]:
    rows = {int(joint): row for row, joint in enumerate(rig.articulated)}
    last: list[int] = []  # of each joint: the row of the last turn before or at it, 0 for none
    for joint, parent in enumerate(rig.parents):
        last.append(rows[joint] + 1 if joint in rows else last[parent] if parent >= 0 else 0)
    return {
        "indices": rig.skin_indices,
        "parents": rig.parents,
        "articulated": rig.articulated,
        "keypoint_joints": rig.keypoint_joints[:, None],
        "bones": rig.bones,
        "last_turned": last,
        "neighbours": _neighbours(rig.laplacian())[0],
    }


def _neighbours(laplacian: Any) -> tuple[Any, Any]:
    """Neighbours (V, D) of each vertex and their shares (V, D), padded with the vertex itself and 0."""
    entries = laplacian.tocoo()
    others = entries.row != entries.col
    rows, columns, values = entries.row[others], entries.col[others], -entries.data[others]
    order = np.argsort(rows, kind="stable")
    rows, columns, values = rows[order], columns[order], values[order]
    counts = np.bincount(rows, minlength=laplacian.shape[0])
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    neighbours = np.repeat(np.arange(len(counts))[:, None], max(1, counts.max()), axis=1)
    shares = np.zeros(neighbours.shape)
    neighbours[rows, place], shares[rows, place] = columns, values
    return neighbours, shares
