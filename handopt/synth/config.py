"""The tuned numbers of synthetic images: what each one is, its unit, and how it was found.

"By hand" means: chosen by eye on rendered images on 2026-11-24, and not fitted to anything. Where nothing is said about
its origin, a number is by hand. A pair is the range of a uniform draw, unless said otherwise. Those of hands and poses
are in handopt.synth.pose_config; the states of fingers in gestures are a table in handopt.synth.gestures, and the
sensors one in handopt.synth.noise_models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import pi, radians

from handopt.synth.pose_config import (
    FingerConfig,
    FreePoseConfig,
    MildPoseConfig,
    PoseConfig,
    SubjectConfig,
    VolumeConfig,
)


@dataclass(frozen=True)
class ForearmConfig:
    """The tube of the forearm; see handopt.synth.forearm."""

    flexion_rad: float = 0.6
    """Standard deviation of the wrist's bend towards the palm or the back, rad."""
    deviation_rad: float = 0.25
    """The same towards the thumb or the little finger, rad."""
    max_bend_rad: float = 1.2
    """Largest bend in any direction, rad: 69 degrees, near the end of a wrist's range."""
    length_mm: tuple[float, float] = (90.0, 280.0)
    """Length from the wrist, mm."""
    elbow_half_width_mm: tuple[float, float] = (34.0, 46.0)
    """Half the width at the thickest place, mm."""
    elbow_flatness: tuple[float, float] = (0.78, 0.95)
    """Height there, relative to the width."""
    start_mm: float = -4.0
    """Where the tube begins along the arm from the wrist's joint, mm: inside the hand, so that there is no gap."""
    bend_mm: float = 40.0
    """Length of the arc on which the tube turns, mm."""
    full_mm: float = 200.0
    """Distance from the wrist to where the forearm is thickest, mm."""
    least_bend_rad: float = 1e-6
    """A straight arm is an arc of this angle, rad: of a very large circle."""
    rim_mm: float = 20.0
    """Length of the end of the hand's mesh, which is cut off at a slant, mm."""
    inset: float = 0.97
    """Width of the tube at the wrist relative to the hand's, so that the hand's skin is outside."""
    sides: int = 32
    """Vertices around the tube."""
    rings: int = 28
    """Rings along the tube."""
    bend_rings: int = 10
    """Those of them on the arc."""


def _body_parts() -> tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...]:
    return (
        ((190.0, 280.0, 115.0), (0.0, 0.0, 0.0)),  # torso
        ((75.0, 110.0, 90.0), (0.0, -365.0, -10.0)),  # head
        ((90.0, 85.0, 240.0), (110.0, 300.0, -120.0)),  # thigh
    )


@dataclass(frozen=True)
class BackgroundConfig:
    """What stands behind a hand; see handopt.synth.background."""

    plane_share: float = 0.8
    """Share of the backgrounds with a plane."""
    body_share: float = 0.35
    """Share with a body; those without a plane have one in any case."""
    gap_mm: tuple[float, float] = (100.0, 600.0)
    """From the farthest point of the hand to the nearest of what is behind it, mm."""
    behind_body_mm: tuple[float, float] = (150.0, 500.0)
    """What a plane behind a body adds to it, mm."""
    max_tilt: float = 0.45
    """Largest slope of the plane, mm of depth per mm to the side."""
    farthest_mm: float = 6000.0
    """Depth beyond which the plane is not measured, mm."""
    body: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...] = field(default_factory=_body_parts)
    """Half axes of the body's ellipsoids, and where they are relative to the torso's centre, mm: an adult, roughly."""
    body_size: tuple[float, float] = (0.85, 1.15)
    """Scale of the body."""
    body_turn_rad: float = 0.5
    """Largest turn of the body about the vertical, rad."""
    body_reach_mm: float = 420.0
    """Farthest that the body stands to the side of the hand, and above or below it, mm."""
    sphere_stacks: int = 12
    """Rows of the mesh of an ellipsoid."""
    sphere_slices: int = 20
    """Its columns."""


@dataclass(frozen=True)
class SceneConfig:
    """Where the hand is in the image, and how much of it is seen; see handopt.synth.scene."""

    distance_mm: tuple[float, float] = (300.0, 800.0)
    """Depth of the middle of the 21 joints, mm: within an SR305's range, 0.2 to 1.5 m."""
    farthest_mm: float = 2500.0
    """Depth at which the search for a distance at which the hand fits into the image ends, mm."""
    farther: float = 1.1
    """Factor from one distance of that search to the next."""
    margin_px: float = 8.0
    """Distance of the hand from the border of the image, px."""
    placing_rounds: int = 6
    """Rounds in which the place in the image is corrected for perspective."""
    placed_px: float = 0.5
    """Error of the place that is good enough, px."""
    nearest_arm_mm: float = 120.0
    """A forearm that comes nearer to the camera is flattened at this depth, mm."""
    same_mm: float = 0.01
    """Depths that differ by less are of one surface, mm. Above the rounding of float32 at 2.5 m, 0.0002 mm."""
    min_visible_share: float = 0.4
    """Smallest part of the hand's silhouette that its forearm leaves in view: below it nobody could tell the pose."""
    min_visible_joints: int = 8
    """Fewest joints of 21 in view."""
    max_tries: int = 50
    """Draws of a hand and a forearm until an image is given up."""


