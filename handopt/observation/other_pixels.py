"""What hangs together with a hand and is not of it: a held object, another hand. A network of pixel labels tells."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from handopt.input.camera import Camera
from handopt.input.pixel_labels import FOREARM, HAND, OBJECT, OTHER_HAND
from handopt.observation.pixel_network import PixelNetwork
from handopt.observation.pixel_reading import (
    PixelReading,
    probability_in_image,
    read_windows,
    three_in_box,
    turned_as_well,
)
from handopt.observation.reading_settings import EvidenceConfig
from handopt.observation.settings import DEFAULT
from handopt.observation.surfaces import LabelledDepth, lifted_points
from handopt.typing import BoolImage, Box, FloatImage, Floats, Item, Vector

ROUNDS: Final = 3
"""How often the network looks around a palm, which moves to where it sees it. By hand."""
MOST_DOUBT: Final = 0.999
"""No pixel is something else with a larger probability, so that each counts a little."""


@dataclass(frozen=True, eq=False)
class OtherPixels:
    """What the network reads around a palm, in the image (h, w) that was searched.

    other: pixels that are neither hand nor forearm. hand: those that are the hand's. holds: what touches the hand,
    'object' or 'hand', None where too little of something else is seen to be sure. evidence: how much it counts that a
    pose leaves a pixel unexplained, None where nothing else may be near. reading: of the window
    """

    other: BoolImage
    hand: BoolImage
    holds: str | None
    evidence: FloatImage | None
    reading: PixelReading


def find_other_pixels(frame: LabelledDepth, palms_mm: Floats, network: PixelNetwork | None = None) -> list[OtherPixels]:
    """What is not of the hand, for each palm that is found.

    palms_mm: (B, 3) where a palm may be
    """
    config = frame.config.limb
    first = read_windows(frame.depth_mm, frame.camera, palms_mm, rounds=1, network=network)
    around = [each.palm_mm for each in _distinct(first, config.perhaps_presence, config.same_palm_mm)]
    if not around:
        return []
    readings = read_windows(frame.depth_mm, frame.camera, np.stack(around), rounds=ROUNDS - 1, network=network)
    chosen = _distinct(readings, config.other_presence, config.same_palm_mm)
    return [seen_around(frame, reading, network) for reading in chosen]


def _distinct(readings: list[PixelReading], presence: float, same_mm: float) -> list[PixelReading]:
    """The readings with a palm of at least a probability, the surest first, each palm once."""
    sure = [each for each in readings if each.presence >= presence and each.palm_mm[2] > 0]
    return apart(sorted(sure, key=lambda each: -each.presence), lambda each: each.palm_mm, same_mm)


def apart(found: Iterable[Item], palm_mm: Callable[[Item], Vector], same_mm: float) -> list[Item]:
    """Those whose palms (3,) mm are farther than a distance from those of all that are kept before them."""
    kept: list[Item] = []
    for each in found:
        if all(np.linalg.norm(palm_mm(each) - palm_mm(other)) > same_mm for other in kept):
            kept.append(each)
    return kept


def _is_perhaps_near(frame: LabelledDepth, reading: PixelReading) -> bool:
    """Whether something else may be near the fingers."""
    config = frame.config.evidence
    box, probability = probability_in_image(reading, frame.depth_mm, frame.camera)
    perhaps = np.zeros(frame.depth_mm.shape, np.bool_)
    perhaps[box] = probability[..., [OBJECT, OTHER_HAND]].sum(axis=-1) > config.perhaps
    return _area_near_cm2(frame, perhaps, reading.palm_mm) >= config.perhaps_cm2


def _area_near_cm2(frame: LabelledDepth, pixels: BoolImage, palm_mm: Vector) -> float:
    """The area of pixels (h, w) within the fingers' reach of a palm."""
    points = lifted_points(frame.camera, frame.depth_mm, pixels)
    near = np.linalg.norm(points - palm_mm, axis=1) < frame.config.limb.finger_reach_mm
    return float(np.square(points[near, 2]).sum()) / (100 * frame.camera.fx * frame.camera.fy)


def evidence_and_labels_in(
    reading: PixelReading, depth_mm: FloatImage, camera: Camera, config: EvidenceConfig = DEFAULT.evidence
) -> tuple[FloatImage, FloatImage]:
    """How much it counts that a pose leaves a pixel (H, W) unexplained, from 1 for what is surely hand or forearm to 0.

    It is the logarithm of the probability that the pixel is something else, or that the network is mistaken. Beyond the
    window all counts in full. Returns it, and the probabilities (H, W, 3) of three_of by which pixels count.
    """
    box, probability = probability_in_image(reading, depth_mm, camera)
    evidence = _evidence(depth_mm.shape, box, probability, config)
    return evidence, three_in_box(depth_mm.shape, box, probability)


def _evidence(shape: tuple[int, ...], box: Box, probability: FloatImage, config: EvidenceConfig) -> FloatImage:
    """How much each pixel (H, W) counts, for the probabilities (h, w, 6) of those in a box."""
    mistaken, most = np.float32(config.mistaken), np.float32(MOST_DOUBT)
    other = np.clip(1 - probability[..., HAND] - probability[..., FOREARM], 0, most)
    evidence = np.ones(shape, np.float32)
    counted = np.log(mistaken + (1 - mistaken) * other) / np.log(mistaken)
    evidence[box] = np.where(probability.any(axis=-1), counted, np.float32(1))
    return evidence


def seen_around(frame: LabelledDepth, reading: PixelReading, network: PixelNetwork | None = None) -> OtherPixels:
    """What is not of the hand as a reading tells; where something else may be near, it is looked at in four turns."""
    perhaps = _is_perhaps_near(frame, reading)
    return other_pixels_of(frame, turned_as_well(reading, network) if perhaps else reading, perhaps=perhaps)


def other_pixels_of(frame: LabelledDepth, reading: PixelReading, *, perhaps: bool = True) -> OtherPixels:
    """What is not of the hand as a reading tells. perhaps: whether something else may be near."""
    config = frame.config.limb
    box, probability = probability_in_image(reading, frame.depth_mm, frame.camera)
    masks = {name: np.zeros(frame.depth_mm.shape, np.bool_) for name in ("other", "hand", "thing")}
    shown = probability.any(axis=-1)
    masks["other"][box] = shown & (probability[..., HAND] + probability[..., FOREARM] < config.other_probability)
    masks["hand"][box] = probability[..., HAND] > 1 - config.other_probability
    things = probability[..., [OBJECT, OTHER_HAND]]
    masks["thing"][box] = things.sum(axis=-1) > 1 - config.other_probability
    evidence = _evidence(frame.depth_mm.shape, box, probability, frame.config.evidence) if perhaps else None
    hand = masks["hand"] & ~masks["other"]
    if _area_near_cm2(frame, masks["thing"], reading.palm_mm) < config.min_other_cm2:
        return OtherPixels(np.zeros_like(hand), hand, None, evidence, reading)
    of_object, of_hand = things[masks["thing"][box]].sum(axis=0)
    holds = "hand" if of_hand > of_object else "object"
    return OtherPixels(masks["other"], hand, holds, evidence, reading)
