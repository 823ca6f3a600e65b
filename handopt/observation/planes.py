"""Large planes of a depth image: walls, desks and floors, which are no hands and which hands lie on."""

import numpy as np
from numpy.typing import NDArray

from handopt.input.camera import Camera
from handopt.typing import BoolImage, FloatImage

MIN_PLANE_CM2 = 700.0
MAX_PLANES = 3
TRIPLES = 48
TRIPLE_PX = (12, 30)
SAMPLES = 1500
REFINEMENTS = 3
THICKNESS_MM = 5.0
NOISE_MM = 5.0


def large_planes(depth_mm: FloatImage, camera: Camera) -> BoolImage:
    """Tell the pixels (H, W) that lie in a plane of at least 700 cm2, of which there may be three.

    depth_mm: (H, W) mm, 0 = none. A pixel lies in a plane to 5 mm at the camera and 10 mm at 1 m, as depth sensors
    measure. A plane is linear in inverse depth, 1/z = a u + b v + c; it is drawn through three pixels near each other,
    the best of 48 draws is kept and fitted to its pixels.
    """
    flat = np.zeros(depth_mm.shape, np.bool_)
    pixel_cm2 = 1.0 / (100.0 * camera.fx * camera.fy)
    left = np.flatnonzero(depth_mm)
    rng = np.random.default_rng(0)
    for _ in range(MAX_PLANES):
        z = depth_mm.ravel()[left[:: max(1, len(left) // SAMPLES)]]
        if float(np.square(z, dtype=np.float64).mean() if len(z) else 0.0) * len(left) * pixel_cm2 < MIN_PLANE_CM2:
            break
        plane = _best_plane(depth_mm, left, rng)
        if plane is None:
            break
        rows, columns = np.divmod(left, depth_mm.shape[1])
        z = depth_mm.ravel()[left]
        inside = _off_mm(plane, rows, columns, z) <= _slack_mm(z)
        if float(np.square(z[inside], dtype=np.float64).sum()) * pixel_cm2 < MIN_PLANE_CM2:
            break
        flat.ravel()[left[inside]] = True
        left = left[~inside]
    return flat


def _best_plane(depth_mm: FloatImage, left: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64] | None:
    """Return (a, b, c) of the plane that holds most of a sample of the pixels left, by area, or None.

    left: (n,) flat indices of the pixels.
    """
    height, width = depth_mm.shape
    sample = left[:: max(1, len(left) // SAMPLES)]
    rows, columns = np.divmod(sample, width)
    z = depth_mm.ravel()[sample]
    corner = rng.choice(left, TRIPLES)
    reach = rng.integers(*TRIPLE_PX, (2, TRIPLES)) * rng.choice((-1, 1), (2, TRIPLES))
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
    held = (_off_mm(planes[:, :, None], rows, columns, z) <= 2.0 * _slack_mm(z)) @ area
    best = planes[:, int(held.argmax())]
    design = np.stack([columns, rows, np.ones(len(rows))], axis=1)
    for _ in range(REFINEMENTS):
        inside = _off_mm(best, rows, columns, z) <= 1.5 * _slack_mm(z)
        if np.count_nonzero(inside) < 3:
            return None
        weight = z[inside].astype(np.float64) ** 2
        best = np.linalg.lstsq(design[inside] * weight[:, None], weight / z[inside], rcond=None)[0]
    return np.asarray(best)


def _off_mm(
    plane: NDArray[np.float64], rows: NDArray[np.int64], columns: NDArray[np.int64], z_mm: FloatImage
) -> FloatImage:
    """Return how far pixels lie before or behind planes (a, b, c), along the camera's axis, to first order."""
    a, b, c = plane.astype(np.float32)
    return np.asarray(
        np.abs(a * columns.astype(np.float32) + b * rows.astype(np.float32) + c - 1.0 / z_mm) * z_mm * z_mm
    )


def _slack_mm(z_mm: FloatImage) -> FloatImage:
    """Return how far a pixel of a plane may be measured off it."""
    return np.asarray(THICKNESS_MM + (NOISE_MM * 1e-6) * z_mm * z_mm)
