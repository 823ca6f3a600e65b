"""The tuned numbers of level wild: what each one is, and its unit.

All are by hand, chosen by eye on rendered images beside real frames on 2026-11-28, unless something else is said. A
pair is the range of a uniform draw. "Share" is a share of images. The list of cameras is in handopt.synth.sensors, the
sizes of objects are in handopt.synth.held_objects.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

Triple = tuple[float, float, float]


def _table(**values: float) -> Mapping[str, float]:
    return MappingProxyType(values)


@dataclass(frozen=True)
class ArmConfig:
    """Arms, in the units of a hand of scale 1; see handopt.synth.arms."""

    whole_mm: tuple[float, float] = (215.0, 275.0)
    """Length of a forearm, mm."""
    stump_share: float = 0.12
    """Arms of which only a piece is there, as where a segmentation has cut them."""
    stump: tuple[float, float] = (0.15, 1.0)
    """Length of such a piece, as a part of the forearm."""
    upper_mm: tuple[float, float] = (200.0, 300.0)
    """Length of the upper arm, mm."""
    upper_radius_mm: tuple[float, float] = (40.0, 56.0)
    """Radius of the upper arm, mm."""
    max_elbow_rad: float = 2.1
    """Largest bend of the elbow, rad."""
    sleeve_share: float = 0.5
    """Arms in sleeves."""
    cuff_near_share: float = 0.55
    """Sleeves that end near the wrist; the rest are rolled up to anywhere below the elbow."""
    cuff_near_mm: tuple[float, float] = (-12.0, 30.0)
    """Where such sleeves end, mm from the wrist towards the elbow."""
    ease_mm: tuple[float, float] = (2.0, 20.0)
    """Space between a sleeve and the arm in it, mm."""
    tight_cuff_share: float = 0.6
    """Sleeves whose cuff is narrower than the rest."""
    fold_mm: tuple[float, float] = (0.3, 4.5)
    """Height of a sleeve's folds, mm, drawn by its logarithm."""
    fold_length_mm: tuple[float, float] = (22.0, 90.0)
    """Wavelength of the folds along the arm, mm."""
    fold_count: tuple[int, int] = (2, 6)
    """Fewest and most waves that make up the folds."""
    fold_least: float = 0.3
    """Height of the lowest of these waves, as a part of the height drawn."""
    fold_max_around: int = 4
    """Most periods of a wave around the arm."""
    fold_fades_mm: float = 25.0
    """Distance from the cuff within which folds grow to their height, mm."""
    ease_grows_mm: float = 60.0
    """Distance from the cuff within which the space grows from the cuff's to the sleeve's, mm."""
    band_length_mm: tuple[float, float] = (8.0, 70.0)
    """Length of a cuff's band, mm."""
    band_thick_mm: tuple[float, float] = (0.0, 3.0)
    """How much thicker than the sleeve it is, mm."""
    tight_cuff: tuple[float, float] = (0.2, 1.0)
    """Space at a narrow cuff, as a part of the sleeve's."""
    wide_cuff: tuple[float, float] = (1.0, 1.5)
    """The same of other cuffs."""
    covered_share: float = 0.6
    """Bare forearms whose upper arm is in a sleeve."""
    bracelet_share: float = 0.2
    """Bare arms with one to three bracelets."""
    watch_share: float = 0.2
    """Arms with a watch, of those with a bare wrist."""
    inset: float = 0.97
    """Width of the arm at the wrist relative to the hand's, so that the hand's skin is outside."""
    full_mm: float = 200.0
    """Distance from the wrist to where the forearm is thickest, mm."""
    sides: int = 24
    """Vertices around an arm."""
    ring_mm: float = 9.0
    """Distance of two rings of its mesh, mm."""


