"""What else is in a room: a wall, a table with things on it, the body that an arm belongs to."""

from dataclasses import dataclass

import numpy as np

from handopt.synth.held_objects import sample_object
from handopt.synth.primitives import merged, unit_sphere
from handopt.synth.wild_config import CONFIG
from handopt.typing import Faces, Floats

_CONFIG = CONFIG.room


@dataclass(frozen=True)
class Part:
    """A mesh of one label. label: a value of PIXEL_LABELS; points: (n, 3) camera frame, mm; faces: (m, 3)."""

    label: int
    points: Floats
    faces: Faces


@dataclass(frozen=True)
class Wall:
    """A plane normal . p = distance, mm, in the camera frame."""

    normal: Floats
    distance: float


def sample_wall(rng: np.random.Generator, points: Floats) -> Wall:
    """Draw a wall behind all points (n, 3): most often near, at times far, at any slope up to 35 degrees."""
    slope = rng.uniform(-_CONFIG.max_slope, _CONFIG.max_slope, 2) * rng.uniform(0.0, 1.0)
    normal = np.array([-slope[0], -slope[1], 1.0])
    normal /= np.linalg.norm(normal)
    gap = float(np.exp(rng.uniform(*np.log(_CONFIG.wall_gap_mm))))
    return Wall(normal, float((points @ normal).max()) + gap)


def upwards(rng: np.random.Generator, view: str) -> Floats:
    """Draw which way is up, (3,) in the camera frame: a camera on a head looks down, others do not or do."""
    low, high = {"egocentric": (0.25, 1.35), "frontal": (-0.2, 0.7)}.get(view, (-0.3, 1.57))
    pitch, roll = rng.uniform(low, high), rng.normal(0.0, 0.12)
    up = np.array([0.0, -np.cos(pitch), -np.sin(pitch)])
    return np.array([up[0] * np.cos(roll) - up[1] * np.sin(roll), up[0] * np.sin(roll) + up[1] * np.cos(roll), up[2]])


def sample_table(rng: np.random.Generator, up: Floats, hand: Floats, above: Floats, label: int) -> list[Part]:
    """Draw a table below a hand (V, 3), with things on it; nothing where the camera would not see it from above.

    above: (n, 3) everything that has to be above the table
    """
    rests = rng.random() < _CONFIG.rest_share
    gap = float(rng.uniform(0.0, 2.0) if rests else rng.uniform(*_CONFIG.table_gap_mm))
    height = float((above @ up).min()) - gap
    turn = rng.uniform(-np.pi, np.pi)
    spread = rng.uniform(-1.0, 1.0, 2)
    half = rng.uniform(*_CONFIG.table_half_mm)
    things = int(rng.integers(0, _CONFIG.max_things + 1))
    if height > -_CONFIG.least_height_mm:
        return []
    x, y = _level_axes(up, turn)
    middle = hand.mean(axis=0)
    middle = middle + (height - middle @ up) * up + spread[0] * half[0] * x + spread[1] * half[1] * y
    parts = [Part(label, *_slab(middle, x, y, up, half))]
    for _ in range(things):
        points, faces = sample_object(rng).mesh()
        angle, place = rng.uniform(-np.pi, np.pi), rng.uniform(-0.9, 0.9, 2) * half
        lies = rng.random() < 0.4
        size = float(rng.uniform(*_CONFIG.thing_size))
        axes = (up, *_level_axes(up, angle)) if lies else (*_level_axes(up, angle), up)
        turned = size * points @ np.stack(axes)
        turned += middle + place[0] * x + place[1] * y - (turned @ up).min() * up
        reach = np.linalg.norm(turned - turned.mean(axis=0), axis=1).max()
        # Not where the hand is: out of the ball that holds the thing.
        if np.linalg.norm(above - turned.mean(axis=0), axis=1).min() > reach + 10.0:
            parts.append(Part(label, turned, faces))
    return parts


def sample_body(rng: np.random.Generator, up: Floats, hand: Floats, shoulder: Floats | None, label: int) -> list[Part]:
    """Draw the body whose right shoulder is at a point (3,), or which is behind or beside hands (n, 3) if None."""
    size = float(rng.uniform(*_CONFIG.body_size))
    ball, ball_faces = unit_sphere()
    # Fuller than ellipsoids, as people in clothes are.
    full = np.sign(ball) * np.abs(ball) ** _CONFIG.fullness
    body, faces = merged([(full * axes + place, ball_faces) for axes, place in _CONFIG.body])
    down = -up
    facing = np.array([0.0, 0.0, 1.0]) - down[2] * down
    facing = facing / np.linalg.norm(facing) if np.linalg.norm(facing) > 0.2 else np.cross([1.0, 0.0, 0.0], down)
    side = np.cross(down, facing)
    turn = rng.normal(0.0, 0.5)
    x = np.cos(turn) * side + np.sin(turn) * facing
    axes = np.stack([x, down, np.cross(x, down)])
    points = size * body @ axes
    middle = hand.mean(axis=0)
    if shoulder is not None:
        points += shoulder - size * np.array(_CONFIG.shoulder_mm) @ axes
    else:
        points += middle + np.append(rng.uniform(-480.0, 480.0, 2), rng.uniform(150.0, 800.0))
    return [Part(label, _pushed_back(points, hand), faces)]


