"""Hands that hold something: fingers close around an object, joint after joint, until their skin touches it.

The object is placed in the palm or between thumb and fingertips of an open hand. Each digit then bends until a vertex
of its skin reaches the object; the joints beyond the phalanx that touches bend on, as in the grasp planner of Miller
and Allen (GraspIt!, IEEE Robotics & Automation Magazine 2004). All steps of a closing are posed at once. Everything is
at scale 1 in the wrist's frame: x towards the little finger, y towards the back of the hand, z towards the arm, mm.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial.transform import Rotation

from handopt.errors import ConfigError
from handopt.ops.skinning import skin
from handopt.rig import Rig
from handopt.rig.anatomy import FLEXION
from handopt.rig.joints import DIGITS
from handopt.rig.pose import joint_transforms
from handopt.synth.gestures import gesture_angles
from handopt.synth.hand_volume import SubjectVolume
from handopt.synth.held_objects import sample_object
from handopt.synth.primitives import SolidObject
from handopt.synth.wild_config import CONFIG
from handopt.typing import Bools, Faces, FloatImage, Floats, Indices

_CONFIG = CONFIG.grasp
_FULL_FLEXION = np.array(_CONFIG.full_flexion_rad)
_PALM_GROUP = 15
_THUMB_GRID = np.stack(
    np.meshgrid(
        np.linspace(-0.3, 1.0, 6),
        np.linspace(-0.6, 0.4, 5),
        np.linspace(-0.5, 0.7, 5),
        np.array([0.0, 0.35]),
        indexing="ij",
    ),
    axis=-1,
).reshape(-1, 4)
"""(150, 4) rad: twist, abduction and flexion of the CMC, flexion of the MCP, from which the thumb starts to close."""


@dataclass(frozen=True)
class Grasp:
    """A hand that holds an object.

    angles_rad: (15, 3). rotation: (3, 3) object -> wrist; centre: (3,) mm, of the object.
    grip: "palm" or "pinch". touching: which of the five digits touch it
    """

    angles_rad: Floats
    object: SolidObject
    rotation: Floats
    centre: Floats
    grip: str
    touching: Bools

    def mesh(self) -> tuple[Floats, Faces]:
        """The object's vertices (n, 3) in the wrist's frame, mm, and faces (m, 3)."""
        points, faces = self.object.mesh()
        return points @ self.rotation.T + self.centre, faces


@dataclass(frozen=True, eq=False)
class SkinGroups:
    """A rig's vertices sorted by the phalanx that moves them: 15 groups as the rows of the angles, then the palm.

    order: (V,) vertices; start: (16,) of each group
    """

    order: Indices
    start: Indices


@lru_cache(maxsize=4)
def skin_groups(rig: Rig) -> SkinGroups:
    """Sort a rig's vertices by phalanx."""
    row_of_joint = np.full(len(rig.joint_names), _PALM_GROUP)
    row_of_joint[rig.articulated] = np.arange(_PALM_GROUP)
    group = row_of_joint[rig.skin_indices[:, 0]]
    order = np.argsort(group, kind="stable")
    return SkinGroups(order, np.searchsorted(group[order], np.arange(_PALM_GROUP + 1)))


class _Hand:
    """A subject's skin, and how far it is from an object, in the wrist's frame at scale 1."""

    def __init__(self, rig: Rig, base: Rig) -> None:
        groups = skin_groups(base)
        self.rig = rig
        self.start = groups.start
        self._rest = np.ascontiguousarray(rig.rest_mm[groups.order])
        self._indices = np.ascontiguousarray(rig.skin_indices[groups.order])
        self._weights = np.ascontiguousarray(rig.skin_weights[groups.order])
        self._turn = np.ascontiguousarray(rig.bind[0, :, :3].T)

    def transforms(self, angles: Floats) -> Floats:
        count = len(angles)
        turn = np.broadcast_to(self._turn, (count, 3, 3))
        return joint_transforms(self.rig, turn, np.zeros((count, 3)), angles, np.ones(count))

    def vertices(self, angles: Floats, groups: int = _PALM_GROUP + 1) -> FloatImage:
        """Vertices (K, n, 3) of the first groups, in their order, for angles (K, 15, 3)."""
        end = self.start[groups] if groups <= _PALM_GROUP else len(self._rest)
        parts = (each[:end] for each in (self._rest, self._indices, self._weights))
        return np.asarray(skin(self.transforms(angles), *parts), np.float32)

    def keypoints(self, angles: Floats) -> Floats:
        """Keypoints (K, 21, 3)."""
        joints = self.rig.keypoint_joints
        points = np.ascontiguousarray(self.rig.bind[joints, :, 3])
        return np.asarray(skin(self.transforms(angles), points, joints[:, None], np.ones((len(points), 1))))

    def distances(
        self, angles: Floats, held: SolidObject, turn: Floats, centre: Floats, groups: int = _PALM_GROUP + 1
    ) -> FloatImage:
        """The least distance (K, n) of the skin of the first groups from an object, negative inside, mm."""
        local = (self.vertices(angles, groups) - centre.astype(np.float32)).reshape(-1, 3) @ turn.astype(np.float32)
        every = held.distance(local).reshape(len(angles), -1)
        return np.asarray(np.minimum.reduceat(every, self.start[:groups], axis=1))


