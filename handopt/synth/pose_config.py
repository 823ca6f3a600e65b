"""The tuned numbers of hands and their poses; handopt.synth.config has the others, and says how they were found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SubjectConfig:
    """How people's hands differ; see handopt.synth.subject."""

    scale: tuple[float, float] = (0.85, 1.15)
    """Size of the hand relative to the rig."""
    finger_spread: float = 0.08
    """Largest relative change of a finger's length and thickness."""
    palm_spread: float = 0.05
    """Largest relative change of the palm's width, thickness and length."""
    max_surface_rms_mm: float = 4.0
    """Largest RMS displacement of the skin that may be asked for, mm."""
    field_lengths_mm: tuple[float, float] = (10.0, 25.0)
    """Correlation lengths of the surface field, mm: between them a bump ends."""
    field_waves: int = 96
    """Plane waves whose sum the surface field is."""
    max_bump: float = 2.5
    """Highest bump, in multiples of the RMS. It keeps fingers from turning inside out."""


@dataclass(frozen=True)
class FingerConfig:
    """How fingers spread, in all kinds of poses; see handopt.synth.gestures."""

    fan: tuple[float, float, float, float] = (0.6, 0.1, -0.4, -1.0)
    """A finger's abduction per unit of spread, index to pinky: fingers fan out from the middle one."""
    fan_fades_rad: float = 1.6
    """Flexion of the MCP at which the fan has closed, rad."""
    least_fan: float = 0.15
    """Share of the fan that is left in a closed hand."""
    abduction_rad: float = 0.05
    """Standard deviation of a finger's own abduction, and of the thumb's at its MCP, rad."""


@dataclass(frozen=True)
class MildPoseConfig:
    """Open and slightly bent hands; see handopt.synth.gestures. Thumbs' angles are in the order of THUMB_ANGLES."""

    curl_rad: tuple[float, float] = (-0.05, 0.2)
    """Flexion that all fingers have in common, rad."""
    curl_of_joint: tuple[float, float, float] = (1.0, 1.0, 0.7)
    """Share of it in MCP, PIP and DIP."""
    flexion_rad: tuple[float, float, float] = (0.05, 0.13, 0.06)
    """Mean flexion of MCP, PIP and DIP, rad."""
    flexion_deviation_rad: tuple[float, float, float] = (0.1, 0.1, 0.07)
    """Standard deviation of each, rad."""
    spread_rad: tuple[float, float] = (0.04, 0.07)
    """Mean and standard deviation of the fan, rad."""
    thumb_rad: tuple[float, ...] = (0.06, 0.0, 0.03, 0.2, 0.1)
    """Mean of the thumb's angles, rad."""
    thumb_deviation_rad: tuple[float, ...] = (0.12, 0.14, 0.12, 0.12, 0.14)
    """Their standard deviations, rad."""


@dataclass(frozen=True)
class FreePoseConfig:
    """Free poses; see handopt.synth.gestures. Closed is 0 for a straight finger and 1 for one that is bent as a fist's.

    Thumbs' angles are in the order of THUMB_ANGLES.
    """

    closed_beta: tuple[float, float] = (1.0, 2.0)
    """Beta distribution of how far a hand is closed; a level's curl adds to the first and takes from the second."""
    neighbour_drift: float = 0.12
    """Standard deviation of the step from one finger to the next."""
    max_apart: float = 0.6
    """Largest share in which MCP and PIP bend on their own."""
    mcp_rad: tuple[float, float] = (-0.25, 1.95)
    """Flexion of the MCP of a straight finger, and what a closed one adds, rad: about the range of the limits."""
    mcp_deviation_rad: float = 0.08
    """Standard deviation, rad."""
    pip_rad: tuple[float, float] = (-0.05, 1.95)
    """The same of the PIP, rad."""
    pip_deviation_rad: float = 0.06
    """Standard deviation, rad."""
    dip_of_pip: tuple[float, float] = (0.3, 0.9)
    """Flexion of the DIP as a share of the PIP's: rig.anatomy.DIP_OF_PIP, give or take a half of it."""
    dip_deviation_rad: float = 0.1
    """Standard deviation, rad."""
    spread_rad: tuple[float, float] = (0.06, 0.12)
    """Mean and standard deviation of the fan, rad."""
    thumb_facing: tuple[float, float, float] = (0.2, 0.4, 0.3)
    """How far the thumb faces the fingers (0: beside them, 1: opposed): mean, what curl adds, standard deviation."""
    thumb_facing_range: tuple[float, float] = (-0.3, 1.0)
    """The least and the most."""
    thumb_beside_rad: tuple[float, ...] = (0.0, 0.0, -0.1, 0.15, 0.15)
    """Mean angles of a thumb beside the fingers, rad."""
    thumb_opposed_rad: tuple[float, ...] = (0.8, 0.05, 0.4, 0.5, 0.55)
    """What a thumb that faces them adds, rad."""
    thumb_deviation_rad: tuple[float, ...] = (0.15, 0.2, 0.15, 0.2, 0.3)
    """Standard deviations, rad."""


