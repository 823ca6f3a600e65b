"""Poses that an observation may show: those of the most similar images of the bank."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from handopt.errors import ShapeError
from handopt.proposals.bank import (
    ANGLE_STEP_RAD,
    QUATERNION_STEP,
    SCALE_STEP,
    WRIST_STEP_MM,
    Bank,
    default_bank,
)
from handopt.proposals.features import View, view_of

if TYPE_CHECKING:
    from handopt.observation import Observation
    from handopt.rig import Rig

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Proposals:
    """K poses of a right hand that an observation may show, the most similar first.

    rotation: (K, 3, 3) rig -> camera; translation_mm: (K, 3), where the wrist is; angles_rad: (K, 15, 3); scale: (K,).
    """

    rotation: Floats
    translation_mm: Floats
    angles_rad: Floats
    scale: Floats

    def __len__(self) -> int:
        return len(self.scale)

    def for_rig(self, rig: "Rig") -> "Proposals":
        """The same poses of another right hand: turned to its wrist's axes, scaled to its size, within its limits."""
        from handopt.rig import default_rig

        own = default_rig("right")
        axes = own.bind[0, :, :3] @ rig.bind[0, :, :3].T
        return Proposals(
            self.rotation @ axes,
            self.translation_mm,
            np.clip(self.angles_rad, rig.limits.lower, rig.limits.upper),
            self.scale * (_palm_mm(own) / _palm_mm(rig)),
        )


def propose(observation: "Observation", count: int = 64, bank: Bank | None = None) -> Proposals:
    """Propose poses of the default right hand for an observation; of a left hand give observation.mirrored().

    count: how many; bank: the one that comes with handopt if None. Raises ShapeError, ObservationError where nothing of
    the hand is in view, and HandoptError where the bank's file is broken.
    """
    chosen = default_bank() if bank is None else bank
    if not 1 <= count <= len(chosen):
        raise ShapeError(f"count must be between 1 and {len(chosen)}, not {count!r}")
    view = view_of(observation)
    return poses_in(view, chosen, chosen.nearest(view.offset_mm, count))


def poses_in(view: View, bank: Bank, rows: NDArray[Any]) -> Proposals:
    """The bank's poses in the given rows, put before the camera that a view was made from."""
    from handopt.rig import default_rig

    limits = default_rig("right").limits
    angles = np.repeat(bank.middle[None].astype(np.float64), len(rows), axis=0)
    angles[:, np.flatnonzero(limits.free)] += ANGLE_STEP_RAD * bank.angles[rows]
    place = WRIST_STEP_MM * bank.wrists[rows] + [0.0, 0.0, view.distance_mm]
    return Proposals(
        rotation=view.turn.T @ _rotations(QUATERNION_STEP * bank.quaternions[rows]),
        translation_mm=place @ view.turn,
        angles_rad=np.clip(angles.reshape(-1, 15, 3), limits.lower, limits.upper),
        scale=1 + SCALE_STEP * bank.scales[rows],
    )


def _rotations(quaternions: Floats) -> Floats:
    """Rotations (K, 3, 3) of quaternions (K, 4), the real part first, of about unit length."""
    w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    return np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], axis=1),
            np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], axis=1),
            np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=1),
        ],
        axis=1,
    )


def _palm_mm(rig: "Rig") -> float:
    """Distance of the middle finger's base from the wrist, mm."""
    return float(np.linalg.norm(rig.keypoints_mm[9] - rig.keypoints_mm[0]))
