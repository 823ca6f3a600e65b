"""What the proposals' network sees of a hand: a small depth image of it, from a camera that looks straight at it.

The ray through the hand's centre is turned onto the optical axis (a rotation of the camera about its own centre, so
perspective is kept and the input does not depend on where in the image the hand is); a grid of 64 x 64 rays then covers
a cube of 240 mm around the centre.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handopt.errors import ObservationError
from handopt.input.camera import Camera
from handopt.observation.observation import Observation
from handopt.observation.quantiles import median
from handopt.typing import BoolImage, FloatImage, Floats

SIZE: Final = 64
"""Pixels along a side of a view. Chosen by hand: a finger is 4 pixels wide. Fixed by the trained network."""
HALF_MM: Final = 120.0
"""Half the edge of the cube that a view shows, mm: a large open hand fits in. Fixed by the trained network."""
MM_PER_PX: Final = 2 * HALF_MM / SIZE
"""Edge of a pixel at the centre's distance, mm."""
MIDDLE_PX: Final = 0.5 * (SIZE - 1)
"""Row and column of the optical axis."""
CENTRE_REACH_MM: Final = 130.0
"""Points farther away than this from their median do not count for the centre, mm. Chosen by hand."""
OFFSET_SCALE_MM: Final = 100.0
"""Offset in depth that the network sees as 1, mm. Fixed by the trained network."""
CHANNELS: Final = 6
"""Of the network's input: see network_input."""
PLAIN_CHANNELS: Final = 2
"""Of a network that sees nothing of the labels, as those of before."""
LABELS: Final = 3
"""Probabilities of a pixel: that it is the hand's, the forearm's, something else's that is near."""


@dataclass(frozen=True, eq=False)
class CenteredView:
    """A hand as seen by a camera that was turned straight at it.

    offset_mm: (64, 64) float32, depth minus the centre's depth, NaN where the hand is not. rotation: (3, 3) from the
    camera's frame to this view's. distance_mm: of the centre, which lies at (0, 0, distance) here. measured_mm: as
    offset_mm, of all that is measured; labels: (64, 64, 3) its probabilities, 0 elsewhere; both None where nobody has
    looked at what is not the hand.
    """

    offset_mm: FloatImage
    rotation: Floats
    distance_mm: float
    measured_mm: FloatImage | None = None
    labels: FloatImage | None = None


@dataclass(frozen=True, eq=False)
class SeenHand:
    """What a view is made from: depth (H, W) mm, mask (H, W) of the hand's pixels, and its points (N, 3) mm.

    labels: (H, W, 3) probabilities of hand, forearm and other things, None where they are not known
    """

    camera: Camera
    depth_mm: FloatImage
    mask: BoolImage
    points_mm: FloatImage
    labels: FloatImage | None = None


def centered_view(observation: "Observation | SeenHand", turn_rad: float = 0.0) -> CenteredView:
    """Look straight at an observed hand, with a camera that is turned about its axis.

    Raises ObservationError if nothing of it is in view.
    """
    camera, depth, mask = observation.camera, observation.depth_mm, observation.mask
    points = np.asarray(observation.points_mm, np.float64)
    if len(points) == 0:
        raise ObservationError("the observation has no points: nothing can be proposed")
    rotation, distance = rotation_to_axis(robust_centre(points))
    if turn_rad:
        rotation = _about_axis(turn_rad) @ rotation
    rays = view_rays(distance) @ rotation  # the inverse of the rotation, on row vectors
    with np.errstate(divide="ignore", invalid="ignore"):
        u = camera.fx * rays[..., 0] / rays[..., 2] + camera.cx
        v = camera.fy * rays[..., 1] / rays[..., 2] + camera.cy
    ahead = (rays[..., 2] > 0) & (np.abs(u) < 1e6) & (np.abs(v) < 1e6)
    column = np.rint(np.where(ahead, u, -1.0)).astype(np.int64)
    row = np.rint(np.where(ahead, v, -1.0)).astype(np.int64)
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    column, row = np.where(inside, column, 0), np.where(inside, row, 0)
    z = depth[row, column].astype(np.float64)
    a, b, c = rotation[2]
    along = a * (column - camera.cx) / camera.fx + b * (row - camera.cy) / camera.fy + c
    offset = z * along - distance
    measured = inside & (z > 0) & (np.abs(offset) < HALF_MM)
    seen = measured & mask[row, column]
    if not seen.any():
        raise ObservationError("nothing of the hand lies within 120 mm of the middle of its points")
    hand = np.where(seen, offset, np.nan).astype(np.float32)
    if observation.labels is None:
        return CenteredView(hand, rotation, distance)
    labels = np.where(measured[..., None], observation.labels[row, column], np.float32(0))
    return CenteredView(hand, rotation, distance, np.where(measured, offset, np.nan).astype(np.float32), labels)


