"""A model from its file as layers of PyTorch that go on learning; and back into the arrays of a file."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from handopt.learning.votes import Votes, votes_of
from handopt.proposals.network import STEM, Network
from handopt.proposals.votes import VOTE_NUMBERS, VOTES, edge
from handopt.typing import FloatImage

DENSE = ("dense", "inner", "head", "joints", f"{VOTES}context")


class AdaptableNetwork(nn.Module):  # type: ignore[misc]  # PyTorch is not followed
    """The layers of handopt.proposals.network.Network, without normalisations: these are in the weights already.

    Views (B, 64, 64, channels) -> heads (B, K, numbers of a head), (B, 42) of the joints, and votes.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        weights = network.weights
        self.heads, self.stages, self.channels = network.heads, network.stages, network.channels
        names = [name.removesuffix(".weight") for name in weights if name.endswith(".weight")]
        self.layers = nn.ModuleDict()
        for name in names:
            weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
            made = _dense(weight, bias) if name in DENSE else _convolution(name, weight, bias)
            self.layers[name.replace(".", "_")] = made

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Votes]:
        layers, maps = self.layers, []
        x = torch.relu(layers["stem"](x.permute(0, 3, 1, 2)))
        for stage in range(self.stages):
            x = torch.relu(layers[f"stage{stage}_shrink"](x))
            inner = layers[f"stage{stage}_second"](torch.relu(layers[f"stage{stage}_first"](x)))
            x = torch.relu(x + inner)
            maps.append(x)
        x = torch.relu(layers["dense"](x.permute(0, 2, 3, 1).flatten(1)))
        x = torch.relu(layers["inner"](x))
        votes = votes_of(self._voting(), maps, x)
        return layers["head"](x).view(len(x), self.heads, -1), layers["joints"](x), votes

    def _voting(self) -> dict[str, Any]:
        start = VOTES.replace(".", "_")
        return {name.removeprefix(start): layer for name, layer in self.layers.items() if name.startswith(start)}

    def widen_radii(self, by: Tensor) -> None:
        """Say that joints may be farther off, by factors of which by (2, 21) are the logarithms.

        The first row is for the votes, the second for the likeliest hypothesis.
        """
        with torch.no_grad():
            self.layers[f"{VOTES}said".replace(".", "_")].bias.view(-1, VOTE_NUMBERS)[:, -1] += by[0]
            self.layers["joints"].bias[: by.shape[1]] += by[1]

    def export(self) -> dict[str, NDArray[np.float32]]:
        """The arrays of a model's file, by name."""
        arrays: dict[str, NDArray[np.float32]] = {}
        for key, layer in self.layers.items():
            name, weight = key.replace("_", "."), layer.weight.detach().cpu()
            flat = weight.T if weight.ndim == 2 else weight.permute(2, 3, 1, 0).reshape(-1, weight.shape[0])
            arrays[f"{name}.weight"] = np.ascontiguousarray(flat.numpy())
            arrays[f"{name}.bias"] = layer.bias.detach().cpu().numpy().copy()
        return arrays


def _dense(weight: FloatImage, bias: FloatImage) -> Any:
    layer = nn.Linear(*weight.shape)
    return _filled(layer, torch.from_numpy(weight.T.copy()), bias)


def _convolution(name: str, weight: FloatImage, bias: FloatImage) -> Any:
    size = edge(name.removeprefix(VOTES)) if name.startswith(VOTES) else STEM if name == "stem" else 3
    stride = 2 if name == "stem" or name.endswith("shrink") else 1
    inputs = weight.shape[0] // size**2
    layer = nn.Conv2d(inputs, weight.shape[1], size, stride, (size - 1) // 2)
    kernel = weight.reshape(size, size, inputs, weight.shape[1]).transpose(3, 2, 0, 1)
    return _filled(layer, torch.from_numpy(kernel.copy()), bias)


def _filled(layer: Any, weight: Tensor, bias: FloatImage) -> Any:
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(torch.from_numpy(bias.copy()))
    return layer
