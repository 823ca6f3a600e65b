"""A depth sensor's flaws: axial noise, frayed edges, flying pixels, dropouts, holes, shadows and steps of disparity."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from handopt.errors import ConfigError
from handopt.input.camera import Camera
from handopt.synth.config import SYNTH
from handopt.typing import BoolImage, FloatImage

_CONFIG = SYNTH.noise


@dataclass(frozen=True)
class NoiseModel:
    """How a sensor measures. The standard deviation of the depth is floor_mm + per_m2_mm * (z / 1 m)^2."""

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
}
"""The models by name. All numbers are by hand, but for the baseline and the disparity steps of 1/8 px of a Kinect v1
(Khoshelham and Elberink, Sensors 12, 2012)."""


def noise_model(name: str) -> NoiseModel:
    """The model of a name. Raises ConfigError."""
    if name not in NOISE:
        raise ConfigError(f"unknown noise {name!r}: the models are {', '.join(NOISE)}")
    return NOISE[name]


def sense(
    depth_mm: FloatImage, camera: Camera, model: NoiseModel, rng: np.random.Generator, *, mirrored: bool = False
) -> FloatImage:
    """Measure a clean depth image (H, W) in mm, 0 where there is nothing, as a sensor would: (H, W) mm, 0 = none.

    mirrored: the image will be turned over, so that the projector is at the camera's left.
    """
    surface = np.asarray(depth_mm, np.float32)
    if model == NOISE["none"]:
        return surface.copy()
    edge, beside = _edges(surface)
    measured = _jittered(surface, edge | beside, model.edge_jitter_px, rng)
    measured = _flying(measured, edge, model.flying, rng)
    deviation = np.float32(model.floor_mm) + np.float32(model.per_m2_mm * 1e-6) * measured * measured
    deviation[measured == 0] = 0
    measured = measured + deviation * rng.standard_normal(surface.shape, dtype=np.float32)
    # One random number per pixel decides whether any of the causes takes it away.
    missing = np.full(surface.shape, np.float32(model.dropout))
    missing[beside] = model.edge_dropout[1]
    missing[edge] = model.edge_dropout[0]
    if model.grazing_dropout > 0:
        grazing = _grazing(surface, camera, model.grazing_cosine) & ~edge
        missing[grazing] = np.maximum(missing[grazing], model.grazing_dropout)
    gone = (rng.random(surface.shape, dtype=np.float32) < missing) | _holes(surface.shape, model.holes, rng)
    if model.shadow:
        turned = -1 if mirrored else 1
        gone |= _shadow(surface[:, ::turned], camera, model.baseline_mm)[:, ::turned]
    measured[gone | (measured < 0)] = 0
    return _quantised(measured, camera, model)


def _edges(surface: FloatImage) -> tuple[BoolImage, BoolImage]:
    """Pixels beside a depth edge on either of its sides, and those one pixel farther, (H, W) each."""
    edge = np.zeros(surface.shape, bool)
    for axis in (0, 1):
        step = np.abs(np.diff(surface, axis=axis)) > _CONFIG.edge_mm
        before: list[slice] = [slice(None), slice(None)]
        after: list[slice] = [slice(None), slice(None)]
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        edge[tuple(before)] |= step
        edge[tuple(after)] |= step
    wide = edge.copy()
    wide[1:] |= edge[:-1]
    wide[:-1] |= edge[1:]
    wide[:, 1:] |= edge[:, :-1]
    wide[:, :-1] |= edge[:, 1:]
    return edge, wide & ~edge


def _jittered(surface: FloatImage, near: BoolImage, sigma_px: float, rng: np.random.Generator) -> FloatImage:
    """Read the pixels near edges at randomly displaced places, which frays silhouettes as real sensors do."""
    rows, columns = np.nonzero(near)
    shift = np.rint(sigma_px * rng.standard_normal((2, len(rows)))).astype(int)
    result = surface.copy()
    result[rows, columns] = surface[
        np.clip(rows + shift[0], 0, surface.shape[0] - 1), np.clip(columns + shift[1], 0, surface.shape[1] - 1)
    ]
    return result


def _flying(measured: FloatImage, edge: BoolImage, share: float, rng: np.random.Generator) -> FloatImage:
    """Move a share of the pixels at edges to somewhere between the two surfaces, if both of them are seen."""
    rows, columns = np.nonzero(edge)
    chosen = rng.random(len(rows)) < share
    rows, columns = rows[chosen], columns[chosen]
    window = np.stack(
        [
            measured[np.clip(rows + i, 0, measured.shape[0] - 1), np.clip(columns + j, 0, measured.shape[1] - 1)]
            for i, j in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
        ]
    )
    far = window.max(axis=0)
    near = np.where(window > 0, window, np.inf).min(axis=0, initial=np.inf)
    far = np.where((window == 0).any(axis=0), near + _CONFIG.flying_reach_mm, far)
    seen = np.isfinite(near)
    between = near[seen] + rng.random(int(seen.sum())) * (far[seen] - near[seen])
    measured[rows[seen], columns[seen]] = between.astype(np.float32)
    return measured


def _grazing(surface: FloatImage, camera: Camera, cosine: float) -> BoolImage:
    """Where the surface is seen at a smaller cosine than this, from the slopes of the depth, (H, W)."""
    # With z(u, v), the normal is (-fx z_u, -fy z_v, z + (u - cx) z_u + (v - cy) z_v), up to its length.
    z_u, z_v = np.zeros_like(surface), np.zeros_like(surface)
    z_u[:, 1:-1] = (surface[:, 2:] - surface[:, :-2]) / 2
    z_v[1:-1] = (surface[2:] - surface[:-2]) / 2
    along = np.hypot(np.float32(camera.fx) * z_u, np.float32(camera.fy) * z_v)
    tangent = np.float32(np.sqrt(1 - cosine**2) / cosine)
    return np.asarray((along > tangent * surface) & (surface > 0))


def _holes(shape: tuple[int, ...], per_100000: float, rng: np.random.Generator) -> BoolImage:
    """Small round holes, (H, W)."""
    height, width = shape
    holes = np.zeros(shape, bool)
    smallest, largest = _CONFIG.hole_radius_px
    reach = int(np.ceil(largest))
    for _ in range(int(rng.poisson(per_100000 * height * width / 1e5))):
        row, column, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(smallest, largest)
        top, left = max(0, int(row) - reach), max(0, int(column) - reach)
        rows = np.arange(top, min(height, int(row) + reach + 2))[:, None]
        columns = np.arange(left, min(width, int(column) + reach + 2))
        holes[rows, columns] |= (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    return holes


def _shadow(surface: FloatImage, camera: Camera, baseline_mm: float) -> BoolImage:
    """What a projector, a baseline to the right of the camera, does not light, (H, W)."""
    disparity = np.where(surface > 0, camera.fx * baseline_mm / np.maximum(surface, 1.0), 0.0)
    lit = np.arange(surface.shape[1]) - disparity  # the projector's column
    nearest = np.minimum.accumulate(lit[:, ::-1], axis=1)[:, ::-1]
    return np.asarray((surface > 0) & (lit > nearest + _CONFIG.shadow_px))


def _quantised(measured: FloatImage, camera: Camera, model: NoiseModel) -> FloatImage:
    """Round to whole steps of disparity: the resolution falls with the square of the distance."""
    if model.disparity_px <= 0 or model.baseline_mm <= 0:
        return measured
    steps = np.float32(camera.fx * model.baseline_mm / model.disparity_px)
    seen = measured > 0
    rounded = np.rint(steps / np.where(seen, measured, 1))
    return np.where(seen, steps / np.maximum(rounded, 1), 0).astype(np.float32)
