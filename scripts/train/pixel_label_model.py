"""The network of pixel labels in PyTorch: layers, loss, and export to NumPy."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pixel_label_scenes import THING
from pixel_label_windows import UNKNOWN
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, pixel_shuffle

from handopt.input.pixel_labels import BODY, FOREARM, HAND, OBJECT, PIXEL_LABELS
from handopt.learning.layers import Convolution, Residual
from handopt.observation.pixel_window import CHANNELS, MM_PER_PX, OFFSET_SCALE_MM, REACH_MM, SIZE

WIDTHS, SECOND_WIDTHS = (32, 64, 96, 128), (32, 64, 128, 192)
"""Channels of the first look and of the second, by stage."""
MENDED = 3
"""Merges of the second look that a residual block follows."""
FINE = 16
HIDDEN = 64
LABELS = len(PIXEL_LABELS)
CLASS_WEIGHTS = (0.6, 1.0, 1.0, 1.2, 1.5, 0.7)
VOTE_STEP_MM = 50.0
"""What a 1 of a vote means, mm. Fixed by the network's layout."""
VOTE_PX = 8
"""Window pixels to a vote along a side."""


class Network(nn.Module):
    """Windows (B, S, S, channels) -> logits of labels (B, 6, S, S), votes (B, 8, S/8, S/8), and three numbers (B, 3).

    A vote has for palm and wrist a logit and an offset (3) from its own place; the three numbers are the logits of
    presence and of a right hand, and the logarithm of the size.
    """

    def __init__(
        self, channels: int = CHANNELS, size: int = SIZE, widths: tuple[int, ...] = WIDTHS, mended: int = 0
    ) -> None:
        super().__init__()
        a, b, c, d = widths
        self.stem = Convolution(channels, a, 5, 2, active=False)
        self.early = Residual(a)
        self.shrink = nn.ModuleList([Convolution(a, b, 3, 2), Convolution(b, c, 3, 2), Convolution(c, d, 3, 2)])
        self.fine = Convolution(channels, FINE, 3, 2)
        self.detail = nn.Conv2d(FINE, a, 3, 2, 1)
        self.residual = nn.ModuleList([Residual(b), Residual(c), Residual(d)])
        self.again = nn.ModuleList([Residual(b), Residual(c), Residual(d)])
        nn.init.zeros_(self.detail.weight)
        nn.init.zeros_(self.detail.bias)
        self.across = nn.ModuleList([nn.Conv2d(d, c, 1), nn.Conv2d(c, b, 1), nn.Conv2d(b, a, 1), nn.Conv2d(a, FINE, 1)])
        self.beside = nn.Conv2d(a, a, 1)
        self.merge = nn.ModuleList([Convolution(width, width, 3, 1) for width in (c, b, a, FINE)])
        self.mend = nn.ModuleList([Residual(width) for width in (c, b, a, FINE)[:mended]])
        for each in (self.early, *self.again, *self.mend):
            nn.init.zeros_(each.second.norm.weight)
        self.votes = nn.Conv2d(b, 8, 1)
        self.pixels = nn.Conv2d(FINE, 4 * LABELS, 1)
        self.dense = nn.Linear(d * (size // 32) ** 2, HIDDEN)
        self.summary = nn.Linear(HIDDEN, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        image = x.permute(0, 3, 1, 2)
        fine = self.fine(image)
        x = self.early(torch.relu(self.stem(image[:, :, ::2, ::2]) + self.detail(fine)))
        levels = [fine, self.beside(x)]
        for shrink, residual, again in zip(self.shrink, self.residual, self.again, strict=True):
            x = again(residual(shrink(x)))
            levels.append(x)
        levels.pop()
        hidden = torch.relu(self.dense(x.permute(0, 2, 3, 1).flatten(1)))
        votes = None
        for number, (across, merge) in enumerate(zip(self.across, self.merge, strict=True)):
            x = merge(interpolate(across(x), scale_factor=2) + levels.pop())
            x = self.mend[number](x) if number < len(self.mend) else x
            if len(levels) == 2:
                votes = self.votes(x)
        return pixel_shuffle(self.pixels(x), 2), votes, self.summary(hidden)

    def named_layers(self) -> dict[str, Convolution | nn.Conv2d | nn.Linear]:
        """Every layer by its name in assets/pixel_labels.npz."""
        layers = {name: getattr(self, name) for name in ("stem", "fine", "detail", "beside", "votes", "pixels")}
        blocks = {"early": self.early}
        for number in range(3):
            layers[f"shrink{number}"] = self.shrink[number]
            blocks |= {f"residual{number}": self.residual[number], f"again{number}": self.again[number]}
        for number in range(4):
            layers |= {f"across{number}": self.across[number], f"merge{number}": self.merge[number]}
        blocks |= {f"mend{number}": block for number, block in enumerate(self.mend)}
        for name, block in blocks.items():
            layers |= {f"{name}.first": block.first, f"{name}.second": block.second}
        return layers | {"dense": self.dense, "summary": self.summary}

    def export(self) -> dict[str, NDArray[np.float16]]:
        """The arrays of assets/pixel_labels.npz, normalisations folded into the convolutions."""
        return {
            f"{name}.{key}": np.ascontiguousarray(torch.as_tensor(value).detach().numpy().astype(np.float16))
            for name, layer in self.named_layers().items()
            for key, value in _folded(layer).items()
        }


def _folded(layer: Convolution | nn.Conv2d | nn.Linear) -> dict[str, Any]:
    if isinstance(layer, Convolution):
        return layer.folded()
    if isinstance(layer, nn.Linear):
        return {"weight": layer.weight.T, "bias": layer.bias}
    kernel = layer.weight.permute(2, 3, 1, 0)
    return {"weight": kernel.reshape(-1, kernel.shape[-1]), "bias": layer.bias}


def encoded(offset: Tensor) -> Tensor:
    """handopt.observation.pixel_window.network_input, in PyTorch."""
    seen = ~offset.isnan()
    clipped = torch.where(seen, offset, 0.0).clamp(-REACH_MM, REACH_MM)
    return torch.stack([seen.float(), clipped / OFFSET_SCALE_MM], dim=-1)


def voted(votes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (B, 2, n) of the votes for palm and wrist, their places (B, 2, n, 3) mm and the means (B, 2, 3)."""
    size = votes.shape[-1]
    flat = votes.flatten(2).view(len(votes), 2, 4, -1)
    axis = ((torch.arange(size) + 0.5) * VOTE_PX - 0.5 * size * VOTE_PX) * MM_PER_PX
    x, y = axis.repeat(size), axis.repeat_interleave(size)
    cells = torch.stack([x, y, torch.zeros_like(x)], dim=-1)
    places = cells + VOTE_STEP_MM * flat[:, :, 1:].transpose(2, 3)
    weight = torch.softmax(flat[:, :, 0], dim=-1)
    return weight, places, (weight[..., None] * places).sum(2)


def loss(output: tuple[Tensor, Tensor, Tensor], label: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parts of the loss, to be added up."""
    logits, votes, summary = output
    log_p = torch.log_softmax(logits, dim=1)
    weight = torch.tensor(CLASS_WEIGHTS)
    known = label < LABELS
    index = torch.where(known, label, 0)
    per_pixel = -log_p.gather(1, index[:, None])[:, 0] * weight[index]
    # Of things where there is no hand, only that they are none and no arm's other hand: held things look like them.
    thing = label == THING
    nothing = -torch.logsumexp(log_p[:, [0, FOREARM, OBJECT, BODY]], dim=1)
    counted = known | thing
    pixels = (torch.where(known, per_pixel, nothing) * counted).sum() / counted.sum().clamp_min(1)
    there = targets["presence"] == 1
    points = targets["points"][there]
    share, places, mean = voted(votes[there])
    each = (places - points[:, :, None]).norm(dim=-1)
    vote = ((share * each).sum(-1) + 0.5 * (mean - points).norm(dim=-1)).mean() / VOTE_STEP_MM
    asked = targets["presence"] >= 0
    presence = binary_cross_entropy_with_logits(summary[asked, 0], targets["presence"][asked])
    right = binary_cross_entropy_with_logits(summary[there, 1], targets["side"][there])
    size = (summary[there, 2] - targets["log_size"][there]).abs().mean()
    return {"pixels": pixels, "votes": vote, "presence": 0.5 * presence, "side": 0.3 * right, "size": size}


def hand_overlap(logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection and union (B,) of the hand's pixels."""
    found, true = logits.argmax(1) == HAND, label == HAND
    counted = label != UNKNOWN
    return (found & true).sum((1, 2)), ((found | true) & counted).sum((1, 2))