def sample_grasp(
    rng: np.random.Generator, rig: Rig, base: Rig, body: SubjectVolume, scale: float, kind: str | None = None
) -> Grasp:
    """Draw an object and a hand that holds it.

    rig: a right hand, dressed for its subject; base: the rig that it was made of; body: the subject's balls; scale: of
    the hand, since objects do not grow with it. Raises ConfigError where no try gives a grasp.
    """
    hand = _Hand(rig, base)
    for _ in range(_CONFIG.max_tries):
        held = sample_object(rng, kind).scaled(1.0 / scale)
        palm = rng.random() < _CONFIG.palm_share[held.kind]
        drawn = (_in_palm if palm else _in_pinch)(rng, hand, held)
        if drawn is None:
            continue
        angles, turn, centre = drawn
        distances = hand.distances(angles[None], held, turn, centre)[0]
        touching = distances[:_PALM_GROUP].reshape(5, 3).min(axis=1) < _CONFIG.contact_mm
        enough = touching.sum() >= 3 if palm else touching[0] and touching[1:3].any()
        if enough and distances.min() >= -_CONFIG.deepest_mm and body.measure(angles[None])[0][0] <= _CONFIG.overlap_mm:
            return Grasp(angles, held, turn, centre, "palm" if palm else "pinch", touching)
    raise ConfigError(f"no grasp was found in {_CONFIG.max_tries} tries: use another rig or limits")


def _in_palm(rng: np.random.Generator, hand: _Hand, held: SolidObject) -> tuple[Floats, Floats, Floats] | None:
    """Lay an object into the palm and close all digits around it: angles, rotation and centre of the object."""
    start = np.zeros((5, 3, 3))
    start[1:, 0, FLEXION] = rng.uniform(-0.2, 0.1)
    start[1:, 0, 1] = rng.normal(0.03, 0.05) * np.array([0.6, 0.1, -0.4, -1.0]) + rng.normal(0.0, 0.03, 4)
    angles = _within_limits(start.reshape(15, 3), hand.rig)
    turn = _across_palm(rng, held)
    spot = np.array([rng.normal(5.0, 8.0), 0.0, rng.uniform(-98.0, -62.0)])
    # Along the object, so that the hand holds it anywhere but at its very ends.
    spot = spot + turn[:, 2] * max(0.0, held.size_mm[2] / 2 - 40.0) * rng.uniform(-1.0, 1.0)
    offset = _nearest_in_front(hand, angles, held, turn, spot, float(rng.uniform(*_CONFIG.palm_gap_mm)))
    if offset is None:
        return None
    centre = spot - np.array([0.0, offset, 0.0])
    thumb = _start_of_thumb(rng, hand, angles, held, turn, centre)
    if thumb is None:
        return None
    goal = thumb.reshape(5, 3, 3).copy()
    lazy = np.where(
        rng.random((4, 1)) < _CONFIG.lazy_share, rng.uniform(0.1, 0.6, (4, 1)), rng.uniform(0.85, 1.0, (4, 1))
    )
    goal[1:, :, FLEXION] = _FULL_FLEXION * lazy
    goal[0, 1:, FLEXION] = [rng.uniform(0.4, 1.0), rng.uniform(0.3, 1.0)]
    return _closed(hand, thumb, _within_limits(goal.reshape(15, 3), hand.rig), held, turn, centre), turn, centre


