"""One hand, as a depth image shows it: its pixels and points, the arm, both together, and its crop."""

from dataclasses import dataclass, field, replace

import numpy as np

from handopt.input.camera import Camera
from handopt.observation.crop import Crop, Grid, resample
from handopt.observation.limb import HandAndArm
from handopt.observation.settings import DEFAULT, ObservationConfig
from handopt.observation.surfaces import flipped, lifted_points, whole_window
from handopt.observation.upsample import going_with
from handopt.rig.anatomy import MIRROR
from handopt.typing import BoolImage, Bools, FloatImage, Floats, Reals, Vector


@dataclass(frozen=True, eq=False)
class Observation:
    """One hand, as a depth image shows it.

    depth_mm: (H, W) float32, 0 = none, without flying pixels in the window around the hand. mask: (H, W) measured
    pixels of the hand, not of the forearm. arm: (H, W) what was cut off at the wrist, or belongs to the same surface:
    it says nothing for or against the hand. center_mm: (3,) centre of the palm, 15 mm under the skin. points_mm: (N, 3)
    float32, the pixels of the mask, row by row. arm_direction: unit vector from the palm to the forearm, None if no
    forearm is in view. touches_border: the hand leaves the image. score: plausibility, see hand_probability. notes:
    sentences on what was done. competitors: how many other places of the image look like a hand. score_margin: by how
    much the score exceeds that of the best other place, negative if that is better, inf if there is none. config: the
    numbers that it was made with. ignored: (H, W) pixels that the user left out, which say nothing either, None for
    none. other: (H, W) pixels that hang together with the hand and are of something else, which may hide it, None where
    nothing was found; holds: what that is, 'object' or 'hand'. evidence: (H, W) how much it counts that a pose leaves a
    pixel unexplained, 0 to 1, None where all count in full. labels: (H, W, 3) the probabilities of hand, forearm and
    other things by which they count. palms_mm: (N, 3) where a palm may be in the whole image.
    Points and directions are in the camera frame. With a mask that was given, the score is that of a hand beyond doubt,
    and there are no competitors.
    """

    camera: Camera
    depth_mm: FloatImage
    mask: BoolImage
    arm: BoolImage
    center_mm: Vector
    points_mm: FloatImage
    arm_direction: Vector | None
    touches_border: bool
    score: float
    notes: tuple[str, ...]
    competitors: int = 0
    score_margin: float = float("inf")
    config: ObservationConfig = field(default=DEFAULT, repr=False)
    ignored: BoolImage | None = None
    other: BoolImage | None = None
    holds: str | None = None
    limb: HandAndArm | None = field(default=None, repr=False)
    size: float = 1.0
    evidence: FloatImage | None = field(default=None, repr=False)
    labels: FloatImage | None = field(default=None, repr=False)
    palms_mm: Floats = field(default_factory=lambda: np.zeros((0, 3)), repr=False)

    @property
    def point_evidence(self) -> FloatImage | None:
        """How much each of points_mm (N,) counts; None where all count in full."""
        return None if self.evidence is None else self.evidence[self.mask]

    @property
    def hand_probability(self) -> float:
        """How much it looks like a hand, 0 to 1: 0.5 if as many hands as other things have that score.

        The scores of hands are 1.5 to 6, of forearms, heads, bodies and walls seldom more than 1. A mask that was given
        counts as a hand.
        """
        scale = self.config.score
        return float(1.0 / (1.0 + np.exp(-scale.slope * (self.score - scale.even))))

    @property
    def area_cm2(self) -> float:
        """Area of the hand's pixels, projected to planes parallel to the image: 90 to 170 for most open hands."""
        z = self.points_mm[:, 2].astype(np.float64)
        mm2 = float(np.square(z).sum()) / (self.camera.fx * self.camera.fy)
        return mm2 / 100.0

    @property
    def border_share(self) -> float:
        """Share of the hand's outline that lies on the image's border, 0 to 1; up to 0.1 is a finger's or an arm's."""
        inner = np.zeros_like(self.mask)
        inner[1:-1, 1:-1] = self.mask[:-2, 1:-1] & self.mask[2:, 1:-1] & self.mask[1:-1, :-2] & self.mask[1:-1, 2:]
        outline = self.mask & ~inner
        cut = outline.copy()
        cut[1:-1, 1:-1] = False
        return int(np.count_nonzero(cut)) / max(1, int(np.count_nonzero(outline)))

    def crop(self, size: int = 120, half_mm: float = 125.0) -> Crop:
        """Return the cube around the hand: centred on the extent of its points, at most 50 mm from the palm's centre.

        size: grid pixels along a side. half_mm: half the cube's edge. Raises ShapeError.
        """
        last = len(self.points_mm) - 1
        low, high = round(0.005 * last), last - round(0.005 * last)
        ordered = np.partition(self.points_mm, (low, high), axis=0).astype(np.float64)
        middle = 0.5 * (ordered[low] + ordered[high])
        most = np.array(self.config.crop_shift_mm)
        shift = np.clip(middle - self.center_mm, -most, most)
        x, y, z = self.center_mm + shift
        return Crop((float(x), float(y), float(z)), half_mm, size, self.camera)

    def mirrored(self) -> "Observation":
        """Return the observation of the mirror image (x -> -x): what it shows of a left hand is a right hand.

        Its points are in the order of its own pixels, as if the mirror image had been observed.
        """
        depth, mask, arm = flipped(self.depth_mm), flipped(self.mask), flipped(self.arm)
        camera = self.camera.mirrored()
        direction = None if self.arm_direction is None else self.arm_direction * MIRROR
        return replace(
            self,
            camera=camera,
            depth_mm=depth,
            mask=mask,
            arm=arm,
            center_mm=self.center_mm * MIRROR,
            points_mm=lifted_points(camera, depth, mask),
            arm_direction=direction,
            ignored=None if self.ignored is None else flipped(self.ignored),
            other=None if self.other is None else flipped(self.other),
            limb=None if self.limb is None else self.limb.mirrored(),
            evidence=None if self.evidence is None else flipped(self.evidence),
            labels=None if self.labels is None else flipped(self.labels),
            palms_mm=self.palms_mm * MIRROR,
        )

    def rescaled(self, factor: float) -> "Observation":
        """Return the observation with all its lengths multiplied by a factor: the same image of a larger hand."""
        if factor == 1.0:
            return self
        number = np.float32(factor)
        return replace(
            self,
            depth_mm=self.depth_mm * number,
            center_mm=self.center_mm * factor,
            points_mm=self.points_mm * number,
            limb=None if self.limb is None else self.limb.rescaled(factor),
            palms_mm=self.palms_mm * factor,
            size=self.size / factor,
        )

    def divided(self, joints_mm: Reals, covered: BoolImage) -> "Observation":
        """Return the observation with the hand and the forearm that a posed hand sees in its limb.

        joints_mm: (21, 3) of the hand; covered: (h, w) where it is seen in the limb's image.
        """
        assert self.limb is not None
        parts = self.limb.divided(joints_mm, covered.ravel()[self.limb.pixels])
        reach = self.config.limb.finger_reach_mm
        return self._with_hand(self.limb, ~parts.arm & (parts.to_palm_mm < reach))

    def uncut(self) -> "Observation":
        """Return the observation with nothing cut off: all of the limb within a ball around the palm, arm and all."""
        assert self.limb is not None
        away = np.linalg.norm(self.limb.points_mm - self.center_mm, axis=1)
        return self._with_hand(self.limb, away < self.config.readings.ball_mm)

    def cut_off(self, beyond_mm: float) -> "Observation":
        """Return the observation with the forearm cut off so far past the palm's centre, where it was cut off later."""
        assert self.arm_direction is not None
        before, now = (note_on_cut(each) for each in (self.config.segmentation.cut_mm, beyond_mm))
        notes = tuple(now if note == before else note for note in self.notes)
        beyond = (self.points_mm - self.center_mm) @ self.arm_direction > beyond_mm
        mask, arm = self.mask.copy(), self.arm.copy()
        pixels = np.flatnonzero(mask)[beyond]
        mask.ravel()[pixels], arm.ravel()[pixels] = False, True
        return replace(self, mask=mask, arm=arm, points_mm=self.points_mm[~beyond], notes=notes)

    def without(self, other: BoolImage, holds: str) -> "Observation":
        """Return the observation without pixels (h, w) of its limb's image, which are of an 'object' or a 'hand'."""
        assert self.limb is not None
        limb = self.limb
        taken = going_with(limb.mask & other, whole_window(limb.frame), self.depth_mm, self.camera, limb.step)
        mask, arm = self.mask & ~taken, self.arm & ~taken
        points = lifted_points(self.camera, self.depth_mm, mask)
        return replace(self, mask=mask, arm=arm, points_mm=points, limb=limb.without(other), other=taken, holds=holds)

    def weighted(self, evidence: FloatImage, of_limb: FloatImage, labels: FloatImage) -> "Observation":
        """Return the observation whose pixels count so much, (H, W) of its own image and (h, w) of its limb's.

        labels: (H, W, 3) the probabilities that say so
        """
        limb = None if self.limb is None else replace(self.limb, evidence=of_limb)
        return replace(self, evidence=evidence, limb=limb, labels=labels)

    def labelled(self, hand: BoolImage, palm_mm: Vector) -> "Observation":
        """Return the observation with other pixels (h, w) of the limb's image as the hand, about another palm."""
        assert self.limb is not None
        limb, surfaces = self.limb, self.limb.frame.surfaces
        elsewhere = np.linalg.norm(palm_mm - self.center_mm) > self.config.candidates.competitor_mm
        mask = np.isin(surfaces, np.unique(surfaces[hand])) & (surfaces > 0) if elsewhere else limb.mask
        limb = replace(limb, mask=mask | hand)
        read = replace(self._with_hand(limb, hand.ravel()[limb.pixels]), limb=limb, center_mm=palm_mm)
        if not elsewhere:
            return read
        even = min(self.score, self.config.score.even)  # nobody has looked at the shape that is there
        border = bool(read.mask[[0, -1]].any() or read.mask[:, [0, -1]].any())
        return replace(read, score=even, touches_border=border, arm_direction=None, notes=())

    def _with_hand(self, limb: HandAndArm, hand: Bools) -> "Observation":
        """The observation with the given pixels (N,) of the limb as the hand, and the others as the arm."""
        pixels, window = limb.image_of(hand), whole_window(limb.frame)
        mask = going_with(pixels, window, self.depth_mm, self.camera, limb.step)
        arm = going_with(limb.mask & ~pixels, window, self.depth_mm, self.camera, limb.step) & ~mask
        if self.ignored is not None:
            mask &= ~self.ignored
        return replace(self, mask=mask, arm=arm, points_mm=lifted_points(self.camera, self.depth_mm, mask))

    def grid(self, crop: Crop) -> Grid:
        """Resample the observation to a crop's grid; see handopt.observation.crop.resample."""
        images = crop, self.depth_mm, self.mask, self.arm, self.config.free_space
        return resample(*images, ignored=self.ignored, evidence=self.evidence)


def note_on_cut(beyond_mm: float) -> str:
    """What a user is told where the forearm was cut off so far past the palm's centre."""
    return f"The forearm was cut off {beyond_mm:.0f} mm past the centre of the palm."
