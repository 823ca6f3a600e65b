"""What hangs together with a hand and is not of it: a held object, another hand. A network of pixel labels tells."""

from dataclasses import dataclass

import numpy as np

from handopt.input.pixel_labels import FOREARM, HAND, OBJECT, OTHER_HAND
from handopt.observation.pixel_network import PixelNetwork
from handopt.observation.pixel_reading import PixelReading, probability_in_image, read_windows
from handopt.observation.surfaces import LabelledDepth, lifted_points
from handopt.typing import BoolImage, Floats


@dataclass(frozen=True, eq=False)
class OtherPixels:
    """What the network reads around a palm, in the image (h, w) that was searched.

    other: pixels that are neither hand nor forearm. hand: those that are the hand's. holds: what touches the hand,
    'object' or 'hand'. reading: of the window
    """

    other: BoolImage
    hand: BoolImage
    holds: str
    reading: PixelReading


def find_other_pixels(frame: LabelledDepth, palms_mm: Floats, network: PixelNetwork | None = None) -> list[OtherPixels]:
    """What is not of the hand, for each palm that is found; palms without an object or another hand are left out.

    palms_mm: (B, 3) where a palm may be
    """
    config = frame.config.limb
    readings = read_windows(frame.depth_mm, frame.camera, palms_mm, network=network)
    chosen: list[PixelReading] = []
    for reading in sorted(readings, key=lambda each: -each.presence):
        apart = all(np.linalg.norm(reading.palm_mm - other.palm_mm) > config.same_palm_mm for other in chosen)
        if apart and reading.presence >= config.other_presence:
            chosen.append(reading)
    found = (_other_pixels(frame, reading) for reading in chosen)
    return [each for each in found if each is not None]


def _other_pixels(frame: LabelledDepth, reading: PixelReading) -> OtherPixels | None:
    config = frame.config.limb
    box, probability = probability_in_image(reading, frame.depth_mm, frame.camera)
    masks = {name: np.zeros(frame.depth_mm.shape, np.bool_) for name in ("other", "hand", "thing")}
    masks["other"][box] = probability[..., HAND] + probability[..., FOREARM] < config.other_probability
    masks["hand"][box] = probability[..., HAND] > 1 - config.other_probability
    things = probability[..., [OBJECT, OTHER_HAND]]
    masks["thing"][box] = things.sum(axis=-1) > 1 - config.other_probability
    points = lifted_points(frame.camera, frame.depth_mm, masks["thing"])
    near = np.linalg.norm(points - reading.palm_mm, axis=1) < config.finger_reach_mm
    mm2 = float(np.square(points[near, 2]).sum()) / (frame.camera.fx * frame.camera.fy)
    if mm2 < 100 * config.min_other_cm2:
        return None
    of_object, of_hand = things[masks["thing"][box]].sum(axis=0)
    holds = "hand" if of_hand > of_object else "object"
    return OtherPixels(masks["other"], masks["hand"] & ~masks["other"], holds, reading)
