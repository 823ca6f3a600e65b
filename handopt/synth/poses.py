"""Random poses of a random hand, seen from somewhere: gestures and free poses in which no finger overlaps another.

Everything is drawn for a right hand; a left one is its mirror image (x -> -x of the camera).
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from handopt.errors import ConfigError
from handopt.rig import Rig, default_rig
from handopt.synth.config import SYNTH
from handopt.synth.gestures import GESTURES, RANDOM, free_angles, gesture_angles, mild_angles, sample_gesture
from handopt.synth.hand_volume import PALM, SubjectVolume, volume_of
from handopt.synth.subject import Subject, sample_subject
from handopt.typing import Floats

Level = Literal["easy", "medium", "hard"]

LEVELS: Final[tuple[Level, ...]] = ("easy", "medium", "hard")

# Turns the wrist joint's frame (fingers along -z, back of the hand along +y) upright, the palm towards the camera.
PALM_UPRIGHT: Final = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])

_CONFIG = SYNTH.poses


class NoPoseError(ConfigError):
    """No pose of a gesture without overlaps was found, for one subject."""


@dataclass(frozen=True)
class HandSample:
    """A right hand in a pose, without its place.

    subject: whose hand. angles_rad: (15, 3), as Rig has them. rotation: (3, 3) rig -> camera. gesture: its name,
    "random" for a free pose. tries: draws that it took.
    """

    subject: Subject
    angles_rad: Floats
    rotation: Floats
    gesture: str
    tries: int

    @property
    def scale(self) -> float:
        """The subject's scale."""
        return self.subject.scale

    @property
    def proportions(self) -> Floats:
        """The subject's (13,) proportions."""
        return self.subject.proportions


def sample_hand(
    rng: np.random.Generator, level: Level = "hard", *, subject: Subject | None = None, rig: Rig | None = None
) -> HandSample:
    """Draw a subject (unless one is given), a pose and a view.

    rig: a right hand, the default one if None; its limits bound the angles. Where the subject cannot do a gesture
    without overlaps another one is drawn. Raises ConfigError for an unknown level.
    """
    check_level(level)
    person = sample_subject(rng) if subject is None else subject
    hand = default_rig("right") if rig is None else rig
    gesture, angles, tries = draw_pose(rng, level, person, hand)
    return HandSample(person, angles, sample_view(rng, level, hand), gesture, tries)


def draw_pose(
    rng: np.random.Generator, level: Level, person: Subject, rig: Rig, *, gesture_share: float | None = None
) -> tuple[str, Floats, int]:
    """A gesture, its angles and the draws it took; another gesture for those of which there is no pose.

    gesture_share: of gestures among all poses, that of the level if None.
    """
    share = SYNTH.levels[level].gesture_share if gesture_share is None else gesture_share
    failed: NoPoseError | None = None
    for _ in range(_CONFIG.max_gestures):
        gesture = sample_gesture(rng) if rng.random() < share else RANDOM
        try:
            return gesture, *sample_angles(rng, level, gesture, person.proportions, rig)
        except NoPoseError as error:
            failed = error
    assert failed is not None
    raise failed


def check_level(level: str) -> None:
    """Raise ConfigError for an unknown level."""
    if level not in LEVELS:
        raise ConfigError(f"unknown level {level!r}: the levels are {', '.join(LEVELS)}")


def sample_angles(
    rng: np.random.Generator, level: Level, gesture: str, proportions: Floats, rig: Rig
) -> tuple[Floats, int]:
    """Draw angles (15, 3) of a gesture or a "random" pose in which nothing overlaps, and say how many were drawn."""
    body = volume_of(rig).of(proportions)
    for tries in range(1, _CONFIG.max_rounds + 1):
        if gesture != RANDOM and GESTURES[gesture].touch is not None:
            angles = _touching(rng, gesture, body, clearance=min(tries - 1, _CONFIG.max_clearance_mm))
        else:
            angles = _clear(rng, level, gesture, body)
        if angles is not None and (gesture == RANDOM or body.depth_in_skin(angles) <= _CONFIG.skin_tolerance_mm):
            return angles, tries
    raise NoPoseError(
        f"no {gesture} pose without overlaps was found in {_CONFIG.max_rounds} rounds: use another rig or limits"
    )


def sample_view(rng: np.random.Generator, level: Level, rig: Rig) -> Floats:
    """Draw a rotation (3, 3) rig -> camera: near frontal, within 55 degrees of it, or from anywhere."""
    view = SYNTH.levels[level].view
    if view is None:
        turn = _anywhere(rng)
    else:
        yaw, pitch = rng.uniform(-view.tilt_rad, view.tilt_rad, 2)
        roll = rng.uniform(-view.roll_rad, view.roll_rad)
        back = np.pi if rng.random() < view.back_share else 0.0
        turn = _about(2, roll) @ _about(1, yaw) @ _about(0, pitch) @ _about(1, back)
    return np.asarray(turn @ PALM_UPRIGHT @ rig.bind[0, :, :3].T)


