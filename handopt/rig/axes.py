"""What the positions of a hand's joints say about its side, and the axes of its joints."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from handopt.rig.joints import ANGLE_JOINTS, CHAINS, DIGIT_PREFIX, DIGITS
from handopt.typing import Floats

_FRAME_TOLERANCE_DEGREES = 45.0
_CURL_DECISIVE = 0.05
# Back of the thumb (the nail's side) as (towards the little finger, towards the back of the hand, forwards),
# measured on the WebXR hand.
_THUMB_BACK = (-0.80, 0.20, -0.55)


def guess_side(positions: Mapping[str, Floats], rotations: Mapping[str, Floats]) -> str | None:
    """Tell a right hand from a left one by the chirality of fingers, thumb and the back of the hand.

    positions, rotations: joint positions (3,) and axes (3, 3) by canonical name. The palm is where the thumb and the
    curl of the fingers point; a flat hand is decided by the joints' own axes (back of the hand = +Y) if the bones lie
    along -Z. None if neither tells.
    """
    _, normal, _ = _palm_axes(positions)
    curls = [
        (positions[f"{DIGIT_PREFIX[digit]}-tip"] - positions[f"{DIGIT_PREFIX[digit]}-phalanx-proximal"]) @ normal
        for digit in DIGITS
    ]
    thumb_height = (positions["thumb-tip"] - positions["wrist"]) @ normal
    length = np.linalg.norm(positions["middle-finger-tip"] - positions["wrist"])
    curl = float((thumb_height + np.mean(curls)) / length)
    if abs(curl) > _CURL_DECISIVE:
        return "right" if curl < 0 else "left"
    heights = []
    for digit in DIGITS[1:]:
        for name, child in zip(CHAINS[digit][1:-1], CHAINS[digit][2:], strict=True):
            bone = positions[child] - positions[name]
            if -rotations[name][:, 2] @ bone < np.linalg.norm(bone) * np.cos(np.radians(_FRAME_TOLERANCE_DEGREES)):
                return None
            heights.append(rotations[name][:, 1] @ normal)
    back = float(np.mean(heights))
    if abs(back) < 0.7:
        return None
    return "right" if back > 0 else "left"


def conform_axes(
    positions: Mapping[str, Floats], rotations: Mapping[str, Floats], side: str
) -> tuple[dict[str, Floats], list[str]]:
    """Joint axes (3, 3) with the bone along -Z and the back of the hand along +Y, and a note where any were changed.

    A digit keeps the axes of the file unless one of its articulated joints deviates by more than 45 degrees from the
    axes that the geometry of the hand gives; then all its axes are replaced. The wrist is treated as a digit.
    """
    expected = _geometric_axes(positions, side)
    result = {name: rotations[name] for name in positions}
    changed: dict[str, float] = {}
    for part, chain in {"wrist": ("wrist",), **CHAINS}.items():
        names = [name for name in chain if name in positions]
        judged = [name for name in names if name in ANGLE_JOINTS or name == "wrist"]
        worst = max(_angle_degrees(rotations[name], expected[name]) for name in judged)
        if worst > _FRAME_TOLERANCE_DEGREES:
            result.update({name: expected[name] for name in names})
            changed[part] = worst
    if not changed:
        return result, []
    parts = "whole hand" if len(changed) > len(CHAINS) else ", ".join(changed)
    note = (
        f"the joint axes of the {parts} were built from geometry (the file's deviate by {max(changed.values()):.0f}°)"
    )
    return result, [note]


def _geometric_axes(positions: Mapping[str, Floats], side: str) -> dict[str, Floats]:
    little, normal, forward = _palm_axes(positions)
    sign = 1.0 if side == "right" else -1.0
    dorsal = sign * normal
    axes = {"wrist": _frame(forward, dorsal)}
    for digit, chain in CHAINS.items():
        names = [name for name in chain if name in positions]
        bones = [positions[child] - positions[name] for name, child in pairwise(names)]
        for name, bone in zip(names, [*bones, bones[-1]], strict=True):
            if digit == "thumb":
                back = np.column_stack([little, dorsal, forward]) @ np.array(_THUMB_BACK)
            else:
                back = sign * np.cross(little, bone)
            axes[name] = _frame(bone, back)
    return axes


def _frame(bone: Floats, back: Floats) -> Floats:
    z = -bone / np.linalg.norm(bone)
    y = back - (back @ z) * z
    y /= np.linalg.norm(y)
    return np.column_stack([np.cross(y, z), y, z])


def _palm_axes(positions: Mapping[str, Floats]) -> tuple[Floats, Floats, Floats]:
    """Unit vectors: towards the little finger, their common normal (the back of a right hand), forwards."""
    forward = positions["middle-finger-phalanx-proximal"] - positions["wrist"]
    forward = forward / np.linalg.norm(forward)
    little = positions["pinky-finger-phalanx-proximal"] - positions["index-finger-phalanx-proximal"]
    little = little - (little @ forward) * forward
    little /= np.linalg.norm(little)
    return little, np.cross(little, forward), forward


def _angle_degrees(first: Floats, second: Floats) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(first.T @ second) - 1) / 2, -1, 1))))
