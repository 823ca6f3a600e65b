"""Which rest meshes are valid: none with flipped or collapsed triangles, another volume, or a skin that cuts itself."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np

from handopt.typing import Bools, Floats, Indices


@dataclass(frozen=True)
class ValidityLimits:
    """What a mesh may be relative to its reference. Chosen by hand."""

    least_cosine: float = 0.2  # between a triangle's normal and the reference's; below, it counts as flipped
    least_area: float = 0.15  # relative to the reference triangle; below, it counts as collapsed
    least_quality: float = 0.02  # twice the area over the longest side squared (0.87 if equilateral); below: a needle
    volume: tuple[float, float] = (0.6, 1.6)  # relative to the reference's
    halvings: int = 6  # how often a change gives way around defects before all of it does
    rings: int = 3  # rings of neighbours around a defect that give way with it


LIMITS: Final = ValidityLimits()


@dataclass(frozen=True)
class MeshDefects:
    """Triangles that a valid mesh must not have, as masks (F,), and the volume relative to the reference's."""

    flipped: Bools
    collapsed: Bools
    crossing: Bools
    volume: float

    @property
    def any(self) -> Bools:
        """(F,) triangles with any defect."""
        return np.asarray(self.flipped | self.collapsed | self.crossing)

    @property
    def valid(self) -> bool:
        """Whether there is no defect, and the volume is within its limits."""
        return not self.any.any() and LIMITS.volume[0] <= self.volume <= LIMITS.volume[1]


@dataclass(frozen=True)
class MeshValidity:
    """Compares meshes of one topology with a reference mesh.

    reference_mm: (V, 3); faces: (F, 3). Triangles that cut others in the reference already do not count as defects.
    """

    reference_mm: Floats
    faces: Indices = field(repr=False)

    def defects(self, rest_mm: Floats) -> MeshDefects:
        """The defects of rest vertices (V, 3) mm."""
        normals, was = _doubled(rest_mm, self.faces), _doubled(self.reference_mm, self.faces)
        areas, old = np.linalg.norm(normals, axis=1), np.linalg.norm(was, axis=1)
        cosine = np.einsum("fc,fc->f", normals, was) / np.maximum(areas * old, 1e-12)
        corners = rest_mm[self.faces]
        sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
        needle = (areas < LIMITS.least_quality * sides**2) & (areas < 0.5 * old)
        crossing = crossing_faces(rest_mm, self.faces) & ~self._reference_crossing
        return MeshDefects(
            cosine < LIMITS.least_cosine, (areas < LIMITS.least_area * old) | needle, crossing, self._volume(rest_mm)
        )

    def feasible_step(self, offsets_mm: Floats, change_mm: Floats) -> Floats:
        """As much of a change (V, 3) mm of offsets (V, 3) mm from the reference as leaves the mesh valid.

        The offsets themselves must be valid. Where a triangle would be defective, the change is halved around it; if
        that does not help, all of it shrinks.
        """
        share = np.ones(len(change_mm))
        for _ in range(LIMITS.halvings):
            step = share[:, None] * change_mm
            defects = self.defects(self.reference_mm + offsets_mm + step)
            if defects.valid:
                return np.asarray(step)
            if not defects.any.any():
                share *= 0.5
                continue
            share *= 1 - 0.5 * self._around(defects.any)
        for fraction in (0.5, 0.25, 0.1):
            step = fraction * share[:, None] * change_mm
            if self.defects(self.reference_mm + offsets_mm + step).valid:
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
    def _reference_crossing(self) -> Bools:
        return crossing_faces(self.reference_mm, self.faces)

    def _around(self, faces: Bools) -> Floats:
        """(V,) 1 at the corners of faces, falling to 0 over LIMITS.rings rings of neighbours."""
        value = np.zeros(len(self.reference_mm))
        value[self.faces[faces].ravel()] = 1.0
        for ring in range(1, LIMITS.rings + 1):
            near = np.zeros_like(value)
            np.maximum.at(near, self.faces.ravel(), np.repeat(value[self.faces].max(axis=1), 3))
            value = np.maximum(value, np.where(near > 0, 1 - ring / (LIMITS.rings + 1), 0))
        return value


def crossing_faces(vertices_mm: Floats, faces: Indices) -> Bools:
    """Which triangles (F,) of a mesh intersect another one that they share no corner with."""
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
