"""Joint angles of gestures and of free poses, before any test of whether fingers reach into each other."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from handopt.rig.anatomy import ABDUCTION, FLEXION, TWIST
from handopt.rig.joints import DIGITS
from handopt.synth.config import SYNTH
from handopt.typing import Floats

THUMB_ANGLES: Final = ((0, TWIST), (0, ABDUCTION), (0, FLEXION), (1, FLEXION), (2, FLEXION))
"""(row, column) of the thumb's five angles: CMC twist, abduction, flexion, MCP flexion, IP flexion."""
RANDOM: Final = "random"

_FINGERS, _MILD, _FREE = SYNTH.fingers, SYNTH.mild, SYNTH.free

# Flexion of MCP, PIP and DIP, and its standard deviation, rad. By hand, as all numbers of this table and the next ones.
_FINGER_STATES: Final = {
    "straight": ((0.05, 0.08, 0.05), (0.13, 0.08, 0.06)),
    "relaxed": ((0.35, 0.45, 0.25), (0.15, 0.15, 0.1)),
    "curled": ((1.35, 1.65, 0.75), (0.13, 0.13, 0.15)),
    "half": ((0.95, 1.25, 0.6), (0.2, 0.2, 0.2)),
    "hook": ((0.1, 1.5, 0.9), (0.2, 0.2, 0.2)),
    "claw": ((-0.1, 0.9, 0.6), (0.12, 0.25, 0.2)),
    "table": ((1.35, 0.15, 0.05), (0.15, 0.12, 0.08)),
    "round": ((0.65, 0.65, 0.4), (0.2, 0.25, 0.15)),
    "pinching": ((1.0, 0.7, 0.45), (0.25, 0.3, 0.25)),
    "reaching": ((1.3, 0.35, 0.45), (0.2, 0.25, 0.3)),
}
# The thumb's five angles (see THUMB_ANGLES) and their standard deviations, rad.
_THUMB_STATES: Final = {
    "out": ((-0.1, -0.05, -0.25, 0.0, 0.0), (0.15, 0.2, 0.12, 0.1, 0.15)),
    "up": ((-0.15, -0.35, -0.35, 0.0, -0.1), (0.1, 0.15, 0.1, 0.1, 0.15)),
    "beside": ((0.15, -0.4, 0.2, 0.25, 0.15), (0.15, 0.12, 0.15, 0.15, 0.15)),
    "across": ((0.15, 0.3, 0.4, 0.65, 0.55), (0.25, 0.15, 0.2, 0.3, 0.35)),
    "pinching": ((0.25, 0.3, 0.55, 0.15, 0.0), (0.3, 0.15, 0.2, 0.25, 0.3)),
    "opposed": ((0.6, 0.2, 0.3, 0.3, 0.4), (0.25, 0.2, 0.2, 0.25, 0.3)),
    "relaxed": ((0.2, 0.0, 0.05, 0.3, 0.3), (0.2, 0.15, 0.15, 0.2, 0.2)),
}


@dataclass(frozen=True)
class Gesture:
    """A gesture: the states of thumb, index, middle, ring and pinky, and what the thumb touches.

    spread: mean and deviation of the fan of the fingers, rad. touch: a fingertip ("tip") or the back of a finger's
    middle phalanx ("back"), with the finger's number (1 to 4); None: nothing. weight: how often it is drawn.
    """

    thumb: str
    fingers: tuple[str, str, str, str]
    spread: tuple[float, float] = (0.05, 0.08)
    touch: tuple[Literal["tip", "back"], int] | None = None
    weight: float = 1.0


