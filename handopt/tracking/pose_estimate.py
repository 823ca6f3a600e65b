"""What the tracker finds in a frame, and where the hand goes from there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from handopt.assess.config import ASSESS
from handopt.hand_model import exponential
from handopt.rig.anatomy import MIRROR
from handopt.tracking.frame_residuals import ShapeEstimate
from handopt.typing import Bools, Floats, Points

if TYPE_CHECKING:
    from handopt.input.sequence.base import SequenceFrame


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

    def mirrored(self) -> "Placed":
        """The pose of the hand's mirror image (x becomes -x); its angles are the same."""
        flip = np.diag(MIRROR)
        return Placed(flip @ self.rotation @ flip, self.translation_mm * MIRROR, self.angles_rad)


@dataclass(frozen=True)
class PoseEstimate:
    """What the tracker finds in a frame: a right hand, or the mirror image of a left one.

    shape: what is known of the hand by then. joints_mm: (21, 3). joint_visible: (21,). unexplained_fraction: see
    handopt.objective.unexplained. refitted: found from scratch. covariance: (6 + A, 6 + A) float32, the inverse of the
    cost's Gauss-Newton Hessian by rotation (rad), translation (mm) and free angles (rad) at fixed sizes,
    not calibrated. runner_up_margin: logarithm of how much more the best other pose leaves unexplained, at most 1.
    anchor_confidence: confidence of the fit from scratch that the track rests on.
    """

    placed: Placed
    shape: ShapeEstimate
    joints_mm: Floats
    joint_visible: Bools
    unexplained_fraction: float
    refitted: bool
    covariance: Points
    runner_up_margin: float = ASSESS.max_margin
    anchor_confidence: float = 1.0

    @property
    def middle_mm(self) -> Floats:
        """The middle (3,) of the box around the joints."""
        return np.asarray(0.5 * (self.joints_mm.min(axis=0) + self.joints_mm.max(axis=0)))


@dataclass(frozen=True)
class TrackedFrame:
    """A frame without its depth, and the pose in it. center_mm: (3,) of the cube to be shown."""

    frame: "SequenceFrame"
    pose: PoseEstimate | None
    center_mm: Floats


def max_joint_jump(before: PoseEstimate, now: PoseEstimate) -> float:
    """By how much the worst joint that is or was visible moved relative to the median joint, mm."""
    away = np.linalg.norm(now.joints_mm - before.joints_mm, axis=1)
    away = np.abs(away - np.median(away))
    return float(away[now.joint_visible | before.joint_visible].max(initial=0.0))


def hidden_joint_jump(before: PoseEstimate, now: PoseEstimate) -> float:
    """How much more than the median joint the worst one moved, seen or not, mm."""
    away = np.linalg.norm(now.joints_mm - before.joints_mm, axis=1)
    return float((away - np.median(away)).max())


def rotation_vector(rotation: Floats) -> Floats:
    """The rotation vector (3,) of a rotation (3, 3)."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(rotation).as_rotvec())
