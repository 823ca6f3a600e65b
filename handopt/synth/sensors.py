"""Which camera takes an image: depth cameras in use, and a few that are wider, narrower or coarser."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from handopt.input.camera import Camera
from handopt.synth.noise_models import NOISE
from handopt.synth.wild_config import CONFIG


@dataclass(frozen=True)
class SensorKind:
    """A depth camera.

    noise: of handopt.synth.noise_models if it has it; width, height: px; focal_px: nominal; weight: how
    often it is drawn
    """

    noise: str
    width: int
    height: int
    focal_px: float
    weight: float = 1.0


KINDS: Final = (
    # From assets/cameras.toml and the makers' data sheets, rounded: every device differs by a few per cent.
    SensorKind("senz3d", 320, 240, 224.5, 2.5),
    SensorKind("senz3d", 320, 240, 241.4, 1.0),
    SensorKind("sr305", 640, 480, 475.0, 1.0),
    SensorKind("sr305", 320, 240, 237.5, 1.5),
    SensorKind("kinect", 640, 480, 576.0, 0.7),
    SensorKind("kinect", 320, 240, 288.0, 0.8),
    SensorKind("kinect2", 512, 424, 366.0, 1.0),
    SensorKind("azure", 640, 576, 504.0, 0.4),
    SensorKind("azure", 320, 288, 252.0, 1.0),
    SensorKind("d400", 848, 480, 425.0, 0.3),
    SensorKind("d400", 424, 240, 212.0, 1.0),
    SensorKind("truedepth", 640, 480, 575.0, 0.4),
    SensorKind("truedepth", 320, 240, 287.5, 0.8),
    # A wide lens, a narrow one, and small images.
    SensorKind("", 320, 240, 150.0, 0.7),
    SensorKind("", 320, 240, 430.0, 0.5),
    SensorKind("", 224, 172, 210.0, 1.0),
    SensorKind("", 176, 144, 225.0, 0.6),
    SensorKind("", 160, 120, 140.0, 1.2),
)
_WEIGHTS = np.array([kind.weight for kind in KINDS])


def sample_camera(rng: np.random.Generator) -> tuple[Camera, str]:
    """Draw a camera and the name of its noise model; every model but "none" is drawn."""
    kind = KINDS[int(rng.choice(len(KINDS), p=_WEIGHTS / _WEIGHTS.sum()))]
    focal = kind.focal_px * rng.uniform(1 - CONFIG.focal_spread, 1 + CONFIG.focal_spread)
    ratio = rng.uniform(0.99, 1.01)
    shift = rng.uniform(-CONFIG.centre_spread, CONFIG.centre_spread, 2) * [kind.width, kind.height]
    camera = Camera(
        float(focal),
        float(focal * ratio),
        float((kind.width - 1) / 2 + shift[0]),
        float((kind.height - 1) / 2 + shift[1]),
        kind.width,
        kind.height,
        "synth",
    )
    return camera, sample_noise(rng, kind.noise)


def sample_noise(rng: np.random.Generator, own: str = "") -> str:
    """Draw the name of a noise model, most often a camera's own if there is such a model."""
    names = [name for name in NOISE if name != "none"]
    other, chance = names[int(rng.integers(len(names)))], rng.random()
    return own if own in NOISE and chance < CONFIG.own_noise_share else other
