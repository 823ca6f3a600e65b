"""What may stand behind a hand: a wall or another plane, and a person's body made of ellipsoids."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from handopt.input.camera import Camera
from handopt.synth.config import SYNTH
from handopt.typing import Faces, FloatImage, Floats

_CONFIG = SYNTH.background


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
        slope = np.maximum(slope, np.float32(distance / (2 * _CONFIG.farthest_mm)))
        depth = np.float32(distance) / slope
        depth[depth > _CONFIG.farthest_mm] = 0
        return np.asarray(depth)


def sample_background(rng: np.random.Generator, hand: Floats) -> Background:
    """Draw a background behind a hand, whose vertices (V, 3) are in the camera frame: a plane, a body, or both."""
    with_plane = rng.random() < _CONFIG.plane_share
    with_body = rng.random() < _CONFIG.body_share or not with_plane
    gap = float(rng.uniform(*_CONFIG.gap_mm))
    points, faces = np.zeros((0, 3)), np.zeros((0, 3), np.int32)
    if with_body:
        points, faces = _body(rng, hand, gap)
        gap += float(rng.uniform(*_CONFIG.behind_body_mm))
    plane = None
    if with_plane:
        slope = rng.uniform(-_CONFIG.max_tilt, _CONFIG.max_tilt, 2) * rng.uniform(0.0, 1.0)
        normal = np.array([-slope[0], -slope[1], 1.0])
        normal /= np.linalg.norm(normal)
        plane = (normal, float((hand @ normal).max()) + gap)
    return Background(plane, points, faces)


def _body(rng: np.random.Generator, hand: Floats, gap: float) -> tuple[Floats, Faces]:
    """Vertices (n, 3) and faces (m, 3) of a body that stands behind a hand or half beside it."""
    sphere, sphere_faces = _sphere()
    size = float(rng.uniform(*_CONFIG.body_size))
    mirror = rng.choice([-1.0, 1.0])
    points = np.concatenate([size * (sphere * axes + place) for axes, place in _CONFIG.body]) * [mirror, 1.0, 1.0]
    turn = float(rng.uniform(-_CONFIG.body_turn_rad, _CONFIG.body_turn_rad))
    turned = points @ np.array([[np.cos(turn), 0, -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]])
    aside = rng.uniform(-_CONFIG.body_reach_mm, _CONFIG.body_reach_mm, 2)
    middle = hand.mean(axis=0)
    place = np.array([middle[0] + aside[0], middle[1] + aside[1], hand[:, 2].max() + gap - turned[:, 2].min()])
    faces = np.concatenate([sphere_faces + number * len(sphere) for number in range(len(_CONFIG.body))])
    return turned + place, faces.astype(np.int32)


@lru_cache(maxsize=1)
def _sphere() -> tuple[Floats, Faces]:
    """A unit sphere of latitude and longitude: vertices (n, 3), faces (m, 3)."""
    stacks, slices = _CONFIG.sphere_stacks, _CONFIG.sphere_slices
    polar = np.linspace(0.0, np.pi, stacks + 1)
    around = np.linspace(0.0, 2 * np.pi, slices, endpoint=False)
    points = np.stack(
        [
            np.sin(polar)[:, None] * np.cos(around),
            np.broadcast_to(np.cos(polar)[:, None], (stacks + 1, slices)),
            np.sin(polar)[:, None] * np.sin(around),
        ],
        axis=-1,
    ).reshape(-1, 3)
    row, column = np.meshgrid(np.arange(stacks), np.arange(slices), indexing="ij")
    a, b = row * slices + column, row * slices + (column + 1) % slices
    faces = np.concatenate([np.stack([a, b, a + slices], -1), np.stack([b, b + slices, a + slices], -1)], axis=0)
    return points, faces.reshape(-1, 3).astype(np.int32)