def robust_centre(points: Floats) -> Floats:
    """The mean (3,) of points (N, 3) mm, without those far from their median."""
    x, y, z = np.square(points - [median(axis) for axis in points.T]).T
    near = np.sqrt(x + y + z) < CENTRE_REACH_MM
    return np.asarray((points if near.all() or not near.any() else points[near]).mean(axis=0))


def rotation_to_axis(centre: Floats) -> tuple[Floats, float]:
    """The smallest rotation (3, 3) that takes a point (3,), z > 0, onto the optical axis; and its distance."""
    distance = float(np.linalg.norm(centre))
    x, y, z = centre / distance
    share = 1.0 / (1.0 + z)
    rotation = np.array([[1 - x * x * share, -x * y * share, -x], [-x * y * share, 1 - y * y * share, -y], [x, y, z]])
    return rotation, distance


def _about_axis(angle_rad: float) -> Floats:
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def view_rays(distance_mm: float) -> Floats:
    """The view's rays (64, 64, 3) with z = 1: its pixels are MM_PER_PX apart at the centre's distance."""
    axis = (np.arange(SIZE) - MIDDLE_PX) * (MM_PER_PX / distance_mm)
    x, y = np.meshgrid(axis, axis)
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def to_view(points_mm: Floats, distance_mm: Floats | float) -> Floats:
    """Points (..., 3) mm in a view's frame as its picture has them: x and y of their pixel, and depth from the centre.

    distance_mm: (...) of the centre
    """
    z = points_mm[..., 2]
    share = distance_mm / z
    return np.stack([points_mm[..., 0] * share, points_mm[..., 1] * share, z - distance_mm], axis=-1)


def from_view(seen_mm: Floats, distance_mm: Floats | float) -> Floats:
    """The inverse of to_view."""
    z = seen_mm[..., 2] + distance_mm
    share = z / distance_mm
    return np.stack([seen_mm[..., 0] * share, seen_mm[..., 1] * share, z], axis=-1)


def network_input(
    offset_mm: NDArray[Any],
    measured_mm: NDArray[Any] | None = None,
    labels: NDArray[Any] | None = None,
    channels: int = CHANNELS,
) -> FloatImage:
    """The network's input (..., 64, 64, channels) for what views have.

    Whether there is a hand, and its offset; the probabilities of hand, forearm and other things, and the offset of all
    that is measured, which are 0 where they are not known. channels: those that the network has
    """
    seen = np.isfinite(offset_mm)
    image = np.zeros((*seen.shape, CHANNELS), np.float32)
    image[..., 0], image[..., 1] = seen, np.where(seen, offset_mm, 0.0) / OFFSET_SCALE_MM
    if measured_mm is not None and labels is not None:
        image[..., 2:5] = labels
        image[..., 5] = np.where(np.isfinite(measured_mm), measured_mm, 0.0) / OFFSET_SCALE_MM
    return image[..., :channels]