@dataclass(frozen=True)
class PoseConfig:
    """How poses without overlaps are found; see handopt.synth.poses."""

    tolerance_mm: float = 1.5
    """How far balls may overlap, mm: skin gives way where it touches."""
    skin_tolerance_mm: float = 2.0
    """How deep a gesture's skin may lie in other skin, mm."""
    draws: int = 8
    """Poses that are drawn and tested at once."""
    max_rounds: int = 100
    """Rounds of draws until a pose is given up."""
    max_gestures: int = 5
    """Poses that are given up until a rig's limits are to blame."""
    edge_on: float = 1.8
    """Exponent of the cosine of the palm to the view in views from anywhere: 1 is the uniform sphere, more sees more
    edges."""

    # Gestures in which the thumb touches something.
    touch_draws: int = 20
    """Poses that are drawn in each step."""
    touch_steps_rad: tuple[float, ...] = (0.2, 0.12, 0.07, 0.04)
    """Standard deviation of the angles in each further step, rad."""
    others_share: float = 0.3
    """Share of it for fingers that neither touch nor are touched."""
    touch_gap_mm: tuple[float, float] = (0.5, 3.0)
    """Gap between thumb and finger that is aimed at, mm."""
    gap_of_clearance: float = 0.5
    """What each mm of clearance adds to it, mm."""
    max_clearance_mm: float = 3.0
    """Clearance from other parts grows by 1 mm with each failed round up to this, mm."""
    overlap_cost: float = 10.0
    """Cost of 1 mm of overlap, relative to 1 mm of the gap."""
    free_overlap_mm: float = 0.75
    """Overlap that costs nothing, mm: a half of the tolerance."""


@dataclass(frozen=True)
class VolumeConfig:
    """The balls that fill a hand; see handopt.synth.hand_volume."""

    spacing_mm: float = 8.0
    """Distance of the balls of a finger, mm: about half its width, so that they leave no gaps."""
    min_balls: int = 2
    """Balls of the shortest bone."""
    min_bone_mm: float = 1.0
    """Shortest last bone up to the centre of its last ball, mm."""
    near_skin_mm: float = 10.0
    """Beyond this distance the nearest vertex of another finger does not say on which side of its skin a point is,
    mm."""
    palm_lines: int = 7
    """Lines of balls from the wrist to the knuckles: one along each of the four metacarpals, one between any two."""
    palm_rows: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)
    """Where the balls of a line are, from the wrist (0) to the knuckle (1)."""
    palm_heights_mm: tuple[float, float, float] = (-12.0, 12.0, 1.0)
    """Heights above the palm's lines at which the largest ball is looked for: lowest, highest, step, mm."""
    max_girth: float = 1.6
    """A finger's skin lies within so many inscribed radii; other skin that is farther away does not count."""
    pad_weights: tuple[float, float] = (0.7, 0.3)
    """Where the pad of a fingertip is: weights of the tip and of the DIP."""
    back_weights: tuple[float, float] = (0.5, 0.5)
    """Where the back of a middle phalanx is: weights of the PIP and of the DIP."""
