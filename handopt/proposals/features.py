"""What the bank of proposals sees of a hand: a small image of its mask, from a camera that looks straight at it.

The ray through the hand's centre is turned onto the optical axis (a rotation of the camera about its own centre, so
perspective is kept and the input does not depend on where in the image the hand is); a grid of 64 x 64 rays then covers
a cube of 240 mm around the centre.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from handopt.errors import ObservationError
from handopt.typing import FloatImage, Floats

if TYPE_CHECKING:
    from handopt.observation.observe import Observation


SIZE: Final = 64
HALF_MM: Final = 120.0
MM_PER_PX: Final = 2 * HALF_MM / SIZE
CENTRE_REACH_MM: Final = 130.0
OFFSET_SCALE_MM: Final = 100.0
CHANNELS: Final = 2
MIDDLE: Final = 0.5 * (SIZE - 1)


@dataclass(frozen=True, eq=False)
class InputView:
    """A camera turned to a hand.

    offset_mm: (64, 64) float32, depth less the centre's depth, NaN where the hand is not. turn: (3, 3) rotation from
    the camera's frame to this view's. distance_mm: of the centre, which lies at (0, 0, distance) here.
    """

    offset_mm: FloatImage
    turn: Floats
    distance_mm: float


def input_view(observation: "Observation") -> InputView:
    """Look straight at an observed hand. Raises ObservationError."""
    camera, depth, mask = observation.camera, observation.depth_mm, observation.mask
    points = np.asarray(observation.points_mm, np.float64)
    if len(points) == 0:
        raise ObservationError("the observation has no points: nothing can be proposed")
    centre = centre_of(points)
    turn, distance = turn_to_axis(centre)
    rays = view_rays(distance) @ turn  # the inverse of turn, on row vectors
    with np.errstate(divide="ignore", invalid="ignore"):
        u = camera.fx * rays[..., 0] / rays[..., 2] + camera.cx
        v = camera.fy * rays[..., 1] / rays[..., 2] + camera.cy
    ahead = (rays[..., 2] > 0) & (np.abs(u) < 1e6) & (np.abs(v) < 1e6)
    column = np.rint(np.where(ahead, u, -1.0)).astype(np.int64)
    row = np.rint(np.where(ahead, v, -1.0)).astype(np.int64)
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    column, row = np.where(inside, column, 0), np.where(inside, row, 0)
    z = depth[row, column].astype(np.float64)
    seen = inside & mask[row, column] & (z > 0)
    along = turn[2, 0] * (column - camera.cx) / camera.fx + turn[2, 1] * (row - camera.cy) / camera.fy + turn[2, 2]
    offset = z * along - distance
    seen &= np.abs(offset) < HALF_MM
    if not seen.any():
        raise ObservationError("nothing of the hand lies within 120 mm of the middle of its points")
    return InputView(np.where(seen, offset, np.nan).astype(np.float32), turn, distance)


def centre_of(points: Floats) -> Floats:
    """The mean (3,) of points (N, 3) mm, without those farther than 130 mm from their median."""
    near = np.linalg.norm(points - np.median(points, axis=0), axis=1) < CENTRE_REACH_MM
    return np.asarray((points[near] if near.any() else points).mean(axis=0))


def turn_to_axis(centre: Floats) -> tuple[Floats, float]:
    """The least rotation (3, 3) that turns a point (3,) in front of the camera onto the optical axis, its distance."""
    distance = float(np.linalg.norm(centre))
    x, y, z = centre / distance
    share = 1.0 / (1.0 + z)
    turn = np.array([[1 - x * x * share, -x * y * share, -x], [-x * y * share, 1 - y * y * share, -y], [x, y, z]])
    return turn, distance


def view_rays(distance_mm: float) -> Floats:
    """The view's rays (64, 64, 3) with z = 1: its pixels are MM_PER_PX apart at the centre's distance."""
    axis = (np.arange(SIZE) - MIDDLE) * (MM_PER_PX / distance_mm)
    x, y = np.meshgrid(axis, axis)
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def encode(offset_mm: NDArray[Any]) -> FloatImage:
    """The network's input (..., 64, 64, 2) of views (..., 64, 64): whether there is a hand, and its offset / 100 mm."""
    seen = np.isfinite(offset_mm)
    offset = np.where(seen, offset_mm, 0.0) / OFFSET_SCALE_MM
    return np.stack([seen, offset], axis=-1).astype(np.float32)
