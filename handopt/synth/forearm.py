"""A forearm: a tapered, slightly elliptic tube that leaves the hand's wrist and bends there."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from handopt.rig import Rig
from handopt.typing import Faces, Floats

FLEXION_RAD: Final = 0.6
"""Standard deviation of the bend towards the palm or the back."""
DEVIATION_RAD: Final = 0.25
"""The same towards the thumb or the little finger."""
MAX_BEND_RAD: Final = 1.2
LENGTH_MM: Final = (90.0, 280.0)
ELBOW_HALF_WIDTH_MM: Final = (34.0, 46.0)
ELBOW_FLATNESS: Final = (0.78, 0.95)
_START_MM = -4.0  # along the arm from the wrist's joint: inside the hand, so that there is no gap
_BEND_MM = 40.0  # of the arc on which the tube turns
_FULL_MM = 200.0  # from the wrist to where the forearm is thickest
_LEAST_BEND_RAD = 1e-6  # a straight arm is an arc of a very large circle
_SIDES = 32
_RINGS = 28
_RIM_MM = 20.0  # the last of the mesh, which is cut off at a slant
_INSET = 0.97


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
    bend = rng.normal(0.0, [FLEXION_RAD, DEVIATION_RAD])
    bend *= min(1.0, MAX_BEND_RAD / max(float(np.hypot(*bend)), 1e-9))
    width = float(rng.uniform(*ELBOW_HALF_WIDTH_MM))
    return Forearm(
        float(bend[0]),
        float(bend[1]),
        float(rng.uniform(*LENGTH_MM)),
        width,
        width * float(rng.uniform(*ELBOW_FLATNESS)),
    )


def forearm_mesh(forearm: Forearm, rig: Rig) -> tuple[Floats, Faces]:
    """The closed tube as vertices (n, 3) in the rig's frame, mm at scale 1, and faces (m, 3)."""
    _, half_width, half_height, _ = _wrist_section(rig)
    along = np.concatenate([np.linspace(0, _BEND_MM, 10), np.linspace(_BEND_MM, forearm.length_mm, _RINGS - 9)[1:]])
    share = np.clip(along / _FULL_MM, 0.0, 1.0)
    swell = share * share * (3 - 2 * share)
    wide = _INSET * half_width + swell * (forearm.half_width_mm - half_width)
    high = _INSET * half_height + swell * (forearm.half_height_mm - half_height)
    angle = np.linspace(0.0, 2 * np.pi, _SIDES, endpoint=False)
    ring = np.stack([wide[:, None] * np.cos(angle), high[:, None] * np.sin(angle)], axis=-1)
    distance = np.repeat(along, _SIDES)
    ends = np.zeros((2, 2)), along[[0, -1]]
    points = _bent(forearm, np.concatenate([ring.reshape(-1, 2), ends[0]]), np.concatenate([distance, ends[1]]), rig)
    return points @ rig.bind[0, :, :3].T + rig.bind[0, :, 3], _tube_faces(len(along))


def bend_wrist(forearm: Forearm, rig: Rig) -> Rig:
    """The rig whose skin beyond the wrist follows the forearm, so that there is neither a gap nor an edge."""
    local = (rig.rest_mm - rig.bind[0, :, 3]) @ rig.bind[0, :, :3]
    centre, _, _, start = _wrist_section(rig)
    beyond = local[:, 2] > start
    local[beyond] = _bent(forearm, local[beyond, :2] - centre, local[beyond, 2] - start, rig)
    return replace(rig, rest_mm=local @ rig.bind[0, :, :3].T + rig.bind[0, :, 3])


def _bent(forearm: Forearm, across: Floats, along: Floats, rig: Rig) -> Floats:
    """Points (n, 3) of the wrist's frame that lie across (n, 2) and along (n,) the bent arm, from where it starts."""
    bend = max(float(np.hypot(forearm.flexion, forearm.deviation)), _LEAST_BEND_RAD)
    centre, _, _, start = _wrist_section(rig)
    angle = bend * np.clip(along / _BEND_MM, 0.0, 1.0)
    straight = np.maximum(along - _BEND_MM, 0.0)
    # In the plane of the bend: towards (sideways, along); the arc's radius is _BEND_MM / bend.
    sideways = _BEND_MM / bend * (1 - np.cos(angle)) + straight * np.sin(angle)
    forward = np.where(along < 0, along, _BEND_MM / bend * np.sin(angle) + straight * np.cos(angle))
    # The axis (flexion, deviation, 0) turns z towards (deviation, -flexion, 0).
    towards = np.array([forearm.deviation, -forearm.flexion]) / bend
    inwards = across @ towards
    rest = across - inwards[:, None] * towards
    flat = rest + (inwards * np.cos(angle) + sideways)[:, None] * towards + centre
    return np.column_stack([flat, forward - inwards * np.sin(angle) + start])


@lru_cache(maxsize=4)
def _wrist_section(rig: Rig) -> tuple[tuple[float, float], float, float, float]:
    """Centre (x, y) and half axes of the mesh towards its arm's end, and where along z the arm starts, mm."""
    local = (rig.rest_mm - rig.bind[0, :, 3]) @ rig.bind[0, :, :3]
    end = float(local[:, 2].max())
    rim = local[local[:, 2] > end - _RIM_MM, :2]
    low, high = rim.min(axis=0), rim.max(axis=0)
    centre = (low + high) / 2
    half = (high - low) / 2
    return (float(centre[0]), float(centre[1])), float(half[0]), float(half[1]), min(_START_MM, end - _RIM_MM)


@lru_cache(maxsize=2)
def _tube_faces(rings: int) -> Faces:
    """Triangles of a tube of rings, with the first and the last closed by a fan about two extra vertices."""
    first = np.arange(rings - 1)[:, None] * _SIDES + np.arange(_SIDES)
    right = np.arange(rings - 1)[:, None] * _SIDES + (np.arange(_SIDES) + 1) % _SIDES
    a, b, c, d = (each.ravel() for each in (first, right, first + _SIDES, right + _SIDES))
    walls = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    side, next_side = np.arange(_SIDES), (np.arange(_SIDES) + 1) % _SIDES
    start, end, last = rings * _SIDES, rings * _SIDES + 1, (rings - 1) * _SIDES
    caps = np.concatenate(
        [
            np.stack([next_side, side, np.full(_SIDES, start)], 1),
            np.stack([last + side, last + next_side, np.full(_SIDES, end)], 1),
        ]
    )
    return np.concatenate([walls, caps]).astype(np.int32)
