"""Windows cut from scenes to train the network that labels pixels: around the hand, beside it, and where there is none.

A window is turned, mirrored and scaled as it is cut: an image of a world of another size is the same image.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pixel_label_scenes import OTHER_ARM, THING, UNIT_MM, Arrays

from handopt.input.pixel_labels import BODY, FOREARM, HAND, OTHER_HAND
from handopt.observation.pixel_window import MIDDLE_PX, MM_PER_PX, SIZE
from handopt.typing import Floats, Mask

SIDEWAYS_MM, IN_DEPTH_MM = 30.0, 22.0
"""Deviations of a guessed palm from the true one, mm."""
MAX_SIDEWAYS_MM, MAX_IN_DEPTH_MM = 75.0, 55.0
ALMOST_MM: Final = (90.0, 130.0)
"""A palm within the first of these of the window's centre is there, one beyond the second is not, mm."""
BESIDE_SHARE: Final = 0.14
"""Windows on something else in images of hands."""
SIZE_RANGE: Final = (0.75, 1.45)
"""Of the world, drawn by its logarithm."""
COARSE_SHARE, COARSEST = 0.35, 4.0
"""Windows with larger pixels, and by how much at most."""
CUT_SHARE, CUT_MM = 0.12, (50.0, 250.0)
"""Windows in which all behind a plane is cut away, and how far behind the palm that is, mm."""
LEAST_HAND_PX: Final = 160
PLACES: Final = 200
"""Pixels of which one is chosen for a window on something else."""
UNKNOWN: Final = 255
SWAPPED: Final = {HAND: OTHER_HAND, FOREARM: OTHER_HAND, OTHER_HAND: HAND, OTHER_ARM: FOREARM}


@dataclass(frozen=True, eq=False)
class Batch:
    """Windows. offset: (B, S, S) mm, NaN where nothing is measured; label: (B, S, S), UNKNOWN where it does not count.

    points: (B, 2, 3) palm and wrist in the window, mm; NaN where there is no hand. presence: (B,) 1, 0, or -1 for
    neither. log_size: (B,); side: (B,) 1 for a right hand, -1 where it does not count.
    """

    offset: NDArray[np.float32]
    label: Mask
    points: NDArray[np.float32]
    presence: NDArray[np.float32]
    log_size: NDArray[np.float32]
    side: NDArray[np.float32]


def cut_windows(scenes: Arrays, rows: NDArray[np.int64], rng: np.random.Generator) -> Batch:
    """Cut a window out of each of the scenes of these rows."""
    drawn = [_window(scenes, int(row), rng) for row in rows]
    return Batch(*(np.stack(each) for each in zip(*drawn, strict=True)))


def _window(scenes: Arrays, row: int, rng: np.random.Generator) -> tuple[Any, ...]:
    height, width = (int(value) for value in scenes["shape"][row])
    first = int(scenes["first"][row])
    depth = scenes["depth"][first : first + height * width].reshape(height, width)
    label = scenes["label"][first : first + height * width].reshape(height, width)
    numbers = scenes["numbers"][row].astype(np.float64)
    fx, fy, u0, v0 = numbers[:4]
    scale = float(np.exp(rng.uniform(*np.log(SIZE_RANGE))))
    palms = numbers[4:16].reshape(2, 2, 3).mean(axis=1)
    centre = _centre(depth, label, (fx, fy, u0, v0), palms, scale, rng)
    turn, mirror = drawn_turn(rng)
    offset, seen_label = _looked_up(depth, label, (fx, fy, u0, v0), centre, turn, scale, rng)
    return (offset, *targets_of(seen_label, ~np.isnan(offset), numbers, (centre, turn, scale, mirror)))


def drawn_turn(rng: np.random.Generator) -> tuple[Floats, bool]:
    """A turn (2, 2) about the window's middle, and whether it mirrors as well."""
    angle, mirror = rng.uniform(-np.pi, np.pi), rng.random() < 0.5
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (turn @ np.diag([-1.0, 1.0]) if mirror else turn), bool(mirror)


def targets_of(label: Mask, seen: NDArray[np.bool_], numbers: Floats, window: tuple[Any, ...]) -> tuple[Any, ...]:
    """The other arrays of a window: its labels (S, S) as the hand nearest to its middle asks for them, and the targets.

    numbers: of the scene. window: its centre (3,) mm, turn (2, 2), how much larger it shows the world, whether mirrored
    """
    centre, turn, scale, mirror = window
    hands = numbers[4:16].reshape(2, 2, 3)
    palms = hands.mean(axis=1)
    away = scale * np.linalg.norm(palms - centre, axis=1)
    near = np.where(np.isnan(away), np.inf, away)
    mine = int(np.argmin(near))
    table = np.arange(256, dtype=np.uint8)
    if mine == 1 and np.isfinite(near[1]):
        for old, new in SWAPPED.items():
            table[old] = new
    else:
        table[OTHER_ARM] = OTHER_HAND
    label = table[label]
    there = near[mine] < ALMOST_MM[0]
    presence = 1.0 if there else 0.0 if near[mine] > ALMOST_MM[1] else -1.0
    if there and np.count_nonzero((label == HAND) & seen) < LEAST_HAND_PX:
        presence = -1.0
    points, log_size, side = np.full((2, 3), np.nan, np.float32), np.nan, -1.0
    if presence == 1.0:
        for number, point in enumerate((palms[mine], hands[mine, 0])):
            flat = turn.T @ (point[:2] / point[2] * centre[2] - centre[:2]) * scale
            points[number] = [*flat, (point[2] - centre[2]) * scale]
        log_size = float(np.log(numbers[16] * scale))
        right = (numbers[17] > 0.5) == (mine == 0)
        side = float(right != mirror)
    return label, points, np.float32(presence), np.float32(log_size), np.float32(side)


