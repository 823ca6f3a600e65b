"""A forearm: a tapered, slightly elliptic tube that leaves the hand's wrist and bends there."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from handopt.rig import Rig
from handopt.synth.config import SYNTH
from handopt.typing import Faces, Floats

_CONFIG = SYNTH.forearm


@dataclass(frozen=True)
class Forearm:
    """A forearm in the wrist's frame at scale 1: x across the hand, y towards its back, z towards the elbow, mm.

    flexion, deviation: bend of the wrist about x and y, rad. half_width, half_height: at the thickest place, mm
    """

    flexion: float
    deviation: float
    length_mm: float
    half_width_mm: float
    half_height_mm: float


def sample_forearm(rng: np.random.Generator) -> Forearm:
    """Draw a forearm."""
    bend = rng.normal(0.0, [_CONFIG.flexion_rad, _CONFIG.deviation_rad])
    bend *= min(1.0, _CONFIG.max_bend_rad / max(float(np.hypot(*bend)), 1e-9))
    width = float(rng.uniform(*_CONFIG.elbow_half_width_mm))
    return Forearm(
        float(bend[0]),
        float(bend[1]),
        float(rng.uniform(*_CONFIG.length_mm)),
        width,
        width * float(rng.uniform(*_CONFIG.elbow_flatness)),
    )


def forearm_mesh(forearm: Forearm, rig: Rig) -> tuple[Floats, Faces]:
    """The closed tube as vertices (n, 3) in the rig's frame, mm at scale 1, and faces (m, 3)."""
    _, half_width, half_height, _ = wrist_section(rig)
    arc = np.linspace(0, _CONFIG.bend_mm, _CONFIG.bend_rings)
    rest = np.linspace(_CONFIG.bend_mm, forearm.length_mm, _CONFIG.rings - _CONFIG.bend_rings + 1)
    along = np.concatenate([arc, rest[1:]])
    share = np.clip(along / _CONFIG.full_mm, 0.0, 1.0)
    swell = share * share * (3 - 2 * share)
    wide = _CONFIG.inset * half_width + swell * (forearm.half_width_mm - half_width)
    high = _CONFIG.inset * half_height + swell * (forearm.half_height_mm - half_height)
    angle = np.linspace(0.0, 2 * np.pi, _CONFIG.sides, endpoint=False)
    ring = np.stack([wide[:, None] * np.cos(angle), high[:, None] * np.sin(angle)], axis=-1)
    distance = np.repeat(along, _CONFIG.sides)
    ends = np.zeros((2, 2)), along[[0, -1]]
    points = bent(forearm, np.concatenate([ring.reshape(-1, 2), ends[0]]), np.concatenate([distance, ends[1]]), rig)
    return points @ rig.bind[0, :, :3].T + rig.bind[0, :, 3], _tube_faces(len(along))


def bend_wrist(forearm: Forearm, rig: Rig) -> Rig:
    """The rig whose skin beyond the wrist follows the forearm, so that there is neither a gap nor an edge."""
    local = (rig.rest_mm - rig.bind[0, :, 3]) @ rig.bind[0, :, :3]
    centre, _, _, start = wrist_section(rig)
    beyond = local[:, 2] > start
    local[beyond] = bent(forearm, local[beyond, :2] - centre, local[beyond, 2] - start, rig)
    return replace(rig, rest_mm=local @ rig.bind[0, :, :3].T + rig.bind[0, :, 3])


def bent(forearm: Forearm, across: Floats, along: Floats, rig: Rig) -> Floats:
    """Points (n, 3) of the wrist's frame that lie across (n, 2) and along (n,) the bent arm, from where it starts."""
    bend = max(float(np.hypot(forearm.flexion, forearm.deviation)), _CONFIG.least_bend_rad)
    centre, _, _, start = wrist_section(rig)
    angle = bend * np.clip(along / _CONFIG.bend_mm, 0.0, 1.0)
    straight = np.maximum(along - _CONFIG.bend_mm, 0.0)
    # In the plane of the bend: towards (sideways, along); the arc's radius is bend_mm / bend.
    sideways = _CONFIG.bend_mm / bend * (1 - np.cos(angle)) + straight * np.sin(angle)
    forward = np.where(along < 0, along, _CONFIG.bend_mm / bend * np.sin(angle) + straight * np.cos(angle))
    # The axis (flexion, deviation, 0) turns z towards (deviation, -flexion, 0).
    towards = np.array([forearm.deviation, -forearm.flexion]) / bend
    inwards = across @ towards
    rest = across - inwards[:, None] * towards
    flat = rest + (inwards * np.cos(angle) + sideways)[:, None] * towards + centre
    return np.column_stack([flat, forward - inwards * np.sin(angle) + start])


@lru_cache(maxsize=4)
def wrist_section(rig: Rig) -> tuple[tuple[float, float], float, float, float]:
    """Centre (x, y) and half axes of the mesh towards its arm's end, and where along z the arm starts, mm."""
    local = (rig.rest_mm - rig.bind[0, :, 3]) @ rig.bind[0, :, :3]
    end = float(local[:, 2].max())
    rim = local[local[:, 2] > end - _CONFIG.rim_mm, :2]
    low, high = rim.min(axis=0), rim.max(axis=0)
    centre = (low + high) / 2
    half = (high - low) / 2
    return (
        (float(centre[0]), float(centre[1])),
        float(half[0]),
        float(half[1]),
        min(_CONFIG.start_mm, end - _CONFIG.rim_mm),
    )


@lru_cache(maxsize=2)
def _tube_faces(rings: int) -> Faces:
    """Triangles of a tube of rings, with the first and the last closed by a fan about two extra vertices."""
    sides = _CONFIG.sides
    first = np.arange(rings - 1)[:, None] * sides + np.arange(sides)
    right = np.arange(rings - 1)[:, None] * sides + (np.arange(sides) + 1) % sides
    a, b, c, d = (each.ravel() for each in (first, right, first + sides, right + sides))
    walls = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    side, next_side = np.arange(sides), (np.arange(sides) + 1) % sides
    start, end, last = rings * sides, rings * sides + 1, (rings - 1) * sides
    caps = np.concatenate(
        [
            np.stack([next_side, side, np.full(sides, start)], 1),
            np.stack([last + side, last + next_side, np.full(sides, end)], 1),
        ]
    )
    return np.concatenate([walls, caps]).astype(np.int32)
