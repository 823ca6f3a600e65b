"""Views of hands as tensors, for tests of what learns."""

import torch

from handopt.learning.encode import Views
from handopt.typing import FloatImage


def unlabelled_views(offset_mm: FloatImage) -> Views:
    """Views (B, 64, 64) mm, NaN where the hand is not, whose pixels nobody has labelled."""
    offset = torch.from_numpy(offset_mm)
    return Views(offset, torch.full_like(offset, torch.nan), torch.zeros(*offset.shape, 3))
