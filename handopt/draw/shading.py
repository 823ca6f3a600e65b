"""The one shader: a matt hand under two lights, with smooth normals, a bright rim and dark crevices."""

from functools import cache
from math import ceil
from typing import Final, NamedTuple

import numpy as np

from handopt.draw import colour
from handopt.ops.rasterise import Camera, rasterise_faces
from handopt.typing import Bytes, Floats, Indices, Integers, Reals

# All numbers were chosen by eye.
SKIN: Final = (0.90, 0.65, 0.53)
"""Reflectance of red, green and blue."""
KEY_LIGHT: Final = (-0.50, -0.62, -0.60)
"""Towards the main light, camera frame: from above on the left, behind the camera."""
FILL_LIGHT: Final = (0.80, 0.10, -0.58)
"""Towards the weaker light, from the right."""
AMBIENT, KEY, FILL, GLOSS, RIM = 0.17, 0.78, 0.20, 0.16, 0.22
"""Strength of the light from everywhere, of the two lights, of the highlights and of the contour."""
WRAP: Final = 0.15
"""Share of the main light that reaches around to where the surface is parallel to it, as it does on skin."""
GLOSS_EXPONENT, RIM_EXPONENT = 24, 3
GAMMA: Final = 1.25
"""From light to the values of pixels; weaker than a screen's 2.2, so that shadows stay dark."""
CREVICE_SHARE: Final = 9.0 / 380
"""Standard deviation of the surroundings that a pixel is compared with, as a share of the picture's height."""
CREVICE_MM: Final = 14.0
"""How far behind its surroundings a pixel is darkest."""
CREVICE_DARKNESS: Final = 0.5
COARSE: Final = 2
"""Crevices are looked for in every second row and column."""
REACH_SIGMAS: Final = 4.0
"""Where the surroundings of a pixel end, in standard deviations."""
LIGHT_LEVELS: Final = 4096
"""Steps of light of which the values of pixels are looked up."""


def vertex_normals(vertices: Reals, faces: Integers) -> Floats:
    """Area-weighted unit normals (V, 3) of a mesh (V, 3), (F, 3); a vertex without area gets (0, 0, 1)."""
    points = np.asarray(vertices, np.float64)
    corners = points[faces]
    areas = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.stack(
        [np.bincount(faces.ravel(), np.repeat(areas[:, axis], 3), minlength=len(points)) for axis in range(3)], axis=1
    )
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    units: Floats = np.where(lengths > 0, normals / np.where(lengths > 0, lengths, 1.0), (0.0, 0.0, 1.0))
    return units


class _Surface(NamedTuple):
    """What is seen of a mesh: depth (H, W) mm, 0 where nothing is; the pixels (N,) of the surface; normals (3, N)."""

    depth: Reals
    pixels: Indices
    normals: Reals

    @classmethod
    def of(cls, points: Reals, normals: Reals, faces: Integers, camera: Camera) -> "_Surface":
        """Unit normals are interpolated in their face from those of the vertices (V, 3)."""
        placed = np.ascontiguousarray(points[None], np.float32)
        rasterised = rasterise_faces(placed, np.ascontiguousarray(faces, np.int32), camera)
        depth, face, weights = (each[0] for each in rasterised)
        pixels = np.flatnonzero(face >= 0)
        seen, shares = face.ravel()[pixels], weights.reshape(-1, 3)[pixels].T.copy()
        corners = np.asarray(normals, np.float32)[faces].transpose(1, 2, 0).copy()  # (3, 3, F): corner, axis, face
        found = np.empty((3, len(pixels)), np.float32)
        for axis in range(3):
            found[axis] = sum(share * corner[axis].take(seen) for share, corner in zip(shares, corners, strict=True))
        return cls(depth, pixels, found / _length(found))


def surface_normals(points: Reals, normals: Reals, faces: Integers, camera: Camera) -> tuple[Reals, Reals]:
    """Depth (H, W) in mm, 0 where nothing is, and the unit normal (H, W, 3) of what is seen, interpolated in its face.

    points, normals: (V, 3) of the vertices, camera frame, mm
    """
    surface = _Surface.of(points, normals, faces, camera)
    image = np.zeros((surface.depth.size, 3), np.float32)
    image[surface.pixels] = surface.normals.T
    return surface.depth, image.reshape(*surface.depth.shape, 3)


def shade(points: Reals, normals: Reals, faces: Integers, camera: Camera) -> Bytes:
    """Picture (H, W, 3) of a mesh; EMPTY where nothing is.

    points, normals: (V, 3) of the vertices, camera frame, mm. camera: fx, fy, cx, cy, width, height
    """
    surface = _Surface.of(points, normals, faces, camera)
    picture = np.empty((surface.depth.size, 3), np.uint8)
    picture[:] = colour.EMPTY
    picture[surface.pixels] = _shaded(surface, camera)
    return picture.reshape(*surface.depth.shape, 3)


def shade_over(picture: Bytes, points: Reals, faces: Integers, camera: Camera, opacity: float) -> Bytes:
    """A picture (H, W, 3) with a shaded mesh over it that lets it show through. opacity: 0 to 1, of the mesh."""
    surface = _Surface.of(points, vertex_normals(points, faces), faces, camera)
    out = picture.reshape(-1, 3).copy()
    share, below = np.float32(opacity), out[surface.pixels]
    out[surface.pixels] = np.rint(share * _shaded(surface, camera) + (1 - share) * below).astype(np.uint8)
    return out.reshape(picture.shape)


