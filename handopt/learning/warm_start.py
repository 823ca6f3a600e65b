"""Training that begins with the weights of a file, whose normalisations are folded into them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from handopt.learning.layers import Convolution
from handopt.typing import FloatImage


def begin_with(
    network: nn.Module,
    layers: Mapping[str, nn.Module],
    weights: Mapping[str, Tensor],
    images: Tensor,
    places: Mapping[str, int] | None = None,
) -> None:
    """Give layers the weights of a file, so that the network says the same of images as the file's does.

    layers: of the network, by their names in the file; those that the file lacks stay as they are. weights: NAME.weight
    (size * size * inputs, outputs) and NAME.bias (outputs,); they may be narrower than the layers: what is new then
    adds nothing at first. images: from which normalisations are set. places: of a dense layer behind a map, its pixels
    """
    norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
    with torch.no_grad(), _hooks() as hooks, _momentum(norms, 0.0):  # the hooks set the running means
        for name, layer in layers.items():
            if f"{name}.weight" not in weights:
                continue
            weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
            if isinstance(layer, Convolution):
                _widen_kernel(layer.convolution, weight)
                hooks.append(layer.norm.register_forward_pre_hook(_undone(bias)))
                continue
            if isinstance(layer, nn.Conv2d):
                _widen_kernel(layer, weight)
            else:
                _widen_matrix(layer, weight, (places or {}).get(name, 1))
            layer.bias[: len(bias)] = bias
        network.train()
        network(images)


def as_tensors(weights: Mapping[str, FloatImage], device: str = "cpu") -> dict[str, Tensor]:
    """Weights as PyTorch has them."""
    return {name: torch.from_numpy(np.array(each, np.float32)).to(device) for name, each in weights.items()}


@contextmanager
def _hooks() -> Iterator[list[Any]]:
    hooks: list[Any] = []
    try:
        yield hooks
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _momentum(norms: list[nn.BatchNorm2d], momentum: float) -> Iterator[None]:
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = momentum
    try:
        yield
    finally:
        for norm, value in zip(norms, usual, strict=True):
            norm.momentum = value


def _widen_kernel(layer: nn.Conv2d, weight: Tensor) -> None:
    """Put (size * size * inputs, outputs) into a convolution; no new input leads to an old output."""
    side = layer.kernel_size[0]
    kernel = weight.reshape(side, side, -1, weight.shape[1]).permute(3, 2, 0, 1)
    outputs, inputs = kernel.shape[:2]
    layer.weight[:outputs] = 0
    layer.weight[:outputs, :inputs] = kernel


def _widen_matrix(layer: nn.Linear, weight: Tensor, places: int) -> None:
    """Put (places * inputs, outputs) into a linear layer; no new input leads to an old output."""
    old = weight.T.reshape(weight.shape[1], places, -1)
    rows = layer.weight.view(layer.out_features, places, -1)
    rows[: len(old)] = 0
    rows[: len(old), :, : old.shape[2]] = old


def _undone(bias: Tensor) -> Callable[[nn.BatchNorm2d, Any], None]:
    """A hook that makes a normalisation of the first channels add a bias and do nothing else to what comes first."""

    def hook(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        mean = inputs[0].mean((0, 2, 3))
        variance = inputs[0].var((0, 2, 3), correction=0)
        norm.weight[: len(bias)] = torch.sqrt(variance + norm.eps)[: len(bias)]
        norm.bias[: len(bias)] = mean[: len(bias)] + bias
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    return hook
