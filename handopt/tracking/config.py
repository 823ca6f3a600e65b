"""The tuned numbers of tracking: what each one is, its unit, and how it was found.

"By hand" means: set by hand on the sequences of scripts/bench/bench_track.py (medium and hard, seeds from 4100) on
2026-11-24 unless another date is said. No sweep over these values is on record. The weights that were found by
regression are in assets/calibration.toml.
"""

from dataclasses import dataclass, field

from handopt.config import LMSettings

# Fits of a frame, coarse to fine: fewer points and vertices where many poses are tried. All numbers by hand.
EXPECT = LMSettings(0, 15.0, points=100, vertices=160, free_space_mm=15.0, prior=0.5)
REACH = LMSettings(3, 12.0, points=160, vertices=300, free_space_mm=15.0, prior=0.5)
SETTLE = LMSettings(2, 6.0, points=400, vertices=400, plane=0.9, free_space_mm=15.0, prior=0.2)
FINISH = LMSettings(3, 4.0, points=1000, plane=0.9, free_space_mm=15.0, prior=0.1, scale=True, proportions=True)


@dataclass(frozen=True)
class TrackerConfig:
    """How a frame is fitted, and when the hand is searched for again."""

    expect: LMSettings = EXPECT
    """Judges the redrawn fingers, without an iteration."""
    reach: LMSettings = REACH
    """Moves every start."""
    settle: LMSettings = SETTLE
    """Moves the best `top_k` poses."""
    finish: LMSettings = FINISH
    """Moves the chosen pose, together with the shape of the hand."""
    top_k: int = 6
    """Poses of a frame that go on to `settle`. By hand."""
    cost_weight: float = 0.5
    """Weight of a pose's cost beside its unexplained fraction, both relative to the best. By hand."""
    mutation_margin: float = 0.05
    """Added to the score of a pose with a finger elsewhere than predicted. Score, best = 1.5. By hand."""
    competitors: int = 3
    """Other poses from which the next frame starts as well. By hand."""
    distinct_rad: float = 0.3
    """Two poses are distinct where an angle differs by more than this, rad. By hand."""

    # Prediction.
    velocity_kept: float = 0.9
    """Share of the last motion that is predicted to go on. By hand."""
    max_steps: float = 4.0
    """Longest prediction, in usual intervals between frames. By hand."""

    # Shape of the hand.
    shape_memory: float = 0.99
    """Factor per frame on the precision of the shape estimate. By hand."""
    shape_prior: float = 1.0
    """Precision of the shape before the first frame, relative to that of a single fit. By hand."""
    learns_below: float = 0.3
    """A frame with a larger unexplained fraction says nothing about the shape. By hand."""
    skin_margin_mm: float = 2.0
    """The forearm is cut this much before the end of the rig's skin, mm. By hand."""

    # When a frame is fitted from scratch.
    lost: float = 0.5
    """Unexplained fraction from which on there is no hand. By hand."""
    doubtful: float = 0.18
    """A frame with a smaller unexplained fraction is not fitted from scratch. By hand."""
    doubtful_ratio: float = 1.5
    """Nor is one below this multiple of the usual unexplained fraction. By hand."""
    slid: float = 0.3
    """Unexplained fraction above which the hand is looked for in the whole image: it may have slid to the arm. By hand,
    2026-11-30."""
    slid_mm: float = 200.0
    """What is found so belongs to the same hand if the palm is nearer to where it was, mm. By hand, 2026-11-30."""
    refit_gain: float = 0.05
    """Share of the unexplained fraction by which a fit from scratch must be better to be taken. By hand: less is noise
    of where hand and forearm part."""
    first_usual: float = 0.1
    """The usual unexplained fraction before the first frame. By hand."""
    usual_rate: float = 0.1
    """Share of each frame in the running mean of the unexplained fraction. By hand."""
    usual_cap: float = 0.2
    """Largest unexplained fraction that enters the running mean. By hand, 2026-11-30: with 0.4, tracks of small hands
    that had slid to the arm stayed there."""
    surprise_mm: float = 20.0
    """Distance from the predicted wrist in one interval that is a surprise, mm. By hand."""
    surprise_rad: float = 0.4
    """The same for the turn of the hand, rad. By hand."""
    surprise_joint_mm: float = 35.0
    """The same for a visible joint relative to the median joint, mm. By hand."""
    first_patience: int = 3
    """Doubtful frames that pass without a fit from scratch after one that did not help; doubles each time. By hand."""
    max_patience: int = 30
    """The most that pass, frames. Bounds the time that a hopeless sequence costs. By hand."""

    # When an anchor of low confidence is checked.
    trusted_anchor: float = 0.8
    """Confidence of a fit that a track may rest on without a check. By hand."""
    first_retry: int = 4
    """Frames until the first check; doubles each time. By hand."""
    max_retry: int = 128
    """The most frames between two checks. By hand."""


