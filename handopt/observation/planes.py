"""Large planes of a depth image: walls, desks and floors, which are no hands and which hands lie on."""

import numpy as np

from handopt.input.camera import Camera
from handopt.observation.settings import DEFAULT, PlaneConfig
from handopt.ops.surfaces import pixels_on_plane
from handopt.typing import BoolImage, FloatImage, Indices, Vector


def large_planes(depth_mm: FloatImage, camera: Camera, config: PlaneConfig = DEFAULT.planes) -> BoolImage:
    """Tell the pixels (H, W) that lie in a large plane, of which there may be three.

    depth_mm: (H, W) mm, 0 = none. A pixel lies in a plane to 5 mm at the camera and 10 mm at 1 m, as depth sensors
    measure. A plane is linear in inverse depth, 1/z = a u + b v + c; it is drawn through three pixels near each other,
    the best of some draws is kept and fitted to its pixels.
    """
    flat = np.zeros(depth_mm.shape, np.bool_)
    pixel_cm2 = 1.0 / (100.0 * camera.fx * camera.fy)
    remaining = depth_mm != 0
    left = np.flatnonzero(remaining)
    rng = np.random.default_rng(0)
    for _ in range(config.max_planes):
        z = depth_mm.ravel()[left[:: max(1, len(left) // config.samples)]]
        if (
            float(np.square(z, dtype=np.float64).mean() if len(z) else 0.0) * len(left) * pixel_cm2
            < config.min_area_cm2
        ):
            break
        plane = _best_plane(depth_mm, left, rng, config)
        if plane is None:
            break
        inside = pixels_on_plane(depth_mm, remaining, plane, config.thickness_mm, config.noise_mm * 1e-6)
        if float(np.square(depth_mm[inside], dtype=np.float64).sum()) * pixel_cm2 < config.min_area_cm2:
            break
        flat |= inside
        remaining &= ~inside
        left = np.flatnonzero(remaining)
    return flat


def _best_plane(depth_mm: FloatImage, left: Indices, rng: np.random.Generator, config: PlaneConfig) -> Vector | None:
    """Return (a, b, c) of the plane that holds most of a sample of the pixels left, by area, or None.

    left: (n,) flat indices of the pixels.
    """
    height, width = depth_mm.shape
    sample = left[:: max(1, len(left) // config.samples)]
    rows, columns = np.divmod(sample, width)
    z = depth_mm.ravel()[sample]
    corner = rng.choice(left, config.draws)
    reach = rng.integers(*config.triple_px, (2, config.draws)) * rng.choice((-1, 1), (2, config.draws))
    v, u = np.divmod(corner, width)
    v1, u1 = np.clip(v + reach[0], 0, height - 1), np.clip(u + reach[1], 0, width - 1)
    here, below, beside = depth_mm[v, u], depth_mm[v1, u], depth_mm[v, u1]
    usable = (below > 0) & (beside > 0) & (v1 != v) & (u1 != u)
    if not usable.any():
        return None
    v, u, v1, u1 = (axis[usable] for axis in (v, u, v1, u1))
    here, below, beside = (1.0 / values[usable].astype(np.float64) for values in (here, below, beside))
    a, b = (beside - here) / (u1 - u), (below - here) / (v1 - v)
    planes = np.stack([a, b, here - a * u - b * v])
    area = np.square(z, dtype=np.float64)
    held = (_off_mm(planes[:, :, None], rows, columns, z) <= 2.0 * _slack_mm(z, config)) @ area
    best = planes[:, int(held.argmax())]
    design = np.stack([columns, rows, np.ones(len(rows))], axis=1)
    for _ in range(config.refinements):
        inside = _off_mm(best, rows, columns, z) <= 1.5 * _slack_mm(z, config)
        if np.count_nonzero(inside) < 3:
            return None
        weight = z[inside].astype(np.float64) ** 2
        best = np.linalg.lstsq(design[inside] * weight[:, None], weight / z[inside], rcond=None)[0]
    return np.asarray(best)


def _off_mm(plane: Vector, rows: Indices, columns: Indices, z_mm: FloatImage) -> FloatImage:
    """Return how far pixels lie before or behind planes (a, b, c), along the camera's axis, to first order."""
    a, b, c = plane.astype(np.float32)
    return np.asarray(
        np.abs(a * columns.astype(np.float32) + b * rows.astype(np.float32) + c - 1.0 / z_mm) * z_mm * z_mm
    )


def _slack_mm(z_mm: FloatImage, config: PlaneConfig) -> FloatImage:
    """Return how far a pixel of a plane may be measured off it."""
    return np.asarray(config.thickness_mm + (config.noise_mm * 1e-6) * z_mm * z_mm)
