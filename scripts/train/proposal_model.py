"""The proposals' network in PyTorch: layers, kinematics of its heads, loss, augmentation, and export to NumPy."""

import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from handopt.proposals.features import CHANNELS, SIZE
from handopt.proposals.network import ANGLE_STD_RAD, LOG_SCALE_STD, WRIST_STD_MM, head_sizes
from handopt.rig import Rig

WIDTHS = (16, 32, 64, 160)
HIDDEN = 512
ROTATION_MM, ANGLE_MM = 8.0, 5.0  # weights in the error: per unit of Frobenius distance, per radian


class Convolution(nn.Module):
    """A convolution, a batch normalisation and (unless it closes a residual block) a ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, active: bool = True) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, size, stride, (size - 1) // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.convolution(x))
        return torch.relu_(x) if self.active else x

    def folded(self) -> dict[str, NDArray[np.float32]]:
        """Weights (size * size * inputs, outputs) and bias with the normalisation in them."""
        factor = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
        weight = (self.convolution.weight * factor[:, None, None, None]).permute(2, 3, 1, 0)
        bias = self.norm.bias - self.norm.running_mean * factor
        return {"weight": _array(weight.reshape(-1, weight.shape[-1])), "bias": _array(bias)}


class Residual(nn.Module):
    """Two convolutions and a short cut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Convolution(width, width, 3, 1)
        self.second = Convolution(width, width, 3, 1, active=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


class Network(nn.Module):
    """Views (B, 64, 64, 2) -> heads (B, K, numbers of a head); see handopt.proposals.network."""

    def __init__(self, heads: int, free: int, widths: tuple[int, ...] = WIDTHS, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.heads = heads
        self.stem = Convolution(CHANNELS, widths[0], 5, 2)
        self.stages = nn.ModuleList()
        for before, width in itertools.pairwise(widths):
            self.stages.append(nn.ModuleList([Convolution(before, width, 3, 2), Residual(width)]))
        side = SIZE >> (len(widths))
        self.dense = nn.Linear(side * side * widths[-1], hidden)
        self.inner = nn.Linear(hidden, hidden)
        self.head = nn.Linear(hidden, heads * sum(head_sizes(free)))
        self._start_heads()

    def _start_heads(self) -> None:
        """Begin with heads that look in different directions."""
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.head.weight *= 0.5
            self.head.bias.zero_()
            rows = self.head.bias.view(self.heads, -1)
            rows[:, :6] = torch.randn(self.heads, 6, generator=generator)
            rows[:, 6:-1] = 0.3 * torch.randn(self.heads, rows.shape[1] - 7, generator=generator)

    def features(self, x: Tensor) -> Tensor:
        """The (B, hidden) numbers from which the heads are read."""
        x = self.stem(x.permute(0, 3, 1, 2))
        for shrink, residual in self.stages:
            x = residual(shrink(x))
        x = x.permute(0, 2, 3, 1).flatten(1)
        x = torch.relu(self.dense(x))
        return torch.relu(self.inner(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x)).view(len(x), self.heads, -1)

    def export(self) -> dict[str, NDArray[np.float16]]:
        """The arrays of assets/proposals.npz, normalisations folded into the convolutions."""
        layers: dict[str, dict[str, Any]] = {"stem": self.stem.folded()}
        for number, (shrink, residual) in enumerate(self.stages):
            layers[f"stage{number}.shrink"] = shrink.folded()
            layers[f"stage{number}.first"] = residual.first.folded()
            layers[f"stage{number}.second"] = residual.second.folded()
        for name in ("dense", "inner", "head"):
            layer = getattr(self, name)
            layers[name] = {"weight": _array(layer.weight.T), "bias": _array(layer.bias)}
        return {
            f"{name}.{key}": value.astype(np.float16) for name, both in layers.items() for key, value in both.items()
        }


class Skeleton:
    """Keypoints of the heads, differentiable, for subjects' own proportions."""

    def __init__(self, rig: Rig) -> None:
        joints = rig.keypoint_joints
        self.positions = torch.tensor(rig.bind[:, :, 3][joints] - rig.bind[0, :, 3], dtype=torch.float32)
        basis = rig.proportion_basis[1]
        self.basis = torch.tensor((basis - basis[:, :1])[:, joints], dtype=torch.float32)
        self.axes = torch.tensor(rig.bind[:, :, :3][rig.articulated].reshape(5, 3, 3, 3), dtype=torch.float32)
        self.free = torch.tensor(np.flatnonzero(rig.limits.free))
        middle = 0.5 * (rig.limits.lower + rig.limits.upper)
        self.middle = torch.tensor(middle.ravel(), dtype=torch.float32)

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


def errors(skeleton: Skeleton, heads: Tensor, labels: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Error (B, K) of each head, mm, and its logit (B, K)."""
    rotation, angles, wrist, log_scale, logit = skeleton.unpack(heads)
    proportions = labels["proportions"][:, None].expand(-1, heads.shape[1], -1)
    joints = skeleton.keypoints(rotation, angles, wrist, log_scale.exp(), proportions)
    with torch.no_grad():
        pose = (labels[name] for name in ("rotation", "angles", "wrist", "scale", "proportions"))
        target = skeleton.keypoints(*pose)
    distance = torch.sqrt((joints - target[:, None]).square().sum(-1) + 1.0).mean(-1)
    turned = torch.sqrt((rotation - labels["rotation"][:, None]).square().sum((-1, -2)) + 1e-4)
    bent = (angles - labels["angles"][:, None]).abs().flatten(-2)[..., skeleton.free].mean(-1)
    return distance + ROTATION_MM * turned + ANGLE_MM * bent, logit


def loss(error: Tensor, logit: Tensor, temperature_mm: float, score_mm: float = 4.0) -> Tensor:
    """Each head learns from the images that it explains best, more softly at a high temperature; the scores learn
    which head that will be."""
    share = torch.softmax(-error.detach() / temperature_mm, dim=1)
    target = torch.softmax(-error.detach() / score_mm, dim=1)
    score = -(target * torch.log_softmax(logit, dim=1)).sum(1)
    return ((share * error).sum(1) + 2.0 * score).mean()


def _turned(vectors: Tensor, angles: Tensor) -> Tensor:
    """Ry(abduction) Rx(-flexion) Rz(twist) v; vectors (..., n, 3), angles (..., 1, 3)."""
    x, y, z = vectors.unbind(-1)
    (ct, ca, cf), (st, sa, sf) = torch.cos(angles).unbind(-1), torch.sin(angles).unbind(-1)
    x, y = ct * x - st * y, st * x + ct * y
    y, z = cf * y + sf * z, -sf * y + cf * z
    x, z = ca * x + sa * z, -sa * x + ca * z
    return torch.stack([x, y, z], dim=-1)


def _array(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.detach().cpu().numpy().astype(np.float32)
    return np.ascontiguousarray(array)
