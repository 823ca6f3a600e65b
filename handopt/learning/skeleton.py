"""Keypoints of the network's heads, differentiable, in PyTorch."""

import numpy as np
import torch
from torch import Tensor, nn

from handopt.errors import RigError
from handopt.proposals.network import ANGLE_STD_RAD, LOG_SCALE_STD, WRIST_STD_MM, head_sizes
from handopt.rig import Rig


class Skeleton:
    """Keypoints of the heads, differentiable, for subjects' own proportions."""

    def __init__(self, rig: Rig) -> None:
        """rig: a right hand whose keypoints are its joints, as those of handopt's own are. Raises RigError."""
        if rig.keypoint_offsets_mm is not None:
            raise RigError(f"{rig.name}: a network learns joints, and its keypoints lie elsewhere: use keypoints rig")
        joints = rig.keypoint_joints
        self.positions = torch.tensor(rig.bind[:, :, 3][joints] - rig.bind[0, :, 3], dtype=torch.float32)
        basis = rig.proportion_basis[1]
        self.basis = torch.tensor((basis - basis[:, :1])[:, joints], dtype=torch.float32)
        self.axes = torch.tensor(rig.bind[:, :, :3][rig.articulated].reshape(5, 3, 3, 3), dtype=torch.float32)
        self.free = torch.tensor(np.flatnonzero(rig.limits.free))
        middle = 0.5 * (rig.limits.lower + rig.limits.upper)
        self.middle = torch.tensor(middle.ravel(), dtype=torch.float32)

    def to(self, device: str) -> "Skeleton":
        """The same one, with its tensors on a device of PyTorch."""
        for name, value in vars(self).items():
            setattr(self, name, value.to(device))
        return self

    def unpack(self, heads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Rotation (..., 3, 3), angles (..., 15, 3), wrist (..., 3) mm, log scale (...) and logit (...) of heads."""
        six, free, wrist, size, logit = heads.split(head_sizes(len(self.free)), dim=-1)
        first = nn.functional.normalize(six[..., :3], dim=-1, eps=1e-4)
        second = six[..., 3:] - (six[..., 3:] * first).sum(-1, keepdim=True) * first
        second = nn.functional.normalize(second, dim=-1, eps=1e-4)
        rotation = torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)
        angles = self.middle.expand(*heads.shape[:-1], 45).clone()
        angles[..., self.free] = angles[..., self.free] + ANGLE_STD_RAD * free
        return (
            rotation,
            angles.view(*heads.shape[:-1], 15, 3),
            WRIST_STD_MM * wrist,
            LOG_SCALE_STD * size[..., 0],
            logit[..., 0],
        )

    def keypoints(self, rotation: Tensor, angles: Tensor, wrist: Tensor, scale: Tensor, proportions: Tensor) -> Tensor:
        """Keypoints (..., 21, 3) mm; proportions (..., 13)."""
        rest = self.positions + torch.tensordot(proportions, self.basis, 1)
        chains = rest[..., 1:, :].unflatten(-2, (5, 4))
        bones = chains[..., 1:, :] - chains[..., :-1, :]
        bones = torch.einsum("dkij,...dki->...dkj", self.axes, bones)  # in each joint's own axes
        turns = angles.unflatten(-2, (5, 3))
        base = chains[..., 0, :]
        tail: list[Tensor] = []  # positions after the joint, from it, in the rig's axes
        for joint in (2, 1, 0):
            local = [bones[..., joint, :]]
            local += [
                bones[..., joint, :] + torch.einsum("dij,...di->...dj", self.axes[:, joint], each) for each in tail
            ]
            turned = _turned(torch.stack(local, dim=-2), turns[..., joint, None, :])
            tail = [torch.einsum("dij,...dj->...di", self.axes[:, joint], each) for each in turned.unbind(-2)]
        fingers = torch.stack([base, *(base + each for each in tail)], dim=-2).flatten(-3, -2)
        points = torch.cat([torch.zeros_like(fingers[..., :1, :]), fingers], dim=-2)
        return scale[..., None, None] * points @ rotation.transpose(-1, -2) + wrist[..., None, :]


def _turned(vectors: Tensor, angles: Tensor) -> Tensor:
    """Ry(abduction) Rx(-flexion) Rz(twist) v; vectors (..., n, 3), angles (..., 1, 3)."""
    x, y, z = vectors.unbind(-1)
    (ct, ca, cf), (st, sa, sf) = torch.cos(angles).unbind(-1), torch.sin(angles).unbind(-1)
    x, y = ct * x - st * y, st * x + ct * y
    y, z = cf * y + sf * z, -sf * y + cf * z
    x, z = ca * x + sa * z, -sa * x + ca * z
    return torch.stack([x, y, z], dim=-1)
