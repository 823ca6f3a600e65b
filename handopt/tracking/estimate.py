"""A followed hand: where it is, and where it is going."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handopt.assess.confidence import LARGEST_GAP
from handopt.hand_model import exponential
from handopt.tracking.frame_residuals import ShapeEstimate

Floats = NDArray[np.float64]


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
class FrameEstimate:
    """A hand followed to a frame.

    unexplained: see handopt.objective.unexplained. refitted: found from scratch. visible: (21,). shape: what is believed by now.
    covariance: (6 + A, 6 + A) of rotation, translation and free angles. gap: by how much more the best other pose of
    the frame leaves unexplained, see handopt.assess.confidence. standing: confidence of the fit that the track goes back to.
    """

    placed: Placed
    shape: ShapeEstimate
    joints_mm: Floats
    visible: NDArray[np.bool_]
    unexplained: float
    refitted: bool
    covariance: NDArray[np.float32]
    runner_up_margin: float = LARGEST_GAP
    anchor_confidence: float = 1.0


def max_joint_jump(before: FrameEstimate, now: FrameEstimate) -> float:
    """By how much the worst joint that is or was visible moved against the middle one, mm."""
    away = np.linalg.norm(now.joints_mm - before.joints_mm, axis=1)
    away = np.abs(away - np.median(away))
    return float(away[now.visible | before.visible].max(initial=0.0))


def rotation_vector(rotation: Floats) -> Floats:
    """The rotation vector (3,) of a rotation (3, 3)."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(rotation).as_rotvec())
