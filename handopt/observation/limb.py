"""The limb that a hand belongs to: the hand and the forearm together, and which of it a posed hand leaves for the arm.

Where the hand ends and the forearm begins is not decided before the pose is known: a posed hand has a wrist, and what
lies beyond it within a tube is the forearm.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from handopt.observation.morphology import grown
from handopt.observation.reading_settings import LimbConfig
from handopt.observation.surfaces import LabelledDepth, flipped, lifted_points
from handopt.ops.comparisons import LimbTube, divide_limb
from handopt.ops.surfaces import label_regions
from handopt.rig.joints import KNUCKLES, palm_of
from handopt.typing import BoolImage, Bools, FloatImage, Floats, Indices, Ints, Reals, Vector

BEFORE_WRIST_MM = 10.0
"""How far before the wrist a forearm may begin along its axis, mm. By hand."""


@dataclass(frozen=True, eq=False)
class HandAndArm:
    """Surfaces of an image that hang together with a hand.

    frame: the image that was searched, every step-th row and column; mask: (h, w) of the surfaces; evidence: (h, w) how
    much it counts against a pose that it leaves a pixel unexplained, 0 to 1; None where all count in full
    """

    frame: LabelledDepth
    mask: BoolImage
    step: int
    evidence: FloatImage | None = None

    @property
    def config(self) -> LimbConfig:
        """The tuned numbers."""
        return self.frame.config.limb

    @cached_property
    def pixels(self) -> Indices:
        """The limb's pixels (N,), as indices into the flattened image."""
        return np.flatnonzero(self.mask)

    @cached_property
    def places(self) -> Ints:
        """The same as int32, which kernels take."""
        return self.pixels.astype(np.int32)

    @cached_property
    def points_mm(self) -> FloatImage:
        """Their points (N, 3)."""
        return lifted_points(self.frame.camera, self.frame.depth_mm, self.mask)

    @cached_property
    def pixel_cm2(self) -> Floats:
        """The area (N,) that they stand for."""
        return self.area_cm2(self.points_mm[:, 2])

    @cached_property
    def counted_cm2(self) -> Floats:
        """The area (N,) for which they count."""
        return self.pixel_cm2 if self.evidence is None else self.pixel_cm2 * self.evidence.ravel()[self.pixels]

    @cached_property
    def at_border(self) -> Bools:
        """Which of them (N,) lie at the border of the image."""
        camera = self.frame.camera
        rows, columns = np.divmod(self.pixels, camera.width)
        edge = self.config.border_px
        off = np.minimum(np.minimum(rows, camera.height - 1 - rows), np.minimum(columns, camera.width - 1 - columns))
        return np.asarray(off < edge)

    @cached_property
    def nothing(self) -> Bools:
        """The flattened image (h w,): where nothing is measured, beyond a rim around the limb."""
        rim = grown(self.mask, self.config.border_px)
        return np.asarray((self.frame.depth_mm <= 0) & ~rim).ravel()

    def area_cm2(self, depth_mm: FloatImage) -> Floats:
        """The area (N,) that pixels stand for at depths (N,) mm."""
        camera = self.frame.camera
        return np.square(depth_mm.astype(np.float64)) / (100.0 * camera.fx * camera.fy)

    def divided(self, joints_mm: Reals, covered: Bools) -> "DividedLimb":
        """Divide the limb at the wrist of a posed hand. joints_mm: (21, 3); covered: (N,), where the hand is seen."""
        config = self.config
        joints = joints_mm.astype(np.float32)
        wrist, to_arm = joints[0], joints[0] - joints[list(KNUCKLES)].mean(axis=0)
        hand = np.stack([wrist, to_arm / np.linalg.norm(to_arm), palm_of(joints)])
        tube = LimbTube(
            reach=config.reach_mm,
            bend=config.bend,
            near_wrist=config.wrist_mm[0],
            at_wrist=config.wrist_mm[1],
            axis_reach=config.axis_mm,
            least_cm2=config.min_arm_cm2,
            before=BEFORE_WRIST_MM,
            entry=config.entry_mm[0],
            radius=config.arm_radius_mm,
        )
        arm, left, fingers_side, to_palm = divide_limb(
            self.points_mm, covered, self.at_border, self.pixel_cm2, hand.astype(np.float32), tube
        )
        return DividedLimb(arm, left, to_palm, fingers_side)

    def image_of(self, pixels: Bools) -> BoolImage:
        """The image (h, w) of some of the limb's pixels (N,)."""
        image = np.zeros(self.mask.size, np.bool_)
        image[self.pixels[pixels]] = True
        return image.reshape(self.mask.shape)

    def without(self, other: BoolImage) -> "HandAndArm":
        """The limb without pixels (h, w) of something else, which then may hide the hand."""
        return replace(self, mask=self.mask & ~other)

    def across(self, hidden: BoolImage, palm_mm: Vector) -> "HandAndArm":
        """The limb with what is seen of it beyond pixels (h, w) that hide a part: fingers around a thing left out.

        palm_mm: (3,), whose fingers they may be
        """
        frame, pieces = self.frame, self.frame.config.pieces
        regions, _ = label_regions(grown(hidden, self.config.hidden_rim_px))
        beside = np.isin(regions, np.unique(regions[self.mask & (regions > 0)])) & (regions > 0)
        surfaces = np.unique(frame.surfaces[beside & (frame.depth_mm > 0) & ~self.mask])
        least, most = pieces.area_cm2
        surfaces = surfaces[(frame.area_cm2[surfaces] >= least) & (frame.area_cm2[surfaces] <= most)]
        added = np.isin(frame.surfaces, surfaces) & (frame.surfaces > 0)
        away = _lengths(lifted_points(frame.camera, frame.depth_mm, added) - palm_mm.astype(np.float32))
        added[added] = away < self.config.finger_reach_mm
        return replace(self, mask=self.mask | added)

    def rescaled(self, factor: float) -> "HandAndArm":
        """The limb with all its lengths multiplied by a factor."""
        frame = self.frame
        depth, area = frame.depth_mm * np.float32(factor), frame.area_cm2 * factor**2
        return replace(self, frame=replace(frame, depth_mm=depth, area_cm2=area))

    def mirrored(self) -> "HandAndArm":
        """The limb in the mirror image (x -> -x)."""
        frame = self.frame
        mirrored = replace(
            frame,
            camera=frame.camera.mirrored(),
            depth_mm=flipped(frame.depth_mm),
            surfaces=flipped(frame.surfaces),
            labels=flipped(frame.labels),
        )
        evidence = None if self.evidence is None else flipped(self.evidence)
        return HandAndArm(mirrored, flipped(self.mask), self.step, evidence)


@dataclass(frozen=True, eq=False)
class DividedLimb:
    """What a posed hand makes of a limb's pixels, (N,) each.

    arm: beyond the wrist; left: neither hand nor arm; to_palm_mm: distance from the palm's middle; fingers_side:
    pixels at the border of the image on the side of the fingers, where no arm can come in
    """

    arm: Bools
    left: Bools
    to_palm_mm: FloatImage
    fingers_side: Bools


def _lengths(vectors: FloatImage) -> FloatImage:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)))
