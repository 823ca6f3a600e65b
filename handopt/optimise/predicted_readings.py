"""The hand as a predicted pose sees it: a reading for images in which something may hide it or hang together with it.

The network of proposals has learned from hands that hold things of which a part was left. So it tells where the hand is
from what the network of pixel labels takes for it. What is near the hand that it sees is the hand's, whatever its label
was, and nothing else is.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from handopt.errors import ObservationError
from handopt.input.camera import Camera
from handopt.objective.limb_fraction import seen_in_limb
from handopt.observation.observation import Observation
from handopt.observation.surfaces import flipped
from handopt.ops.surfaces import extreme_filter
from handopt.proposals.coarse_mesh import coarse_mesh
from handopt.proposals.model_file import PoseModel
from handopt.proposals.pose_of_joints import joints_of
from handopt.proposals.predict_pose import predict_pose
from handopt.rig.anatomy import MIRROR
from handopt.rig.joints import palm_of
from handopt.typing import BoolImage, FloatImage

NEAR_MM: Final = 15.0
"""How far before or behind the predicted skin pixels are the hand's, mm. By hand: a joint of it is off by that much."""
BESIDE_MM, BESIDE_NEAR_MM = 7.0, 9.0
"""How far beside it they are, mm, and how far before or behind the skin that is near there. Chosen by hand."""
LEAST_PX: Final = 200
"""Pixels of the image that was searched that a reading has at least. By hand."""


def predicted_readings(
    readings: Sequence[Observation], sides: Sequence[bool], model: PoseModel | None
) -> list[Observation]:
    """What the predicted pose sees of each reading in which something else may be near.

    sides: of the hand (whether mirrored), of which the better explained one is taken. model: None for handopt's own
    """
    doubtful = [each for each in readings if each.evidence is not None and each.limb is not None]
    found = [_predicted(each, sides, model) for each in doubtful]
    return [each for each in found if each is not None and len(each.points_mm)]


def _predicted(reading: Observation, sides: Sequence[bool], model: PoseModel | None) -> Observation | None:
    """A reading with the pixels that are near the predicted hand; None where too few are."""
    assert reading.limb is not None
    seen = [reading.mirrored() if mirrored else reading for mirrored in sides]
    try:
        predicted = [predict_pose(each, model) for each in seen]
    except ObservationError:  # nothing is near the middle of its points
        return None
    best = int(np.argmin([each.unexplained_fraction for each in predicted]))
    pose, limb = predicted[best].pose, seen[best].limb
    assert limb is not None
    mesh = coarse_mesh()
    skin_mm = seen_in_limb(mesh.vertices(pose), mesh.faces, limb)[0]
    hand = near_pixels(limb.frame.depth_mm, skin_mm, limb.frame.camera)
    palm = palm_of(joints_of(pose)[0])
    if np.count_nonzero(hand) < LEAST_PX:
        return None
    read = reading.labelled(flipped(hand), palm * MIRROR) if sides[best] else reading.labelled(hand, palm)
    return read if read.other is None else replace(read, other=read.other & ~read.mask)


def near_pixels(depth_mm: FloatImage, skin_mm: FloatImage, camera: Camera) -> BoolImage:
    """The pixels (H, W) of a depth image that are near a predicted hand. skin_mm: (H, W) its z-buffer; 0 = none"""
    seen = skin_mm > 0
    if not seen.any():
        return seen
    reach_px = max(1, round(BESIDE_MM * camera.fx / float(np.median(skin_mm[seen]))))
    nearest = extreme_filter(np.where(seen, skin_mm, np.float32(np.inf)), 2 * reach_px + 1, largest=False)
    farthest = extreme_filter(skin_mm, 2 * reach_px + 1, largest=True)
    on_it = seen & (np.abs(depth_mm - skin_mm) < NEAR_MM)
    beside = (depth_mm > nearest - BESIDE_NEAR_MM) & (depth_mm < farthest + BESIDE_NEAR_MM)
    return np.asarray((on_it | beside) & (depth_mm > 0))
