"""The joints of a hand: what WebXR, OpenXR, MANO and the 21 keypoints call them, and which of them a rig needs.

The canonical names are those of the WebXR Hand Input module.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handopt.errors import RigError, ShapeError, did_you_mean
from handopt.files import UnreadableError, read_json, read_toml
from handopt.typing import Floats, Value

DIGITS: Final = ("thumb", "index", "middle", "ring", "pinky")
DIGIT_PREFIX: Final = {digit: digit if digit == "thumb" else f"{digit}-finger" for digit in DIGITS}
_SEGMENTS: Final = {
    digit: ("metacarpal", "phalanx-proximal", "phalanx-distal", "tip")
    if digit == "thumb"
    else ("metacarpal", "phalanx-proximal", "phalanx-intermediate", "phalanx-distal", "tip")
    for digit in DIGITS
}
CHAINS: Final = {digit: tuple(f"{DIGIT_PREFIX[digit]}-{segment}" for segment in _SEGMENTS[digit]) for digit in DIGITS}
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
TIPS: Final = (4, 8, 12, 16, 20)
"""Rows of the five tips in the keypoints."""
KNUCKLES: Final = (5, 9, 13, 17)
"""Rows of the four fingers' MCP joints in the keypoints."""
PALM_KEYPOINTS: Final = (0, *KNUCKLES)
"""Rows of the keypoints whose mean is the middle of the palm."""
BONES: Final = tuple((0 if child % 4 == 1 else child - 1, child) for child in range(1, 21))
"""(parent, child) of the 20 bones, indices into the 21 keypoints."""

_OPENXR_SEGMENT: Final = {
    "metacarpal": "METACARPAL",
    "phalanx-proximal": "PROXIMAL",
    "phalanx-intermediate": "INTERMEDIATE",
    "phalanx-distal": "DISTAL",
    "tip": "TIP",
}
_MANO_DIGITS: Final = ("index", "middle", "pinky", "ring", "thumb")


def palm_of(joints_mm: NDArray[Value]) -> NDArray[Value]:
    """The middle (3,) of the palm of 21 keypoints (21, 3)."""
    return np.asarray(joints_mm[list(PALM_KEYPOINTS)].mean(axis=0))


def labelled_palm_of(joints_mm: NDArray[Any]) -> NDArray[Any]:
    """What the networks of pixel labels call the palm of keypoints (..., 21, 3): half way from wrist to middle MCP."""
    wrist, knuckle = (joints_mm[..., KEYPOINT_NAMES.index(name), :] for name in ("wrist", "middle_mcp"))
    return np.asarray(0.5 * (wrist + knuckle))


@dataclass(frozen=True)
class JointName:
    """One joint by the names that others give it.

    webxr: WebXR Hand Input, the canonical name. openxr: the enumerator of XR_EXT_hand_tracking. keypoint: one of the
    21 keypoints of MediaPipe and OpenPose, None for the metacarpals of the fingers. mano: row among MANO's 16 joints,
    and after them the tips from thumb to little finger, as the layers in PyTorch append them; None where keypoint is.
    """

    webxr: str
    openxr: str
    keypoint: str | None
    mano: int | None


def _joint_table() -> tuple[JointName, ...]:
    keypoints = dict(zip(KEYPOINT_JOINTS, KEYPOINT_NAMES, strict=True))
    table = [JointName("wrist", "XR_HAND_JOINT_WRIST_EXT", "wrist", 0)]
    for number, digit in enumerate(DIGITS):
        first_mano = 1 + 3 * _MANO_DIGITS.index(digit)
        rows = iter((first_mano, first_mano + 1, first_mano + 2, 16 + number))
        for webxr, segment in zip(CHAINS[digit], _SEGMENTS[digit], strict=True):
            openxr = f"{'LITTLE' if digit == 'pinky' else digit.upper()}_{_OPENXR_SEGMENT[segment]}"
            keypoint = keypoints.get(webxr)
            mano = None if keypoint is None else next(rows)
            table.append(JointName(webxr, f"XR_HAND_JOINT_{openxr}_EXT", keypoint, mano))
    return tuple(table)


JOINT_TABLE: Final = _joint_table()
"""The 25 joints, wrist first, thumb to little finger, base to tip."""
MANO_ROWS: Final = tuple(joint.mano for joint in JOINT_TABLE if joint.mano is not None)
"""Row of each of the 21 keypoints in MANO's order."""


def from_mano_order(joints: ArrayLike) -> Floats:
    """Keypoints (..., 21, 3) in handopt's order of joints (..., 21, 3) in MANO's. Raises ShapeError."""
    return _checked_joints(joints)[..., MANO_ROWS, :]


def to_mano_order(keypoints: ArrayLike) -> Floats:
    """Joints (..., 21, 3) in MANO's order of keypoints (..., 21, 3) in handopt's. Raises ShapeError."""
    return _checked_joints(keypoints)[..., np.argsort(MANO_ROWS), :]


def _checked_joints(joints: ArrayLike) -> Floats:
    values = np.asarray(joints)
    if values.shape[-2:] != (len(KEYPOINT_NAMES), 3) or values.dtype.kind not in "fiu":
        raise ShapeError(f"joints: expected real numbers of shape (..., 21, 3), got {values.dtype} {values.shape}")
    return values.astype(np.float64)


_NOISE = frozenset({"xr", "hand", "joint", "ext", "finger", "phalanx", "left", "right", "l", "r"})
_SYNONYMS = {"little": "pinky", "cmc": "metacarpal", "pip": "intermediate", "dip": "distal", "ip": "distal"}


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
        data = read_json(path) if path.suffix.lower() == ".json" else read_toml(path)
    except UnreadableError as error:
        raise RigError(f"the joint mapping {path} cannot be read: {error.reason}") from error
    if not isinstance(data, dict):
        raise RigError(f'the joint mapping {path} must be a table of lines like wrist = "node name"')
    mapping: dict[str, str] = {}
    for key, value in data.items():
        if key not in CANONICAL:
            raise RigError(f"the joint mapping {path} has an unknown joint {key!r}{did_you_mean(key, CANONICAL)}")
        if not isinstance(value, str):
            raise RigError(f"the joint mapping {path}: {key} must be the name of a joint in the rig, not {value!r}")
        mapping[key] = value
    return mapping


def mapping_text(names: Sequence[str], node_names: Sequence[str]) -> str:
    """A joint map, as read_mapping reads it: a line of TOML for each canonical name that the rig has a name for."""
    pairs = zip(names, node_names, strict=True)
    lines = [f'"{name}" = {json.dumps(node, ensure_ascii=False)}' for name, node in pairs if node]
    return "\n".join(lines) + "\n"


def resolve(node_names: Sequence[str], mapping: Mapping[str, str], where: str) -> dict[str, int]:
    """Find which of the skin's joints is which: {canonical name: index into node_names}, in canonical order.

    An entry of the mapping takes precedence over the joint's own name. Raises RigError for missing or duplicate joints.
    """
    found: dict[str, int] = {}
    for name, node in mapping.items():
        if node not in node_names:
            raise RigError(
                f"{where}: the mapping calls {name} {node!r}, a joint not in it{did_you_mean(node, node_names)}"
            )
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
        listed = ", ".join(f"{name}{did_you_mean(name, free)}" for name in missing[:4])
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


def side_in_names(names: Sequence[str]) -> str | None:
    """The side that most of the names contain as a word (left, right, l, r), if any."""
    words = [word for name in names for word in re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())]
    right = sum(word in ("right", "r") for word in words)
    left = sum(word in ("left", "l") for word in words)
    return None if right == left else "right" if right > left else "left"
