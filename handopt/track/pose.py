"""A followed hand: where it is, where it is going, and which of its fingers looks wrong."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handopt.crop import Crop, Grid
from handopt.explain import WRONG_MM
from handopt.hand import exponential
from handopt.optimise.fingers import GRIDS
from handopt.track.residuals import Shape

Floats = NDArray[np.float64]

WRONG = 0.6
"""From here a pixel counts for the finger that is redrawn."""


@dataclass(frozen=True)
class Placed:
    """A hand in a frame: rotation (3, 3), translation_mm (3,), angles_rad (15, 3)."""

    rotation: Floats
    translation_mm: Floats
    angles_rad: Floats

    def after(self, before: "Placed", share: float) -> "Placed":
        """Where the hand is one frame later if it goes on as it came from another pose, a share of its way."""
        turn = rotation_vector(self.rotation @ before.rotation.T)
        return Placed(
            np.asarray(exponential(share * turn[None])[0] @ self.rotation),
            self.translation_mm + share * (self.translation_mm - before.translation_mm),
            self.angles_rad + share * (self.angles_rad - before.angles_rad),
        )


@dataclass(frozen=True)
class Found:
    """A hand followed to a frame.

    unexplained: see handopt.explain. refitted: found from scratch. visible: (21,). information: (3 + 3 + 45,) how
    sharply rotation, translation and angles are known, 0 where an angle is not free. shape: what is believed by now.
    """

    placed: Placed
    shape: Shape
    joints_mm: Floats
    visible: NDArray[np.bool_]
    unexplained: float
    refitted: bool
    information: Floats


def wrongness(depth_mm: NDArray[np.floating], grid: Grid) -> Floats:
    """How wrong each pixel of a z-buffer (S, S) on an observation's grid is, 0 to 1, as handopt.explain counts it."""
    covered = depth_mm > 0
    off = np.minimum(np.abs(depth_mm - grid.depth_mm), WRONG_MM) / WRONG_MM
    return np.where(grid.hand, np.where(covered, off, 1.0), covered & grid.free)


def suspect(wrong: Floats, joints: Floats, crop: Crop) -> int:
    """The finger beside which most is wrong (S, S): 0 the thumb to 4. joints: (21, 3) mm."""
    rows, columns = np.nonzero(wrong > WRONG)
    if len(rows) == 0:
        return 0
    ax, bx, ay, by = crop.coefficients[:4]
    pixels = np.stack([ax * joints[:, 0] / joints[:, 2] + bx, ay * joints[:, 1] / joints[:, 2] + by], axis=1)
    away = (columns[:, None] - pixels[1:, 0]) ** 2 + (rows[:, None] - pixels[1:, 1]) ** 2
    return int(np.bincount(away.argmin(axis=1) // 4, minlength=len(GRIDS)).argmax())


def rotation_vector(rotation: Floats) -> Floats:
    """The rotation vector (3,) of a rotation (3, 3)."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(rotation).as_rotvec())
