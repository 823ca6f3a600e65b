"""The tuned numbers of the observation, each with what it is, its unit, and how it was found.

Where nothing else is said, a number was chosen by hand on 2026-11-23 or -24, on real and rendered frames at 300 to 900
mm, and has not been fitted to anything. What compares readings of an image is in reading_settings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from handopt.observation.reading_settings import EvidenceConfig, LimbConfig, ReadingConfig

MAX_HOLE_MM2 = 150.0
"""Largest hole of a silhouette, mm2, that counts as a gap in the measurement and not as something seen through."""


@dataclass(frozen=True)
class SurfaceConfig:
    """Which neighbours lie on one surface; see handopt.observation.surfaces."""

    step_mm: float = 8.0
    """Depth by which neighbours on one surface may differ at the camera, mm: the noise of a depth sensor's edges."""
    step_per_px: float = 4.0
    """What is added to it, in pixel widths: a surface seen at 75 degrees still holds together (tan 75 = 3.7)."""
    min_support: int = 3
    """Neighbours of 8 that must share a pixel's surface, or else it is speckle."""
    max_gap_px: int = 2
    """Unmeasured pixels in a row or column across which a surface holds together."""
    coarse_mm: float = 3.2
    """Distance of the samples of coarse windows, mm: a finger is four to five samples wide."""


@dataclass(frozen=True)
class PlaneConfig:
    """Walls, desks and floors; see handopt.observation.planes."""

    min_area_cm2: float = 700.0
    """Area from which on a plane is no hand, cm2: more than twice that of the largest hand."""
    max_planes: int = 3
    """Planes that are looked for: a desk and two walls."""
    draws: int = 48
    """Triples of pixels through which planes are drawn."""
    triple_px: tuple[int, int] = (12, 30)
    """How far the pixels of a triple lie apart, in rows and in columns, pixels."""
    samples: int = 1500
    """Pixels on which planes are compared, about."""
    refinements: int = 3
    """Fits of the best plane to the pixels that lie in it."""
    thickness_mm: float = 5.0
    """How far a pixel of a plane may be measured off it at the camera, mm."""
    noise_mm: float = 5.0
    """What is added to it at a distance of 1 m, mm; it grows with the square of the distance, as a sensor's noise."""


@dataclass(frozen=True)
class PieceConfig:
    """Small surfaces beside a hand that belong to it; see handopt.observation.pieces."""

    area_cm2: tuple[float, float] = (0.15, 60.0)
    """Least and greatest area of a piece, cm2: from a fingertip to four fingers."""
    farther_cm2: float = 40.0
    """Greatest area of a piece behind the hand, cm2; what is larger is more likely a body."""
    gap_mm: tuple[float, float] = (-100.0, 120.0)
    """How much farther, and how much nearer, a piece may lie where it meets the hand, mm."""
    background_reach_mm: float = 60.0
    """How far around a piece large surfaces are looked for that it may continue, mm."""
    background_slack_mm: float = 15.0
    """How far off such a surface a pixel still continues it, mm."""


@dataclass(frozen=True)
class PalmConfig:
    """Where palms may be; see handopt.observation.palm_proposals."""

    distance_mm: tuple[float, float] = (120.0, 3000.0)
    """Distances at which a hand can be measured, mm."""
    radius_mm: tuple[float, float] = (12.0, 62.0)
    """Radii of the largest disc in a palm, mm, of children's hands seen edge-on to gloves."""
    typical_radius_mm: float = 36.0
    """The radius of an adult's palm, mm, taken where the user gave the place."""
    center_reach_mm: float = 60.0
    """How far from the place that the user gave something must be measured, mm."""
    center_surface_mm: float = 30.0
    """Surfaces within this distance of that place may be meant, mm: fingers may lie before the palm."""
    min_surface_cm2: float = 20.0
    """Area of a surface that may have a palm, cm2."""
    box_step_px: int = 2
    """Step at which the bounding boxes of surfaces are found, pixels."""
    max_proposals: int = 8
    """Palms that are proposed on one surface."""
    max_coarse_px: int = 16_000
    """Samples of a surface's window, about; larger surfaces are seen more coarsely."""
    max_tip_px: int = 3_000
    """Pixels of a surface among which its ends are found, about."""
    peak_mm: float = 40.0
    """Within this distance only the largest disc is a palm, mm."""
    spacing_mm: float = 30.0
    """Palms on one surface lie at least so far apart, mm."""
    tip_to_palm_mm: tuple[float, float] = (45.0, 125.0)
    """Distances of a palm's middle from the tips of its fingers, mm, of closed and of large open hands."""


