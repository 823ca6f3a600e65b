"""Sensors by name: how each measures depth, with the source of its numbers."""

from dataclasses import dataclass
from typing import Final

from handopt.errors import ConfigError


@dataclass(frozen=True)
class NoiseModel:
    """How a sensor measures.

    The standard deviation of the depth is the sum of floor_mm + per_m_mm (z / 1 m) + per_m2_mm (z / 1 m)^2, of
    angle_mm (z / 1 m)^1.5 t^2 / (pi/2 - t)^2 for a surface seen at an angle t (the form of Nguyen, Izadi and Lovell,
    3DIMPVT 2012, and of Fankhauser et al., ICAR 2015), and of disparity_noise_px z^2 / (fx baseline_mm).
    """

    floor_mm: float = 0.0
    """Standard deviation of the depth at the camera, mm."""
    per_m2_mm: float = 0.0
    """What a distance of 1 m adds, mm."""
    edge_jitter_px: float = 0.0
    """Standard deviation of the displacement of edges, px."""
    edge_dropout: tuple[float, float] = (0.0, 0.0)
    """Probability of a missing pixel beside a depth edge, and of one beside that."""
    flying: float = 0.0
    """Probability that a pixel at an edge lies between the two surfaces."""
    grazing_cosine: float = 0.3
    """Cosine of the surface's normal to the view below which a surface is seen at a grazing angle."""
    grazing_dropout: float = 0.0
    """Probability of a missing pixel there."""
    dropout: float = 0.0
    """Probability of a missing pixel anywhere."""
    holes: float = 0.0
    """Mean number of small holes on 10^5 pixels."""
    baseline_mm: float = 0.0
    """From the camera to the projector of a sensor that measures whole steps of disparity, mm; 0 for none."""
    disparity_px: float = 0.0
    """Size of such a step, px; 0 for none."""
    shadow: bool = False
    """Whether the projector's shadow, at the baseline's end, is missing."""
    per_m_mm: float = 0.0
    """What the standard deviation gains with the distance itself, mm per m."""
    angle_mm: float = 0.0
    """What it gains on surfaces that are seen at an angle, mm."""
    disparity_noise_px: float = 0.0
    """Standard deviation of the disparity of a stereo camera, px."""
    grain_px: float = 0.0
    """How far the noise of neighbours is alike, px: the radius of the windows that are compared."""
    edge_jitter_mm: float = 0.0
    """Standard deviation of the displacement of edges as a length at the surface, mm; added to the one in px."""
    mixed: float = 0.0
    """Probability that a pixel at an edge sees both surfaces and returns a mean of their depths, by their light."""
    multipath: float = 0.0
    """Share of the light that has come by way of what is beside and farther away, which lengthens its way."""
    multipath_px: float = 0.0
    """Radius of what counts as beside, px of an image of a focal length of 365 px."""
    second_view: bool = False
    """Whether what lies beyond the other camera's edge of view is missing: a band at the image's left."""