def _in_pinch(rng: np.random.Generator, hand: _Hand, held: SolidObject) -> tuple[Floats, Floats, Floats] | None:
    """Hold an object between thumb and fingertips: angles, rotation and centre of the object."""
    name = ("pinch", "pinch_curled", "purse", "purse")[int(rng.integers(4))]
    drawn = _within_limits(_opened(rng, gesture_angles(rng, name, _CONFIG.pinch_draws)), hand.rig)
    tips = hand.keypoints(drawn)[:, 4::4]
    others = tips[:, 1:3].mean(axis=1) if name == "purse" else tips[:, 1]
    gap = np.linalg.norm(others - tips[:, 0], axis=1)
    best = int(np.abs(gap - held.size_mm[0] - 2 * _CONFIG.pad_mm).argmin())
    thumb, finger = tips[best, 0], others[best]
    across = (finger - thumb) / max(gap[best], 1e-6)
    middle = 0.5 * (thumb + finger)
    angles = drawn[best]
    away = middle - np.array([0.0, 0.0, -75.0])
    along = hand.keypoints(angles[None])[0, 5] + [0.0, 8.0, 0.0] - middle if held.kind == "pen" else -away
    along = along + rng.normal(0.0, 0.3, 3) * np.linalg.norm(along)
    along -= (along @ across) * across
    along /= max(float(np.linalg.norm(along)), 1e-6)
    turn = np.column_stack([across, np.cross(along, across), along])
    if held.kind == "ball" or (held.kind != "pen" and rng.random() < 0.3):
        turn = turn @ Rotation.from_rotvec([rng.uniform(-np.pi, np.pi), 0.0, 0.0]).as_matrix()
    half = held.size_mm[2] / 2
    # Fingertips hold a pen near its point and other things at the end that is towards the palm, or in the middle.
    shift = half - rng.uniform(22.0, 45.0) if held.kind == "pen" else -rng.uniform(0.0, 0.8) * half
    centre = middle + shift * along
    opened = angles.reshape(5, 3, 3).copy()
    opened[1:3, 0, FLEXION] -= _CONFIG.pinch_start_rad[0]
    opened[1:3, 1, FLEXION] -= _CONFIG.pinch_start_rad[1]
    opened[0, 0, FLEXION] -= _CONFIG.pinch_start_rad[2]
    goal = angles.reshape(5, 3, 3).copy()
    goal[1:, :2, FLEXION] += _CONFIG.pinch_close_rad[0]
    goal[0, :2, FLEXION] += _CONFIG.pinch_close_rad[1]
    start, goal = (_within_limits(each.reshape(15, 3), hand.rig) for each in (opened, goal))
    return _closed(hand, start, goal, held, turn, centre, stages=1), turn, centre


def _closed(
    hand: _Hand, start: Floats, goal: Floats, held: SolidObject, turn: Floats, centre: Floats, stages: int = 3
) -> Floats:
    """Bend each digit from start to goal (15, 3) until it touches; then its joints beyond the phalanx that touches."""
    angles = start
    for _ in range(stages):
        angles, contact = _advanced(hand, angles, goal, held, turn, centre)
        goal = angles.reshape(5, 3, 3).copy()
        for digit in range(5):
            if 0 <= contact[digit] < 2:
                beyond = contact[digit] + 1
                goal[digit, beyond:, FLEXION] = np.maximum(goal[digit, beyond:, FLEXION], _FULL_FLEXION[beyond:])
        goal = _within_limits(goal.reshape(15, 3), hand.rig)
    return angles


def _advanced(
    hand: _Hand, start: Floats, goal: Floats, held: SolidObject, turn: Floats, centre: Floats
) -> tuple[Floats, Indices]:
    """Go from start towards goal until the skin touches: angles (15, 3), and the phalanx of each digit or -1."""
    low, high = np.zeros(5), np.ones(5)
    contact = np.full(5, -1)
    for number in range(2):
        share = low + np.linspace(0.0, 1.0, _CONFIG.steps)[:, None] * (high - low)  # (K, 5)
        angles = start + np.repeat(share, 3, axis=1)[:, :, None] * (goal - start)
        distances = hand.distances(angles, held, turn, centre, _PALM_GROUP).reshape(_CONFIG.steps, 5, 3)
        blocked = distances.min(axis=2) < -_CONFIG.touch_depth_mm
        first = np.where(blocked.any(axis=0), blocked.argmax(axis=0), _CONFIG.steps)
        digits = np.arange(5)
        if number == 0:
            hit = first < _CONFIG.steps
            contact[hit] = distances[first[hit], digits[hit]].argmin(axis=1)
        low = share[np.maximum(first - 1, 0), digits]
        high = np.where(first < _CONFIG.steps, share[np.minimum(first, _CONFIG.steps - 1), digits], low)
    return start + np.repeat(low, 3)[:, None] * (goal - start), contact