@dataclass(frozen=True)
class GraspConfig:
    """Hands that hold something, in the units of a hand of scale 1; see handopt.synth.grasp."""

    deepest_mm: float = 2.0
    """How deep any vertex of the skin may lie in the object, mm."""
    contact_mm: float = 2.5
    """Skin that is nearer to the object than this touches it, mm: half of the distance of neighbouring vertices."""
    touch_depth_mm: float = 0.6
    """Depth at which a digit that closes stops, mm: skin gives way a little."""
    overlap_mm: float = 3.0
    """How far the balls of two fingers may overlap, mm: around an object fingers press against each other."""
    palm_share: Mapping[str, float] = field(
        default_factory=lambda: _table(ball=0.65, box=0.5, cylinder=0.8, pen=0.35, phone=0.65, cup=1.0)
    )
    """Objects of each kind that lie in the palm; the rest are between thumb and fingertips."""
    full_flexion_rad: Triple = (1.45, 1.6, 1.0)
    """Flexion of MCP, PIP and DIP of a finger that meets nothing, rad."""
    lazy_share: float = 0.12
    """Fingers that close only in part."""
    palm_gap_mm: tuple[float, float] = (-0.5, 4.0)
    """Distance of an object in the palm from the skin of the open hand, mm."""
    pad_mm: float = 7.0
    """From a tip's keypoint to its pad, mm."""
    pinch_draws: int = 24
    """Pinching hands of which the one that fits the object best is taken."""
    thumb_draws: int = 40
    """Starts of the thumb of which one that is outside the object is taken."""
    pinch_open_rad: Triple = (0.7, 0.35, 0.5)
    """By how much pinching hands are opened at most: MCP and PIP of the fingers, CMC of the thumb, rad."""
    pinch_start_rad: Triple = (0.35, 0.25, 0.45)
    """How much wider than around the object a pinch starts: MCP and PIP of index and middle finger, CMC of the thumb,
    rad."""
    pinch_close_rad: tuple[float, float] = (0.45, 0.5)
    """How far beyond it fingers and thumb close if nothing is met: their first two joints, rad."""
    steps: int = 8
    """Poses on the way from open to closed, twice: the second time between the last free and the first that touches."""
    max_tries: int = 60
    """Grasps that are drawn before giving up; one to five are enough."""


@dataclass(frozen=True)
class CropConfig:
    """What is missing from images; see handopt.synth.crops."""

    shares: Mapping[str, float] = field(default_factory=lambda: _table(none=0.79, wrist=0.13, cube=0.08))
    """wrist: only the hand and what it holds, cut off near the wrist, straight or ragged, as in MSRA's set; cube: what
    is in a cube around the hand, as in many preprocessed sets."""
    near_share: float = 0.6
    """Images in which nothing is measured nearer than a limit."""
    near_mm: tuple[float, float] = (80.0, 250.0)
    """That limit, mm."""
    far_share: float = 0.35
    """Images in which nothing is measured beyond a limit."""
    far_mm: tuple[float, float] = (40.0, 900.0)
    """That limit, mm behind the farthest point of the hand, drawn by its logarithm."""
    spared_mm: float = 15.0
    """The least distance of the near limit from the hand, mm."""
    patchy_share: float = 0.4
    """Images whose background has patches without measurements, on what is dark or shiny."""
    wrist_cut_mm: tuple[float, float] = (-25.0, 45.0)
    """Where a crop at the wrist ends, mm past the wrist towards the elbow at scale 1."""
    ragged_share: float = 0.5
    """Crops at the wrist with a ragged end."""
    ragged_mm: tuple[float, float] = (3.0, 12.0)
    """Deviation of a ragged end from a straight one, mm."""
    cube_half_mm: tuple[float, float] = (110.0, 190.0)
    """Half the side of a cube, mm; it holds all of the hand."""


@dataclass(frozen=True)
class SecondHandConfig:
    """A second hand; see handopt.synth.second_hand."""

    touching_share: float = 0.2
    """Second hands that touch the first."""
    behind_share: float = 0.3
    """Second hands behind the first."""
    apart_mm: float = 20.0
    """Least distance of two hands that do not touch, mm."""
    touch_mm: float = 4.0
    """Distance of the nearest vertices of two hands that touch, mm: about that of neighbours in one mesh."""
    arm_gap_mm: float = 6.0
    """Least distance of the second arm from everything of the first hand, mm."""
    beside_mm: tuple[float, float] = (150.0, 380.0)
    """Distance across the image of a hand that is beside the first, mm."""
    behind_mm: tuple[float, float] = (120.0, 400.0)
    """Distance along the axis of a hand that is behind the first, mm."""
    tries: int = 6
    """Places that are tried."""
    approaches: int = 12
    """Steps in which a hand approaches the other one until it touches."""


