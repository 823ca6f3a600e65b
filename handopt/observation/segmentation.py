"""Segmenting a hand: grown around a palm, its limbs told apart, the forearm cut off, its plausibility scored."""

from dataclasses import dataclass

import numpy as np

from handopt.observation.palm_proposals import HOLE_MM2, PalmProposal, fill_holes, with_pieces
from handopt.observation.surfaces import LabelledDepth, Window, bounding_box, label_surfaces, window_around
from handopt.typing import BoolImage, Box, FloatImage, LabelImage, Vector

BALL_MM = 160.0
CUT_MM = 75.0
MAX_GROWN_CM2 = 500.0
ARM_END_MM = 95.0
FINGER_RADIUS_MM = 13.0
MIN_LIMB_CM2 = 1.5
MAX_PART_CM2 = 25.0
CREASE_MM = 8.0
# A forearm's stump that ends this near may as well be fingers side by side.
STUMP_MM, STUMP_CM2 = 140.0, 20.0


@dataclass(frozen=True)
class Limb:
    """A part of a hand's surroundings that leaves the palm: a finger, several fingers side by side, the forearm.

    mask: (h, w) in the candidate's window. direction: unit vector from the palm. reach_mm: distance of its far end from
    the palm. width_mm: across, where it leaves the palm. thin: share of it that is as narrow as a finger. at_border: it
    leaves the image.
    """

    mask: BoolImage
    direction: Vector
    area_cm2: float
    width_mm: float
    reach_mm: float
    thin: float
    at_border: bool


@dataclass(frozen=True)
class Candidate:
    """A hand as it may be.

    hand: (h, w) in the coarse window, what is connected to the palm within reach, without the forearm. severed: (h,
    w) what else belongs to its surfaces, on the forearm's side. labels: of these surfaces. features: what the score
    is made of.
    """

    palm: PalmProposal
    window: Window
    hand: BoolImage
    forearm_mask: BoolImage
    labels: LabelImage
    arm: Limb | None
    features: dict[str, float]

    @property
    def area_cm2(self) -> float:
        """Area of the hand."""
        return float(self.window.pixel_cm2[self.hand].sum())

    @property
    def score(self) -> float:
        """Plausibility: a weighted sum of the features, higher is better; hands have more than 0."""
        return float(sum(SCORE_WEIGHTS[name] * value for name, value in self.features.items()))


# Fitted as a conditional logit (which palm of an image is the right one) to 250 rendered scenes of hands on arms,
# bodies, walls, plates and balls and to 45 of hands alone, then rounded; by hand, creases weigh less than that
# (sleeves have them) and wide palms more.
SCORE_WEIGHTS = {
    "narrow_palm": -1.0,
    "wide_palm": -0.5,
    "small": -0.2,
    "large": -0.2,
    "no_arm": -0.1,
    "wide_arm": -0.5,
    "fingers": 1.1,
    "creases": 1.4,
    "fat_limbs": -0.9,
    "second_arm": -0.7,
    "at_border": -1.0,
    "far": -0.55,
}


def grow(frame: LabelledDepth, palm: PalmProposal, nearest_mm: float) -> list[Candidate]:
    """Grow a hand around a palm: a connected ball of its surface, detached pieces, less the forearm.

    nearest_mm: distance of the nearest palm of the image, which the score counts from. Nothing where nothing is there,
    or more than a hand and a forearm; two readings where what looks like a forearm may be fingers.
    """
    window = window_around(frame, palm.center_mm, BALL_MM)
    distance = _distance(window, palm)
    ball = distance < BALL_MM
    parts = _parts(window, ball & (window.labels == palm.label))
    core = parts[(distance < 0.8 * palm.radius_mm + 3.0) & (parts > 0)]
    if not len(core):
        return []
    whole, labels = _with_pieces_and_parts(window, palm.label, parts, int(np.bincount(core).argmax()))
    if float(window.pixel_cm2[whole & ball].sum()) > MAX_GROWN_CM2:
        return []
    whole &= ball
    box = bounding_box(whole, 1)
    region, near = whole[box], window.part(box)
    offsets = near.points_mm - palm.center_mm.astype(np.float32)
    pixel_mm = near.pixel_mm(float(palm.center_mm[2]))
    silhouette = fill_holes(region, HOLE_MM2 / pixel_mm**2) & (region | ~(near.depth_mm > 0))
    thin = silhouette & ~_opened(silhouette, FINGER_RADIUS_MM / pixel_mm)
    limbs = _limbs(near, offsets, distance[box], region, thin, max(55.0, palm.radius_mm + 12.0))
    arm = _choose_arm(limbs)
    readings = [arm]
    if arm is not None and not arm.at_border and arm.reach_mm < STUMP_MM and arm.area_cm2 > STUMP_CM2:
        readings.append(None)
    found = []
    for reading in readings:
        hand, forearm_mask = region, np.isin(window.labels, labels)
        if reading is not None:
            direction = reading.direction.astype(np.float32)
            along, away = offsets @ direction, distance[box]
            beyond = reading.mask & (along > 0.4 * away)
            hand = region & (along <= CUT_MM) & ~(beyond & (away > ARM_END_MM))
            hand &= ~_arm_pieces(near, hand, thin, beyond, labels[labels != palm.label])
            forearm_mask &= (window.points_mm - palm.center_mm.astype(np.float32)) @ direction > 0.5 * CUT_MM
        features = _features(palm, near, hand, limbs, reading, thin, nearest_mm)
        forearm_mask[box] &= ~hand
        found.append(Candidate(palm, window, _placed(hand, box, whole.shape), forearm_mask, labels, reading, features))
    return found