@dataclass(frozen=True)
class FingerProposalConfig:
    """How fingers are redrawn."""

    off_mm: float = 12.0
    """A depth that is off by more is not explained, mm. By hand."""
    min_patch_cm2: float = 0.15
    """Smallest patch that is reached for, cm^2. By hand."""
    patches: int = 3
    """Largest patches that are reached for. By hand."""
    max_distance_mm: float = 14.0
    """Largest distance of a tip from a patch that it reaches for, mm. By hand."""
    distance_mm: float = 6.0
    """Distance of a tip from a patch that costs 1, mm. By hand."""
    turn_rad: float = 0.8
    """Turn of a finger's angle that costs 1, rad. By hand."""
    fingers_per_patch: int = 3
    """Fingers that reach for a patch, the cheapest first. By hand."""
    max_proposals: int = 6
    """Proposals for all patches together. Bounds the time of a frame. By hand."""


@dataclass(frozen=True)
class RoiConfig:
    """How the hand is cut out of a frame around where it is expected."""

    size_px: int = 120
    """Pixels of the region's edge. By hand."""
    half_mm: float = 140.0
    """Half of the region's edge, mm. By hand."""
    reach_mm: float = 35.0
    """Distance from the expected silhouette within which the hand is found, mm. By hand."""
    far_reach_mm: float = 60.0
    """The same for surfaces most of which lie within `reach_mm`, mm. By hand."""
    depth_reach_mm: float = 70.0
    """The same along the ray, mm. By hand."""
    agrees_mm: float = 40.0
    """A surface belongs to the hand where enough of it is this close to the expected depth, mm. By hand."""
    min_piece_cm2: float = 0.3
    """Smallest surface that counts as a finger where none is expected, cm^2. By hand."""
    max_piece_cm2: float = 30.0
    """The largest, cm^2. By hand."""
    piece_depth_mm: float = 95.0
    """Its largest distance from the expected depth, mm. By hand."""
    min_cells: int = 120
    """Fewest measured pixels of a hand, 6.5 cm^2. By hand."""
    arm_slack_mm: float = 12.0
    """How far beyond the end of the skin the sides of the arm are cut, mm. By hand."""
    arm_cone: float = 0.3
    """Cosine of the angle to the forearm within which the arm lies. By hand."""


@dataclass(frozen=True)
class LookBackConfig:
    """When earlier frames are fitted again, backwards from a later one."""

    remembered: int = 60
    """Frames that can be gone back to. Bounds memory."""
    warm_up: int = 15
    """Frames with a hand until the first ones are fitted again with what is known of its shape. By hand."""
    every: int = 24
    """Frames between two tries. By hand; 12 until commit 1f78de3."""
    jump_mm: float = 14.0
    """A joint that moves this much more than the median joint in a frame calls for a try, mm. By hand."""
    agrees_mm: float = 8.0
    """Largest distance of a visible joint at which both directions agree, mm. By hand."""
    patience: int = 4
    """Frames that may be worse in a row before the way back ends. By hand."""