def view_angles(rotation: Floats, rig: Rig) -> tuple[Literal["palm", "back"], float, float, float]:
    """Which side of a hand faces the camera, and its yaw, pitch and roll in radians.

    The upright hand shows its palm; for "back" it is turned about y by half a turn first. Then it is turned about x by
    pitch, about y by yaw and about z by roll.
    """
    turn = rotation @ rig.bind[0, :, :3] @ PALM_UPRIGHT.T
    side: Literal["palm", "back"] = "palm" if turn[2, 2] >= 0 else "back"
    if side == "back":
        turn = turn @ np.diag([-1.0, 1.0, -1.0])
    yaw = float(np.arcsin(np.clip(-turn[2, 0], -1.0, 1.0)))
    return side, yaw, float(np.arctan2(turn[2, 1], turn[2, 2])), float(np.arctan2(turn[1, 0], turn[0, 0]))


def _clear(rng: np.random.Generator, level: Level, gesture: str, body: SubjectVolume) -> Floats | None:
    """The first of some draws in which nothing overlaps."""
    curl = SYNTH.levels[level].curl
    if gesture != RANDOM:
        angles = gesture_angles(rng, gesture, _CONFIG.draws)
    elif curl is None:
        angles = mild_angles(rng, _CONFIG.draws)
    else:
        angles = free_angles(rng, _CONFIG.draws, curl)
    angles = _within_limits(angles, body.volume.rig)
    overlap, _ = body.measure(angles)
    clear = np.flatnonzero(overlap <= _CONFIG.tolerance_mm)
    return angles[clear[0]] if len(clear) else None


def _touching(rng: np.random.Generator, gesture: str, body: SubjectVolume, clearance: float) -> Floats | None:
    """The draw whose thumb comes closest to what it should touch, varied until it does, if nothing overlaps then.

    clearance: mm by which the parts stay farther apart than they need to be.
    """
    touch = GESTURES[gesture].touch
    assert touch is not None
    target = touch[1] if touch[0] == "tip" else PALM + touch[1]
    angles = gesture_angles(rng, gesture, _CONFIG.touch_draws)
    aim = rng.uniform(*_CONFIG.touch_gap_mm) + _CONFIG.gap_of_clearance * clearance
    moving = np.full((15, 1), _CONFIG.others_share)
    moving[:3] = moving[3 * touch[1] : 3 * touch[1] + 3] = 1.0
    best, best_cost, best_overlap = angles[0], np.inf, np.inf
    for sigma in (*_CONFIG.touch_steps_rad, None):
        angles = _within_limits(angles, body.volume.rig)
        overlap, contacts = body.measure(angles)
        gap = np.linalg.norm(contacts[:, 0] - contacts[:, target], axis=1)
        crowded = np.maximum(overlap - _CONFIG.free_overlap_mm + clearance, 0)
        cost = np.abs(gap - aim) + _CONFIG.overlap_cost * crowded
        first = int(cost.argmin())
        if cost[first] < best_cost:
            best, best_cost, best_overlap = angles[first], cost[first], overlap[first]
        if sigma is None:
            break
        angles = best + sigma * moving * rng.standard_normal((_CONFIG.touch_draws, 15, 3)) * (best != 0)
    return best if best_overlap <= _CONFIG.tolerance_mm else None


def _within_limits(angles: Floats, rig: Rig) -> Floats:
    return np.clip(angles, rig.limits.lower, rig.limits.upper)


def _anywhere(rng: np.random.Generator) -> Floats:
    """A rotation (3, 3) of the upright hand from all sides, edge-on a little more often than frontal."""
    cosine = np.sign(rng.uniform(-1, 1)) * rng.uniform(0, 1) ** _CONFIG.edge_on
    around, roll = rng.uniform(-np.pi, np.pi, 2)
    # To the camera, in the frame of the upright hand, whose palm faces (0, 0, -1).
    sine = np.sqrt(1 - cosine**2)
    view = np.array([sine * np.cos(around), sine * np.sin(around), -cosine])
    yaw = np.arctan2(view[0], -view[2])
    pitch = np.arcsin(np.clip(view[1], -1, 1))
    return np.asarray(_about(2, roll) @ _about(0, -pitch) @ _about(1, yaw))


def _about(axis: int, angle: float) -> Floats:
    """The rotation (3, 3) about a coordinate axis."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
    return matrix
