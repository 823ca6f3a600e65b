"""What a rest mesh must not become: turned-over or collapsed triangles, another volume, a skin that cuts itself."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from handopt.typing import Floats, Indices

LEAST_TURN: Final = 0.2
"""Cosine between a triangle's normal and that of the generic hand's below which it counts as turned over."""
LEAST_AREA: Final = 0.15
"""Area relative to the generic triangle's below which it counts as collapsed."""
LEAST_QUALITY: Final = 0.02
"""Twice the area over the longest side squared below which it counts as a needle (0.87 for an equilateral one)."""
VOLUME: Final = (0.6, 1.6)
"""Volume relative to the generic hand's, of the same size and proportions."""
_TRIES = 6
_SPREAD = 3  # rings of neighbours around a fault that give way with it


@dataclass(frozen=True)
class MeshDefects:
    """Triangles that are wrong with a mesh, as masks (F,), and its volume relative to the reference's."""

    turned: NDArray[np.bool_]
    collapsed: NDArray[np.bool_]
    crossing: NDArray[np.bool_]
    volume: float

    @property
    def any(self) -> NDArray[np.bool_]:
        """(F,) triangles with any fault."""
        return np.asarray(self.turned | self.collapsed | self.crossing)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.any.any() and VOLUME[0] <= self.volume <= VOLUME[1]


@dataclass(frozen=True)
class MeshValidity:
    """Judges meshes of one topology by a reference mesh.

    reference_mm: (V, 3); faces: (F, 3). Where the reference cuts itself already, that is not held against others.
    """

    reference_mm: Floats
    faces: Indices = field(repr=False)

    def faults(self, rest_mm: Floats) -> MeshDefects:
        """What is wrong with rest vertices (V, 3) mm."""
        normals, was = _doubled(rest_mm, self.faces), _doubled(self.reference_mm, self.faces)
        areas, old = np.linalg.norm(normals, axis=1), np.linalg.norm(was, axis=1)
        cosine = np.einsum("fc,fc->f", normals, was) / np.maximum(areas * old, 1e-12)
        corners = rest_mm[self.faces]
        sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
        needle = (areas < LEAST_QUALITY * sides**2) & (areas < 0.5 * old)
        crossing = crossing_faces(rest_mm, self.faces) & ~self._already
        return MeshDefects(cosine < LEAST_TURN, (areas < LEAST_AREA * old) | needle, crossing, self._volume(rest_mm))

    def feasible_step(self, offsets_mm: Floats, change_mm: Floats) -> Floats:
        """As much of a change (V, 3) of sound offsets from the reference as leaves the mesh sound.

        Where a triangle would be at fault, the change gives way around it, by halves; if that does not help, all of it.
        """
        share = np.ones(len(change_mm))
        for _ in range(_TRIES):
            step = share[:, None] * change_mm
            faults = self.faults(self.reference_mm + offsets_mm + step)
            if faults.sound:
                return np.asarray(step)
            if not faults.any.any():
                share *= 0.5
                continue
            share *= 1 - 0.5 * self._around(faults.any)
        for fraction in (0.5, 0.25, 0.1):
            step = fraction * share[:, None] * change_mm
            if self.faults(self.reference_mm + offsets_mm + step).sound:
                return np.asarray(step)
        return np.zeros_like(change_mm)

    def _volume(self, rest_mm: Floats) -> float:
        import igl

        return float(igl.centroid(np.array(rest_mm), self.faces)[1] / self._reference_volume)

    @cached_property
    def _reference_volume(self) -> float:
        import igl

        return float(igl.centroid(np.array(self.reference_mm), self.faces)[1])

    @cached_property
    def _already(self) -> NDArray[np.bool_]:
        return crossing_faces(self.reference_mm, self.faces)

    def _around(self, faces: NDArray[np.bool_]) -> Floats:
        """(V,) 1 at the corners of faces, falling to 0 over _SPREAD rings of neighbours."""
        value = np.zeros(len(self.reference_mm))
        value[self.faces[faces].ravel()] = 1.0
        for ring in range(1, _SPREAD + 1):
            near = np.zeros_like(value)
            np.maximum.at(near, self.faces.ravel(), np.repeat(value[self.faces].max(axis=1), 3))
            value = np.maximum(value, np.where(near > 0, 1 - ring / (_SPREAD + 1), 0))
        return value


def crossing_faces(vertices_mm: Floats, faces: Indices) -> NDArray[np.bool_]:
    """Which triangles (F,) of a mesh cut another one that they share no corner with."""
    import igl
    from scipy.spatial import cKDTree

    corners = np.ascontiguousarray(vertices_mm[faces])
    low, high = corners.min(axis=1), corners.max(axis=1)
    middles, reach = (low + high) / 2, np.linalg.norm(high - low, axis=1).max()
    pairs = cKDTree(middles).query_pairs(reach, output_type="ndarray")
    first, second = pairs.T
    near = ((low[first] <= high[second]) & (low[second] <= high[first])).all(axis=1)
    first, second = first[near], second[near]
    apart = (faces[first][:, :, None] != faces[second][:, None, :]).all(axis=(1, 2))
    crossing = np.zeros(len(faces), np.bool_)
    for one, other in zip(first[apart], second[apart], strict=True):
        if (
            not (crossing[one] and crossing[other])
            and igl.tri_tri_intersection_test_3d(
                *(corner[None] for corner in corners[one]), *(corner[None] for corner in corners[other])
            )[0]
        ):
            crossing[[one, other]] = True
    return crossing


def _doubled(vertices_mm: Floats, faces: Indices) -> Floats:
    """Normals (F, 3) of twice the triangles' areas."""
    a, b, c = (vertices_mm[faces[:, corner]] for corner in range(3))
    return np.asarray(np.cross(b - a, c - a))
