"""From a hand that was found in a subsampled depth image back to the pixels of the image itself."""

import numpy as np

from handopt.input.camera import Camera
from handopt.observation.segmentation import Candidate
from handopt.observation.surfaces import Window, bounding_box, drop_flying
from handopt.ops.surfaces import extreme_filter, pixels_going_with
from handopt.typing import BoolImage, Box, FloatImage, Indices


def in_pixels(
    candidate: Candidate, depth_mm: FloatImage, camera: Camera, step: int
) -> tuple[FloatImage, BoolImage, BoolImage]:
    """Return depth, hand and forearm, (H, W) each, at the resolution of the image.

    candidate: found in the image subsampled by step (handopt.input.subsample.subsampled). depth_mm: (H, W) the
    image itself. Flying pixels are dropped in the candidate's window. There a pixel belongs to the hand if its depth
    goes with the samples of the hand around it and not with the nearest sample, if that is not the hand's.
    """
    whole = (slice(0, candidate.hand.shape[0]), slice(0, candidate.hand.shape[1]))
    block, _ = _pixels_of(candidate.window, whole, depth_mm.shape, step)
    depth = depth_mm.copy()
    config = candidate.window.frame.config.surfaces
    depth[block] = drop_flying(depth_mm[block], float(np.sqrt(camera.fx * camera.fy)), config)
    mask = going_with(candidate.hand, candidate.window, depth, camera, step)
    arm = going_with(candidate.forearm_mask, candidate.window, depth, camera, step)
    return depth, mask, arm & ~mask


def going_with(samples: BoolImage, window: Window, depth_mm: FloatImage, camera: Camera, step: int) -> BoolImage:
    """Tell the pixels (H, W) that go with samples (h, w) of a window."""
    if not samples.any():
        return np.zeros(depth_mm.shape, np.bool_)
    box = bounding_box(samples, 1)
    block, nearest = _pixels_of(window, box, depth_mm.shape, step)
    seen, wanted = window.depth_mm[box], samples[box]
    config = window.frame.config.surfaces
    focal = float(np.sqrt(camera.fx * camera.fy))
    slack = config.step_mm + (0.5 * config.step_per_px * step * window.stride / focal) * seen.max()
    low, high = _range_around(seen, wanted)
    others = np.where(wanted, np.float32(-config.step_mm), seen)
    return pixels_going_with(depth_mm, block, nearest, (low - slack, high + slack, others), config.step_mm)


def _pixels_of(window: Window, box: Box, shape: tuple[int, ...], step: int) -> tuple[Box, tuple[Indices, Indices]]:
    """Return the block of pixels that a box of a window's samples stands for, and the nearest sample of each.

    The latter as the sample's row of each row of the block, and its column of each column.
    """
    (rows, v), (columns, u) = (
        _along(whole, cut, step, size)
        for whole, cut, size in zip((window.rows, window.columns), box, shape, strict=True)
    )
    return (rows, columns), (v, u)


def _along(whole: slice, cut: slice, step: int, size: int) -> tuple[slice, Indices]:
    """Return the pixels and the nearest sample of each along one axis of an image of that size."""
    spacing = step * whole.step
    first = whole.start * step + cut.start * spacing + (step - 1) // 2
    end = first + (cut.stop - cut.start) * spacing
    start = 0 if first < spacing else first - spacing // 2
    stop = size if end >= size else end - spacing // 2
    return slice(start, stop), np.clip(
        (np.arange(start, stop) - first + spacing // 2) // spacing, 0, cut.stop - cut.start - 1
    )


def _range_around(depth_mm: FloatImage, samples: BoolImage) -> tuple[FloatImage, FloatImage]:
    """Return (h, w) the least and greatest depth of the samples among each pixel and its 8 neighbours; inf, -inf."""
    low = extreme_filter(np.where(samples, depth_mm, np.float32(np.inf)), 3, largest=False)
    high = extreme_filter(np.where(samples, depth_mm, np.float32(-np.inf)), 3, largest=True)
    return low, high