@dataclass(frozen=True)
class MotionConfig:
    """How a hand moves from one key pose to the next; see handopt.synth.motion. Speeds are of unhurried gestures."""

    turn_rad_s: float = 1.8
    """Mean speed of the whole hand's rotation, rad/s; the peak of minimum jerk is 15 / 8 of it."""
    bend_rad_s: float = 3.5
    """Mean speed of the joint that bends most, rad/s."""
    travel_mm_s: float = 250.0
    """Mean speed of the hand's middle, mm/s."""
    min_travel_s: float = 0.4
    """Time of the quickest transition, s."""
    hold_s: tuple[float, float] = (0.0, 0.4)
    """Rest after a transition, s."""
    leisure: tuple[float, float] = (1.0, 1.6)
    """Factor by which a transition takes longer than the fastest of its parts would."""
    max_turn_rad: float = radians(80.0)
    """Largest turn between two key poses, rad: about what wrist and forearm turn together without effort."""
    tolerance_mm: float = 2.0
    """How far balls may overlap, mm: 0.5 mm more than in a key pose, as fingers brush past each other."""
    overlap_steps: int = 11
    """Poses of a transition that are tested for overlaps."""
    looked_at: tuple[float, ...] = (0.2, 0.35, 0.5, 0.65, 0.8)
    """Shares of the time at which the hand must be in view."""
    leads: tuple[float, ...] = (0.0, 0.35, -0.35)
    """By which share of the time the thumb is ahead of the fingers, in the order in which they are tried."""
    view_tries: int = 40
    """Draws of a view that is not turned too far; then the nearest is taken."""
    key_tries: int = 60
    """Draws of a key pose, and of a transition, before the motion is given up."""


@dataclass(frozen=True)
class NoiseConfig:
    """What all sensors have in common; see handopt.synth.noise."""

    edge_mm: float = 15.0
    """A step between neighbours that makes an edge, mm."""
    flying_reach_mm: float = 40.0
    """How far flying pixels reach where nothing is measured beyond an edge, mm."""
    hole_radius_px: tuple[float, float] = (1.0, 3.0)
    """Radius of a small hole, px."""
    shadow_px: float = 1.0
    """A pixel lies in the projector's shadow where something nearer is lit more than this to the left, px."""
    multipath_mm: float = 150.0
    """Longest detour of light that comes back by another surface, mm."""
    steepest_rad: float = 1.4
    """Surfaces at more than this angle have the noise of this angle, rad."""


@dataclass(frozen=True)
class FrontalView:
    """Views of the palm or the back, turned by angles drawn between -tilt and tilt, and -roll and roll."""

    tilt_rad: float
    """Largest yaw and largest pitch, rad."""
    roll_rad: float
    """Largest roll, rad."""
    back_share: float
    """Share of the views that show the back of the hand."""


@dataclass(frozen=True)
class LevelConfig:
    """How difficult the images of a level are."""

    view: FrontalView | None
    """Views near frontal ones, or None for views from the whole sphere."""
    gesture_share: float
    """Share of gestures; the others are free poses."""
    curl: float | None
    """How far most free poses are closed, 0 to 1, or None for nearly open hands."""
    forearm_share: float
    """Share of images with a forearm."""
    background_share: float = 0.65
    """Share of images with a background."""


def _levels() -> dict[str, LevelConfig]:
    return {
        "easy": LevelConfig(FrontalView(radians(25.0), radians(60.0), 0.3), 0.0, None, forearm_share=0.5),
        "medium": LevelConfig(FrontalView(radians(55.0), pi, 0.5), 0.15, 0.1, forearm_share=0.6),
        "hard": LevelConfig(None, 0.5, 0.6, forearm_share=0.7),
    }


@dataclass(frozen=True)
class SynthConfig:
    """All tuned numbers of synthetic images."""

    levels: Mapping[str, LevelConfig] = field(default_factory=_levels)
    subject: SubjectConfig = field(default_factory=SubjectConfig)
    fingers: FingerConfig = field(default_factory=FingerConfig)
    mild: MildPoseConfig = field(default_factory=MildPoseConfig)
    free: FreePoseConfig = field(default_factory=FreePoseConfig)
    poses: PoseConfig = field(default_factory=PoseConfig)
    volume: VolumeConfig = field(default_factory=VolumeConfig)
    forearm: ForearmConfig = ForearmConfig()
    background: BackgroundConfig = field(default_factory=BackgroundConfig)
    scene: SceneConfig = SceneConfig()
    motion: MotionConfig = MotionConfig()
    noise: NoiseConfig = NoiseConfig()


SYNTH = SynthConfig()