@dataclass(frozen=True)
class SegmentationConfig:
    """How a hand is grown around a palm and the forearm cut off; see handopt.observation.segmentation."""

    ball_mm: float = 160.0
    """How far from the palm's middle a hand may reach, mm: a large hand's middle finger is 115 mm away."""
    cut_mm: float = 75.0
    """Where the forearm is cut off: distance of the wrist from the palm's middle along the arm, mm."""
    max_grown_cm2: float = 500.0
    """Area of what is grown from which on it is more than a hand and a forearm, cm2."""
    core: tuple[float, float] = (0.8, 3.0)
    """Radius of the part of the palm whose surface is the hand's: a share of the palm's radius, and mm added to it."""
    rim_mm: tuple[float, float] = (55.0, 12.0)
    """Distance from the palm's middle at which parts leave it, mm: the least, and how far beyond the palm's radius."""
    arm_end_mm: float = 95.0
    """What lies in the forearm's direction and farther away than this belongs to it, mm."""
    arm_cone: float = 0.4
    """Cosine to the forearm's direction above which something lies in it."""
    finger_radius_mm: float = 13.0
    """Half the width up to which something is as narrow as a finger, mm."""
    min_protrusion_cm2: float = 1.5
    """Area of the smallest part that leaves the palm, cm2."""
    base_mm: float = 25.0
    """Length over which the width of such a part is measured where it leaves the palm, mm."""
    max_part_cm2: float = 25.0
    """Area of a part of the palm's own surface that hangs together with it elsewhere only, cm2; more is a body."""
    arm_width_mm: float = 26.0
    """Width of the narrowest forearm, mm; two fingers side by side are as wide."""
    arm_reach_mm: float = 100.0
    """A part that ends nearer than this is a forearm with half the certainty, mm, unless it leaves the image."""
    arm_finger_weight: float = 5.0
    """How fast a part becomes less of a forearm with the share of it that is as narrow as a finger: none at 1 / 5."""
    min_arm_cm2: float = 4.0
    """Area that a forearm must have, cm2, weighted by how certain it is."""
    stump_mm: float = 140.0
    """A forearm that ends nearer than this may as well be fingers side by side, mm: both are tried. From 2026-11-24."""
    stump_cm2: float = 20.0
    """Area from which on such a stump is tried as fingers, cm2. From 2026-11-24."""
    crease_mm: float = 8.0
    """Distance of the neighbours before which a crease lies, mm: half a finger's width."""


def _score_weights() -> dict[str, float]:
    return {
        "narrow_palm": -1.0,
        "wide_palm": -0.5,
        "small": -0.2,
        "large": -0.2,
        "no_arm": -0.1,
        "wide_arm": -0.5,
        "fingers": 1.1,
        "creases": 1.4,
        "fat_parts": -0.9,
        "second_arm": -0.7,
        "at_border": -1.0,
        "far": -0.55,
    }


@dataclass(frozen=True)
class ScoreConfig:
    """How much a candidate looks like a hand; see handopt.observation.hand_score.

    The pairs are where a feature begins to count and the amount that counts as 1, unless said otherwise. All of them
    describe adults' hands at any distance: areas are in cm2 of the plane parallel to the image.
    """

    weights: Mapping[str, float] = field(default_factory=_score_weights)
    """Weight of each feature. Fitted as a conditional logit (which palm of an image is the right one) on 2026-11-23 to
    250 rendered scenes of hands on arms, bodies, walls, plates and balls and to 45 of hands alone, then rounded; by
    hand, creases weigh less than that (sleeves have them) and wide palms more."""
    narrow_palm_mm: tuple[float, float] = (34.0, 10.0)
    """Radius of the palm below which it is narrow, mm."""
    wide_palm_mm: tuple[float, float] = (46.0, 10.0)
    """Radius of the palm above which it is wide, mm."""
    small_cm2: tuple[float, float] = (90.0, 30.0)
    """Area below which a hand is small, cm2."""
    large_cm2: tuple[float, float] = (170.0, 40.0)
    """Area above which a hand is large, cm2."""
    wide_arm_mm: tuple[float, float] = (90.0, 30.0)
    """Width above which a forearm is wide, mm."""
    fingers_cm2: tuple[float, float] = (30.0, 10.0)
    """Area as narrow as fingers beyond which more does not count, and the area that counts as 1, cm2."""
    creases_cm2: tuple[float, float] = (20.0, 10.0)
    """Area of creases beyond which more does not count, and the area that counts as 1, cm2."""
    fat: tuple[float, float] = (2.0, 20.0)
    """How fast a part becomes less fat with the share of it that is as narrow as a finger (none at 1 / 2), and the fat
    area that counts as 1, cm2."""
    second_arm: tuple[float, float] = (150.0, 20.0)
    """Distance beyond which a part is another arm, mm, and the area of it that counts as 1, cm2."""
    border_mm: tuple[float, float] = (50.0, 40.0)
    """Length along the image's border beyond which more does not count, and the length that counts as 1, mm."""
    far_mm: float = 100.0
    """Distance behind the nearest palm that counts as 1, mm."""
    crease_depth_mm: tuple[float, float] = (1.5, 1.5)
    """Depth of a crease at the camera, and what a distance of 1 m adds, mm; it grows with the distance squared."""
    even: float = 1.0
    """Score at which as many hands as other things are found: hands score 1.5 to 6, forearms, heads, bodies and walls
    seldom more than 1. Read off rendered scenes on 2026-11-24."""
    slope: float = 2.0
    """Change of the log odds of a hand with the score. From 2026-11-24."""


