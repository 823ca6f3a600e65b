"""What sensors and filters do to a window, for batches of training windows, in PyTorch."""

import torch
from pixel_label_windows import UNKNOWN
from torch import Tensor
from torch.nn.functional import max_pool2d

from handopt.learning.flaws import Gaps, noisy, punched, uniform

NOISE_MM = (0.2, 4.0)
MAX_STEP_MM = 5.0
JUMP_MM = 15.0
PLAIN_SHARE = 0.5
FLYING_SHARE, FRAYED_SHARE, FILLED_SHARE = 0.35, 0.3, 0.2
GAPS = Gaps(-2.0, 0.2, (0.0, 70.0), (2.0, 10.0), 0.06, (16.0, 70.0))


def augment(offset: Tensor, label: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Spoil windows: offset (B, S, S) mm, NaN where nothing is measured; label (B, S, S). Returns both, changed.

    PLAIN_SHARE of them stay as they are: the images have the flaws of sensors already.
    """
    plain = torch.rand(len(offset), 1, 1, generator=generator) < PLAIN_SHARE
    spoiled, changed = _at_edges(offset, label, generator)
    spoiled = punched(spoiled, generator, GAPS)
    spoiled = noisy(spoiled, generator, noise_mm=NOISE_MM, max_step_mm=MAX_STEP_MM, cell_px=8)
    changed = torch.where(spoiled.isnan(), UNKNOWN, changed)
    return torch.where(plain, offset, spoiled), torch.where(plain, label, changed)


def _at_edges(offset: Tensor, label: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Where depth jumps: pixels between both surfaces, missing ones, and silhouettes that have grown."""
    count = len(offset)
    seen = ~offset.isnan()
    near = -max_pool2d(torch.where(seen, -offset, -1e4)[:, None], 3, 1, 1)[:, 0]
    far = max_pool2d(torch.where(seen, offset, -1e4)[:, None], 3, 1, 1)[:, 0]
    edge = seen & (far - near > JUMP_MM)
    chance, amount, pixel = (
        uniform(generator, 3, count, 1, 1)[0],
        uniform(generator, count, 1, 1),
        torch.rand(offset.shape, generator=generator),
    )
    # What is far behind mixes with what is in front as well, if less often.
    limited = torch.minimum(far, near + 250.0)
    mixed = edge & (chance < FLYING_SHARE) & (pixel < 0.5 * amount)
    share = torch.rand(offset.shape, generator=generator)
    flown = near + share * (limited - near)
    label = torch.where(mixed & ((flown - offset).abs() > 0.5 * JUMP_MM), UNKNOWN, label)
    offset = torch.where(mixed, flown, offset)
    chosen = uniform(generator, 2, count, 1, 1)
    worn = edge & (chosen[0] < FRAYED_SHARE) & (pixel > 1 - 0.9 * amount)
    grown = (chosen[1] < FILLED_SHARE) & (pixel < amount) & (near < 1e3) & (~seen | (offset - near > JUMP_MM))
    label = torch.where(grown, UNKNOWN, label)
    return torch.where(worn, torch.nan, torch.where(grown, near, offset)), label
