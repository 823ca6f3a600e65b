"""Where the cells of a picture vote that the joints are: a second reading beside the hypotheses, in PyTorch.

Every cell of a coarse map says for each joint how far away it lies and how much that vote counts, as in
Xiong et al., "A2J: Anchor-to-Joint Regression Network for 3D Articulated Pose Estimation from a Single Depth Image",
ICCV 2019. A joint is the weighted mean of its votes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from handopt.learning.layers import Convolution
from handopt.proposals.votes import MAPS, VOTE_MM, VOTE_NUMBERS, VOTES, cell_places, edge, vote_layers
from handopt.rig.joints import KEYPOINT_JOINTS

JOINTS = len(KEYPOINT_JOINTS)
FIRST_LOG_MM = 3.0
"""Logarithm of the uncertainty that training begins with, mm."""


@dataclass(frozen=True, eq=False)
class Votes:
    """What the cells of B pictures say of the joints, as handopt.proposals.features.to_view has points.

    keypoints: (B, 21, 3) mm. log_mm: (B, 21), logarithm of how far off they may be. near: (B, 21, 2) mm, the weighted
    mean of the places of the cells themselves
    """

    keypoints: Tensor
    log_mm: Tensor
    near: Tensor


class VoteLayers(nn.ModuleDict):  # type: ignore[misc]  # PyTorch is not followed
    """The layers that vote, by name: see handopt.proposals.votes."""

    def __init__(self, widths: tuple[int, ...], hidden: int) -> None:
        """widths: of all maps of the network, the coarsest last."""
        layers: dict[str, nn.Module] = {}
        for name, (given, outputs) in vote_layers(hidden, *widths[-MAPS:]).items():
            short, inputs = name.removeprefix(VOTES), int(given)
            if short == "context":
                layers[short] = nn.Linear(inputs, outputs)
            elif short == "said":
                layers[short] = nn.Conv2d(inputs, outputs, 1)
            else:
                size = edge(short)
                layers[short] = Convolution(inputs // size**2, outputs, size, 1, active=False)
        super().__init__(layers)
        with torch.no_grad():
            self["context"].weight *= 0.3
            self["said"].weight *= 0.3
            self["said"].bias.zero_()
            self["said"].bias.view(JOINTS, VOTE_NUMBERS)[:, 4] = FIRST_LOG_MM


def votes_of(layers: Mapping[str, Callable[[Tensor], Tensor]], maps: Sequence[Tensor], features: Tensor) -> Votes:
    """What the layers say of the maps (B, C, H, W), the coarsest last, and the features (B, hidden) of a network."""
    fine, middle, deep = maps[-MAPS:]
    x = torch.relu(layers["deep"](deep)) + torch.relu(layers["context"](features))[:, :, None, None]
    x = torch.relu(layers["joined"](torch.relu(layers["middle"](middle) + interpolate(x, scale_factor=2))))
    x = torch.relu(layers["fine"](fine) + interpolate(layers["narrowed"](x), scale_factor=2))
    x = torch.relu(x + layers["second"](torch.relu(layers["first"](x))))
    said = layers["said"](x).float().flatten(2).unflatten(1, (JOINTS, VOTE_NUMBERS))  # (B, 21, 5, cells)
    places = torch.from_numpy(cell_places(x.shape[-1])).to(said).reshape(-1, 2)
    share = torch.softmax(said[:, :, 3], dim=-1)
    moved = torch.einsum("bjk,bjck->bjc", share, said[:, :, :3]) * VOTE_MM
    near = torch.einsum("bjk,kc->bjc", share, places)
    keypoints = torch.cat([moved[..., :2] + near, moved[..., 2:]], dim=-1)
    return Votes(keypoints, (share * said[:, :, 4]).sum(-1), near)
