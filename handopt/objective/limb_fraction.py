"""How well posed hands explain a whole limb: what no hand and no forearm explains counts, wherever the cut was made.

The unexplained fraction (handopt.objective.unexplained) is relative to the pixels that one reading of an image takes
for the hand. This one is the same for all readings of an image, so that they can be compared.
"""

import numpy as np

from handopt.backend import Array, namespace_of, to_numpy
from handopt.objective.unexplained import WRONG_MM
from handopt.observation.limb import HandAndArm
from handopt.ops.comparisons import limb_areas
from handopt.ops.rasterise import rasterise
from handopt.typing import FloatImage, Reals

ENTRY_WEIGHT = 0.3
"""What a limb that leaves the image on the side of the fingers adds to the fraction. By hand."""
FAR_LEFT = 0.6
"""What pixels beyond the reach of the fingers add at most: a hand that touches a body has much beside it. By hand."""
BEHIND_MM = 10.0
"""How far behind the posed hand a measurement proves that the hand is not there, mm. By hand: a sensor's noise."""


def seen_in_limb(vertices_mm: Array, faces: Array, limb: HandAndArm) -> FloatImage:
    """The z-buffer (K, h, w) mm of posed meshes (K, V, 3) in the limb's image, 0 where there is no hand."""
    camera, xp = limb.frame.camera, namespace_of(vertices_mm)
    view = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    return np.asarray(to_numpy(rasterise(xp.ascontiguousarray(vertices_mm, np.float32), faces, view)))


def limb_fraction(joints_mm: Reals, seen_mm: FloatImage, limb: HandAndArm) -> float:
    """The share of a limb that a posed hand leaves unexplained, relative to the hand's area.

    joints_mm: (21, 3); seen_mm: (h, w), of seen_in_limb
    A pixel of the limb counts as much as its evidence says, but in full where the hand would be seen before it.
    Where the hand is seen before the limb, the difference of depth counts up to 20 mm; what is neither hand nor forearm
    counts in full within the fingers' reach, and up to a limit beyond; so does the hand where something is measured
    behind it, or nothing.
    """
    config, camera = limb.config, limb.frame.camera
    parts = limb.divided(joints_mm, seen_mm.ravel()[limb.pixels] > 0)
    covered, near, far, wrong, free_mm2 = limb_areas(
        *(seen_mm, limb.frame.depth_mm, limb.mask, limb.nothing),
        (limb.places, limb.points_mm, limb.pixel_cm2, limb.counted_cm2),
        (parts.left, parts.to_palm_mm),
        (WRONG_MM, config.finger_reach_mm, BEHIND_MM),
    )
    area = max(config.min_hand_cm2, covered + near)
    wrong_cm2 = wrong + free_mm2 / (100.0 * camera.fx * camera.fy)
    left = near / area + min(FAR_LEFT, far / area)
    pixel_mm = float(joints_mm[:, 2].mean()) / camera.fx
    entry_mm = np.count_nonzero(parts.fingers_side) * pixel_mm / config.border_px
    return float(wrong_cm2 / area + left + ENTRY_WEIGHT * min(1.0, entry_mm / config.entry_mm[1]))
