"""Things that hands hold in images to learn from, and what a segmentation leaves of them.

A network that has seen hands with parts of objects around them, and with holes where an object was taken out, proposes
poses for the hands that the pixel labels of real images give.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import binary_dilation, generate_binary_structure

from handopt.rig import Rig, with_proportions
from handopt.synth.grasp import sample_grasp
from handopt.synth.hand_volume import volume_of
from handopt.typing import Bools, Faces, Floats

GRASP_IMAGES: Final = 8
"""Images of a grasp."""
LEFT_WHOLE, LEFT_IN_PART = 0.3, 0.35
"""Shares of the images whose object a segmentation does not see, or only in part. Chosen by hand: pixel labels know
57 % of the pixels of held objects of new images."""
WORN = 0.4
"""Share of the others in which pixels of the hand beside the object are taken out as well."""
WORN_PX = 3
WAVES, WAVE_PX = 4, (10.0, 45.0)
ANGLE_JITTER_RAD = 0.02


@dataclass(frozen=True, eq=False)
class HeldThings:
    """What each of B hands holds; the same for GRASP_IMAGES of them.

    angles: (B, 15, 3) rad and scale: (B,) of the hands. meshes: vertices (n, 3) mm and faces (m, 3) in the wrist's
    frame at scale 1, of every GRASP_IMAGES hands. whole: (B,) whose object is left as it is; part: (B,) in part
    """

    angles: Floats
    scale: Floats
    meshes: list[tuple[Floats, Faces]]
    whole: Bools
    part: Bools

    def placed(self, wrist_turn: Floats, wrist: Floats) -> "list[PlacedThing]":
        """The objects of hands whose wrists have the axes (B, 3, 3) and the places (B, 3) mm of a camera."""
        things = []
        for number, (points, faces) in enumerate(self.meshes):
            rows = slice(number * GRASP_IMAGES, (number + 1) * GRASP_IMAGES)
            turned = np.einsum("bij,nj->bni", wrist_turn[rows], points)
            things.append(PlacedThing(rows, self.scale[rows, None, None] * turned + wrist[rows, None], faces))
        return things


@dataclass(frozen=True, eq=False)
class PlacedThing:
    """An object in several images. rows: which; points: (b, n, 3) mm; faces: (m, 3)"""

    rows: slice
    points: Floats
    faces: Faces


def sample_things(rng: np.random.Generator, rig: Rig, proportions: Floats, scales: Floats) -> HeldThings:
    """Draw what hands of these proportions (13,) hold. scales: (B,) of which every GRASP_IMAGES-th is taken."""
    shaped = with_proportions(rig, proportions)
    body = volume_of(rig).of(proportions)
    count = len(scales)
    scale = np.repeat(scales[::GRASP_IMAGES], GRASP_IMAGES)[:count]
    grasps = [sample_grasp(rng, shaped, rig, body, float(each)) for each in scale[::GRASP_IMAGES]]
    angles = np.repeat(np.stack([grasp.angles_rad for grasp in grasps]), GRASP_IMAGES, axis=0)[:count]
    angles = np.clip(angles + rng.normal(0.0, ANGLE_JITTER_RAD, angles.shape), rig.limits.lower, rig.limits.upper)
    drawn = rng.random(count)
    whole, part = drawn < LEFT_WHOLE, (drawn >= LEFT_WHOLE) & (drawn < LEFT_WHOLE + LEFT_IN_PART)
    return HeldThings(angles, scale, [grasp.mesh() for grasp in grasps], whole, part)


def segmented(rng: np.random.Generator, hand: Floats, thing: Floats, held: HeldThings) -> tuple[Floats, Floats]:
    """What a segmentation leaves of offsets (B, S, S) mm of hands and of what they hold, infinity where there is none.

    Returns the offsets that are left, and those of the hand that is seen; both infinite where there is nothing.
    """
    hides = thing < hand
    seen = np.where(hides, np.inf, hand)
    field = _smooth_field(rng, len(hand), hand.shape[-1])
    left = hides & (held.whole[:, None, None] | (held.part[:, None, None] & (field > 0)))
    beside = binary_dilation(hides, generate_binary_structure(2, 1)[None], iterations=WORN_PX) & ~hides
    worn = ~held.whole & (rng.random(len(hand)) < WORN)
    lost = beside & worn[:, None, None] & (_smooth_field(rng, len(hand), hand.shape[-1]) > 0)
    return np.where(left, thing, np.where(lost, np.inf, seen)), seen


def _smooth_field(rng: np.random.Generator, count: int, size: int) -> Floats:
    """Random numbers (B, S, S) that are about 0 and vary smoothly: sums of plane waves, and a number of each image."""
    length = rng.uniform(*WAVE_PX, (count, WAVES, 1, 1))
    turn, phase = rng.uniform(0, 2 * np.pi, (2, count, WAVES, 1, 1))
    axis = np.arange(size) * (2 * np.pi)
    waves = np.cos((np.cos(turn) * axis + np.sin(turn) * axis[:, None]) / length + phase)
    return np.asarray(waves.sum(axis=1) + rng.normal(0.0, 1.0, (count, 1, 1)))
