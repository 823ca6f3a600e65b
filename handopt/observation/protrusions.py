"""Parts that leave a palm: fingers and the forearm."""

import math
from dataclasses import dataclass

import numpy as np

from handopt.observation.quantiles import percentile
from handopt.observation.settings import SegmentationConfig
from handopt.observation.surfaces import Window
from handopt.ops.surfaces import label_regions
from handopt.typing import BoolImage, FloatImage, LabelImage, Points, Vector


@dataclass(frozen=True)
class Protrusion:
    """A part that leaves the palm: a finger, several fingers side by side, the forearm.

    mask: (h, w) in the candidate's window. direction: unit vector from the palm. reach_mm: distance of its far end from
    the palm. width_mm: across, where it leaves the palm. finger_fraction: share of it that is as narrow as a finger.
    at_border: it leaves the image.
    """

    mask: BoolImage
    direction: Vector
    area_cm2: float
    width_mm: float
    reach_mm: float
    finger_fraction: float
    at_border: bool


def find_protrusions(
    window: Window, offsets: Points, distance: FloatImage, region: BoolImage, narrow: BoolImage, rim_mm: float
) -> list[Protrusion]:
    """Separate what lies beyond rim_mm from the palm into protrusions.

    offsets: (h, w, 3) from the palm, mm. distance: (h, w), their lengths. region: (h, w) what was grown around the
    palm. narrow: (h, w) where it is as narrow as a finger.
    """
    parts, count = label_regions(region & (distance > rim_mm))
    config = window.frame.config.segmentation
    protrusions = []
    pixels = np.flatnonzero(parts)
    numbers, distances, rays_mm = parts.ravel()[pixels], distance.ravel(), offsets.reshape(-1, 3)
    area = np.bincount(numbers, window.pixel_cm2.ravel()[pixels], minlength=count + 1)
    for number in range(1, count + 1):
        if area[number] < config.min_protrusion_cm2:
            continue
        here = pixels[numbers == number]
        rays, reach = rays_mm[here], distances[here]
        direction = rays.astype(np.float64).sum(axis=0) / len(rays)
        direction /= math.sqrt(direction @ direction)
        base = rays[reach < rim_mm + config.base_mm]
        if len(base) < 4:
            base = rays
        axis = base.mean(axis=0)
        axis /= np.sqrt(axis @ axis)
        across = base - (base @ axis)[:, None] * axis
        width = float(np.sqrt(12.0 * np.linalg.eigvalsh(across.T @ across / len(base))[-1]))
        protrusions.append(
            Protrusion(
                mask=parts == number,
                direction=direction,
                area_cm2=float(area[number]),
                width_mm=width,
                reach_mm=percentile(reach, 98),
                finger_fraction=np.count_nonzero(narrow.ravel()[here]) / len(here),
                at_border=bool(window.border.ravel()[here].any()),
            )
        )
    return protrusions


def find_arm(protrusions: list[Protrusion], config: SegmentationConfig) -> Protrusion | None:
    """The forearm: wide, nowhere as narrow as a finger, long or leaving the image. None if there is none."""

    def certain_cm2(part: Protrusion) -> float:
        if part.width_mm < config.arm_width_mm:
            return 0.0
        certainty = 1.0 if part.reach_mm > config.arm_reach_mm or part.at_border else 0.5
        return part.area_cm2 * max(0.0, 1.0 - config.arm_finger_weight * part.finger_fraction) * certainty

    arm = max(protrusions, key=certain_cm2, default=None)
    return arm if arm is not None and certain_cm2(arm) >= config.min_arm_cm2 else None


def arm_pieces(window: Window, hand: BoolImage, narrow: BoolImage, arm: BoolImage, pieces: LabelImage) -> BoolImage:
    """Tell the pixels (h, w) of detached pieces that belong to the forearm: an elbow or a sleeve before the wrist.

    hand, narrow, arm: (h, w). pieces: (n,) labels of the detached pieces.
    """
    found = np.zeros(hand.shape, np.bool_)
    for label in pieces:
        piece = hand & (window.labels == label)
        count = np.count_nonzero(piece)
        if count and 2 * np.count_nonzero(piece & arm) > count and 3 * np.count_nonzero(piece & narrow) < count:
            found |= piece
    return found
