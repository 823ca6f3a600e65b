"""Images of blocks as tensors: what the network sees, and the labels."""

import torch
from torch import Tensor

from handopt.learning.images import EMPTY, UNIT_MM, Arrays
from handopt.learning.losses import LABELS
from handopt.proposals.features import OFFSET_SCALE_MM


def tensors(images: Arrays) -> tuple[Tensor, dict[str, Tensor]]:
    """Offsets (B, 64, 64) mm, NaN where no hand is, and labels."""
    counts = torch.from_numpy(images["offset"])
    offset = torch.where(counts == int(EMPTY), torch.nan, counts.float() * UNIT_MM)
    return offset, {name: torch.from_numpy(images[name]) for name in (*LABELS, "visible", "keypoints")}


def encoded(offset: Tensor) -> Tensor:
    """handopt.proposals.features.network_input, in PyTorch."""
    seen = ~offset.isnan()
    return torch.stack([seen.float(), torch.where(seen, offset, 0.0) / OFFSET_SCALE_MM], dim=-1)
