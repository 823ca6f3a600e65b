"""A depth sensor's flaws: axial noise, frayed edges, flying pixels, dropouts, holes, shadows and steps of disparity."""

import numpy as np

from handopt.input.camera import Camera
from handopt.synth import time_of_flight
from handopt.synth.config import SYNTH
from handopt.synth.noise_models import NOISE, NoiseModel
from handopt.typing import BoolImage, FloatImage

_CONFIG = SYNTH.noise


def sense(
    depth_mm: FloatImage, camera: Camera, model: NoiseModel, rng: np.random.Generator, *, mirrored: bool = False
) -> FloatImage:
    """Measure a clean depth image (H, W) in mm, 0 where there is nothing, as a sensor would: (H, W) mm, 0 = none.

    mirrored: the image will be mirrored, so that the projector is at the camera's left.
    """
    surface = np.asarray(depth_mm, np.float32)
    if model == NOISE["none"]:
        return surface.copy()
    edge, beside = _edges(surface)
    measured = _jittered(surface, edge | beside, model.edge_jitter_px, model.edge_jitter_mm * camera.fx, rng)
    if model.mixed > 0:
        measured = time_of_flight.mixed(measured, surface, edge, model.mixed, rng)
    measured = _flying(measured, edge, model.flying, rng)
    if model.multipath > 0:
        measured = time_of_flight.with_multipath(measured, model.multipath, model.multipath_px * camera.fx / 365.0)
    deviation = np.float32(model.floor_mm) + np.float32(model.per_m2_mm * 1e-6) * measured * measured
    deviation = _more_deviation(deviation, measured, surface, camera, model)
    deviation[measured == 0] = 0
    measured = measured + deviation * _grained(rng.standard_normal(surface.shape, dtype=np.float32), model.grain_px)
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
        gone |= _shadow(surface[:, ::turned], camera, model.baseline_mm, blind=model.second_view)[:, ::turned]
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


def _jittered(
    surface: FloatImage, near: BoolImage, sigma_px: float, sigma_px_mm: float, rng: np.random.Generator
) -> FloatImage:
    """Read the pixels near edges at randomly displaced places, which frays silhouettes as real sensors do.

    sigma_px_mm: what divided by the depth adds to the displacement, px mm
    """
    rows, columns = np.nonzero(near)
    sigma: FloatImage | float = sigma_px
    if sigma_px_mm > 0:
        depth = surface[rows, columns]
        sigma = sigma_px + np.where(depth > 0, sigma_px_mm / np.maximum(depth, 1), 0).astype(np.float32)
    shift = np.rint(sigma * rng.standard_normal((2, len(rows)))).astype(int)
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


def _more_deviation(
    deviation: FloatImage, measured: FloatImage, surface: FloatImage, camera: Camera, model: NoiseModel
) -> FloatImage:
    """Add to the deviation (H, W), mm, what only some sensors have: see NoiseModel."""
    if model.per_m_mm:
        deviation = deviation + np.float32(model.per_m_mm * 1e-3) * measured
    if model.angle_mm > 0:
        angle = np.minimum(np.arctan(_tangent(surface, camera)), np.float32(_CONFIG.steepest_rad))
        steep = np.square(angle / (np.float32(np.pi / 2) - angle))
        deviation = deviation + np.float32(model.angle_mm) * (measured * np.float32(1e-3)) ** np.float32(1.5) * steep
    if model.disparity_noise_px > 0:
        factor = np.float32(model.disparity_noise_px / (camera.fx * model.baseline_mm))
        deviation = deviation + factor * measured * measured
    return deviation


def _grained(noise: FloatImage, radius_px: float) -> FloatImage:
    """Make white noise (H, W) of deviation 1 alike within a radius, with the same deviation."""
    if radius_px <= 0:
        return noise
    from scipy.ndimage import gaussian_filter

    # White noise after a Gaussian of s px has a deviation of 1 / (2 s sqrt(pi)).
    return np.asarray(gaussian_filter(noise, radius_px, mode="wrap") * np.float32(2 * radius_px * np.sqrt(np.pi)))


def _tangent(surface: FloatImage, camera: Camera) -> FloatImage:
    """Tangent of the angle between a surface's normal and the view, from the slopes of the depth, (H, W)."""
    along = _slope(surface, camera)
    return np.asarray(np.where(surface > 0, along / np.maximum(surface, 1), 0), np.float32)


def _grazing(surface: FloatImage, camera: Camera, cosine: float) -> BoolImage:
    """Where the surface is seen at a smaller cosine than this, (H, W)."""
    tangent = np.float32(np.sqrt(1 - cosine**2) / cosine)
    return np.asarray((_slope(surface, camera) > tangent * surface) & (surface > 0))


def _slope(surface: FloatImage, camera: Camera) -> FloatImage:
    """Depth times the tangent of the angle between a surface's normal and the view, (H, W) mm."""
    # With z(u, v), the normal is (-fx z_u, -fy z_v, z + (u - cx) z_u + (v - cy) z_v), up to its length.
    z_u, z_v = np.zeros_like(surface), np.zeros_like(surface)
    z_u[:, 1:-1] = (surface[:, 2:] - surface[:, :-2]) / 2
    z_v[1:-1] = (surface[2:] - surface[:-2]) / 2
    return np.asarray(np.hypot(np.float32(camera.fx) * z_u, np.float32(camera.fy) * z_v))


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


def _shadow(surface: FloatImage, camera: Camera, baseline_mm: float, *, blind: bool = False) -> BoolImage:
    """What a projector or a second camera, a baseline to the right of the camera, does not see, (H, W).

    blind: whether what lies to the left of all that the other one sees is missing as well
    """
    disparity = np.where(surface > 0, camera.fx * baseline_mm / np.maximum(surface, 1.0), 0.0)
    lit = np.arange(surface.shape[1]) - disparity  # the projector's column
    nearest = np.minimum.accumulate(lit[:, ::-1], axis=1)[:, ::-1]
    hidden = lit > nearest + _CONFIG.shadow_px
    return np.asarray((surface > 0) & (hidden | (lit < 0) if blind else hidden))


def _quantised(measured: FloatImage, camera: Camera, model: NoiseModel) -> FloatImage:
    """Round to whole steps of disparity: the resolution falls with the square of the distance."""
    if model.disparity_px <= 0 or model.baseline_mm <= 0:
        return measured
    steps = np.float32(camera.fx * model.baseline_mm / model.disparity_px)
    seen = measured > 0
    rounded = np.rint(steps / np.where(seen, measured, 1))
    return np.where(seen, steps / np.maximum(rounded, 1), 0).astype(np.float32)