def sample_thighs(rng: np.random.Generator, up: Floats, hand: Floats, label: int) -> list[Part]:
    """Draw the thighs of somebody who sits, as a camera on the head sees them, below hands (n, 3)."""
    flat = np.array([0.0, 0.0, 1.0]) - up[2] * up
    length = float(np.linalg.norm(flat))
    if length < 0.2:
        return []
    forwards = flat / length
    side = np.cross(up, forwards)
    ranges = np.array([_CONFIG.thigh_below_mm, _CONFIG.thigh_apart_mm, _CONFIG.thigh_ahead_mm])
    depth, apart, ahead = rng.uniform(ranges[:, 0], ranges[:, 1])
    lowest = float((hand @ up).min())
    depth = max(depth, _CONFIG.body_gap_mm + _CONFIG.thigh_mm[1] - lowest)
    ball, faces = unit_sphere()
    parts = []
    for sign in (-1.0, 1.0):
        spread = forwards + sign * rng.uniform(*_CONFIG.thigh_spread) * side
        spread /= np.linalg.norm(spread)
        axes = np.stack([np.cross(up, spread), up, spread])
        middle = -depth * up + sign * apart * side + ahead * forwards
        parts.append(Part(label, (ball * _CONFIG.thigh_mm) @ axes + middle, faces))
    return parts


def _pushed_back(points: Floats, hand: Floats) -> Floats:
    """Move a body away from the camera until none of it is in the hand's way, or near it."""
    low, high = hand.min(axis=0), hand.max(axis=0)
    shift = 0.0
    for _ in range(4):
        moved = points + np.array([0.0, 0.0, shift])
        # Where the body is in the same part of the image as the hand, both seen along the rays.
        slope = moved[:, :2] / np.maximum(moved[:, 2:], 1.0)
        limits = np.stack([low[:2] / low[2], low[:2] / high[2], high[:2] / low[2], high[:2] / high[2]])
        inside = ((slope > limits.min(axis=0) - 0.08) & (slope < limits.max(axis=0) + 0.08)).all(axis=1)
        if not inside.any():
            break
        lacking = high[2] + _CONFIG.body_gap_mm - float(moved[inside, 2].min())
        if lacking <= 0:
            break
        shift += lacking
    return np.asarray(points + np.array([0.0, 0.0, shift]))


def _level_axes(up: Floats, turn: float) -> tuple[Floats, Floats]:
    """Two unit vectors that are level, at an angle."""
    x = np.cross(up, [0.0, 0.0, 1.0])
    x = x / np.linalg.norm(x) if np.linalg.norm(x) > 0.05 else np.array([1.0, 0.0, 0.0])
    y = np.cross(x, up)
    return np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x


def _slab(middle: Floats, x: Floats, y: Floats, up: Floats, half: Floats) -> tuple[Floats, Faces]:
    """The top of a table as a fine grid, since triangles that reach behind the camera are not drawn, and its edges."""
    columns, rows = _CONFIG.table_grid
    u, v = np.meshgrid(np.linspace(-1, 1, columns), np.linspace(-1, 1, rows), indexing="ij")
    top = middle + half[0] * u.reshape(-1, 1) * x + half[1] * v.reshape(-1, 1) * y
    first = (np.arange(columns - 1)[:, None] * rows + np.arange(rows - 1)).ravel()
    faces = np.concatenate(
        [
            np.stack([first, first + 1, first + rows], 1),
            np.stack([first + 1, first + rows + 1, first + rows], 1),
        ]
    )
    index = np.arange(columns * rows).reshape(columns, rows)
    rim = np.concatenate([index[:, 0], index[-1, 1:], index[-2::-1, -1], index[0, -2:0:-1]])
    below = len(top) + np.arange(len(rim))
    following = np.roll(np.arange(len(rim)), -1)
    edge = np.concatenate(
        [np.stack([rim, rim[following], below], 1), np.stack([rim[following], below[following], below], 1)]
    )
    return np.concatenate([top, top[rim] - _CONFIG.table_thickness_mm * up]), np.concatenate([faces, edge]).astype(
        np.int32
    )
