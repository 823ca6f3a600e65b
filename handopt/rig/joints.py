"""The joints of a hand: their names, which of them a rig needs, and what their positions say about side and axes.

The canonical names are those of the WebXR Hand Input module.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from handopt.errors import RigError
from handopt.typing import Floats

DIGITS: Final = ("thumb", "index", "middle", "ring", "pinky")
_PREFIX: Final = {digit: digit if digit == "thumb" else f"{digit}-finger" for digit in DIGITS}
_SEGMENTS: Final = {
    digit: ("metacarpal", "phalanx-proximal", "phalanx-distal", "tip")
    if digit == "thumb"
    else ("metacarpal", "phalanx-proximal", "phalanx-intermediate", "phalanx-distal", "tip")
    for digit in DIGITS
}
CHAINS: Final = {digit: tuple(f"{_PREFIX[digit]}-{segment}" for segment in _SEGMENTS[digit]) for digit in DIGITS}
CANONICAL: Final = ("wrist", *(name for digit in DIGITS for name in CHAINS[digit]))
OPTIONAL: Final = frozenset(CHAINS[digit][0] for digit in DIGITS if digit != "thumb")

KEYPOINT_NAMES: Final = (
    "wrist",
    *(f"thumb_{part}" for part in ("cmc", "mcp", "ip", "tip")),
    *(f"{digit}_{part}" for digit in DIGITS[1:] for part in ("mcp", "pip", "dip", "tip")),
)
KEYPOINT_JOINTS: Final = tuple(name for name in CANONICAL if name not in OPTIONAL)
"""Canonical joint of each of the 21 keypoints."""
ANGLE_NAMES: Final = tuple(name for name in KEYPOINT_NAMES if name != "wrist" and not name.endswith("_tip"))
"""Names of the 15 rows of joint angles."""
ANGLE_JOINTS: Final = tuple(KEYPOINT_JOINTS[KEYPOINT_NAMES.index(name)] for name in ANGLE_NAMES)
BONES: Final = tuple((0 if child % 4 == 1 else child - 1, child) for child in range(1, 21))
"""(parent, child) of the 20 bones, indices into the 21 keypoints."""

_NOISE = frozenset({"xr", "hand", "joint", "ext", "finger", "phalanx", "left", "right", "l", "r"})
_SYNONYMS = {"little": "pinky", "cmc": "metacarpal", "pip": "intermediate", "dip": "distal", "ip": "distal"}
_FRAME_TOLERANCE_DEGREES = 45.0
_CURL_DECISIVE = 0.05
# Back of the thumb (the nail's side) as (towards the little finger, towards the back of the hand, forwards),
# measured on the WebXR hand.
_THUMB_BACK = (-0.80, 0.20, -0.55)


def canonical_name(node_name: str) -> str | None:
    """Canonical name of a joint called as in WebXR, OpenXR or the 21 keypoints, in any case; None for another name.

    "wrist", "XR_HAND_JOINT_INDEX_PROXIMAL_EXT", "index_proximal", "R_LittleTip" and "index_mcp" are all understood.
    """
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", node_name).lower()
    parts = [_SYNONYMS.get(part, part) for part in re.split(r"[^a-z0-9]+", words) if part and part not in _NOISE]
    if parts in (["wrist"], ["palm"]):
        return parts[0]
    if len(parts) != 2 or parts[0] not in DIGITS:
        return None
    digit, segment = parts
    if segment == "mcp":
        segment = "proximal"
    return next((name for name in CHAINS[digit] if name.split("-")[-1] == segment), None)


def read_mapping(path: Path) -> dict[str, str]:
    """Read a TOML or JSON file {canonical name = "joint name in the rig"}. Raises RigError."""
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise RigError(f"the joint mapping {path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise RigError(f'the joint mapping {path} must be a table of lines like wrist = "node name"')
    mapping: dict[str, str] = {}
    for key, value in data.items():
        if key not in CANONICAL:
            raise RigError(f"the joint mapping {path} has an unknown joint {key!r}{suggest(key, CANONICAL)}")
        if not isinstance(value, str):
            raise RigError(f"the joint mapping {path}: {key} must be the name of a joint in the rig, not {value!r}")
        mapping[key] = value
    return mapping


def resolve(node_names: Sequence[str], mapping: Mapping[str, str], where: str) -> dict[str, int]:
    """Find which of the skin's joints is which: {canonical name: index into node_names}, in canonical order.

    An entry of the mapping goes before the joint's own name. Raises RigError for joints that are missing or double.
    """
    found: dict[str, int] = {}
    for name, node in mapping.items():
        if node not in node_names:
            raise RigError(f"{where}: the mapping calls {name} {node!r}, a joint not in it{suggest(node, node_names)}")
        index = node_names.index(node)
        if index in found.values():
            raise RigError(f"{where}: the mapping gives the joint {node!r} two names")
        found[name] = index
    taken = set(found.values())
    for index, node in enumerate(node_names):
        canonical = canonical_name(node)
        if canonical is None or canonical == "palm" or canonical in mapping or index in taken:
            continue
        if canonical in found:
            other = node_names[found[canonical]]
            raise RigError(
                f"{where}: {other!r} and {node!r} both look like {canonical}: say which one in a mapping file"
            )
        found[canonical] = index
    missing = [name for name in KEYPOINT_JOINTS if name not in found]
    if missing:
        free = [node for index, node in enumerate(node_names) if index not in found.values()]
        listed = ", ".join(f"{name}{suggest(name, free)}" for name in missing[:4])
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        raise RigError(f"{where}: missing joints: {listed}{more}; name them in a mapping file")
    return {name: found[name] for name in CANONICAL if name in found}


def chain_parents(names: Sequence[str]) -> list[int]:
    """Parent index of each canonical joint (-1 for the wrist); a chain without its metacarpal starts at the wrist."""
    parents = [-1]
    for index, name in enumerate(names[1:], 1):
        chain = next(chain for chain in CHAINS.values() if name in chain)
        before = names[index - 1]
        parents.append(index - 1 if before in chain else 0)
    return parents


def guess_side(positions: Mapping[str, Floats], rotations: Mapping[str, Floats]) -> str | None:
    """Tell a right hand from a left one by the chirality of fingers, thumb and the back of the hand.

    positions, rotations: joint positions (3,) and axes (3, 3) by canonical name. The palm is where the thumb and the
    curl of the fingers point; a flat hand is decided by the joints' own axes (back of the hand = +Y) if the bones lie
    along -Z. None if neither tells.
    """
    _, normal, _ = _palm_axes(positions)
    curls = [
        (positions[f"{_PREFIX[digit]}-tip"] - positions[f"{_PREFIX[digit]}-phalanx-proximal"]) @ normal
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


def side_in_names(names: Sequence[str]) -> str | None:
    """The side that most of the names contain as a word (left, right, l, r), if any."""
    words = [word for name in names for word in re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())]
    right = sum(word in ("right", "r") for word in words)
    left = sum(word in ("left", "l") for word in words)
    return None if right == left else "right" if right > left else "left"


def conform_axes(
    positions: Mapping[str, Floats], rotations: Mapping[str, Floats], side: str
) -> tuple[dict[str, Floats], list[str]]:
    """Joint axes (3, 3) with the bone along -Z and the back of the hand along +Y, and a note for each digit changed.

    A digit keeps the axes of the file unless one of its articulated joints deviates by more than 45 degrees from the
    axes that the geometry of the hand gives; then all its axes are replaced. The wrist is treated as a digit.
    """
    expected = _geometric_axes(positions, side)
    result = {name: rotations[name] for name in positions}
    notes = []
    for part, chain in {"wrist": ("wrist",), **CHAINS}.items():
        names = [name for name in chain if name in positions]
        judged = [name for name in names if name in ANGLE_JOINTS or name == "wrist"]
        worst = max(_angle_degrees(rotations[name], expected[name]) for name in judged)
        if worst > _FRAME_TOLERANCE_DEGREES:
            result.update({name: expected[name] for name in names})
            notes.append(f"the joint axes of the {part} were built from geometry (the file's deviate by {worst:.0f}°)")
    return result, notes


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


def suggest(name: str, choices: Sequence[str]) -> str:
    """A question that names the closest of the choices, or nothing."""
    close = difflib.get_close_matches(name.lower(), [choice.lower() for choice in choices], n=1, cutoff=0.5)
    match = next((choice for choice in choices if close and choice.lower() == close[0]), None)
    return f" (did you mean {match!r}?)" if match else ""
