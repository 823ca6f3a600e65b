"""What sensors and segmentation do to views of hands, for batches to learn from, in PyTorch."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from handopt.proposals.features import MIDDLE_PX, MM_PER_PX, SIZE

MAX_SHIFT_PX = 3
DEPTH_SHIFT_MM = 6.0
NOISE_MM = (0.2, 3.0)
MAX_STEP_MM = 4.0
HOLES = 3
JUMP_MM = 14.0

_QUARTER = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def augment(offset: Tensor, labels: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """Move, turn and spoil views.

    offset: (B, 64, 64) mm, NaN where the hand is not; labels: rotation (B, 3, 3), wrist (B, 3) mm and others.
    Returns both, changed.
    """
    offset, labels = _moved(offset, labels, generator)
    offset = _cluttered(offset, generator)
    offset = _frayed(offset, generator)
    offset = _punched(offset, generator)
    return _noisy(offset, generator), labels


def _uniform(generator: torch.Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=generator)


def _moved(offset: Tensor, labels: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """Quarter turns about the optical axis, which are exact, and small shifts of the centre, which nearly are."""
    rotation, wrist = labels["rotation"].clone(), labels["wrist"].clone()
    parts = []
    for turns, rows in enumerate(torch.arange(len(offset)).tensor_split(4)):
        image = offset[rows]
        for _ in range(turns):
            image = image.transpose(1, 2).flip(2)
            rotation[rows], wrist[rows] = _QUARTER @ rotation[rows], wrist[rows] @ _QUARTER.T
        right, down = torch.randint(-MAX_SHIFT_PX, MAX_SHIFT_PX + 1, (2,), generator=generator).tolist()
        parts.append(image.roll((down, right), (1, 2)))
        wrist[rows, 0] += right * MM_PER_PX
        wrist[rows, 1] += down * MM_PER_PX
    away = DEPTH_SHIFT_MM * torch.randn(len(offset), generator=generator)
    wrist[:, 2] += away
    return torch.cat(parts) + away[:, None, None], {**labels, "rotation": rotation, "wrist": wrist}


def _discs(generator: torch.Generator, count: int, reach: tuple[float, float], radius: tuple[float, float]) -> Tensor:
    """Random discs (B, 64, 64) whose centres lie within a range of distances from the middle, in pixels."""
    axis = torch.arange(SIZE) - MIDDLE_PX
    around = _uniform(generator, count, high=6.2832)
    distance = _uniform(generator, count, low=reach[0], high=reach[1])
    x = axis - (distance * around.cos())[:, None]
    y = axis - (distance * around.sin())[:, None]
    size = _uniform(generator, count, low=radius[0], high=radius[1])
    return x.square()[:, None, :] + y.square()[:, :, None] < size.square()[:, None, None]


def _cluttered(offset: Tensor, generator: torch.Generator) -> Tensor:
    """Sometimes a piece of something else beside or behind the hand."""
    count = len(offset)
    disc = (
        _discs(generator, count, (10.0, 28.0), (2.0, 9.0))
        & (torch.rand(count, generator=generator) < 0.12)[:, None, None]
    )
    axis = (torch.arange(SIZE) - MIDDLE_PX) * MM_PER_PX
    slope = 0.5 * torch.randn(2, count, 1, 1, generator=generator)
    plane = _uniform(generator, count, 1, 1, low=-60, high=80) + slope[0] * axis + slope[1] * axis[:, None]
    return torch.where(disc & offset.isnan(), plane.clamp(-115, 115), offset)


def _frayed(offset: Tensor, generator: torch.Generator) -> Tensor:
    """Silhouettes eroded or dilated by up to a pixel, and gaps along the depth edges inside a hand (flying pixels)."""
    count = len(offset)
    seen = ~offset.isnan()
    chance = torch.rand(count, 1, 1, generator=generator)
    amount = torch.rand(count, 1, 1, generator=generator)
    pixel = torch.rand(offset.shape, generator=generator)
    closeness = torch.where(seen, -offset, -1e4)
    grown = -max_pool2d(closeness[:, None], 3, 1, 1)[:, 0]
    filled = (chance < 0.3) & ~seen & (grown < 1e3) & (pixel < amount)
    inner = max_pool2d((~seen).float()[:, None], 3, 1, 1)[:, 0] == 0
    worn = (chance > 0.65) & ~inner & (pixel < amount)
    farthest = max_pool2d(torch.where(seen, offset, -1e4)[:, None], 3, 1, 1)[:, 0]
    torn = (torch.rand(count, 1, 1, generator=generator) < 0.6) & seen & (farthest - grown > JUMP_MM)
    torn &= torch.rand(offset.shape, generator=generator) < 0.8 * amount
    return torch.where(worn | torn, torch.nan, torch.where(filled, grown, offset))


def _punched(offset: Tensor, generator: torch.Generator) -> Tensor:
    """Holes, missing pixels, and sometimes a straight cut, as at the border of an image."""
    count = len(offset)
    gone = torch.rand(offset.shape, generator=generator) < 0.15 * (
        _uniform(generator, count, 1, 1, low=-1.0, high=1.0).clamp_min(0)
    )
    for _ in range(HOLES):
        chosen = (torch.rand(count, generator=generator) < 0.3)[:, None, None]
        gone |= _discs(generator, count, (0.0, 22.0), (1.0, 5.5)) & chosen
    around = _uniform(generator, count, 1, 1, high=6.2832)
    axis = torch.arange(SIZE) - MIDDLE_PX
    beyond = axis * around.cos() + axis[:, None] * around.sin() > _uniform(generator, count, 1, 1, low=7, high=22)
    gone |= beyond & (torch.rand(count, 1, 1, generator=generator) < 0.07)
    spoiled = torch.where(gone, torch.nan, offset)
    empty = (~spoiled.isnan()).sum((1, 2)) < 60
    return torch.where(empty[:, None, None], offset, spoiled)


def _noisy(offset: Tensor, generator: torch.Generator) -> Tensor:
    """White and smooth noise, and depth in steps."""
    count = len(offset)
    low, high = torch.tensor(NOISE_MM).log().tolist()
    sigma = _uniform(generator, 2, count, 1, 1, low=low, high=high).exp()
    smooth = interpolate(torch.randn(count, 1, SIZE // 4, SIZE // 4, generator=generator), scale_factor=4)[:, 0]
    offset = offset + sigma[0] * torch.randn(offset.shape, generator=generator) + 0.7 * sigma[1] * smooth
    step = _uniform(generator, count, 1, 1, low=-MAX_STEP_MM, high=MAX_STEP_MM).clamp_min(0.05)
    return (offset / step).round() * step
