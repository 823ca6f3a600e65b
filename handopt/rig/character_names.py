"""Which joint of a character's skeleton is which of a hand's, by the names that programs give to bones.

Understood are the names of Mixamo, VRM 0 and 1 and VRoid, Unity, Unreal, Rigify and Blender, MakeHuman, Quest (b_r_*),
SMPL-X and SOMA, beside those of handopt.rig.joints. Names say side, digit and number or segment of a joint; what a
number means also depends on the others of its chain.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from handopt.rig.joints import CHAINS, DIGITS
from handopt.typing import Side

_DIGIT_WORDS: Final = {
    "thumb": "thumb",
    "index": "index",
    "fore": "index",
    "pointer": "index",
    "middle": "middle",
    "mid": "middle",
    "ring": "ring",
    "little": "pinky",
    "pinky": "pinky",
    "pinkie": "pinky",
    "small": "pinky",
}
_SEGMENT_WORDS: Final = {
    **dict.fromkeys(("metacarpal", "meta", "palm", "carpal", "cmc"), "metacarpal"),
    **dict.fromkeys(("proximal", "prox", "mcp"), "proximal"),
    **dict.fromkeys(("intermediate", "medial", "pip"), "intermediate"),
    **dict.fromkeys(("distal", "dip", "ip"), "distal"),
    **dict.fromkeys(("tip", "end", "null", "nub", "term", "eff"), "tip"),
}
_ORDER: Final = ("metacarpal", "proximal", "intermediate", "distal", "tip")
_SIDE_WORDS: Final[dict[str, Side]] = {"right": "right", "r": "right", "left": "left", "l": "left"}
_WRIST_WORDS: Final = frozenset({"hand", "wrist"})
_NOISE: Final = frozenset(
    {
        *("mixamorig", "def", "org", "j", "bip", "bip01", "b", "f", "finger", "hand", "bone", "jnt", "joint"),
        *("phalanx", "base", "cc", "character", "xr", "ext", "valvebiped"),
    }
)


@dataclass(frozen=True)
class NamedJoint:
    """What a name says. digit: None for the wrist; segment: a word of it; number: of the joint in its chain."""

    side: Side | None
    digit: str | None
    segment: str | None
    number: int | None

    @property
    def order(self) -> int:
        """Where the joint stands in its chain, base to tip, as far as its name says."""
        return self.number if self.number is not None else _ORDER.index(self.segment) if self.segment in _ORDER else 0


def understood(name: str) -> NamedJoint | None:
    """What the name of a bone says, None where it is no joint of a hand."""
    words = _words(name)
    sides = [_SIDE_WORDS[word] for word in words if word in _SIDE_WORDS]
    side = sides[0] if sides else None
    rest = [word for word in words if word not in _SIDE_WORDS]
    makehuman = re.fullmatch(r"(finger|metacarpal)([1-5])(\d)?", "".join(rest))
    if makehuman and (makehuman[3] or makehuman[1] == "metacarpal"):
        digit = DIGITS[int(makehuman[2]) - 1]
        if makehuman[1] == "metacarpal":
            return NamedJoint(side, DIGITS[int(makehuman[2])], "metacarpal", None) if int(makehuman[2]) < 5 else None
        return NamedJoint(side, digit, None, int(makehuman[3]))
    palm = re.fullmatch(r"(?:def|org)?palm0?([1-4])", "".join(rest))
    if palm:  # Rigify's metacarpals, from index to little finger
        return NamedJoint(side, DIGITS[int(palm[1])], "metacarpal", None)
    digits = [_DIGIT_WORDS[word] for word in rest if word in _DIGIT_WORDS]
    if not digits:
        alone = [word for word in rest if word not in _NOISE or word in _WRIST_WORDS]
        is_wrist = len(alone) == 1 and alone[0] in _WRIST_WORDS
        return NamedJoint(side, None, None, None) if is_wrist else None
    others = [word for word in rest if word not in _DIGIT_WORDS and word not in _NOISE]
    segments = [_SEGMENT_WORDS[word] for word in others if word in _SEGMENT_WORDS]
    numbers = [int(word) for word in others if word.isdigit()]
    unknown = [word for word in others if word not in _SEGMENT_WORDS and not word.isdigit()]
    if unknown or not 1 <= len(segments) + len(numbers) <= 2 or segments.count("tip") == 2:
        return None
    if numbers and "tip" in segments:  # the end that Blender adds to a bone
        return None
    return NamedJoint(side, digits[0], segments[0] if segments else None, numbers[0] if numbers else None)


def chain_names(digit: str, joints: Sequence[NamedJoint], *, has_tip: bool) -> list[str | None] | None:
    """The canonical name of each joint of a digit's chain, base to tip; None for a joint that is none of the hand's.

    has_tip: whether the chain's last joint moves nothing, as a tip. None in place of the list where it is too short.
    """
    return by_words(digit, joints) or by_count(digit, len(joints), has_tip=has_tip or joints[-1].segment == "tip")


def by_count(digit: str, count: int, *, has_tip: bool) -> list[str | None] | None:
    """The canonical names of a chain of joints, base to tip, by how many there are; None where they are too few."""
    chain = list(CHAINS[digit])
    own = chain if digit == "thumb" else chain[1:]  # without the metacarpals, which fingers may lack
    wanted = own if has_tip else own[:-1]
    if count < len(wanted):
        return None
    extra = count - len(wanted)
    if digit != "thumb" and extra:
        wanted, extra = [chain[0], *wanted], extra - 1
    return [*[None] * extra, *wanted]


def by_words(digit: str, joints: Sequence[NamedJoint]) -> list[str | None] | None:
    """By words and by numbers that count from the first phalanx, as most programs do; None where they do not agree."""
    found: list[str | None] = []
    has_intermediate = any(joint.segment == "intermediate" for joint in joints)
    for joint in joints:
        segment = joint.segment
        if segment is None:
            if joint.number is None or joint.number > 4:
                return None
            if digit == "thumb":
                segment = {0: "", 1: "metacarpal", 2: "proximal", 3: "distal", 4: "tip"}[joint.number]
            else:
                segment = _ORDER[joint.number]
        elif digit == "thumb" and has_intermediate:  # VRM 0 and Unity call the thumb's three bones as a finger's
            segment = {"proximal": "metacarpal", "intermediate": "proximal"}.get(segment, segment)
        name = next((each for each in CHAINS[digit] if each.split("-")[-1] == segment), None)
        found.append(name)
    named = [name for name in found if name is not None]
    needed = [name for name in CHAINS[digit] if name.split("-")[-1] not in ("metacarpal", "tip")]
    order = [CHAINS[digit].index(name) for name in named]
    if len(set(named)) < len(named) or order != sorted(order) or not set(needed) <= set(named):
        return None
    return found


def _words(name: str) -> list[str]:
    """Lower-case words and numbers of a name in camel case or with separators."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name.rsplit(":", 1)[-1])
    spaced = re.sub(r"([A-Za-z])(\d)", r"\1 \2", re.sub(r"(\d)([A-Za-z])", r"\1 \2", spaced))
    return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]
