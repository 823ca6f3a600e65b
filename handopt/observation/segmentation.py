"""Segmenting a hand: it is grown around a palm, and the forearm is cut off."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from handopt.observation.hand_score import hand_features
from handopt.observation.morphology import fill_holes, opened
from handopt.observation.palm_proposals import PalmProposal
from handopt.observation.pieces import with_pieces
from handopt.observation.protrusions import Protrusion, arm_pieces, find_arm, find_protrusions
from handopt.observation.quantiles import median
from handopt.observation.surfaces import LabelledDepth, Window, bounding_box, label_surfaces, window_around
from handopt.typing import BoolImage, Box, FloatImage, LabelImage


@dataclass(frozen=True)
class Candidate:
    """One reading of what may be a hand.

    hand: (h, w) in the coarse window, what is connected to the palm within reach, without the forearm. forearm_mask:
    (h, w) what else belongs to its surfaces, on the forearm's side. labels: of these surfaces. grown:
    (h, w) all that was grown around the palm. features: what the score is made of, see
    handopt.observation.hand_score.
    """

    palm: PalmProposal
    window: Window
    hand: BoolImage
    forearm_mask: BoolImage
    labels: LabelImage
    grown: BoolImage
    arm: Protrusion | None
    features: dict[str, float]

    @cached_property
    def area_cm2(self) -> float:
        """Area of the hand."""
        return float(self.window.pixel_cm2[self.hand].sum())

    @cached_property
    def score(self) -> float:
        """Plausibility: a weighted sum of the features, higher is better; hands have more than 0."""
        weights = self.window.frame.config.score.weights
        return float(sum(weights[name] * value for name, value in self.features.items()))


def grow(frame: LabelledDepth, palm: PalmProposal, nearest_mm: float) -> list[Candidate]:
    """Grow a hand around a palm: a connected ball of its surface, detached pieces, less the forearm.

    nearest_mm: distance of the nearest palm of the image, which the score counts from. Empty if nothing
    is there, or more than a hand and a forearm; two readings if what looks like a forearm may be fingers.
    """
    config = frame.config.segmentation
    window = window_around(frame, palm.center_mm, config.ball_mm)
    from_palm = window.points_mm - palm.center_mm.astype(np.float32)
    distance = _distance(window, from_palm)
    ball = distance < config.ball_mm
    parts = _parts(window, ball & (window.labels == palm.label))
    core = parts[(distance < config.core[0] * palm.radius_mm + config.core[1]) & (parts > 0)]
    if not len(core):
        return []
    whole, labels = _with_pieces_and_parts(window, palm.label, parts, int(np.bincount(core).argmax()))
    if float(window.pixel_cm2[whole & ball].sum()) > config.max_grown_cm2:
        return []
    whole &= ball
    box = bounding_box(whole, 1)
    region, near = whole[box], window.part(box)
    offsets = from_palm[box]
    pixel_mm = near.pixel_mm(float(palm.center_mm[2]))
    silhouette = fill_holes(region, frame.config.max_hole_mm2 / pixel_mm**2) & (region | ~(near.depth_mm > 0))
    narrow = silhouette & ~opened(silhouette, config.finger_radius_mm / pixel_mm)
    rim_mm = max(config.rim_mm[0], palm.radius_mm + config.rim_mm[1])
    protrusions = find_protrusions(near, offsets, distance[box], region, narrow, rim_mm)
    arm = find_arm(protrusions, config)
    of_surfaces = np.zeros(len(frame.area_cm2), np.bool_)
    of_surfaces[labels] = True
    readings = [arm]
    if arm is not None and not arm.at_border and arm.reach_mm < config.stump_mm and arm.area_cm2 > config.stump_cm2:
        readings.append(None)
    found = []
    for reading in readings:
        hand, forearm_mask = region, of_surfaces.take(window.labels)
        if reading is not None:
            direction = reading.direction.astype(np.float32)
            along, away = offsets @ direction, distance[box]
            beyond = reading.mask & (along > config.arm_cone * away)
            hand = region & (along <= config.cut_mm) & ~(beyond & (away > config.arm_end_mm))
            hand &= ~arm_pieces(near, hand, narrow, beyond, labels[labels != palm.label])
            forearm_mask &= from_palm @ direction > 0.5 * config.cut_mm
        features = hand_features(palm, near, hand, protrusions, reading, narrow, nearest_mm)
        forearm_mask[box] &= ~hand
        placed = _placed(hand, box, whole.shape)
        found.append(Candidate(palm, window, placed, forearm_mask, labels, whole, reading, features))
    return found


def _distance(window: Window, offsets: FloatImage) -> FloatImage:
    """Return (h, w) the lengths of offsets (h, w, 3) from a palm, mm; inf where nothing is measured."""
    distance = np.sqrt(np.einsum("ijk,ijk->ij", offsets, offsets))
    distance[window.depth_mm <= 0] = np.inf
    return np.asarray(distance)


def _parts(window: Window, surface: BoolImage) -> LabelImage:
    """Label what of a surface hangs together within reach: (h, w) from 1."""
    parts = np.zeros(surface.shape, np.int32)
    if surface.any():
        box = bounding_box(surface, 0)
        depth = np.where(surface[box], window.depth_mm[box], np.float32(0))
        config = window.frame.config.surfaces
        parts[box] = label_surfaces(depth, window.frame.camera.fx / window.stride, config)
    return parts


def _placed(part: BoolImage, box: Box, shape: tuple[int, ...]) -> BoolImage:
    """Return an image of the given shape with a part of it in its place."""
    image = np.zeros(shape, np.bool_)
    image[box] = part
    return image


def _with_pieces_and_parts(window: Window, label: int, parts: LabelImage, core: int) -> tuple[BoolImage, LabelImage]:
    """Add detached pieces to the core of a hand, and parts of its own surface that hang together only elsewhere.

    parts: (h, w) parts of the surface `label` within reach, core is one of them. Large parts are not added,
    for one may be a body behind the hand. Returns the mask and the labels of the surfaces in it.
    """
    config, areas = window.frame.config, window.frame.area_cm2
    pixels = np.flatnonzero(parts)
    part_areas = np.bincount(parts.ravel()[pixels], window.pixel_cm2.ravel()[pixels])
    part_areas[(part_areas > config.segmentation.max_part_cm2) | (np.arange(len(part_areas)) == 0)] = np.inf
    local = np.where(window.labels == label, np.int32(len(areas)) + parts, window.labels)
    own = np.array([len(areas) + core], np.int32)
    pixel_mm = window.pixel_mm(median(window.depth_mm[parts == core]))
    all_areas = np.append(areas, part_areas).astype(np.float64)
    region, found = with_pieces(window.depth_mm, local, all_areas, parts == core, own, pixel_mm, config.pieces)
    return region, np.append(found[found < len(areas)], np.int32(label))
