"""Random people: the size, the proportions and the surface of a hand."""

from dataclasses import dataclass, replace

import numpy as np

from handopt.errors import ConfigError
from handopt.rig import PROPORTION_NAMES, Rig, with_proportions
from handopt.synth.config import SYNTH
from handopt.typing import Floats

_CONFIG = SYNTH.subject


@dataclass(frozen=True)
class Subject:
    """One person's hand.

    scale: of the whole rig. proportions: (13,) as PROPORTION_NAMES. surface_rms_mm: how far the skin lies from what
    scale and proportions can express, in mm of the real hand; surface_seed: which such skin.
    """

    scale: float
    proportions: Floats
    surface_rms_mm: float = 0.0
    surface_seed: int = 0

    def dress(self, rig: Rig) -> Rig:
        """The rig with this subject's proportions and surface (the scale belongs to the pose); joints keep to the
        proportions."""
        shaped = with_proportions(rig, self.proportions)
        if self.surface_rms_mm == 0.0:
            return shaped
        rms_mm = self.surface_rms_mm / self.scale
        return replace(shaped, rest_mm=shaped.rest_mm + surface_field(shaped, rms_mm, self.surface_seed))

    def life_size(self, rig: Rig) -> Rig:
        """The dressed rig with this subject's scale, about the wrist."""
        dressed = self.dress(rig)
        wrist = dressed.bind[0, :, 3]
        bind = dressed.bind.copy()
        bind[:, :, 3] = wrist + self.scale * (bind[:, :, 3] - wrist)
        return replace(dressed, rest_mm=wrist + self.scale * (dressed.rest_mm - wrist), bind=bind)


def sample_subject(rng: np.random.Generator, surface_rms_mm: float = 0.0) -> Subject:
    """Draw a person: scale 0.85 to 1.15, fingers' lengths and thicknesses within 8 %, the palm within 5 %.

    surface_rms_mm: of a smooth random displacement of the skin, 0 for none. Raises ConfigError.
    """
    check_surface(surface_rms_mm)
    palm, finger = _CONFIG.palm_spread, _CONFIG.finger_spread
    spread = np.array([palm if name.startswith("palm") else finger for name in PROPORTION_NAMES])
    return Subject(
        scale=float(rng.uniform(*_CONFIG.scale)),
        proportions=spread * rng.uniform(-1.0, 1.0, len(spread)),
        surface_rms_mm=float(surface_rms_mm),
        surface_seed=int(rng.integers(2**32)),
    )


def check_surface(rms_mm: float) -> None:
    """Raise ConfigError where a surface's RMS displacement is out of range."""
    most = _CONFIG.max_surface_rms_mm
    if not 0.0 <= rms_mm <= most:
        raise ConfigError(f"the surface's RMS must be between 0 and {most:g} mm, not {rms_mm!r}")


def surface_field(rig: Rig, rms_mm: float, seed: int) -> Floats:
    """Smooth random displacements (V, 3) of the rest vertices along their normals, of a given RMS over the vertices.

    A sum of plane waves whose lengths make it a random field with a correlation length of 10 to 25 mm, in space rather
    than along the skin; it is the same for the two sides of a mirrored rig.
    """
    rng = np.random.default_rng(seed)
    count = _CONFIG.field_waves
    lengths = rng.uniform(*_CONFIG.field_lengths_mm, count)
    waves = rng.standard_normal((3, count)) / lengths
    phases = rng.uniform(0.0, 2 * np.pi, count)
    points = (rig.rest_mm - rig.bind[0, :, 3]) * [rig.side_sign, 1.0, 1.0]
    heights = np.cos(points @ waves + phases).sum(axis=1)
    heights -= heights.mean()
    heights /= heights.std()
    heights = np.clip(heights, -_CONFIG.max_bump, _CONFIG.max_bump)
    return np.asarray(rig.normals * (rms_mm * heights / np.sqrt(np.mean(heights**2)))[:, None])
