"""Objects made of simple solids: their signed distance, which keeps fingers out of them, and their mesh."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from handopt.typing import Faces, FloatImage, Floats

_SLICES, _STACKS = 24, 12
_CUP_WALL = 0.1
"""Of a cup's radius."""
_CUP_FLOOR = 0.12
"""Of half of its height."""
_HANDLE_SEGMENTS = 16
_HANDLE_SIDES = 10
_OVER_HALF_RAD = 1.9
"""Half the arc of a cup's handle: more than a quarter turn, so that its ends lie in the cup's wall."""


@dataclass(frozen=True)
class Solid:
    """A box or a cylinder along z with rounded edges, or a ring in the plane y = 0, about `centre` (3,), mm.

    half: half of the size in x, y and z with the rounding: of a cylinder the radius twice, of a ring the radius of its
    middle line twice and then of its section. rounding: the edges' radius, mm
    """

    shape: Literal["box", "cylinder", "ring"]
    half: tuple[float, float, float]
    rounding: float = 0.0
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def distance(self, points: FloatImage) -> FloatImage:
        """Distance (n,) of points (n, 3) from the surface, negative inside, mm."""
        # Coordinates apart: NumPy is slow at sums over an axis of three.
        x, y, z = (points[:, axis] - np.float32(self.centre[axis]) for axis in range(3))
        if self.shape == "ring":
            return np.asarray(np.hypot(np.hypot(x, z) - np.float32(self.half[0]), y) - np.float32(self.half[2]))
        across, _, along = (np.float32(half - self.rounding) for half in self.half)
        if self.shape == "box":
            beyond = [np.abs(x) - across, np.abs(y) - np.float32(self.half[1] - self.rounding), np.abs(z) - along]
        else:
            beyond = [np.sqrt(x * x + y * y) - across, np.abs(z) - along]
        squares, deepest = np.zeros_like(x), beyond[0]
        for each in beyond:
            outside = np.maximum(each, 0)
            squares += outside * outside
            deepest = np.maximum(deepest, each)
        return np.asarray(np.sqrt(squares) + np.minimum(deepest, 0) - np.float32(self.rounding))

    def scaled(self, factor: float) -> "Solid":
        """The solid in other units."""
        half, centre = _times(self.half, factor), _times(self.centre, factor)
        return Solid(self.shape, half, factor * self.rounding, centre)


@dataclass(frozen=True)
class SolidObject:
    """An object whose centre is the origin and whose longest side lies along z, mm.

    kind: what it is called. solids: whose union it is. size_mm: of the box around it without a handle. hollow: a cup's
    mesh is open at its upper end (z > 0); fingers do not reach into it.
    """

    kind: str
    solids: tuple[Solid, ...]
    size_mm: tuple[float, float, float]
    hollow: bool = False

    def distance(self, points: FloatImage) -> FloatImage:
        """Distance (n,) of points (n, 3) from the surface, negative inside, mm."""
        result = self.solids[0].distance(points)
        for solid in self.solids[1:]:
            result = np.minimum(result, solid.distance(points))
        return result

    def scaled(self, factor: float) -> "SolidObject":
        """The object in other units."""
        solids = tuple(solid.scaled(factor) for solid in self.solids)
        return replace(self, solids=solids, size_mm=_times(self.size_mm, factor))

    def mesh(self) -> tuple[Floats, Faces]:
        """Vertices (n, 3) mm and faces (m, 3)."""
        return merged([solid_mesh(solid, hollow=self.hollow) for solid in self.solids])