@dataclass(frozen=True)
class CandidateConfig:
    """Which candidates may be the hand; see handopt.observation.candidates."""

    max_candidates: int = 3
    """Candidates that are returned."""
    area_cm2: tuple[float, float] = (28.0, 330.0)
    """Area of a hand, cm2: from a fist of a child to a large open hand with a sleeve."""
    min_hinted_cm2: float = 8.0
    """Area of a hand whose place the user gave, cm2: it may be mostly hidden."""
    max_score_gap: float = 3.0
    """How much less than the best one a candidate may score."""
    min_score: float = -0.5
    """Score of a candidate that is a hand at all."""
    max_palms: int = 8
    """Places about which the network of pixel labels is asked where the first search explains little. By hand."""
    max_recognised: int = 4
    """Candidates about which the network of pixel labels is asked where none is plausible by its shape."""
    recognised: float = 0.95
    """Probability of a palm from which on such a candidate is a hand. By hand, 2026-11-29."""
    farther_mm: float = 1200.0
    """No hand is looked for farther than this behind the nearest palm, mm: it could not score min_score any more."""
    distinct_mm: float = 60.0
    """Candidates with palms nearer to each other than this are one, mm."""
    competitor_mm: float = 150.0
    """A place farther away than this from a hand is another one, mm. From 2026-11-24."""
    sure_score: float = 3.75
    """Score of a hand that is beyond doubt. From 2026-11-24, on the scenes of the score's weights."""
    sure_reach_mm: float = 200.0
    """Around such a hand no other is looked for, mm. From 2026-11-24."""
    flat_mm: float = 15.0
    """How far the pixels of an image that shows a flat surface only may lie off it, mm. From 2026-11-24."""
    flat_fraction: float = 0.25
    """Share of the image that must be measured to say so. From 2026-11-24."""


@dataclass(frozen=True)
class FreeSpaceConfig:
    """Where the hand is proven not to be; see handopt.observation.free_space_mask."""

    occluder_mm: float = 10.0
    """How far before the hand beside it a measurement still counts as behind the hand, mm: a sensor's noise."""
    edge_px: float = 2.0
    """Width of the rim around hand and forearm in which nothing measured proves nothing, pixels of grid and image."""
    hole_reach_px: float = 4.0
    """Holes beside the hand within this distance prove nothing, grid pixels."""
    max_hole_mm2: float = MAX_HOLE_MM2
    """Largest such hole, mm2."""
    open_mm: float = 40.0
    """A region of nothing that reaches so far from the hand, mm, is a background beyond the sensor's range, or one that
    was removed: dropouts at the hand's edge are all that its rim holds. By hand."""
    open_edge_px: float = 1.0
    """Width of the rim there, pixels as above. With the usual one 73 instead of 82 % of frames are right in which a ToF
    camera sees little but a small hand."""
    open_width_mm: float = 15.0
    """How far such a place lies from all that is measured, mm: shadows and rows without depth are narrower. By hand."""


@dataclass(frozen=True)
class ObservationConfig:
    """All tuned numbers of the observation."""

    surfaces: SurfaceConfig = SurfaceConfig()
    planes: PlaneConfig = PlaneConfig()
    pieces: PieceConfig = PieceConfig()
    palm: PalmConfig = PalmConfig()
    segmentation: SegmentationConfig = SegmentationConfig()
    score: ScoreConfig = field(default_factory=ScoreConfig)
    candidates: CandidateConfig = CandidateConfig()
    free_space: FreeSpaceConfig = FreeSpaceConfig()
    limb: LimbConfig = field(default_factory=LimbConfig)
    readings: ReadingConfig = field(default_factory=ReadingConfig)
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)
    max_hole_mm2: float = MAX_HOLE_MM2
    """Largest hole of a silhouette that is filled, mm2."""
    search_focal_px: float = 240.0
    """Focal length to which an image is subsampled for the search, pixels: a hand at 500 mm is 80 pixels long."""
    max_mask_cm2: float = 1000.0
    """Largest area of a mask that the user gave, cm2."""
    mask_score: float = 5.0
    """Score of a hand whose mask the user gave: beyond doubt."""
    masked_surface_cm2: float = 4.0
    """Area from which on a surface that continues beyond a mask is the forearm, cm2."""
    crop_shift_mm: tuple[float, float, float] = (50.0, 50.0, 40.0)
    """How far the crop's middle may lie from the palm's, mm."""


DEFAULT = ObservationConfig()
