"""The hand in one frame of a sequence, as the user gets it while the sequence is tracked."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from handopt.rig import Rig, with_shape
from handopt.rig.pose import joint_transforms, posed_keypoints, posed_vertices
from handopt.tracking.confidence import spread_mm2, uncertainty_mm
from handopt.tracking.pose_estimate import PoseEstimate
from handopt.typing import Bools, Floats, Indices


@dataclass(frozen=True)
class FrameEstimate:
    """The hand in one frame of a sequence, from this frame and those before it. Lengths in mm in the camera frame.

    frame: number of the frame, from 0. name: of the frame. time_s: of the frame, None where nothing says. error: why
    the frame could not be read, None where it was. hand: 'right' or 'left'; None as long as that is not decided.
    tracked: whether the hand was found; without it what follows is NaN, and `joint_visible` False.
    refitted: whether it was found from scratch. confidence: probability that every visible joint lies within 20 mm.
    unexplained_fraction: share of the observed hand that the pose does not explain. joint_visible: (21,).
    rotation: (3, 3) rig -> camera. translation_mm: (3,) of the wrist. angles_rad: (15, 3) twist, abduction, flexion.
    scale: of the hand; proportions: (13,), see handopt.rig.PROPORTION_NAMES. Both as known by this frame.
    number: of the hand, in the order in which hands were found, from 1; None where one hand is followed.
    bridged: whether the hand was not found and its pose is filled in between frames that have one, which only an
    estimate with a delay knows: it has a pose, but no confidence.
    uncertainty_mm: (21,) where a network tells it, else None: `joint_uncertainty_mm` is what is known.
    """

    frame: int
    name: str
    time_s: float | None
    error: str | None
    hand: str | None
    tracked: bool
    refitted: bool = False
    confidence: float = np.nan
    unexplained_fraction: float = np.nan
    joint_visible: Bools = field(default_factory=lambda: np.zeros(21, np.bool_))
    rotation: Floats = field(default_factory=lambda: np.full((3, 3), np.nan))
    translation_mm: Floats = field(default_factory=lambda: np.full(3, np.nan))
    angles_rad: Floats = field(default_factory=lambda: np.full((15, 3), np.nan))
    scale: float = np.nan
    proportions: Floats = field(default_factory=lambda: np.full(13, np.nan))
    _rig: Rig | None = field(default=None, repr=False)
    _pose: PoseEstimate | None = field(default=None, repr=False)
    number: int | None = None
    bridged: bool = False
    uncertainty_mm: Floats | None = field(default=None, repr=False)

    @cached_property
    def joints_mm(self) -> Floats:
        """The 21 keypoints (21, 3) in the order of handopt.KEYPOINT_NAMES, mm in the camera frame."""
        if self._rig is None:
            return np.full((21, 3), np.nan)
        shaped = with_shape(self._rig, self.proportions)
        return np.asarray(posed_keypoints(shaped, self._transforms(shaped), self.angles_rad[None])[0])

    @cached_property
    def joint_uncertainty_mm(self) -> Floats:
        """Radii (21,) around the keypoints that hold the true ones in two of three cases, mm."""
        if self.uncertainty_mm is not None:
            return self.uncertainty_mm
        if self._pose is None or self._rig is None:
            return np.full(21, np.nan)
        right = self._rig.mirrored() if self._rig.side == "left" else self._rig
        spread = spread_mm2([self._pose], right, self.scale, self.proportions)
        return np.asarray(uncertainty_mm(spread, self.joint_visible[None])[0])

    def vertices_mm(self) -> Floats:
        """The skin (V, 3), mm in the camera frame; its faces are those of the rig."""
        if self._rig is None:
            raise ValueError(f"there is no hand in frame {self.frame} ({self.name}): ask for `tracked` first")
        shaped = with_shape(self._rig, self.proportions)
        return np.asarray(posed_vertices(shaped, self._transforms(shaped), self.angles_rad[None])[0])

    @property
    def faces(self) -> Indices:
        """Triangles (F, 3) of the skin, vertex indices; empty as long as no hand was found."""
        if self._rig is None:
            return np.zeros((0, 3), np.int64)
        return np.asarray(self._rig.faces, np.int64)

    def _transforms(self, shaped: Rig) -> Floats:
        return joint_transforms(
            shaped, self.rotation[None], self.translation_mm[None], self.angles_rad[None], [self.scale]
        )
