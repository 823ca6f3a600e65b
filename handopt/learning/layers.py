"""Layers of the proposals' network in PyTorch, and their weights as a model's file has them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


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
        return {"weight": as_array(weight.reshape(-1, weight.shape[-1])), "bias": as_array(bias)}


class Residual(nn.Module):  # type: ignore[misc]
    """Two convolutions and a short cut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Convolution(width, width, 3, 1)
        self.second = Convolution(width, width, 3, 1, active=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


def as_array(values: Tensor) -> NDArray[np.float32]:
    """A tensor's values as they are written to a model's file."""
    array: NDArray[np.float32] = values.detach().cpu().numpy().astype(np.float32)
    return np.ascontiguousarray(array)


def as_layer(layer: Any) -> dict[str, NDArray[np.float32]]:
    """Weight (size * size * inputs, outputs) and bias (outputs,) of a layer, with its normalisation in them."""
    if isinstance(layer, Convolution):
        return layer.folded()
    weight = layer.weight
    weight = weight.T if weight.ndim == 2 else weight.permute(2, 3, 1, 0).reshape(-1, len(weight))
    return {"weight": as_array(weight), "bias": as_array(layer.bias)}
