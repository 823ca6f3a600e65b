"""Images of blocks as tensors: what the network sees, and the labels of their poses."""

from dataclasses import dataclass

import torch
from torch import Tensor

from handopt.learning.images import EMPTY, UNIT_MM, Arrays
from handopt.learning.losses import LABELS
from handopt.proposals.features import CHANNELS, OFFSET_SCALE_MM
from handopt.typing import AnyArray


@dataclass(frozen=True, eq=False)
class Views:
    """Views as handopt.proposals.features.CenteredView has them.

    offset, measured: (B, 64, 64) mm, NaN where there is no hand, or nothing measured; labels: (B, 64, 64, 3). Where
    nobody has labelled the pixels of a view, nothing of it is measured.
    """

    offset: Tensor
    measured: Tensor
    labels: Tensor

    @property
    def labelled(self) -> Tensor:
        """Of which views the pixels are labelled, (B,)."""
        return ~self.measured.isnan().flatten(1).all(1)


def tensors(images: Arrays) -> tuple[Views, dict[str, Tensor]]:
    """Views, and labels of their poses."""
    seen = Views(_mm(images["offset"]), _mm(images["measured"]), torch.from_numpy(images["labels"]).float() / 255)
    return seen, {name: torch.from_numpy(images[name]) for name in (*LABELS, "visible", "keypoints")}


def _mm(counts: AnyArray) -> Tensor:
    numbers = torch.from_numpy(counts)
    return torch.where(numbers == int(EMPTY), torch.nan, numbers.float() * UNIT_MM)


def encoded(views: Views, channels: int = CHANNELS) -> Tensor:
    """handopt.proposals.features.network_input, in PyTorch."""
    seen = ~views.offset.isnan()
    plain = torch.stack([seen.float(), _scaled(views.offset)], dim=-1)
    return torch.cat([plain, views.labels, _scaled(views.measured)[..., None]], dim=-1)[..., :channels]


def _scaled(offset: Tensor) -> Tensor:
    return offset.nan_to_num() / OFFSET_SCALE_MM
