"""The tuned numbers of readings of an image: where a hand ends, what is something else, and what else is tried."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LimbConfig:
    """Where a posed hand ends and its forearm begins; see handopt.observation.limb. By hand, 2026-11-28."""

    reach_mm: float = 300.0
    """What hangs together with a hand within this distance of its wrist is explained or counts against it, mm."""
    bend: float = 0.17
    """Cosine between the hand's axis and the forearm above which something may be the forearm: a wrist bends by 80
    degrees."""
    wrist_mm: tuple[float, float] = (20.0, 45.0)
    """Distances from the wrist, mm: within the first a pixel says nothing of the forearm's direction, within the second
    it may be either, hand or forearm."""
    axis_mm: float = 200.0
    """Length of the forearm from which its axis is measured, mm."""
    min_arm_cm2: float = 4.0
    """Area that a forearm must have, cm2."""
    arm_radius_mm: tuple[float, float] = (48.0, 0.12)
    """Radius of the tube that holds a forearm in its sleeve: at the wrist, mm, and its growth along the axis."""
    entry_mm: tuple[float, float] = (30.0, 60.0)
    """How far on the fingers' side of the wrist a limb that leaves the image speaks against a hand, mm, and the length
    along the border that does so in full, mm."""
    border_px: int = 2
    """Width of the image's border, and of the rim around a limb in which nothing measured proves nothing, pixels."""
    min_hand_cm2: float = 40.0
    """Area that a hand has at least, cm2: what a pose leaves unexplained is relative to the hand's area."""
    finger_reach_mm: float = 130.0
    """How far from the palm's middle the hand's own pixels lie, mm."""
    hidden_rim_px: float = 3.0
    """What lies within this distance of pixels that were left out may go on beyond them, pixels."""
    same_palm_mm: float = 40.0
    """Palms nearer than this are one."""
    perhaps_presence: float = 0.25
    """Probability of a palm from which on the network looks once more around the palm that it has found. By hand."""
    other_presence: float = 0.5
    """Probability of a palm from which on the network of pixel labels is believed."""
    other_probability: float = 0.5
    """Probability of hand or forearm below which a pixel is something else."""
    min_other_cm2: float = 13.0
    """Area that something else must have within the fingers' reach, cm2: of 40 rendered scenes in which nothing was
    held, the network saw 11 and 12 cm2 of an object in two, whose fits became wrong."""


@dataclass(frozen=True)
class EvidenceConfig:
    """How much a pixel counts that may be something else; see handopt.observation.other_pixels. 2026-11-29."""

    mistaken: float = 0.2
    """Probability that the network is wrong where it is sure; the smaller, the more its doubts weigh. Of 28 rendered
    scenes with held objects 11 are right at 0.2 and 9 at 0.01."""
    perhaps: float = 0.2
    """Probability of something else from which on the window is looked at again, turned. By hand."""
    perhaps_cm2: float = 4.0
    """Area of such pixels within the fingers' reach from which on that is done, cm2. By hand."""


@dataclass(frozen=True)
class ReadingConfig:
    """Which further readings of an image a second search takes. By hand, 2026-11-28."""

    other_sizes: tuple[float, ...] = (1.3,)
    """Sizes of hands that are looked for, relative to an adult's: cameras whose depths or focal lengths are off show
    larger ones."""
    size_score: float = 0.3
    """How much less than the best hand of usual size a hand of another size may score to be read."""
    ball_mm: float = 120.0
    """Reach of the reading that cuts nothing off, from the palm's middle, mm: fingers reach 115 mm."""
