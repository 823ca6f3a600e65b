"""Scenes without a hand, for the network that labels pixels: rooms, people, and things that resemble a hand."""

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
from scipy.spatial.transform import Rotation

from handopt.input.camera import Camera
from handopt.input.pixel_labels import BACKGROUND, BODY
from handopt.rig import default_rig
from handopt.synth.arms import arm_mesh, sample_arm
from handopt.synth.held_objects import sample_object
from handopt.synth.primitives import Solid, merged, solid_mesh, unit_sphere
from handopt.synth.surroundings import Part, Wall, sample_body, sample_table, sample_thighs, sample_wall, upwards
from handopt.synth.viewpoints import sample_view
from handopt.synth.wild_scene import render_parts, wall_depth
from handopt.typing import Faces, FloatImage, Floats, Mask

Triangles = tuple[Floats, Faces]

DISTANCE_MM: Final = (260.0, 1400.0)
"""Of the first thing, mm, drawn by its logarithm: as far as hands are."""
APART_MM: Final = 350.0
"""Deviation of the places of other things from that of the first, mm."""
WALL_SHARE, TABLE_SHARE, BODY_SHARE, THIGH_SHARE = 0.75, 0.3, 0.45, 0.15
"""Scenes with each of these."""
EMPTY_SHARE: Final = 0.1
"""Scenes without things."""
FOREGROUND: Final = 200
"""The label of things while they are rendered."""


def sample_handless_scene(rng: np.random.Generator, camera: Camera) -> tuple[FloatImage, Mask, Mask]:
    """Draw a scene without a hand.

    Returns the clean depth (H, W) in mm, the labels (H, W), and where the things in front are (H, W), 0 or 1.
    """
    distance = float(np.exp(rng.uniform(*np.log(DISTANCE_MM))))
    pixel = rng.uniform(0.1, 0.9, 2) * [camera.width, camera.height]
    place = distance * np.array([(pixel[0] - camera.cx) / camera.fx, (pixel[1] - camera.cy) / camera.fy, 1.0])
    things = []
    for number in range(int(rng.integers(1, 4))):
        points, faces = _THINGS[int(rng.choice(len(_THINGS), p=_SHARES))](rng)
        points = points @ Rotation.random(random_state=rng).as_matrix().T
        beside = np.zeros(3) if number == 0 else rng.normal(0.0, APART_MM, 3)
        # Triangles that reach behind the camera are not drawn.
        at = place + beside
        at[2] = max(at[2], 150.0 - float(points[:, 2].min()))
        things.append((points + at, faces))
    parts, chosen = [], rng.random(4)
    shown = np.concatenate([points for points, _ in things])
    view = sample_view(rng)
    up = upwards(rng, view)
    if chosen[0] < TABLE_SHARE:
        parts += sample_table(rng, up, shown, shown, BACKGROUND)
    if chosen[1] < BODY_SHARE:
        parts += sample_body(rng, up, shown, None, BODY)
    if chosen[2] < THIGH_SHARE:
        parts += sample_thighs(rng, up, shown, BODY)
    wall = sample_wall(rng, shown) if chosen[3] < WALL_SHARE or not parts else None
    return _rendered([] if rng.random() < EMPTY_SHARE else things, parts, wall, camera)


def _rendered(
    things: list[Triangles], parts: list[Part], wall: Wall | None, camera: Camera
) -> tuple[FloatImage, Mask, Mask]:
    everything = [*(Part(FOREGROUND, *mesh) for mesh in things), *parts]
    shape = (camera.height, camera.width)
    depth, label = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    if everything:
        depth, label = render_parts(everything, camera)
    if wall is not None:
        beyond = wall_depth(wall, camera)
        behind = (beyond > 0) & ((depth == 0) | (depth > beyond))
        depth, label = np.where(behind, beyond, depth), np.where(behind, np.uint8(BACKGROUND), label)
    front = label == FOREGROUND
    return depth, np.where(front, np.uint8(BACKGROUND), label), front.astype(np.uint8)


def _bar(rng: np.random.Generator, radius: float, length: float, start: Floats, direction: Floats) -> Triangles:
    """A rod, round or square, from a point (3,) in a direction (3,)."""
    along = direction / np.linalg.norm(direction)
    shape: Literal["cylinder", "box"] = "cylinder" if rng.random() < 0.7 else "box"
    wide = radius * float(rng.uniform(0.5, 1.0)) if shape == "box" else radius
    points, faces = solid_mesh(Solid(shape, (radius, wide, length / 2), float(rng.uniform(0.1, 0.9)) * wide))
    first = np.cross(along, [0.0, 1.0, 0.0] if abs(along[1]) < 0.9 else [1.0, 0.0, 0.0])
    first /= np.linalg.norm(first)
    axes = np.stack([first, np.cross(along, first), along])
    return (points + np.array([0.0, 0.0, length / 2])) @ axes + start, faces


def _object(rng: np.random.Generator) -> Triangles:
    points, faces = sample_object(rng).mesh()
    return float(rng.uniform(0.8, 2.2)) * points, faces


