"""Which bone of a character is which joint of a hand, by the names that modelling programs and engines give them.

| convention                       | wrist          | index finger                         | thumb                     |
|----------------------------------|----------------|--------------------------------------|---------------------------|
| WebXR, OpenXR                    | wrist          | index-finger-phalanx-proximal, …     | thumb-metacarpal, …       |
| VRM 1, VRM 0 and Unity           | rightHand      | rightIndexProximal, …                | rightThumbMetacarpal, …   |
| Mixamo                           | RightHand      | RightHandIndex1 to 4                 | RightHandThumb1 to 4      |
| Blender's Rigify                 | hand.R         | f_index.01.R to 03, palm.01.R        | thumb.01.R to 03          |
| Unreal                           | hand_r         | index_01_r to 03, index_metacarpal_r | thumb_01_r to 03          |
| SMPL-X                           | right_wrist    | right_index1 to 3                    | right_thumb1 to 3         |
| Quest                            | b_r_wrist      | b_r_index1 to 3                      | b_r_thumb1 to 3           |
| MakeHuman                        | wrist.R        | finger2-1.R to 3                     | finger1-1.R to 3          |
| 3ds Max Biped                    | Bip01 R Hand   | Bip01 R Finger1, 11, 12              | Bip01 R Finger0, 01, 02   |

Thumbs have no intermediate phalanx; where a convention calls one so (VRM 0, Unity), its three bones are metacarpal,
proximal and distal phalanx, as their places say.
"""

import re
from collections.abc import Iterable
from typing import Final

from handopt.rig.character_names import understood
from handopt.rig.joints import CHAINS, DIGITS

SIDES: Final = {"left": "left", "l": "left", "right": "right", "r": "right"}
_DIGIT_WORDS: Final = {"little": "pinky", "mid": "middle", **{digit: digit for digit in DIGITS}}
_SEGMENT_WORDS: Final = {
    "metacarpal": "metacarpal",
    "meta": "metacarpal",
    "palm": "metacarpal",
    "cmc": "metacarpal",
    "proximal": "proximal",
    "mcp": "proximal",
    "intermediate": "intermediate",
    "pip": "intermediate",
    "distal": "distal",
    "dip": "distal",
    "ip": "distal",
    "tip": "tip",
    "end": "tip",
    "null": "tip",
}
_NUMBERED: Final = ("metacarpal", "proximal", "intermediate", "distal", "tip")
"""Segments of a finger by their number; a thumb's begin with 1."""
_NO_BONES: Final = frozenset(
    {"twist", "roll", "ik", "fk", "pole", "ctrl", "control", "target", "mch", "socket", "helper"}
)
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def hand_bones(names: Iterable[str], side: str) -> dict[str, str]:
    """The bones of a hand among the names of a character's bones: {canonical joint: name}, in canonical order.

    side: 'right' or 'left'. Bones that name no side count where none of the hand's bones does. Of several bones that
    look like one joint the first counts.
    """
    sided: dict[str, str] = {}
    neutral: dict[str, str] = {}
    shifted = {"sided": False, "neutral": False}
    for name in names:
        found = bone_joint(name)
        if found is None:
            continue
        of, joint = found
        if of in (side, None):
            chosen = sided if of == side else neutral
            chosen.setdefault(joint, name)
            if joint == "thumb-intermediate":
                shifted["sided" if of == side else "neutral"] = True
    bones, shift = (sided, shifted["sided"]) if sided else (neutral, shifted["neutral"])
    if shift:
        moved = {"thumb-phalanx-proximal": "thumb-metacarpal", "thumb-intermediate": "thumb-phalanx-proximal"}
        bones = {moved.get(joint, joint): name for joint, name in bones.items()}
    order = ("wrist", *(joint for digit in DIGITS for joint in CHAINS[digit]))
    return {joint: bones[joint] for joint in order if joint in bones}


def bone_joint(name: str) -> tuple[str | None, str] | None:
    """Side (None where the name says none) and canonical joint of a bone, None where it is no joint of a hand.

    A thumb's intermediate bone is called "thumb-intermediate".
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    if _NO_BONES & set(words):
        return None
    side = next((SIDES[word] for word in words if word in SIDES), None)
    digit, numbers = _digit(words)
    if digit is None:
        told = understood(name)  # palm.01.R of Rigify, metacarpal1.R of MakeHuman
        if told is not None and told.digit is not None and told.segment == "metacarpal":
            return told.side, CHAINS[told.digit][0]
        return (side, "wrist") if {"hand", "wrist"} & set(words) and not _is_more(words) else None
    segment = next((_SEGMENT_WORDS[word] for word in words if word in _SEGMENT_WORDS), None)
    if segment is None or (segment == "metacarpal" and "palm" in words and not numbers):
        segment = _numbered(digit, numbers)
    if segment is None:
        return None
    if digit == "thumb" and segment == "intermediate":
        return side, "thumb-intermediate"
    chain = CHAINS[digit]
    joint = next((each for each in chain if each.rsplit("-", 1)[-1] == segment), None)
    return None if joint is None else (side, joint)


def _is_more(words: list[str]) -> bool:
    """Whether a name with the word hand is of something else: a prop in the hand, or its end."""
    return bool({"end", "tip", "prop", "weapon", "attach", "nub"} & set(words))


def _digit(words: list[str]) -> tuple[str | None, list[str]]:
    """The digit of a bone, and the numbers in its name that say the segment."""
    numbers = [word for word in words if word.isdigit()]
    named = next((_DIGIT_WORDS[word] for word in words if word in _DIGIT_WORDS), None)
    if named is not None:
        return named, numbers
    after = words.index("finger") + 1 if "finger" in words else len(words)
    own = [word for word in words[after:] if word.isdigit()]
    if len(own) == 2 and own[0] in "12345":  # MakeHuman: finger, segment
        return DIGITS[int(own[0]) - 1], own[1:]
    if len(own) == 1 and own[0][0] in "01234" and len(own[0]) <= 2:  # Biped: finger and, from the second on, segment
        return DIGITS[int(own[0][0])], [str(int(own[0][1:] or 0) + 1)]
    return None, numbers


def _numbered(digit: str, numbers: list[str]) -> str | None:
    """The segment that a number means."""
    if not numbers or not 0 <= int(numbers[-1]) <= 4:
        return None
    number = int(numbers[-1])
    if digit == "thumb":
        return None if number == 0 else ("metacarpal", "proximal", "distal", "tip")[number - 1]
    return _NUMBERED[number]
