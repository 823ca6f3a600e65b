"""What may stand behind a hand: a wall or another plane, and a person's body made of ellipsoids."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from handopt.input.camera import Camera
from handopt.typing import Faces, FloatImage, Floats

GAP_MM: Final = (100.0, 600.0)
"""From the farthest point of the hand to the nearest of what is behind it."""
MAX_TILT: Final = 0.45
"""Slope of the plane, mm of depth per mm to the side."""
PLANE_SHARE: Final = 0.8
BODY_SHARE: Final = 0.35
# Half axes in mm of a torso, a head and a thigh, and where they are, relative to the torso's centre.
_BODY: Final = (
    ((190.0, 280.0, 115.0), (0.0, 0.0, 0.0)),
    ((75.0, 110.0, 90.0), (0.0, -365.0, -10.0)),
    ((90.0, 85.0, 240.0), (110.0, 300.0, -120.0)),
)
_BODY_REACH_MM = 420.0
_STACKS, _SLICES = 12, 20
_FARTHEST_MM = 6000.0


@dataclass(frozen=True)
class Background:
    """A plane normal . p = distance (or None), and a mesh (n, 3), (m, 3), perhaps empty; camera frame, mm."""

    plane: tuple[Floats, float] | None
    points: Floats
    faces: Faces

    def plane_depth(self, camera: Camera) -> FloatImage:
        """Depth (H, W) of the plane, 0 where it is not seen."""
        if self.plane is None:
            return np.zeros((camera.height, camera.width), np.float32)
        normal, distance = self.plane
        x = ((np.arange(camera.width) - camera.cx) / camera.fx).astype(np.float32)
        y = ((np.arange(camera.height) - camera.cy) / camera.fy).astype(np.float32)
        slope = np.float32(normal[0]) * x + (np.float32(normal[1]) * y + np.float32(normal[2]))[:, None]
        slope = np.maximum(slope, np.float32(distance / (2 * _FARTHEST_MM)))
        depth = np.float32(distance) / slope
        depth[depth > _FARTHEST_MM] = 0
        return np.asarray(depth)


def sample_background(rng: np.random.Generator, hand: Floats) -> Background:
    """Draw a background behind a hand, whose vertices (V, 3) are in the camera frame: a plane, a body, or both."""
    with_plane = rng.random() < PLANE_SHARE
    with_body = rng.random() < BODY_SHARE or not with_plane
    gap = float(rng.uniform(*GAP_MM))
    points, faces = np.zeros((0, 3)), np.zeros((0, 3), np.int32)
    if with_body:
        points, faces = _body(rng, hand, gap)
        gap += float(rng.uniform(150.0, 500.0))
    plane = None
    if with_plane:
        slope = rng.uniform(-MAX_TILT, MAX_TILT, 2) * rng.uniform(0.0, 1.0)
        normal = np.array([-slope[0], -slope[1], 1.0])
        normal /= np.linalg.norm(normal)
        plane = (normal, float((hand @ normal).max()) + gap)
    return Background(plane, points, faces)


def _body(rng: np.random.Generator, hand: Floats, gap: float) -> tuple[Floats, Faces]:
    """Vertices (n, 3) and faces (m, 3) of a body that stands behind a hand or half beside it."""
    sphere, sphere_faces = _sphere()
    size = float(rng.uniform(0.85, 1.15))
    mirror = rng.choice([-1.0, 1.0])
    points = np.concatenate([size * (sphere * axes + place) for axes, place in _BODY]) * [mirror, 1.0, 1.0]
    turn = float(rng.uniform(-0.5, 0.5))
    turned = points @ np.array([[np.cos(turn), 0, -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]])
    aside = rng.uniform(-_BODY_REACH_MM, _BODY_REACH_MM, 2)
    middle = hand.mean(axis=0)
    place = np.array([middle[0] + aside[0], middle[1] + aside[1], hand[:, 2].max() + gap - turned[:, 2].min()])
    faces = np.concatenate([sphere_faces + number * len(sphere) for number in range(len(_BODY))])
    return turned + place, faces.astype(np.int32)


@lru_cache(maxsize=1)
def _sphere() -> tuple[Floats, Faces]:
    """A unit sphere of latitude and longitude: vertices (n, 3), faces (m, 3)."""
    polar = np.linspace(0.0, np.pi, _STACKS + 1)
    around = np.linspace(0.0, 2 * np.pi, _SLICES, endpoint=False)
    points = np.stack(
        [
            np.sin(polar)[:, None] * np.cos(around),
            np.broadcast_to(np.cos(polar)[:, None], (_STACKS + 1, _SLICES)),
            np.sin(polar)[:, None] * np.sin(around),
        ],
        axis=-1,
    ).reshape(-1, 3)
    row, column = np.meshgrid(np.arange(_STACKS), np.arange(_SLICES), indexing="ij")
    a, b = row * _SLICES + column, row * _SLICES + (column + 1) % _SLICES
    faces = np.concatenate([np.stack([a, b, a + _SLICES], -1), np.stack([b, b + _SLICES, a + _SLICES], -1)], axis=0)
    return points, faces.reshape(-1, 3).astype(np.int32)