@dataclass(frozen=True)
class SmoothingConfig:
    """The two-sided smoother of a finished track, and the causal filter."""

    cutoff_hz: float = 4.5
    """Frequency that the two-sided smoother halves, Hz. Quick fingers move at 3 to 4 Hz."""
    min_weight: float = 0.02
    """Smallest weight of a frame's parameter. By hand."""
    rounds: int = 6
    """Rounds in which values that would move too far get more weight. By hand."""
    tolerance_quaternion: float = 0.03
    """How far a well-known quaternion may move: 0.06 rad. By hand."""
    tolerance_mm: float = 4.0
    """The same for the position of the wrist, mm. By hand."""
    tolerance_rad: float = 0.12
    """The same for an angle, rad. By hand."""
    max_gap_s: float = 0.5
    """Longest gap that is bridged, s. In longer ones there is no hand. By hand."""
    reference_percentile: float = 60.0
    """Percentile of the information over frames that has weight 1, %. By hand."""
    quick_mm: float = 6.0
    """Median deviation of palms from the middle of their neighbours above which nothing is smoothed, mm. By hand."""
    min_cutoff_hz: float = 3.0
    """Cutoff of the causal filter at rest, Hz. By hand."""
    speed_cutoff_hz: float = 30.0
    """How much its cutoff rises at the usual speed, Hz. By hand."""
    speed_smoothing_hz: float = 3.0
    """Cutoff of the speed that it measures, Hz. By hand."""
    usual_quaternion_speed: float = 1.0
    """Usual speed of a quaternion, 1/s. By hand."""
    usual_speed_mm: float = 150.0
    """Usual speed of the wrist, mm/s. By hand."""
    usual_speed_rad: float = 2.0
    """Usual speed of an angle, rad/s. By hand."""


@dataclass(frozen=True)
class TrackConfidenceConfig:
    """What the confidence of a frame looks at. The calibrated weights belong to these values."""

    usual_frames: int = 60
    """Frames on either side that say how far apart frames usually are. By hand."""
    jump_frames: int = 8
    """Frames on either side in which a jump makes a frame less sure. By hand."""
    jump_unit_mm: float = 5.0
    """Jump at which its logarithm starts to grow, mm. By hand."""
    least_jump_mm: float = 12.0
    """Jumps below this count as none, mm. By hand: real hands, seen by real sensors, jump twice as far as rendered ones
    where they are tracked well."""
    sparse_mm: float = 6.0
    """Median deviation of palms from the middle of their neighbours above which frames are too far apart for jumps to
    say anything, mm. The value of `SmoothingConfig.quick_mm`; at 30 frames a second a palm accelerates by 10 m/s^2."""
    trusted_anchor: float = 0.8
    """Confidence of the fit from scratch from which on the movement of the palm does not count, nor jumps between such
    frames: those of a track that follows no hand still do. The value of `TrackerConfig.trusted_anchor`."""
    max_spread_mm2: float = 2e4
    """Largest variance of a joint, mm^2: 140 mm is anywhere on the hand."""
    start_frames: int = 10
    """A track whose first so many frames with a hand are mostly doubtful starts doubtfully. By hand."""


@dataclass(frozen=True)
class SideConfig:
    """Which hand is followed where nothing says so. By hand, 2026-11-28."""

    asked: tuple[int, ...] = (5, 10, 20, 40)
    """Frames after the first one with a hand that are asked as well, as long as those before are not sure."""
    sure: float = 0.1
    """Sum over frames of confidence times margin of the hand from which on no further frame is asked."""


@dataclass(frozen=True)
class SeveralHandsConfig:
    """How several hands are told apart. By hand, 2026-11-29; what is a hand of its own says handopt.fit_hands."""

    search_every: int = 10
    """Most frames between two searches for hands that are not followed; after a hand was lost it is 1, 2, 4, 8, ..."""
    together_frames: int = 5
    """Frames in a row in which two palms are in one place, until one of the two is taken back."""
    apart_mm: float = 40.0
    """Distance of two palms' middles below which they are in one place, mm: a palm that lies on another is this far."""
    claim_deviation_mm: float = 6.0
    """Where the worst joint is off by more than this from where it was expected, a hand's pixels are marked again."""
    touch_ends_mm: float = 200.0
    """Distance from the place where a hand was lost in a touch, from which on the other one is free of it, mm."""


@dataclass(frozen=True)
class TrackingConfig:
    """All tuned numbers of tracking."""

    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    finger_proposals: FingerProposalConfig = field(default_factory=FingerProposalConfig)
    roi: RoiConfig = field(default_factory=RoiConfig)
    look_back: LookBackConfig = field(default_factory=LookBackConfig)
    smoothing: SmoothingConfig = field(default_factory=SmoothingConfig)
    confidence: TrackConfidenceConfig = field(default_factory=TrackConfidenceConfig)
    side: SideConfig = field(default_factory=SideConfig)
    hands: SeveralHandsConfig = field(default_factory=SeveralHandsConfig)
