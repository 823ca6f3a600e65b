"""Flaws of depth that sensors and filters have, for batches of images (B, S, S) mm to learn from, in PyTorch."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

HOLES = 3
MISSING = 0.15
"""Share of pixels that are missing at most."""
FULL_TURN = 6.2832


@dataclass(frozen=True)
class Gaps:
    """How much of an image is missing.

    least_missing: a number drawn between it and 1, if above 0, is the share of MISSING. hole_share: of images with a
    hole, HOLES times; reach_px, radius_px: from and to how far from the middle, and how large holes are. cut_share: of
    images with a straight cut; cut_px: from and to how far from the middle.
    """

    least_missing: float
    hole_share: float
    reach_px: tuple[float, float]
    radius_px: tuple[float, float]
    cut_share: float
    cut_px: tuple[float, float]


def uniform(generator: torch.Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Numbers drawn between two."""
    return low + (high - low) * torch.rand(*shape, generator=generator)


def discs(
    generator: torch.Generator, count: int, size: int, reach: tuple[float, float], radius: tuple[float, float]
) -> Tensor:
    """Random discs (B, S, S) whose centres lie within a range of distances from the middle, in pixels."""
    axis = _axis(size)
    around = uniform(generator, count, high=FULL_TURN)
    distance = uniform(generator, count, low=reach[0], high=reach[1])
    x = axis - (distance * around.cos())[:, None]
    y = axis - (distance * around.sin())[:, None]
    wide = uniform(generator, count, low=radius[0], high=radius[1])
    return x.square()[:, None, :] + y.square()[:, :, None] < wide.square()[:, None, None]


def punched(offset: Tensor, generator: torch.Generator, gaps: Gaps) -> Tensor:
    """Holes, missing pixels, and sometimes a straight cut, as at the border of an image."""
    count, size = offset.shape[:2]
    gone = torch.rand(offset.shape, generator=generator) < MISSING * (
        uniform(generator, count, 1, 1, low=gaps.least_missing, high=1.0).clamp_min(0)
    )
    for _ in range(HOLES):
        chosen = (torch.rand(count, generator=generator) < gaps.hole_share)[:, None, None]
        gone |= discs(generator, count, size, gaps.reach_px, gaps.radius_px) & chosen
    around = uniform(generator, count, 1, 1, high=FULL_TURN)
    axis = _axis(size)
    low, high = gaps.cut_px
    beyond = axis * around.cos() + axis[:, None] * around.sin() > uniform(generator, count, 1, 1, low=low, high=high)
    gone |= beyond & (torch.rand(count, 1, 1, generator=generator) < gaps.cut_share)
    return torch.where(gone, torch.nan, offset)


def noisy(
    offset: Tensor, generator: torch.Generator, *, noise_mm: tuple[float, float], max_step_mm: float, cell_px: int
) -> Tensor:
    """White and smooth noise, and depth in steps. noise_mm: deviations, from and to; cell_px: of the smooth noise."""
    count, size = offset.shape[:2]
    low, high = torch.tensor(noise_mm).log().tolist()
    sigma = uniform(generator, 2, count, 1, 1, low=low, high=high).exp()
    cells = size // cell_px
    smooth = interpolate(torch.randn(count, 1, cells, cells, generator=generator), scale_factor=cell_px)[:, 0]
    offset = offset + sigma[0] * torch.randn(offset.shape, generator=generator) + 0.7 * sigma[1] * smooth
    step = uniform(generator, count, 1, 1, low=-max_step_mm, high=max_step_mm).clamp_min(0.05)
    return (offset / step).round() * step


def _axis(size: int) -> Tensor:
    return torch.arange(size) - 0.5 * (size - 1)