def _fork(rng: np.random.Generator) -> Triangles:
    """A handle, a block, and one to five prongs in a row or fanned out."""
    block = rng.uniform([10.0, 20.0, 5.0], [60.0, 60.0, 22.0])
    meshes = [solid_mesh(Solid("box", tuple(block[[1, 2, 0]]), float(0.5 * block[2])))]
    count, fan = int(rng.integers(1, 6)), float(rng.uniform(0.0, 0.35))
    radius, length = float(rng.uniform(3.0, 15.0)), float(rng.uniform(40.0, 160.0))
    for number in range(count):
        side = 2.0 * number / (count - 1) - 1.0 if count > 1 else 0.0
        tilt = np.array([np.sin(fan * side), rng.normal(0.0, 0.03), np.cos(fan * side)])
        size = float(rng.uniform(0.9, 1.1)) * length
        meshes.append(_bar(rng, radius, size, np.array([0.9 * side * block[1], 0.0, 0.6 * block[0]]), tilt))
    if rng.random() < 0.7:
        start = np.array([0.0, 0.0, -0.6 * block[0]])
        handle = float(rng.uniform(5.0, 35.0)), float(rng.uniform(60.0, 400.0))
        meshes.append(_bar(rng, *handle, start, np.array([rng.normal(0.0, 0.1), rng.normal(0.0, 0.1), -1.0])))
    return merged(meshes)


def _tripod(rng: np.random.Generator) -> Triangles:
    """Three to five legs from one joint, as of tripods, stools and desk chairs."""
    count, spread, radius = int(rng.integers(3, 6)), float(rng.uniform(0.2, 1.5)), float(rng.uniform(4.0, 25.0))
    length, turn = float(rng.uniform(80.0, 500.0)), rng.uniform(0.0, 6.0)
    meshes = []
    for number in range(count):
        around = turn + 2 * np.pi * number / count + rng.normal(0.0, 0.1)
        direction = [np.sin(spread) * np.cos(around), np.sin(spread) * np.sin(around), np.cos(spread)]
        meshes.append(_bar(rng, radius, length, np.zeros(3), np.array(direction)))
    meshes.append(
        _bar(rng, radius * float(rng.uniform(1.0, 2.0)), 0.8 * length, np.zeros(3), np.array([0.0, 0.0, -1.0]))
    )
    return merged(meshes)


def _head(rng: np.random.Generator) -> Triangles:
    """A head with a nose, ears and a neck, sometimes with hair or a cap."""
    ball, faces = unit_sphere()
    size = float(rng.uniform(0.75, 1.15))
    parts = [((76, 112, 95), (0, 0, 0)), ((14, 26, 25), (0, 8, -94)), ((52, 80, 55), (0, 130, 10))]
    parts += [((10, 30, 20), (sign * 78, 5, 5)) for sign in (-1, 1)]
    if rng.random() < 0.4:
        parts.append(((90, 90, 105), (0, -50, 20)))
    return merged([(size * (ball * axes + place), faces) for axes, place in parts])


def _chair(rng: np.random.Generator) -> Triangles:
    """Bars and boards at right angles, as of chairs, shelves and racks."""
    half = rng.uniform([60.0, 60.0, 80.0], [260.0, 260.0, 400.0])
    radius = float(rng.uniform(6.0, 25.0))
    meshes = []
    for x in (-1.0, 1.0):
        for y in (-1.0, 1.0):
            start = np.array([x * half[0], y * half[1], -half[2]])
            meshes.append(
                _bar(rng, radius, 2 * half[2] * float(rng.uniform(0.5, 1.0)), start, np.array([0.0, 0.0, 1.0]))
            )
    thick = float(rng.uniform(5.0, 20.0))
    meshes.append(solid_mesh(Solid("box", (half[0], half[1], thick), 0.5 * thick)))
    for number in range(int(rng.integers(0, 5))):
        start = np.array([-half[0], half[1], 0.8 * half[2] - 45.0 * number])
        meshes.append(_bar(rng, 0.8 * radius, 2 * half[0], start, np.array([1.0, 0.0, 0.0])))
    return merged(meshes)


def _limb(rng: np.random.Generator) -> Triangles:
    """An arm without its hand: the end of a sleeve, or a stump."""
    points, faces = arm_mesh(sample_arm(rng), default_rig("right"))
    return points - points.mean(axis=0) * float(rng.uniform(0.0, 1.0)), faces


def _blobs(rng: np.random.Generator) -> Triangles:
    """A few ellipsoids that overlap: cushions, fruit, crumpled clothes, animals."""
    ball, faces = unit_sphere()
    size = float(rng.uniform(15.0, 90.0))
    meshes = []
    for _ in range(int(rng.integers(1, 7))):
        turn = Rotation.random(random_state=rng).as_matrix()
        axes = size * rng.uniform([0.3, 0.5, 0.7], [1.0, 1.2, 2.2])
        meshes.append(((ball * axes) @ turn + rng.normal(0.0, size, 3), faces))
    return merged(meshes)


def _plant(rng: np.random.Generator) -> Triangles:
    """Rods and leaves that leave one place in all directions."""
    ball, faces = unit_sphere()
    meshes = []
    for _ in range(int(rng.integers(3, 12))):
        direction = rng.normal(0.0, 1.0, 3) + np.array([0.0, 0.0, 1.2])
        direction /= np.linalg.norm(direction)
        length, radius = float(rng.uniform(40.0, 180.0)), float(rng.uniform(2.0, 8.0))
        meshes.append(_bar(rng, radius, length, np.zeros(3), direction))
        if rng.random() < 0.6:
            turn = Rotation.random(random_state=rng).as_matrix()
            axes = rng.uniform([2.0, 8.0, 15.0], [5.0, 30.0, 60.0])
            meshes.append(((ball * axes) @ turn + length * direction, faces))
    return merged(meshes)


_KINDS: Final[tuple[tuple[Callable[[np.random.Generator], Triangles], float], ...]] = (
    (_object, 0.2),
    (_fork, 0.25),
    (_tripod, 0.1),
    (_head, 0.1),
    (_chair, 0.08),
    (_limb, 0.12),
    (_blobs, 0.1),
    (_plant, 0.05),
)
_THINGS: Final = tuple(thing for thing, _ in _KINDS)
_SHARES: Final = tuple(share for _, share in _KINDS)
