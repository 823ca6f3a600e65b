"""Where training of the network of pixel labels begins: earlier weights, of a narrower network as well."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pixel_label_model import Network
from torch import Tensor, nn

from handopt.learning.network import Convolution
from handopt.observation.pixel_window import SIZE

NEW = "early."
"""What layers that an earlier network lacks are called."""
PLACES = (SIZE // 32) ** 2
"""Places of the image whose channels the dense layer sees."""


def start_from(network: Network, path: Path, images: Tensor) -> None:
    """Give a network the weights of a file: what --keep wrote (.pt), or a network as handopt reads it (.npz).

    The second may be narrower: what is new is added so that at first the network says what the file's does.
    images: (B, S, S, 2) inputs, from which normalisations are set, since those of the file are folded.
    """
    if path.suffix == ".pt":
        network.load_state_dict(torch.load(path))
        return
    with np.load(path, allow_pickle=False) as file:
        weights = {name: torch.from_numpy(file[name].astype(np.float32)) for name in file.files if name != "metadata"}
    for name, mine in network.export().items():
        his = weights.get(name)
        if his is None and not name.startswith(NEW):
            sys.exit(f"{path} is no network of pixel labels to start from: it has no {name}")
        odd = his is not None and name == "dense.weight" and len(his) % PLACES != 0
        if his is not None and (odd or any(a > b for a, b in zip(his.shape, mine.shape, strict=True))):
            sys.exit(f"{path} is of other windows or wider than this network: {name} is {tuple(his.shape)}")
    hooks = []
    norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
    usual = norms[0].momentum
    with torch.no_grad():
        for name, layer in network.named_layers().items():
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
                _widen_matrix(layer, weight, PLACES if name == "dense" else 1)
            layer.bias[: len(bias)] = bias
        _set_momentum(norms, 0.0)  # the hooks set the running means
        network.train()
        network(images)
    _set_momentum(norms, usual)
    for hook in hooks:
        hook.remove()


def _set_momentum(norms: list[nn.BatchNorm2d], momentum: float | None) -> None:
    for norm in norms:
        norm.momentum = momentum


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