_S, _C, _R = "straight", "curled", "relaxed"
GESTURES: Final = {
    "fist": Gesture("across", (_C, _C, _C, _C), (0.0, 0.03), ("back", 1), 3.0),
    "fist_beside": Gesture("beside", (_C, _C, _C, _C), (0.0, 0.03), None, 0.5),
    "half_fist": Gesture("relaxed", ("half", "half", "half", "half"), (0.0, 0.06), None, 1.5),
    "thumb_up": Gesture("up", (_C, _C, _C, _C), (0.0, 0.03), None, 2.0),
    "point": Gesture("across", (_S, _C, _C, _C), (0.0, 0.06), ("back", 2), 1.5),
    "point_relaxed": Gesture("relaxed", (_S, "half", "half", "half"), (0.0, 0.06), None, 0.75),
    "gun": Gesture("out", (_S, _C, _C, _C), (0.0, 0.06), None, 0.75),
    "two": Gesture("across", (_S, _S, _C, _C), (0.2, 0.08), ("back", 3), 1.0),
    "three": Gesture("across", (_S, _S, _S, _C), (0.18, 0.08), ("back", 4), 1.0),
    "three_with_thumb": Gesture("out", (_S, _S, _C, _C), (0.15, 0.08), None, 1.0),
    "four": Gesture("across", (_S, _S, _S, _S), (0.15, 0.08), None, 1.0),
    "five": Gesture("out", (_S, _S, _S, _S), (0.2, 0.08), None, 1.0),
    "flat": Gesture("beside", (_S, _S, _S, _S), (-0.05, 0.03), None, 1.0),
    "horns": Gesture("across", (_S, _C, _C, _S), (0.05, 0.08), ("back", 2), 0.5),
    "call": Gesture("out", (_C, _C, _C, _S), (0.05, 0.08), None, 0.5),
    "pinky": Gesture("across", (_C, _C, _C, _S), (0.05, 0.08), ("back", 1), 0.5),
    "pinch": Gesture("pinching", ("pinching", _R, _R, _R), (0.0, 0.08), ("tip", 1), 2.0),
    "pinch_curled": Gesture("pinching", ("pinching", "half", "half", "half"), (0.0, 0.05), ("tip", 1), 1.0),
    "pinch_middle": Gesture("pinching", (_R, "pinching", _R, _R), (0.0, 0.08), ("tip", 2), 1.0),
    "pinch_ring": Gesture("pinching", (_R, _R, "pinching", _R), (0.0, 0.08), ("tip", 3), 0.75),
    "pinch_pinky": Gesture("pinching", (_R, _R, _R, "pinching"), (0.0, 0.08), ("tip", 4), 0.75),
    "okay": Gesture("pinching", ("pinching", _S, _S, _S), (0.12, 0.08), ("tip", 1), 1.5),
    "okay_middle": Gesture("pinching", (_S, "pinching", _S, _S), (0.12, 0.08), ("tip", 2), 1.5),
    "okay_ring": Gesture("pinching", (_S, _S, "pinching", _S), (0.12, 0.08), ("tip", 3), 1.25),
    "okay_pinky": Gesture("pinching", (_S, _S, _S, "pinching"), (0.12, 0.08), ("tip", 4), 1.0),
    "reach_index": Gesture("pinching", ("reaching", _R, _S, _S), (0.05, 0.08), ("tip", 1), 1.0),
    "reach_middle": Gesture("pinching", (_S, "reaching", _R, _S), (0.05, 0.08), ("tip", 2), 1.0),
    "reach_ring": Gesture("pinching", (_S, _R, "reaching", _R), (0.05, 0.08), ("tip", 3), 1.0),
    "reach_pinky": Gesture("pinching", (_S, _S, _R, "reaching"), (0.05, 0.08), ("tip", 4), 0.75),
    "purse": Gesture("pinching", ("pinching", "pinching", "pinching", "pinching"), (-0.05, 0.04), ("tip", 2), 0.75),
    "grasp": Gesture("opposed", ("round", "round", "round", "round"), (0.05, 0.08), None, 1.5),
    "claw": Gesture("out", ("claw", "claw", "claw", "claw"), (0.15, 0.1), None, 0.75),
    "hook": Gesture("relaxed", ("hook", "hook", "hook", "hook"), (0.0, 0.05), None, 0.75),
    "table": Gesture("relaxed", ("table", "table", "table", "table"), (0.0, 0.05), None, 0.75),
}
_NAMES = tuple(GESTURES)
_WEIGHTS = np.array([gesture.weight for gesture in GESTURES.values()])


def sample_gesture(rng: np.random.Generator) -> str:
    """Draw the name of a gesture."""
    return _NAMES[int(rng.choice(len(_NAMES), p=_WEIGHTS / _WEIGHTS.sum()))]


def gesture_angles(rng: np.random.Generator, name: str, count: int) -> Floats:
    """Draw variants of a gesture, angles (count, 15, 3) rad."""
    gesture = GESTURES[name]
    means = np.array([_FINGER_STATES[state][0] for state in gesture.fingers])
    sigmas = np.array([_FINGER_STATES[state][1] for state in gesture.fingers])
    angles = np.zeros((count, len(DIGITS), 3, 3))
    # Neighbours of one state share half of their variation.
    shared, own = rng.standard_normal((count, 1, 3)), rng.standard_normal((count, 4, 3))
    angles[:, 1:, :, FLEXION] = means + sigmas * (shared + own) / np.sqrt(2)
    spread = rng.normal(*gesture.spread, (count, 1))
    angles[:, 1:, 0, ABDUCTION] = _abduction(rng, spread, angles[:, 1:, 0, FLEXION])
    mean, sigma = (np.array(values) for values in _THUMB_STATES[gesture.thumb])
    _set_thumb(angles, rng.normal(mean, sigma, (count, len(mean))))
    angles[:, 0, 1, ABDUCTION] = rng.normal(0.0, _FINGERS.abduction_rad, count)
    return angles.reshape(count, 15, 3)


