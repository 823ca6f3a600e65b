"""The one shader: a matt hand under two lights, with smooth normals, a bright rim and dark crevices."""

from typing import Final

import numpy as np

from handopt.draw import colour
from handopt.ops.rasterise import Camera, rasterise_faces
from handopt.typing import BoolImage, Bytes, Floats, Integers, Reals

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


def surface_normals(points: Reals, normals: Reals, faces: Integers, camera: Camera) -> tuple[Floats, Floats]:
    """Depth (H, W) in mm, 0 where nothing is, and the unit normal (H, W, 3) of what is seen, interpolated in its face.

    points, normals: (V, 3) of the vertices, camera frame, mm
    """
    placed = np.ascontiguousarray(points[None], np.float64)
    depth, face, weights = (each[0] for each in rasterise_faces(placed, np.ascontiguousarray(faces, np.int32), camera))
    seen = face >= 0
    image = np.zeros((*depth.shape, 3))
    image[seen] = np.einsum("nk,nkc->nc", weights[seen], normals[faces[face[seen]]])
    return depth, _unit(image)


def shade(points: Reals, normals: Reals, faces: Integers, camera: Camera) -> Bytes:
    """Picture (H, W, 3) of a mesh; EMPTY where nothing is.

    points, normals: (V, 3) of the vertices, camera frame, mm. camera: fx, fy, cx, cy, width, height
    """
    return _shaded(points, normals, faces, camera)[0]


def shade_over(picture: Bytes, points: Reals, faces: Integers, camera: Camera, opacity: float) -> Bytes:
    """A picture (H, W, 3) with a shaded mesh over it that lets it show through. opacity: 0 to 1, of the mesh."""
    shaded, surface = _shaded(points, vertex_normals(points, faces), faces, camera)
    out = picture.copy()
    mixed = opacity * shaded[surface].astype(np.float64) + (1.0 - opacity) * picture[surface]
    out[surface] = np.rint(mixed).astype(np.uint8)
    return out


def _shaded(points: Reals, normals: Reals, faces: Integers, camera: Camera) -> tuple[Bytes, BoolImage]:
    """A mesh's picture (H, W, 3), and where it is (H, W)."""
    depth, facing = surface_normals(points, normals, faces, camera)
    surface = depth > 0
    picture = np.empty((*depth.shape, 3), np.uint8)
    picture[:] = colour.EMPTY
    if surface.any():
        picture[surface] = _reflected(facing[surface], _towards(surface, camera), _crevices(depth)[surface])
    return picture, surface


def tones(count: int) -> Bytes:
    """Colours (count, 3) of the shader from the darkest to the brightest, without highlights."""
    light = np.linspace((1 - CREVICE_DARKNESS) * AMBIENT, AMBIENT + KEY + FILL, count)
    return _pixels(np.asarray(SKIN) * light[:, None])


def _reflected(normal: Floats, towards: Floats, crevices: Floats) -> Bytes:
    """Colours (N, 3) of a surface with unit normals (N, 3), seen from unit directions (N, 3), darkened by (N,)."""
    key, fill = _unit(np.asarray(KEY_LIGHT)), _unit(np.asarray(FILL_LIGHT))
    facing = np.clip(np.einsum("nc,nc->n", normal, towards), 0, 1)
    light = AMBIENT + KEY * np.clip((1 - WRAP) * normal @ key + WRAP, 0, 1) + FILL * np.clip(normal @ fill, 0, 1)
    half = _unit(towards + key)
    gloss = GLOSS * np.clip(np.einsum("nc,nc->n", normal, half), 0, 1) ** GLOSS_EXPONENT
    rim = RIM * (1 - facing) ** RIM_EXPONENT
    return _pixels(np.asarray(SKIN) * (light * crevices)[:, None] + (gloss + rim)[:, None])


def _pixels(linear: Floats) -> Bytes:
    return np.rint(255 * np.clip(linear, 0, 1) ** (1 / GAMMA)).astype(np.uint8)


def _towards(surface: BoolImage, camera: Camera) -> Floats:
    """Unit directions (N, 3) from the chosen pixels of (H, W) to the camera."""
    fx, fy, cx, cy = camera[:4]
    rows, columns = np.nonzero(surface)
    return _unit(-np.stack([(columns - cx) / fx, (rows - cy) / fy, np.ones(len(rows))], axis=1))


def _crevices(depth: Floats) -> Floats:
    """Factor (H, W) up to 1: darker where a pixel lies behind its surroundings on the surface."""
    from scipy.ndimage import gaussian_filter

    coarse, sigma = depth[::COARSE, ::COARSE], CREVICE_SHARE * len(depth) / COARSE
    share = gaussian_filter((coarse > 0).astype(np.float64), sigma)
    around = gaussian_filter(coarse, sigma) / np.maximum(share, 1e-9)
    enlarged = np.repeat(np.repeat(around, COARSE, axis=0), COARSE, axis=1)[: depth.shape[0], : depth.shape[1]]
    return np.asarray(1.0 - CREVICE_DARKNESS * np.clip((depth - enlarged) / CREVICE_MM, 0.0, 1.0))


def _unit(vectors: Floats) -> Floats:
    """Vectors (..., 3) of length 1; zero stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0))
