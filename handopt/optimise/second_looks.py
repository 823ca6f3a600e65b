"""What is not of the hand, looked at once more around the hand that the network of proposals sees.

That network has learned from hands that hold things of which a part was left. So it tells where the hand is from what
the first look takes for it, and the second look (handopt.observation.second_look) tells its pixels from others by that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from handopt.errors import ObservationError
from handopt.input.camera import Camera
from handopt.observation.other_pixels import OtherPixels, apart, find_other_pixels, other_pixels_of
from handopt.observation.palm_proposals import scattered_places
from handopt.observation.pixel_network import PixelNetwork
from handopt.observation.pixel_reading import NEAREST_MM, three_in
from handopt.observation.second_look import look_again
from handopt.observation.surfaces import LabelledDepth, flipped, lifted_points
from handopt.ops.rasterise import rasterise
from handopt.proposals.coarse_mesh import coarse_mesh
from handopt.proposals.features import SeenHand
from handopt.proposals.model_file import PoseModel
from handopt.proposals.pose_of_joints import joints_of
from handopt.proposals.predict_pose import predict_pose
from handopt.rig.anatomy import MIRROR
from handopt.rig.joints import palm_of
from handopt.typing import BoolImage, FloatImage, Floats, Vector

REACH_MM: Final = 140.0
"""Only pixels nearer to the palm than this are taken for the hand's, mm. As in training."""
LEAST_PX: Final = 40
"""Pixels of the hand with which a pose is predicted. As in training."""
APART_MM, MOST_PLACES = 80.0, 40
"""Distance, mm, and number of places, the nearest first, that are looked at all over an image. By hand."""
FURTHER_LOOKS: Final = 2
"""How often the second look is taken after the first, each time around the hand that the look before it shows."""


def read_twice(
    frame: LabelledDepth,
    palms_mm: Floats,
    sides: Sequence[bool],
    model: PoseModel | None = None,
    *,
    anywhere: bool = False,
) -> list[OtherPixels]:
    """What is not of the hand around palms that are found, each once, as the last look sees it.

    palms_mm: (B, 3) where they may be. anywhere: whether to look at places all over the image where none is seen there
    """
    first = find_other_pixels(frame, palms_mm)
    if anywhere and not first:
        first = find_other_pixels(frame, scattered_places(frame, APART_MM, MOST_PLACES))
    found = seen_again(frame, first, sides, model)
    return apart(found, lambda each: each.reading.palm_mm, frame.config.limb.same_palm_mm)


def seen_again(
    frame: LabelledDepth,
    found: Sequence[OtherPixels],
    sides: Sequence[bool],
    model: PoseModel | None = None,
    network: PixelNetwork | None = None,
) -> list[OtherPixels]:
    """What is not of the hand around each palm, seen again where something else may be near and a hand still is.

    sides: of the hand (whether mirrored), of which the better explained one is taken. model, network: None for those
    that come with handopt
    """
    return [each if each.evidence is None else _seen_again(frame, each, sides, model, network) for each in found]


def _seen_again(
    frame: LabelledDepth,
    found: OtherPixels,
    sides: Sequence[bool],
    model: PoseModel | None,
    network: PixelNetwork | None,
) -> OtherPixels:
    depth_mm, camera = frame.depth_mm, frame.camera
    for _ in range(FURTHER_LOOKS):
        last = found.reading
        labels = three_in(last, depth_mm, camera)
        predicted = predicted_hand(depth_mm, camera, found.hand, last.palm_mm, sides, model, labels)
        if predicted is None:
            break
        again = look_again(
            depth_mm, camera, last, predicted.skin_mm, predicted.palm_mm, predicted.size, network, labels
        )
        if again.presence < frame.config.limb.other_presence or again.palm_mm[2] < NEAREST_MM:
            break
        found = other_pixels_of(frame, again)
    return found


@dataclass(frozen=True, eq=False)
class PredictedHand:
    """A hand that the network of proposals sees. skin_mm: (h, w) its z-buffer, 0 = none; palm_mm: (3,), camera frame.

    size: relative to the default rig's
    """

    skin_mm: FloatImage
    palm_mm: Vector
    size: float


def predicted_hand(
    depth_mm: FloatImage,
    camera: Camera,
    hand: BoolImage,
    palm_mm: Vector,
    sides: Sequence[bool],
    model: PoseModel | None = None,
    labels: FloatImage | None = None,
) -> PredictedHand | None:
    """The hand that the network of proposals sees, None where it sees none.

    depth_mm: (h, w) mm, 0 = none. hand: (h, w) its pixels; palm_mm: (3,) of it, camera frame. sides: of the hand
    (whether mirrored), of which the better explained one is taken. model: None for the one that comes with handopt.
    labels: (h, w, 3) probabilities of hand, forearm and other things, None where they are not known
    """
    found = []
    for mirrored in sides:
        if mirrored:
            other = None if labels is None else flipped(labels)
            seen = _seen(flipped(depth_mm), camera.mirrored(), flipped(hand), palm_mm * MIRROR, other)
        else:
            seen = _seen(depth_mm, camera, hand, palm_mm, labels)
        if len(seen.points_mm) < LEAST_PX:
            return None
        try:
            found.append((predict_pose(seen, model), seen.camera, mirrored))
        except ObservationError:  # nothing is near the middle of its points
            return None
    predicted, seen_by, mirrored = min(found, key=lambda each: each[0].unexplained_fraction)
    pose, mesh = predicted.pose, coarse_mesh()
    view = (seen_by.fx, seen_by.fy, seen_by.cx, seen_by.cy, seen_by.width, seen_by.height)
    skin, palm = rasterise(mesh.vertices(pose), mesh.faces, view)[0], palm_of(joints_of(pose)[0])
    size = float(pose.scale[0])
    if palm[2] < NEAREST_MM:
        return None
    return PredictedHand(flipped(skin), palm * MIRROR, size) if mirrored else PredictedHand(skin, palm, size)


def _seen(
    depth_mm: FloatImage, camera: Camera, hand: BoolImage, palm_mm: Vector, labels: FloatImage | None
) -> SeenHand:
    """The measured pixels of a right hand that are near its palm."""
    mask = hand & (depth_mm > 0)
    points = lifted_points(camera, depth_mm, mask)
    near = np.linalg.norm(points - palm_mm, axis=1) < REACH_MM
    mask.ravel()[np.flatnonzero(mask)[~near]] = False
    return SeenHand(camera, depth_mm, mask, points[near], labels)