def _times(values: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    x, y, z = values
    return factor * x, factor * y, factor * z


def merged(meshes: "list[tuple[Floats, Faces]]") -> tuple[Floats, Faces]:
    """One mesh of several: vertices (n, 3) and faces (m, 3)."""
    counts = np.cumsum([0, *(len(points) for points, _ in meshes)])
    faces = [faces + np.int32(first) for first, (_, faces) in zip(counts, meshes, strict=False)]
    return np.concatenate([points for points, _ in meshes]), np.concatenate(faces).astype(np.int32)


def solid_mesh(solid: Solid, *, hollow: bool = False) -> tuple[Floats, Faces]:
    """Vertices (n, 3) mm and faces (m, 3) of a solid; hollow: of a cylinder that is open at z > 0."""
    if solid.shape == "ring":
        points, faces = _ring_mesh(solid)
    elif solid.shape == "cylinder":
        points, faces = revolved(_profile(solid, hollow=hollow))
    else:
        # A rounded box is a sphere whose eight octants are moved apart.
        directions, faces = unit_sphere()
        inner = np.asarray(solid.half) - solid.rounding
        signs = np.where(np.abs(directions) < 1e-9, 0.0, np.sign(directions))
        points = directions * max(solid.rounding, 0.0) + signs * inner
    return points + np.asarray(solid.centre), faces


@lru_cache(maxsize=1)
def unit_sphere() -> tuple[Floats, Faces]:
    """A sphere as a grid: vertices (n, 3), faces (m, 3), none of them on a coordinate plane, so that octants part."""
    polar = (np.arange(_STACKS) + 0.5) * np.pi / _STACKS
    around = (np.arange(_SLICES) + 0.5) * 2 * np.pi / _SLICES
    ring = np.stack([np.cos(around), np.sin(around)], axis=1)
    points = np.concatenate(
        [np.column_stack([np.sin(angle) * ring, np.full(_SLICES, np.cos(angle))]) for angle in polar]
    )
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points, tube_faces(_STACKS, _SLICES)


def revolved(profile: Floats) -> tuple[Floats, Faces]:
    """The surface of a profile (n, 2) of radius and height, mm, turned about z; it starts and ends on the axis."""
    around = np.arange(_SLICES) * 2 * np.pi / _SLICES
    ring = np.stack([np.cos(around), np.sin(around)], axis=1)
    points = np.concatenate([np.column_stack([radius * ring, np.full(_SLICES, z)]) for radius, z in profile])
    return points, tube_faces(len(profile), _SLICES)


def _profile(solid: Solid, *, hollow: bool) -> Floats:
    """Radius and height (n, 2) of a cylinder's outline from below to the top, and of a cup's inside down again."""
    radius, _, half = solid.half
    corner = np.linspace(-np.pi / 2, 0, 4)
    edge = np.column_stack([np.cos(corner) - 1, np.sin(corner)]) * solid.rounding
    if solid.rounding <= 0:
        edge = np.zeros((1, 2))
    below = edge + np.array([radius, solid.rounding - half])
    above = edge[::-1] * [1.0, -1.0] + [radius, half - solid.rounding]
    outline = [np.array([[0.0, -half]]), below, above]
    if hollow:
        inside, floor = (1 - _CUP_WALL) * radius, -(1 - _CUP_FLOOR) * half
        outline += [np.array([[inside, half], [inside, floor], [0.0, floor]])]
    else:
        outline += [np.array([[0.0, half]])]
    return np.concatenate(outline)


def _ring_mesh(solid: Solid) -> tuple[Floats, Faces]:
    """The half of a ring with x > 0 and a little more, as a bent tube."""
    middle, _, section = solid.half
    angle = np.linspace(-_OVER_HALF_RAD, _OVER_HALF_RAD, _HANDLE_SEGMENTS)
    around = np.arange(_HANDLE_SIDES) * 2 * np.pi / _HANDLE_SIDES
    reach = middle + section * np.cos(around)
    points = np.stack(
        [
            np.cos(angle)[:, None] * reach,
            np.broadcast_to(section * np.sin(around), (_HANDLE_SEGMENTS, _HANDLE_SIDES)),
            np.sin(angle)[:, None] * reach,
        ],
        axis=-1,
    ).reshape(-1, 3)
    return points, tube_faces(_HANDLE_SEGMENTS, _HANDLE_SIDES)


@lru_cache(maxsize=16)
def tube_faces(rings: int, sides: int) -> Faces:
    """Triangles (m, 3) of a tube of rings, ring after ring; fans about their first vertices close both ends."""
    first = np.arange(rings - 1)[:, None] * sides + np.arange(sides)
    right = np.arange(rings - 1)[:, None] * sides + (np.arange(sides) + 1) % sides
    a, b, c, d = (each.ravel() for each in (first, right, first + sides, right + sides))
    inner = np.arange(1, sides - 1)
    caps = np.stack([np.zeros_like(inner), inner + 1, inner], 1)
    last = (rings - 1) * sides
    ends = [caps, last + caps[:, ::-1]]
    return np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1), *ends]).astype(np.int32)
