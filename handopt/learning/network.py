"""The proposals' network in PyTorch: its layers, and its weights as handopt.proposals.network reads them."""

import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from handopt.proposals.features import CHANNELS, SIZE
from handopt.proposals.network import head_sizes
from handopt.rig.joints import KEYPOINT_JOINTS

WIDTHS = (16, 32, 64, 160)
HIDDEN = 512
FIRST_LOG_MM = 3.0
"""Logarithm of the uncertainty that training begins with, mm."""


class Convolution(nn.Module):  # type: ignore[misc]  # PyTorch is not followed
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


class Residual(nn.Module):  # type: ignore[misc]
    """Two convolutions and a short cut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Convolution(width, width, 3, 1)
        self.second = Convolution(width, width, 3, 1, active=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


class Network(nn.Module):  # type: ignore[misc]
    """Views (B, 64, 64, 2) -> heads (B, K, numbers of a head), and (B, 42) of the joints of the likeliest one.

    The 42 are 21 logarithms of how far off a joint is, in mm, and 21 logits of whether it is visible. See
    handopt.proposals.network.
    """

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
        self.joints = nn.Linear(hidden, 2 * len(KEYPOINT_JOINTS))
        self._start_heads()

    def _start_heads(self) -> None:
        """Begin with heads that look in different directions, and large uncertainties."""
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.head.weight *= 0.5
            self.head.bias.zero_()
            rows = self.head.bias.view(self.heads, -1)
            rows[:, :6] = torch.randn(self.heads, 6, generator=generator)
            rows[:, 6:-1] = 0.3 * torch.randn(self.heads, rows.shape[1] - 7, generator=generator)
            self.joints.bias.zero_()
            self.joints.bias[: len(KEYPOINT_JOINTS)] = FIRST_LOG_MM

    def features(self, x: Tensor) -> Tensor:
        """The (B, hidden) numbers from which the heads are read."""
        x = self.stem(x.permute(0, 3, 1, 2))
        for shrink, residual in self.stages:
            x = residual(shrink(x))
        x = x.permute(0, 2, 3, 1).flatten(1)
        x = torch.relu(self.dense(x))
        return torch.relu(self.inner(x))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        return self.head(features).view(len(x), self.heads, -1), self.joints(features)

    def export(self) -> dict[str, NDArray[np.float16]]:
        """The arrays of a model's file, normalisations folded into the convolutions."""
        layers: dict[str, dict[str, Any]] = {"stem": self.stem.folded()}
        for number, (shrink, residual) in enumerate(self.stages):
            layers[f"stage{number}.shrink"] = shrink.folded()
            layers[f"stage{number}.first"] = residual.first.folded()
            layers[f"stage{number}.second"] = residual.second.folded()
        for name in ("dense", "inner", "head", "joints"):
            layer = getattr(self, name)
            layers[name] = {"weight": _array(layer.weight.T), "bias": _array(layer.bias)}
        return {
            f"{name}.{key}": value.astype(np.float16) for name, both in layers.items() for key, value in both.items()
        }


def _array(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.detach().cpu().numpy().astype(np.float32)
    return np.ascontiguousarray(array)