def _centre(
    depth: NDArray[np.uint16],
    label: Mask,
    camera: tuple[float, ...],
    palms: Floats,
    scale: float,
    rng: np.random.Generator,
) -> Floats:
    """Draw the guessed palm (3,) in the scene, mm."""
    there = [number for number in (0, 1) if np.isfinite(palms[number]).all()]
    jitter = np.array([SIDEWAYS_MM, SIDEWAYS_MM, IN_DEPTH_MM]) * rng.normal(0.0, 1.0, 3)
    far = np.hypot(jitter[0], jitter[1])
    jitter[:2] *= min(1.0, MAX_SIDEWAYS_MM / far)
    jitter[2] = np.clip(jitter[2], -MAX_IN_DEPTH_MM, MAX_IN_DEPTH_MM)
    if there and rng.random() > BESIDE_SHARE:
        pick = 1 if len(there) > 1 and _inside(palms[1], depth.shape, camera) and rng.random() < 0.35 else 0
        return palms[pick] + jitter / scale
    place = _place(depth, label, bool(there), rng)
    fx, fy, u0, v0 = camera
    if place is None:
        return np.array([0.0, 0.0, float(rng.uniform(300.0, 1000.0))]) + jitter
    z = float(depth.flat[place]) * UNIT_MM
    row, column = divmod(place, depth.shape[1])
    point = np.array([(column - u0) / fx * z, (row - v0) / fy * z, z])
    point[2] += float(rng.uniform(-15.0, 35.0)) / scale
    return point + 0.3 * np.append(jitter[:2], 0.0)


def _place(depth: NDArray[np.uint16], label: Mask, hand: bool, rng: np.random.Generator) -> int | None:
    """Draw a measured pixel that is not the hand's, most often of what one might take for a hand."""
    places = rng.integers(depth.size, size=PLACES)
    places = places[depth.ravel()[places] > 0]
    seen = label.ravel()[places]
    resembling = np.isin(seen, (FOREARM, OTHER_ARM, BODY) if hand else (THING, BODY))
    if resembling.any() and rng.random() < (0.6 if hand else 0.75):
        places = places[resembling]
    return int(places[0]) if len(places) else None


def _inside(point: Floats, shape: tuple[int, ...], camera: tuple[float, ...]) -> bool:
    fx, fy, u0, v0 = camera
    u, v = fx * point[0] / point[2] + u0, fy * point[1] / point[2] + v0
    return bool(0 <= u < shape[1] and 0 <= v < shape[0])


def _looked_up(
    depth: NDArray[np.uint16],
    label: Mask,
    camera: tuple[float, ...],
    centre: Floats,
    turn: Floats,
    scale: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], Mask]:
    fx, fy, u0, v0 = camera
    axis = (np.arange(SIZE) - MIDDLE_PX) * (MM_PER_PX / scale)
    ahead = 1.0 / centre[2]
    right = turn[0, 0] * axis + turn[0, 1] * axis[:, None] + centre[0]
    down = turn[1, 0] * axis + turn[1, 1] * axis[:, None] + centre[1]
    u, v = fx * ahead * right + u0, fy * ahead * down + v0
    if rng.random() < COARSE_SHARE:
        step = float(rng.uniform(1.0, COARSEST)) * max(1.0, fx * ahead * MM_PER_PX / scale)
        u, v = step * np.rint(u / step), step * np.rint(v / step)
    column, row = np.rint(u).astype(np.int32), np.rint(v).astype(np.int32)
    inside = (column >= 0) & (column < depth.shape[1]) & (row >= 0) & (row < depth.shape[0])
    flat = np.where(inside, row * depth.shape[1] + column, 0)
    counts, labels = depth.ravel()[flat], label.ravel()[flat]
    offset = (counts * np.float32(UNIT_MM) - np.float32(centre[2])) * np.float32(scale)
    gone = ~inside | (counts == 0)
    if rng.random() < CUT_SHARE:
        gone |= offset > rng.uniform(*CUT_MM)
    return np.where(gone, np.float32(np.nan), offset).astype(np.float32), np.where(gone, np.uint8(UNKNOWN), labels)