def _distance(window: Window, palm: PalmProposal) -> FloatImage:
    """Return (h, w) the distance of each point from a palm, mm; inf where nothing is measured."""
    offsets = window.points_mm - palm.center_mm.astype(np.float32)
    distance = np.sqrt(np.einsum("ijk,ijk->ij", offsets, offsets))
    distance[window.depth_mm <= 0] = np.inf
    return np.asarray(distance)


def _parts(window: Window, surface: BoolImage) -> LabelImage:
    """Label what of a surface hangs together within reach: (h, w) from 1."""
    parts = np.zeros(surface.shape, np.int32)
    if surface.any():
        box = bounding_box(surface, 0)
        depth = np.where(surface[box], window.depth_mm[box], np.float32(0))
        parts[box] = label_surfaces(depth, window.frame.camera.fx / window.stride)
    return parts


def _placed(part: BoolImage, box: Box, shape: tuple[int, ...]) -> BoolImage:
    """Return an image of the given shape with a part of it in its place."""
    image = np.zeros(shape, np.bool_)
    image[box] = part
    return image


def _with_pieces_and_parts(window: Window, label: int, parts: LabelImage, core: int) -> tuple[BoolImage, LabelImage]:
    """Add detached pieces to the core of a hand, and parts of its own surface that hang together only elsewhere.

    parts: (h, w) parts of the surface `label` within reach, core is one of them; other parts are added up to 25 cm2,
    for a body behind the hand may be one of them. Returns the mask and the labels of the surfaces in it.
    """
    areas = window.frame.area_cm2
    part_areas = np.bincount(parts.ravel(), window.pixel_cm2.ravel())
    part_areas[(part_areas > MAX_PART_CM2) | (np.arange(len(part_areas)) == 0)] = np.inf
    local = np.where(window.labels == label, np.int32(len(areas)) + parts, window.labels)
    own = np.array([len(areas) + core], np.int32)
    pixel_mm = window.pixel_mm(float(np.median(window.depth_mm[parts == core])))
    region, found = with_pieces(window.depth_mm, local, np.append(areas, part_areas), parts == core, own, pixel_mm)
    return region, np.append(found[found < len(areas)], np.int32(label))


def _opened(mask: BoolImage, radius_px: float) -> BoolImage:
    """Open a mask with a disc."""
    from scipy.ndimage import distance_transform_edt

    eroded = np.asarray(distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] > radius_px)
    if not eroded.any():
        return eroded
    return np.asarray(distance_transform_edt(~eroded) <= radius_px)


def _limbs(
    window: Window, offsets: FloatImage, distance: FloatImage, region: BoolImage, thin: BoolImage, rim_mm: float
) -> list[Limb]:
    """Take apart what lies beyond rim_mm from the palm into limbs of at least 1.5 cm2."""
    from scipy.ndimage import label

    parts, count = label(region & (distance > rim_mm))
    limbs = []
    area = np.bincount(parts.ravel(), window.pixel_cm2.ravel(), minlength=count + 1)
    for part in range(1, count + 1):
        if area[part] < MIN_LIMB_CM2:
            continue
        mask = parts == part
        rays, reach = offsets[mask], distance[mask]
        direction = rays.mean(axis=0, dtype=np.float64)
        direction /= np.linalg.norm(direction)
        base = rays[reach < rim_mm + 25.0]
        if len(base) < 4:
            base = rays
        axis = base.mean(axis=0)
        axis /= np.linalg.norm(axis)
        across = base - np.outer(base @ axis, axis)
        width = float(np.sqrt(12.0 * np.linalg.eigvalsh(across.T @ across / len(base))[-1]))
        limbs.append(
            Limb(
                mask,
                direction,
                float(area[part]),
                width,
                float(np.percentile(reach, 98)),
                float(thin[mask].mean()),
                bool((mask & window.border).any()),
            )
        )
    return limbs


