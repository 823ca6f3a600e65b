"""Poses of the default right hand that an observation may show."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from handopt.hand_model import Pose
from handopt.rig import Rig, default_rig
from handopt.typing import Floats


@dataclass(frozen=True, eq=False)
class Proposals:
    """K poses of a right hand that an observation may show.

    rotation: (K, 3, 3) rig -> camera; translation_mm: (K, 3), where the wrist is; angles_rad: (K, 15, 3); scale: (K,).
    """

    rotation: Floats
    translation_mm: Floats
    angles_rad: Floats
    scale: Floats

    def __len__(self) -> int:
        return len(self.scale)

    def for_rig(self, rig: Rig) -> "Proposals":
        """The same poses of another right hand: turned to its wrist's axes, scaled to its size, within its limits."""
        own = default_rig("right")
        axes = own.bind[0, :, :3] @ rig.bind[0, :, :3].T
        return Proposals(
            self.rotation @ axes,
            self.translation_mm,
            np.clip(self.angles_rad, rig.limits.lower, rig.limits.upper),
            self.scale * (_palm_mm(own) / _palm_mm(rig)),
        )

    def as_pose(self, dtype: type[np.floating[Any]]) -> Pose:
        """The same poses as kernels take them, of one image."""
        real = (self.angles_rad, self.rotation, self.translation_mm, self.scale)
        angles, rotation, translation, scale = (np.ascontiguousarray(each, dtype) for each in real)
        image, proportions = np.zeros(len(self), np.int32), np.zeros((len(self), 0), dtype)
        return Pose(angles, rotation, translation, scale, image, proportions)

    def select(self, rows: Any) -> "Proposals":
        """Some of the proposals."""
        return Proposals(*(getattr(self, each.name)[rows] for each in fields(self)))

    def joined(self, other: "Proposals") -> "Proposals":
        """These proposals, then others."""
        names = [each.name for each in fields(self)]
        return Proposals(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))


def _palm_mm(rig: Rig) -> float:
    """Distance of the middle finger's base from the wrist, mm."""
    return float(np.linalg.norm(rig.keypoints_mm[9] - rig.keypoints_mm[0]))