def _nearest_in_front(
    hand: _Hand, angles: Floats, held: SolidObject, turn: Floats, spot: Floats, gap_mm: float
) -> float | None:
    """How far in front of a spot an object has to be so that its gap from palm and fingers is gap_mm, None if nowhere.

    The thumb does not count: it goes where there is room.
    """
    vertices = hand.vertices(angles[None])[0]
    others = vertices[hand.start[3] :]
    low, high = 0.0, 160.0
    for _ in range(2):
        offsets = np.linspace(low, high, 12, dtype=np.float32)
        local = (others - spot.astype(np.float32)) @ turn.astype(np.float32)
        moved = local + (offsets[:, None] * turn[1].astype(np.float32))[:, None]
        least = held.distance(moved.reshape(-1, 3)).reshape(len(offsets), -1).min(axis=1)
        inside = np.flatnonzero(least < gap_mm)
        last = int(inside[-1]) if len(inside) else -1
        if last + 1 >= len(offsets):
            return None
        low, high = float(offsets[max(last, 0)]), float(offsets[last + 1])
    return high


def _start_of_thumb(
    rng: np.random.Generator, hand: _Hand, angles: Floats, held: SolidObject, turn: Floats, centre: Floats
) -> Floats | None:
    """Angles (15, 3) whose thumb is outside the object and, of some that are, nearest to it; None if there is none."""
    chosen = _THUMB_GRID[rng.permutation(len(_THUMB_GRID))[: _CONFIG.thumb_draws]]
    tries = np.repeat(angles[None], len(chosen), axis=0)
    tries[:, 0, :] = chosen[:, :3]
    tries[:, 1, FLEXION] = chosen[:, 3]
    tries = _within_limits(tries, hand.rig)
    distances = hand.distances(tries, held, turn, centre, 3)
    free = distances.min(axis=1) >= -_CONFIG.touch_depth_mm
    if not free.any():
        return None
    cost = distances[:, 2] + rng.uniform(0.0, 12.0, len(tries)) + np.where(free, 0.0, np.inf)
    return np.asarray(tries[int(cost.argmin())])


def _across_palm(rng: np.random.Generator, held: SolidObject) -> Floats:
    """Rotation (3, 3) object -> wrist that lays the longest side across the palm and the shortest on it."""
    if held.kind == "ball":
        return np.eye(3)
    # Columns: the object's x (shortest) along the wrist's -y, its z (longest) along -x or x, towards the thumb or away.
    towards = -1.0 if rng.random() < 0.7 else 1.0
    turn = np.column_stack([[0.0, -1.0, 0.0], [0.0, 0.0, -towards], [towards, 0.0, 0.0]])
    about = rng.normal(0.0, [0.12, 0.4, 0.15])
    spin = rng.uniform(-1.1, 1.1) if held.kind == "cup" else rng.choice([0.0, 0.0, 0.5 * np.pi]) + rng.normal(0.0, 0.2)
    if held.kind == "phone":
        spin = rng.normal(0.0, 0.12)
    return np.asarray(
        Rotation.from_rotvec(about).as_matrix() @ turn @ Rotation.from_rotvec([0.0, 0.0, spin]).as_matrix()
    )


def _opened(rng: np.random.Generator, angles: Floats) -> Floats:
    """Open pinching hands (K, 15, 3) by various amounts."""
    by_digit = angles.reshape(len(angles), len(DIGITS), 3, 3).copy()
    amount = rng.uniform(0.0, 1.0, (len(angles), 1))
    by_digit[:, 1:, 0, FLEXION] -= _CONFIG.pinch_open_rad[0] * amount
    by_digit[:, 1:, 1, FLEXION] -= _CONFIG.pinch_open_rad[1] * amount
    by_digit[:, 0, 0, FLEXION] -= _CONFIG.pinch_open_rad[2] * amount[:, 0]
    return np.asarray(by_digit.reshape(len(angles), 15, 3))


def _within_limits(angles: Floats, rig: Rig) -> Floats:
    return np.clip(angles, rig.limits.lower, rig.limits.upper)
