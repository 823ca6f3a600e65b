"""What sensors and filters do to a window, for batches of training windows, in PyTorch."""

import torch
from pixel_label_windows import UNKNOWN
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from handopt.observation.pixel_window import MIDDLE_PX, SIZE

NOISE_MM = (0.2, 4.0)
MAX_STEP_MM = 5.0
HOLES = 3
JUMP_MM = 15.0
PLAIN_SHARE = 0.5
FLYING_SHARE, FRAYED_SHARE, FILLED_SHARE, CUT_SHARE = 0.35, 0.3, 0.2, 0.06


def augment(offset: Tensor, label: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Spoil windows: offset (B, S, S) mm, NaN where nothing is measured; label (B, S, S). Returns both, changed.

    PLAIN_SHARE of them stay as they are: the images have the flaws of sensors already.
    """
    plain = torch.rand(len(offset), 1, 1, generator=generator) < PLAIN_SHARE
    spoiled, changed = _at_edges(offset, label, generator)
    spoiled = _noisy(_punched(spoiled, generator), generator)
    changed = torch.where(spoiled.isnan(), UNKNOWN, changed)
    return torch.where(plain, offset, spoiled), torch.where(plain, label, changed)


def _uniform(generator: torch.Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=generator)


def _at_edges(offset: Tensor, label: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Where depth jumps: pixels between both surfaces, missing ones, and silhouettes that have grown."""
    count = len(offset)
    seen = ~offset.isnan()
    near = -max_pool2d(torch.where(seen, -offset, -1e4)[:, None], 3, 1, 1)[:, 0]
    far = max_pool2d(torch.where(seen, offset, -1e4)[:, None], 3, 1, 1)[:, 0]
    edge = seen & (far - near > JUMP_MM)
    chance, amount, pixel = (
        _uniform(generator, 3, count, 1, 1)[0],
        _uniform(generator, count, 1, 1),
        torch.rand(offset.shape, generator=generator),
    )
    # What is far behind mixes with what is in front as well, if less often.
    limited = torch.minimum(far, near + 250.0)
    mixed = edge & (chance < FLYING_SHARE) & (pixel < 0.5 * amount)
    share = torch.rand(offset.shape, generator=generator)
    flown = near + share * (limited - near)
    label = torch.where(mixed & ((flown - offset).abs() > 0.5 * JUMP_MM), UNKNOWN, label)
    offset = torch.where(mixed, flown, offset)
    chosen = _uniform(generator, 2, count, 1, 1)
    worn = edge & (chosen[0] < FRAYED_SHARE) & (pixel > 1 - 0.9 * amount)
    grown = (chosen[1] < FILLED_SHARE) & (pixel < amount) & (near < 1e3) & (~seen | (offset - near > JUMP_MM))
    label = torch.where(grown, UNKNOWN, label)
    return torch.where(worn, torch.nan, torch.where(grown, near, offset)), label


def _discs(generator: torch.Generator, count: int, reach: tuple[float, float], radius: tuple[float, float]) -> Tensor:
    """Random discs (B, S, S) whose centres lie within a range of distances from the middle, in pixels."""
    axis = torch.arange(SIZE) - MIDDLE_PX
    around = _uniform(generator, count, high=6.2832)
    distance = _uniform(generator, count, low=reach[0], high=reach[1])
    x = axis - (distance * around.cos())[:, None]
    y = axis - (distance * around.sin())[:, None]
    size = _uniform(generator, count, low=radius[0], high=radius[1])
    return x.square()[:, None, :] + y.square()[:, :, None] < size.square()[:, None, None]


def _punched(offset: Tensor, generator: torch.Generator) -> Tensor:
    """Holes, missing pixels, and sometimes a straight cut, as at the border of an image."""
    count = len(offset)
    gone = torch.rand(offset.shape, generator=generator) < 0.15 * (
        _uniform(generator, count, 1, 1, low=-2.0, high=1.0).clamp_min(0)
    )
    for _ in range(HOLES):
        chosen = (torch.rand(count, generator=generator) < 0.2)[:, None, None]
        gone |= _discs(generator, count, (0.0, 70.0), (2.0, 10.0)) & chosen
    around = _uniform(generator, count, 1, 1, high=6.2832)
    axis = torch.arange(SIZE) - MIDDLE_PX
    beyond = axis * around.cos() + axis[:, None] * around.sin() > _uniform(generator, count, 1, 1, low=16, high=70)
    gone |= beyond & (torch.rand(count, 1, 1, generator=generator) < CUT_SHARE)
    return torch.where(gone, torch.nan, offset)


def _noisy(offset: Tensor, generator: torch.Generator) -> Tensor:
    """White and smooth noise, and depth in steps."""
    count = len(offset)
    low, high = torch.tensor(NOISE_MM).log().tolist()
    sigma = _uniform(generator, 2, count, 1, 1, low=low, high=high).exp()
    smooth = interpolate(torch.randn(count, 1, SIZE // 8, SIZE // 8, generator=generator), scale_factor=8)[:, 0]
    offset = offset + sigma[0] * torch.randn(offset.shape, generator=generator) + 0.7 * sigma[1] * smooth
    step = _uniform(generator, count, 1, 1, low=-MAX_STEP_MM, high=MAX_STEP_MM).clamp_min(0.05)
    return (offset / step).round() * step
