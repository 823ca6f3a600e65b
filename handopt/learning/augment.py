"""What sensors and segmentation do to views of hands, for batches to learn from, in PyTorch."""

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from handopt.learning.encode import Views
from handopt.learning.flaws import Gaps, discs, noisy, punched, uniform
from handopt.proposals.features import MIDDLE_PX, MM_PER_PX, SIZE

MAX_SHIFT_PX = 3
DEPTH_SHIFT_MM = 6.0
NOISE_MM = (0.2, 3.0)
MAX_STEP_MM = 4.0
JUMP_MM = 14.0
GAPS = Gaps(-1.0, 0.3, (0.0, 22.0), (1.0, 5.5), 0.07, (7.0, 22.0))
LEAST_SEEN_PX = 60
GAPS_SHARE, UNKNOWN_SHARE = 0.3, 0.06
"""Labelled views in which gaps are, and whose labels are left out."""
LOG_POWER_STD, LEAST_LABEL = 0.3, 1e-4
"""Probabilities are raised to a power whose logarithm deviates by the first; none is less than the second before."""

_QUARTER = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def augment(views: Views, labels: dict[str, Tensor], generator: torch.Generator) -> tuple[Views, dict[str, Tensor]]:
    """Move and turn views, and spoil those of rendered hands; of labelled ones, which sensors have seen, little.

    labels: of their poses, rotation (B, 3, 3), wrist (B, 3) mm and others. Returns both, changed.
    """
    views, labels = _moved(views, labels, generator)
    offset = _cluttered(views.offset, generator)
    offset = _frayed(offset, generator)
    offset = _punched(offset, generator)
    offset = noisy(offset, generator, noise_mm=NOISE_MM, max_step_mm=MAX_STEP_MM, cell_px=4)
    labelled = views.labelled
    worn = _worn(views, generator)
    offset = torch.where(labelled[:, None, None], worn.offset, offset)
    return Views(offset, worn.measured, worn.labels), labels


def _worn(views: Views, generator: torch.Generator) -> Views:
    """Labelled views with gaps in some, labels that are more or less sure, and none at all in a few."""
    count = len(views.offset)
    gaps = _punched(views.measured, generator).isnan() & (_drawn(generator, count) < GAPS_SHARE)[:, None, None]
    offset, measured = (torch.where(gaps, torch.nan, each) for each in (views.offset, views.measured))
    power = torch.exp(LOG_POWER_STD * torch.randn(count, 1, 1, 1, generator=generator))
    unknown = (_drawn(generator, count) < UNKNOWN_SHARE)[:, None, None]
    measured = torch.where(unknown, torch.nan, measured)
    labels = torch.where(measured.isnan()[..., None], 0.0, views.labels.clamp_min(LEAST_LABEL) ** power)
    return Views(offset, measured, labels)


def _drawn(generator: torch.Generator, count: int) -> Tensor:
    return torch.rand(count, generator=generator)


def _moved(views: Views, labels: dict[str, Tensor], generator: torch.Generator) -> tuple[Views, dict[str, Tensor]]:
    """Quarter turns about the optical axis, which are exact, and small shifts of the centre, which nearly are."""
    rotation, wrist, keypoints = (labels[name].clone() for name in ("rotation", "wrist", "keypoints"))
    images = torch.cat([views.offset[..., None], views.measured[..., None], views.labels], dim=-1)
    parts = []
    for turns, rows in enumerate(torch.arange(len(images)).tensor_split(4)):
        image = images[rows]
        for _ in range(turns):
            image = image.transpose(1, 2).flip(2)
            rotation[rows], wrist[rows] = _QUARTER @ rotation[rows], wrist[rows] @ _QUARTER.T
            keypoints[rows] = keypoints[rows] @ _QUARTER.T
        right, down = torch.randint(-MAX_SHIFT_PX, MAX_SHIFT_PX + 1, (2,), generator=generator).tolist()
        parts.append(_shifted(image, right, down))
        shift = torch.tensor([right * MM_PER_PX, down * MM_PER_PX, 0.0])
        wrist[rows] += shift
        keypoints[rows] += shift
    away = DEPTH_SHIFT_MM * torch.randn(len(images), generator=generator)
    wrist[:, 2] += away
    keypoints[..., 2] += away[:, None]
    changed = {"rotation": rotation, "wrist": wrist, "keypoints": keypoints}
    moved = torch.cat(parts)
    offset, measured = (moved[..., channel] + away[:, None, None] for channel in (0, 1))
    return Views(offset, measured, moved[..., 2:].nan_to_num()), {**labels, **changed}


def _shifted(image: Tensor, right: int, down: int) -> Tensor:
    """Images (B, S, S, channels) moved by whole pixels; NaN comes in at the edges."""
    padded = pad(image, (0, 0, *(MAX_SHIFT_PX,) * 4), value=torch.nan)
    top, left = MAX_SHIFT_PX - down, MAX_SHIFT_PX - right
    return padded[:, top : top + image.shape[1], left : left + image.shape[2]]


def _cluttered(offset: Tensor, generator: torch.Generator) -> Tensor:
    """Sometimes a piece of something else beside or behind the hand."""
    count = len(offset)
    disc = (
        discs(generator, count, SIZE, (10.0, 28.0), (2.0, 9.0))
        & (torch.rand(count, generator=generator) < 0.12)[:, None, None]
    )
    axis = (torch.arange(SIZE) - MIDDLE_PX) * MM_PER_PX
    slope = 0.5 * torch.randn(2, count, 1, 1, generator=generator)
    plane = uniform(generator, count, 1, 1, low=-60, high=80) + slope[0] * axis + slope[1] * axis[:, None]
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
    """Gaps, but for images of which too little would be left."""
    spoiled = punched(offset, generator, GAPS)
    empty = (~spoiled.isnan()).sum((1, 2)) < LEAST_SEEN_PX
    return torch.where(empty[:, None, None], offset, spoiled)