def tones(count: int) -> Bytes:
    """Colours (count, 3) of the shader from the darkest to the brightest, without highlights."""
    light = np.linspace((1 - CREVICE_DARKNESS) * AMBIENT, AMBIENT + KEY + FILL, count)
    return _pixels(np.asarray(SKIN) * light[:, None])


def _shaded(surface: _Surface, camera: Camera) -> Bytes:
    """Colours (N, 3) of a surface's pixels. With the half vector between the viewer and the main light it glosses."""
    if not len(surface.pixels):
        return np.empty((0, 3), np.uint8)
    key, fill = (_unit(np.asarray(light)).astype(np.float32) for light in (KEY_LIGHT, FILL_LIGHT))
    normals, towards = surface.normals, _towards(surface, camera)
    seen, lit = (normals * towards).sum(axis=0), key @ normals
    light = AMBIENT + KEY * np.maximum((1 - WRAP) * lit + WRAP, 0) + FILL * np.maximum(fill @ normals, 0)
    half = np.sqrt(np.maximum(2 + 2 * (key @ towards), np.finfo(np.float32).tiny))  # the length of towards + key
    gloss = GLOSS * np.clip((seen + lit) / half, 0, 1) ** GLOSS_EXPONENT
    rim = RIM * (1 - np.clip(seen, 0, 1)) ** RIM_EXPONENT
    light *= _crevices(surface.depth).ravel()[surface.pixels]
    return np.stack([_pixels(np.float32(skin) * light + (gloss + rim)) for skin in SKIN], axis=-1)


def _pixels(linear: Reals) -> Bytes:
    """Values of pixels from light (...,): below 1 in LIGHT_LEVELS steps, which is exact to half a value."""
    return _pixel_table().take(
        (np.clip(linear, 0, 1) * np.float32(LIGHT_LEVELS - 1) + np.float32(0.5)).astype(np.int32)
    )


@cache
def _pixel_table() -> Bytes:
    """Values of pixels from the LIGHT_LEVELS steps of light."""
    steps = np.linspace(0, 1, LIGHT_LEVELS) ** (1 / GAMMA)
    return np.rint(255 * steps).astype(np.uint8)


def _towards(surface: _Surface, camera: Camera) -> Reals:
    """Unit directions (3, N) from the pixels of a surface to the camera."""
    fx, fy, cx, cy = camera[:4]
    rows, columns = np.divmod(surface.pixels.astype(np.int32), np.int32(surface.depth.shape[1]))
    found = np.empty((3, len(surface.pixels)), np.float32)
    found[0], found[1], found[2] = (cx - columns) / fx, (cy - rows) / fy, -1
    return found / _length(found)


def _crevices(depth: Reals) -> Reals:
    """Factor (H, W) up to 1: darker where a pixel lies behind its surroundings on the surface."""
    factor, sigma = np.ones_like(depth), CREVICE_SHARE * len(depth) / COARSE
    part = _part_around(depth, COARSE * ceil(REACH_SIGMAS * sigma + 1))
    fine = depth[part]
    coarse = fine[::COARSE, ::COARSE]
    share = _blurred((coarse > 0).astype(depth.dtype), sigma)
    around = _blurred(coarse, sigma) / np.maximum(share, 1e-9)
    enlarged = np.repeat(np.repeat(around, COARSE, axis=0), COARSE, axis=1)[: fine.shape[0], : fine.shape[1]]
    factor[part] = 1.0 - CREVICE_DARKNESS * np.clip((fine - enlarged) / CREVICE_MM, 0.0, 1.0)
    return factor


def _blurred(image: Reals, sigma: float) -> Reals:
    """An image (h, w) after a Gaussian blur; beyond the border it is mirrored, as in scipy.ndimage.gaussian_filter."""
    reach = int(REACH_SIGMAS * sigma + 0.5)
    weights = np.exp(-0.5 / sigma**2 * np.arange(reach + 1) ** 2)
    weights /= 2 * weights.sum() - weights[0]
    for _ in range(2):  # along the columns, then along the rows
        rows = len(image)
        wide = np.pad(image, ((reach, reach), (0, 0)), mode="symmetric").astype(np.float64)
        total = weights[0] * wide[reach : reach + rows]
        for away in range(reach, 0, -1):
            total += weights[away] * (wide[reach - away :][:rows] + wide[reach + away :][:rows])
        image = total.T.astype(image.dtype, order="C")
    return image


def _part_around(depth: Reals, margin: int) -> tuple[slice, slice]:
    """Rows and columns of an image (H, W) that hold its surface, with a margin; they begin at multiples of COARSE."""
    seen, slices = depth > 0, []
    for axis in (1, 0):
        places = np.flatnonzero(seen.any(axis=axis))
        slices.append(slice(max(0, (places[0] - margin) // COARSE * COARSE), int(places[-1]) + margin + 1))
    return slices[0], slices[1]


def _length(vectors: Reals) -> Reals:
    """Lengths (N,) of vectors (3, N), and 1 for those of length 0."""
    lengths: Reals = np.sqrt((vectors * vectors).sum(axis=0))
    lengths[lengths == 0] = 1
    return lengths


def _unit(vectors: Floats) -> Floats:
    """Vectors (..., 3) of length 1; zero stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0))