def mild_angles(rng: np.random.Generator, count: int) -> Floats:
    """Draw open and slightly bent hands, angles (count, 15, 3) rad."""
    angles = np.zeros((count, len(DIGITS), 3, 3))
    curl = rng.uniform(*_MILD.curl_rad, (count, 1, 1))
    means, sigmas = np.array(_MILD.flexion_rad), np.array(_MILD.flexion_deviation_rad)
    angles[:, 1:, :, FLEXION] = means + curl * _MILD.curl_of_joint + sigmas * rng.standard_normal((count, 4, 3))
    spread = rng.normal(*_MILD.spread_rad, (count, 1))
    angles[:, 1:, 0, ABDUCTION] = _abduction(rng, spread, angles[:, 1:, 0, FLEXION])
    _set_thumb(angles, rng.normal(_MILD.thumb_rad, _MILD.thumb_deviation_rad, (count, len(THUMB_ANGLES))))
    return angles.reshape(count, 15, 3)


def free_angles(rng: np.random.Generator, count: int, curl: float) -> Floats:
    """Draw free poses, angles (count, 15, 3) rad. curl: 0 to 1, how far most hands are closed.

    A finger's MCP and PIP bend together, more or less, and so do neighbours; the DIP follows the PIP; straight fingers
    spread, bent ones hardly; the thumb is anywhere that its joints allow, most often where it faces the fingers.
    """
    angles = np.zeros((count, len(DIGITS), 3, 3))
    open_, closed = _FREE.closed_beta
    whole = rng.beta(open_ + curl, closed - curl, (count, 1))
    alone = rng.uniform(0.0, 1.0, (count, 1))
    drift = np.cumsum(rng.normal(0.0, _FREE.neighbour_drift, (count, 4)), axis=1)
    together = whole + drift - drift.mean(axis=1, keepdims=True)
    finger = (1 - alone) * together + alone * rng.uniform(0.0, 1.0, (count, 4))
    apart = rng.uniform(0.0, _FREE.max_apart, (count, 1))
    proximal = np.clip((1 - apart) * finger + apart * rng.uniform(0.0, 1.0, (count, 4)), 0.0, 1.0)
    middle = np.clip((1 - apart) * finger + apart * rng.uniform(0.0, 1.0, (count, 4)), 0.0, 1.0)
    for row, closed, (straight, bent), sigma in (
        (0, proximal, _FREE.mcp_rad, _FREE.mcp_deviation_rad),
        (1, middle, _FREE.pip_rad, _FREE.pip_deviation_rad),
    ):
        angles[:, 1:, row, FLEXION] = straight + bent * closed + rng.normal(0.0, sigma, (count, 4))
    follow = rng.uniform(*_FREE.dip_of_pip, (count, 4))
    own = rng.normal(0.0, _FREE.dip_deviation_rad, (count, 4))
    angles[:, 1:, 2, FLEXION] = follow * angles[:, 1:, 1, FLEXION] + own
    spread = rng.normal(*_FREE.spread_rad, (count, 1))
    angles[:, 1:, 0, ABDUCTION] = _abduction(rng, spread, angles[:, 1:, 0, FLEXION])
    usual, of_curl, deviation = _FREE.thumb_facing
    facing = np.clip(rng.normal(usual + of_curl * curl, deviation, (count, 1)), *_FREE.thumb_facing_range)
    mean = np.array(_FREE.thumb_beside_rad) + facing * _FREE.thumb_opposed_rad
    _set_thumb(angles, mean + rng.normal(0.0, _FREE.thumb_deviation_rad, (count, len(THUMB_ANGLES))))
    angles[:, 0, 1, ABDUCTION] = rng.normal(0.0, _FINGERS.abduction_rad, count)
    return angles.reshape(count, 15, 3)


def _abduction(rng: np.random.Generator, spread: Floats, flexion: Floats) -> Floats:
    """Abduction (count, 4): a fan and each finger's own, which fade as the MCP bends."""
    fade = np.clip(1.0 - np.maximum(flexion, 0.0) / _FINGERS.fan_fades_rad, _FINGERS.least_fan, 1.0)
    own = rng.normal(0.0, _FINGERS.abduction_rad, flexion.shape)
    return np.asarray(fade * (spread * _FINGERS.fan + own))


def _set_thumb(angles: Floats, values: Floats) -> None:
    """Write the five angles (count, 5) of the thumb into angles (count, 5, 3, 3)."""
    for column, (row, kind) in enumerate(THUMB_ANGLES):
        angles[:, 0, row, kind] = values[:, column]
