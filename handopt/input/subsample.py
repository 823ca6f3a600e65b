"""Images that are larger than any depth camera's: of them every n-th row and column is taken."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from handopt.input.camera import Camera
from handopt.typing import Value

LARGE_PX: Final = 4_000_000
"""A fit needs about 60 bytes a pixel. By hand: twice the pixels of the largest sensor of a preset."""


def step_of(shape: Sequence[int]) -> int:
    """Of an image (H, W) every how many-th row and column is taken, 1 for all."""
    return max(1, math.ceil(math.sqrt(shape[0] * shape[1] / LARGE_PX)))


def subsampled(image: NDArray[Value], step: int) -> NDArray[Value]:
    """Every step-th row and column of an image, from (step - 1) // 2 on."""
    first = (step - 1) // 2
    return np.ascontiguousarray(image[first::step, first::step])


def subsampled_camera(camera: Camera, step: int) -> Camera:
    """The camera that sees an image as it is when subsampled."""
    first = (step - 1) // 2
    width, height = (len(range(first, size, step)) for size in (camera.width, camera.height))
    cx, cy = (camera.cx - first) / step, (camera.cy - first) / step
    return replace(camera, fx=camera.fx / step, fy=camera.fy / step, cx=cx, cy=cy, width=width, height=height)


def subsampled_pixel(pixel: float, step: int) -> float:
    """Where a row or column of an image lies when it is subsampled."""
    return (pixel - (step - 1) // 2) / step