def _body_parts() -> tuple[tuple[Triple, Triple], ...]:
    return (
        ((165.0, 270.0, 105.0), (0.0, 60.0, 0.0)),  # trunk
        ((205.0, 120.0, 85.0), (0.0, -110.0, 5.0)),  # shoulders
        ((52.0, 90.0, 55.0), (0.0, -250.0, 0.0)),  # neck
        ((76.0, 112.0, 95.0), (0.0, -370.0, -15.0)),  # head
        ((14.0, 30.0, 25.0), (0.0, -365.0, -108.0)),  # nose
        ((48.0, 160.0, 50.0), (225.0, -20.0, 0.0)),  # the other arm
    )


@dataclass(frozen=True)
class RoomConfig:
    """Walls, tables and people; see handopt.synth.surroundings."""

    wall_gap_mm: tuple[float, float] = (60.0, 2500.0)
    """From the farthest point of hands and arms to a wall, mm, drawn by its logarithm."""
    max_slope: float = 0.7
    """Slope of a wall, mm of depth per mm to the side."""
    rest_share: float = 0.2
    """Tables on which the hand rests."""
    table_gap_mm: tuple[float, float] = (5.0, 350.0)
    """Height of other hands above the table, mm."""
    table_half_mm: tuple[tuple[float, float], tuple[float, float]] = ((250.0, 180.0), (900.0, 500.0))
    """Half length and half width of the smallest and of the largest table, mm."""
    table_thickness_mm: float = 28.0
    """Thickness of a table, mm."""
    table_grid: tuple[int, int] = (16, 12)
    """Vertices along a table and across: triangles that reach behind the camera are not drawn."""
    least_height_mm: float = 60.0
    """Of the camera above a table, mm."""
    max_things: int = 6
    """Most things on a table."""
    thing_size: tuple[float, float] = (0.8, 2.5)
    """Of a thing on a table, as a multiple of that of held objects."""
    body: tuple[tuple[Triple, Triple], ...] = field(default_factory=_body_parts)
    """Half axes of the rounded parts of a body and where they are from its chest, mm: x to its left as we see it, y
    down, z away from us. About a person of 1.75 m."""
    body_size: tuple[float, float] = (0.88, 1.12)
    """Of a body, as a multiple of that."""
    shoulder_mm: Triple = (-195.0, -165.0, 0.0)
    """Where the arm leaves the body, mm."""
    fullness: float = 0.8
    """Exponent of the parts' shape: 1 is an ellipsoid, less is fuller, as people in clothes are."""
    body_gap_mm: float = 25.0
    """Least distance of a body behind the hand, mm along the axis."""
    thigh_mm: Triple = (82.0, 80.0, 250.0)
    """Half axes of a thigh, mm."""
    thigh_below_mm: tuple[float, float] = (480.0, 750.0)
    """Distance of thighs below the camera, mm."""
    thigh_apart_mm: tuple[float, float] = (70.0, 160.0)
    """Distance of each from the middle, mm."""
    thigh_ahead_mm: tuple[float, float] = (100.0, 350.0)
    """Distance of their middles in front of the camera, mm."""
    thigh_spread: tuple[float, float] = (0.0, 0.4)
    """How far they point apart, mm to the side per mm ahead."""


@dataclass(frozen=True)
class ViewConfig:
    """From where hands are seen; see handopt.synth.viewpoints."""

    shares: Mapping[str, float] = field(default_factory=lambda: _table(egocentric=0.4, frontal=0.3, any=0.3))
    """Images of each kind of view."""
    from_below_share: float = 0.6
    """Egocentric and frontal arms that enter from below; the rest enter from any side."""
    nearest_mm: float = 220.0
    """Distance of the nearest hands, mm: below it no sensor in the list measures."""
    farthest_mm: float = 1400.0
    """Distance of the farthest hands, mm."""
    least_px: float = 45.0
    """Width or height of the smallest hands, whichever is more, px."""
    margin_px: float = 2.0
    """Least distance of the hand from the image's border, px."""
    placing_rounds: int = 6
    """Steps in which the hand's place in the image is found."""
    farther: float = 1.11
    """Factor of the distance where the hand does not fit into the image."""