def _choose_arm(limbs: list[Limb]) -> Limb | None:
    """Choose the limb that is the forearm: wide, not thin anywhere, long or leaving the image."""

    def evidence(limb: Limb) -> float:
        if limb.width_mm < 26.0:
            return 0.0
        certainty = 1.0 if limb.reach_mm > 100.0 or limb.at_border else 0.5
        return limb.area_cm2 * max(0.0, 1.0 - 5.0 * limb.thin) * certainty

    arm = max(limbs, key=evidence, default=None)
    return arm if arm is not None and evidence(arm) >= 4.0 else None


def _arm_pieces(window: Window, hand: BoolImage, thin: BoolImage, arm: BoolImage, pieces: LabelImage) -> BoolImage:
    """Tell the detached pieces (n,) of a hand that belong to its forearm: an elbow or a sleeve before the wrist."""
    found = np.zeros(hand.shape, np.bool_)
    for label in pieces:
        piece = hand & (window.labels == label)
        count = np.count_nonzero(piece)
        if count and 2 * np.count_nonzero(piece & arm) > count and 3 * np.count_nonzero(piece & thin) < count:
            found |= piece
    return found


def _features(
    palm: PalmProposal,
    window: Window,
    hand: BoolImage,
    limbs: list[Limb],
    arm: Limb | None,
    thin: BoolImage,
    nearest_mm: float,
) -> dict[str, float]:
    """Measure how far a candidate is from what hands look like; each feature is about 1 where it starts to matter."""
    area = float(window.pixel_cm2[hand].sum())
    z = float(palm.center_mm[2])
    others = [limb for limb in limbs if limb is not arm]
    return {
        "narrow_palm": max(0.0, 34.0 - palm.radius_mm) / 10.0,
        "wide_palm": max(0.0, palm.radius_mm - 46.0) / 10.0,
        "small": max(0.0, 90.0 - area) / 30.0,
        "large": max(0.0, area - 170.0) / 40.0,
        "no_arm": float(arm is None),
        "wide_arm": max(0.0, arm.width_mm - 90.0) / 30.0 if arm else 0.0,
        "fingers": min(float(window.pixel_cm2[hand & thin].sum()), 30.0) / 10.0,
        "creases": min(float(window.pixel_cm2[_creases(window, hand, z)].sum()), 20.0) / 10.0,
        "fat_limbs": sum(limb.area_cm2 * max(0.0, 1.0 - 2.0 * limb.thin) for limb in others) / 20.0,
        "second_arm": sum(limb.area_cm2 for limb in others if limb.reach_mm > 150.0) / 20.0,
        "at_border": min(np.count_nonzero(hand & window.border) * window.pixel_mm(z), 50.0) / 40.0,
        "far": (z - nearest_mm) / 100.0,
    }


def _creases(window: Window, hand: BoolImage, z_mm: float) -> BoolImage:
    """Tell where a surface is concave: farther than the middle of its neighbours 8 mm away on opposite sides.

    Hands are, between fingers and over the palm; forearms, heads and balls are not. The step that counts grows with a
    depth sensor's noise, from 1.7 mm at 400 mm to 3 mm at 1 m.
    """
    from scipy.ndimage import uniform_filter

    weight = uniform_filter(hand.astype(np.float32), 3)
    smooth = uniform_filter(np.where(hand, window.depth_mm, np.float32(0)), 3) / np.maximum(weight, 1e-3)
    step = max(1, round(CREASE_MM / window.pixel_mm(z_mm)))
    aslant = max(1, round(0.7 * step))
    deepest = 1.5 + 1.5 * (z_mm / 1000.0) ** 2
    height, width = hand.shape
    creases = np.zeros(hand.shape, np.bool_)
    if min(height, width) <= 2 * step:
        return creases
    middle = np.s_[step : height - step, step : width - step]
    for down, right in ((step, 0), (0, step), (aslant, aslant), (aslant, -aslant)):
        one = np.s_[step + down : height - step + down, step + right : width - step + right]
        other = np.s_[step - down : height - step - down, step - right : width - step - right]
        deeper = smooth[middle] - 0.5 * (smooth[one] + smooth[other]) > deepest
        creases[middle] |= deeper & hand[middle] & hand[one] & hand[other]
    return creases