NOISE: Final = {
    "none": NoiseModel(),
    "low": NoiseModel(
        floor_mm=0.2, per_m2_mm=0.8, edge_jitter_px=0.4, edge_dropout=(0.1, 0.0), grazing_dropout=0.1, dropout=0.0005
    ),
    "sr305": NoiseModel(
        floor_mm=0.65,
        per_m2_mm=1.7,
        edge_jitter_px=0.8,
        edge_dropout=(0.35, 0.12),
        flying=0.08,
        grazing_cosine=0.35,
        grazing_dropout=0.25,
        dropout=0.003,
        holes=1.0,
    ),
    "kinect": NoiseModel(
        floor_mm=0.8,
        per_m2_mm=2.8,
        edge_jitter_px=1.0,
        edge_dropout=(0.4, 0.15),
        flying=0.15,
        grazing_cosine=0.4,
        grazing_dropout=0.4,
        dropout=0.003,
        holes=3.0,
        baseline_mm=75.0,
        disparity_px=0.125,
        shadow=True,
    ),
    # Time of flight. Deviation: high frequencies of smooth surfaces in 60 frames of CVAR (a Senz3D, 320 x 240):
    # 1.0 mm at 0.4 m, 1.7 at 0.6 m, 2.0 at 0.85 m, 2.3 at 1.2 m; the DS325's data sheet promises less than 14 mm at
    # 1 m (quoted from memory). The rest is by hand: that sensor drops what is dark or at a grazing angle, and its
    # silhouettes are bent.
    "senz3d": NoiseModel(
        floor_mm=0.5,
        per_m_mm=1.6,
        edge_jitter_px=0.7,
        edge_dropout=(0.25, 0.05),
        mixed=0.5,
        multipath=0.03,
        multipath_px=12.0,
        grazing_cosine=0.3,
        grazing_dropout=0.5,
        dropout=0.002,
        holes=2.0,
    ),
    # Time of flight. Axial: 1.5 - 0.5 z + 0.3 z^2 + 0.1 z^1.5 t^2 / (pi/2 - t)^2 mm (Fankhauser, Bloesch, Rodriguez,
    # Kaestner, Hutter and Siegwart, "Kinect v2 for mobile robot navigation", ICAR 2015, model for indoors), quoted from
    # memory; at 0.8 m it gives 1.29 mm where Toelgyessy et al. (Sensors 21, 413, 2021) measured 1.14. Lateral: 1.6 mm,
    # of the same paper. Mixed pixels and multipath: by hand.
    "kinect2": NoiseModel(
        floor_mm=1.5,
        per_m_mm=-0.5,
        per_m2_mm=0.3,
        angle_mm=0.1,
        edge_jitter_mm=1.6,
        edge_dropout=(0.2, 0.02),
        mixed=0.6,
        multipath=0.03,
        multipath_px=16.0,
        grazing_cosine=0.15,
        grazing_dropout=0.4,
        dropout=0.001,
    ),
    # Time of flight, NFOV unbinned. Axial: 0.61 mm at 0.8 m (Toelgyessy et al., Sensors 21, 413, 2021, quoted from
    # memory), and far below the 17 mm at 3.9 m that Microsoft allows; the growth, edges, mixed pixels (which the SDK
    # removes in part) and multipath are by hand.
    "azure": NoiseModel(
        floor_mm=0.4,
        per_m2_mm=0.33,
        edge_jitter_px=0.6,
        edge_dropout=(0.5, 0.1),
        mixed=0.3,
        multipath=0.02,
        multipath_px=20.0,
        grazing_cosine=0.15,
        grazing_dropout=0.4,
        dropout=0.0005,
    ),
    # Active stereo, D435. Disparity noise of 0.08 px on a textured target, in z^2 times it by focal length and baseline
    # (Intel, "Tuning depth cameras for best performance", the theoretical limit of the depth's RMS error); baseline
    # 50 mm (data sheet); steps of 1/32 px (Intel, "Subpixel linearity improvement"); all quoted from memory. Shadow
    # and blind band at the left follow from two views, of which the left one gives the image. Grain, edges and holes
    # are by hand.
    "d400": NoiseModel(
        disparity_noise_px=0.08,
        baseline_mm=50.0,
        disparity_px=1 / 32,
        shadow=True,
        second_view=True,
        grain_px=2.0,
        edge_jitter_px=2.0,
        edge_dropout=(0.3, 0.15),
        flying=0.1,
        grazing_cosine=0.25,
        grazing_dropout=0.3,
        dropout=0.0005,
        holes=2.0,
    ),
    # Structured light of phones. Breitbarth, Schardt, Kind, Brinkmann, Dittrich and Notni (SPIE 11144, 2019) found
    # accuracies in the range of a millimetre at close range; all numbers are by hand: smooth noise, as depth is
    # filtered on the phone, and the shadow of a projector 27 mm to the side.
    "truedepth": NoiseModel(
        floor_mm=0.3,
        per_m2_mm=2.5,
        baseline_mm=27.0,
        disparity_px=1 / 64,
        shadow=True,
        grain_px=2.5,
        edge_jitter_px=1.2,
        edge_dropout=(0.3, 0.1),
        flying=0.15,
        grazing_cosine=0.25,
        grazing_dropout=0.3,
        dropout=0.0005,
        holes=0.5,
    ),
}
"""The models by name. Where nothing is said, numbers are by hand, but for the baseline and the disparity steps of
1/8 px of a Kinect v1 (Khoshelham and Elberink, Sensors 12, 2012)."""


def noise_model(name: str) -> NoiseModel:
    """The model of a name. Raises ConfigError."""
    if name not in NOISE:
        raise ConfigError(f"unknown noise {name!r}: the models are {', '.join(NOISE)}")
    return NOISE[name]