@dataclass(frozen=True)
class FilterConfig:
    """The camera's own filter; see handopt.synth.smoothing."""

    share: float = 0.5
    """Images that are filtered."""
    passes: tuple[int, int] = (1, 3)
    """Fewest and most passes. Two make renders look like CVAR's frames of a Senz3D, one like most others."""
    grain_mm: tuple[float, float] = (0.2, 1.8)
    """RMS of the correlated noise that is left, mm at half a metre. 1 to 1.5 mm look like CVAR's."""
    reach_mm: float = 30.0
    """Largest difference of depth between pixels of one surface, mm: more than from finger to finger."""
    least_support: float = 0.36
    """Weight of the neighbours of its depth, and its own of 0.25, below which a pixel is taken for a flying one."""
    least_fill: float = 0.3
    """Weight of the neighbours from which on a missing pixel is filled."""


@dataclass(frozen=True)
class WildConfig:
    """Images of level wild; see handopt.synth.wild and handopt.synth.wild_scene."""

    held_share: float = 0.4
    """Hands that hold something."""
    other_share: float = 0.25
    """Images with a second hand."""
    background_share: float = 0.85
    """Images with something around the hand, of those that are not cut at the wrist."""
    wall_share: float = 0.75
    """Of these, images with a wall."""
    table_share: Mapping[str, float] = field(default_factory=lambda: _table(egocentric=0.6, frontal=0.3, any=0.35))
    """Of these, images with a table, by view."""
    body_share: Mapping[str, float] = field(default_factory=lambda: _table(egocentric=0.1, frontal=0.75, any=0.35))
    """Of these, images with the body that the arm belongs to, by view."""
    thighs_share: float = 0.3
    """Egocentric images with thighs, of those without a table."""
    level_share: Mapping[str, float] = field(default_factory=lambda: _table(easy=0.25, medium=0.25, hard=0.5))
    """Empty hands whose pose is drawn as at another level."""
    gesture_share: float = 0.45
    """Empty hands that make a gesture, at any of these levels."""
    surface_share: float = 0.6
    """Images whose skin is displaced, unless settings say by how much."""
    surface_rms_mm: tuple[float, float] = (0.4, 2.5)
    """RMS of that displacement, mm."""
    own_noise_share: float = 0.7
    """Images with the noise of their camera; the rest have that of any other."""
    focal_spread: float = 0.04
    """Largest relative deviation of a focal length from the nominal one: devices differ by a few per cent."""
    centre_spread: float = 0.02
    """Largest deviation of the principal point from the middle, relative to the image."""
    least_visible_share: float = 0.4
    """Part of the hand's silhouette that nothing may hide."""
    least_visible_joints: int = 8
    """Joints that nothing may hide."""
    least_hand_px: int = 200
    """Pixels of the hand that have to be measured."""
    least_measured_share: float = 0.5
    """Part of the hand's pixels that have to be measured."""
    coarse_px: float = 150.0
    """Width of the image in which one looks whether the hand is hidden, px."""
    poses: int = 8
    """Poses that are drawn until enough of the hand is seen."""
    views: int = 12
    """Views of each pose."""
    scenes: int = 20
    """Scenes that are drawn until enough of the hand is measured."""
    farthest_mm: float = 6000.0
    """Beyond it no wall is seen, mm."""
    least_other_px: int = 30
    """Pixels of the second hand and its arm that have to be seen."""
    same_mm: float = 15.0
    """Difference of a measured depth and its own surface's, mm: more at a border of labels is another surface."""
    arm: ArmConfig = field(default_factory=ArmConfig)
    grasp: GraspConfig = field(default_factory=GraspConfig)
    crop: CropConfig = field(default_factory=CropConfig)
    second_hand: SecondHandConfig = field(default_factory=SecondHandConfig)
    room: RoomConfig = field(default_factory=RoomConfig)
    view: ViewConfig = field(default_factory=ViewConfig)
    filter: FilterConfig = field(default_factory=FilterConfig)


CONFIG = WildConfig()
"""The numbers in use."""
