"""The proposals' network in PyTorch: its layers, and its weights as handopt.proposals.network reads them."""

import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from handopt.learning.layers import Convolution, Residual, as_layer
from handopt.learning.votes import FIRST_LOG_MM, VoteLayers, Votes, votes_of
from handopt.proposals.features import CHANNELS, SIZE
from handopt.proposals.network import head_sizes
from handopt.proposals.votes import VOTES
from handopt.rig.joints import KEYPOINT_JOINTS

WIDTHS = (16, 32, 64, 160)
HIDDEN = 512
PLACES = (SIZE >> len(WIDTHS)) ** 2
"""Pixels of the last map, which the dense layer sees."""


class Network(nn.Module):  # type: ignore[misc]  # PyTorch is not followed
    """Views (B, 64, 64, 6) -> heads (B, K, numbers of a head), (B, 42) of the joints of the likeliest one, and votes.

    The 42 are 21 logarithms of how far off a joint is, in mm, and 21 logits of whether it is visible. See
    handopt.proposals.network.
    """

    def __init__(self, heads: int, free: int, widths: tuple[int, ...] = WIDTHS, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.heads, self.channels = heads, CHANNELS
        self.stem = Convolution(CHANNELS, widths[0], 5, 2)
        self.stages = nn.ModuleList()
        for before, width in itertools.pairwise(widths):
            self.stages.append(nn.ModuleList([Convolution(before, width, 3, 2), Residual(width)]))
        side = SIZE >> (len(widths))
        self.dense = nn.Linear(side * side * widths[-1], hidden)
        self.inner = nn.Linear(hidden, hidden)
        self.head = nn.Linear(hidden, heads * sum(head_sizes(free)))
        self.joints = nn.Linear(hidden, 2 * len(KEYPOINT_JOINTS))
        self.votes = VoteLayers(widths, hidden)
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

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Votes]:
        x = self.stem(x.permute(0, 3, 1, 2))
        maps = []
        for shrink, residual in self.stages:
            x = residual(shrink(x))
            maps.append(x)
        x = torch.relu(self.dense(x.permute(0, 2, 3, 1).flatten(1)))
        features = torch.relu(self.inner(x))
        heads = self.head(features).float().view(len(x), self.heads, -1)
        return heads, self.joints(features).float(), votes_of(self.votes, maps, features)

    def named_layers(self) -> dict[str, Any]:
        """The layers by the names that a model's file has for them."""
        layers: dict[str, Any] = {"stem": self.stem}
        for number, (shrink, residual) in enumerate(self.stages):
            layers[f"stage{number}.shrink"] = shrink
            layers[f"stage{number}.first"] = residual.first
            layers[f"stage{number}.second"] = residual.second
        layers |= {name: getattr(self, name) for name in ("dense", "inner", "head", "joints")}
        return layers | {VOTES + name: layer for name, layer in self.votes.items()}

    def export(self) -> dict[str, NDArray[np.float16]]:
        """The arrays of a model's file, normalisations folded into the convolutions."""
        return {
            f"{name}.{key}": value.astype(np.float16)
            for name, layer in self.named_layers().items()
            for key, value in as_layer(layer).items()
        }
