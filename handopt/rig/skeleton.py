"""Find the hands in a skeleton: by the names of its bones, or by its tree and geometry where no name is known.

By geometry a hand is a joint from which five chains of at least three joints go out. The thumb is the chain without
which the bases of the other four lie best on a line; the fingers follow along that line, beginning beside the thumb.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from handopt.errors import RigError
from handopt.rig.character_names import NamedJoint, by_count, by_words, chain_names, understood
from handopt.rig.joints import CANONICAL, DIGITS
from handopt.typing import Floats, Side

_SHORTEST_CHAIN: Final = 3
_FINGERS: Final = 5


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Joints of a file. names: (J,); parents: (J,) of each, -1 at roots; positions: (J, 3); moves: (J,) any vertex."""

    names: Sequence[str]
    parents: NDArray[np.integer]
    positions: Floats
    moves: NDArray[np.bool_]

    def children(self, joint: int) -> list[int]:
        """The joints whose parent is a joint."""
        return self._children.get(joint, [])

    @cached_property
    def _children(self) -> dict[int, list[int]]:
        children: dict[int, list[int]] = {}
        for child, parent in enumerate(self.parents.tolist()):
            children.setdefault(parent, []).append(child)
        return children

    def below(self, joint: int) -> set[int]:
        """A joint and all that hang from it."""
        found, ahead = set(), [joint]
        while ahead:
            at = ahead.pop()
            found.add(at)
            ahead += self.children(at)
        return found

    def path(self, joint: int) -> list[int]:
        """A joint, its parent, and so on up to the root."""
        path = [joint]
        while self.parents[path[-1]] >= 0:
            path.append(int(self.parents[path[-1]]))
        return path

    def carries_tip(self, joint: int) -> bool:
        """Whether a joint at the end of a chain is a tip, which moves nothing."""
        return not self.children(joint) and not self.moves[joint]


@dataclass(frozen=True)
class FoundHand:
    """A hand in a skeleton. side: None where names do not say; joints: by canonical name; how: in words."""

    side: Side | None
    joints: dict[str, int]
    how: str


def find_hands(skeleton: Skeleton, where: str, side: str | None = None) -> list[FoundHand]:
    """The hands of a skeleton with a tree. side: wanted. Raises RigError that says why it has none, or not that."""
    named, broken = _by_names(skeleton)
    lacking = [reason for its, reason in broken.items() if side is None or its in (side, None)]
    if named and (not lacking or side is None or any(hand.side == side for hand in named)):
        return named
    try:
        if not named:
            return _by_tree(skeleton, where)
    except RigError:
        if not lacking:
            raise
    raise RigError(f"{where}: {lacking[0]}: mend the skeleton, or name the joints in a mapping file (--joint-map)")


def _by_names(skeleton: Skeleton) -> tuple[list[FoundHand], dict[Side | None, str]]:
    """The hands whose joints' names are known, and by side why others are none."""
    said = {joint: told for joint, name in enumerate(skeleton.names) if (told := understood(name)) is not None}
    hands, broken = [], {}
    for side in dict.fromkeys(told.side for told in said.values()):
        own = {joint: told for joint, told in said.items() if told.side == side}
        joints = _named_hand(skeleton, own)
        if isinstance(joints, str):
            broken[side] = f"the {f'{side} ' if side else ''}hand is incomplete: {joints}"
        else:
            hands.append(FoundHand(side, joints, "by their names"))
    return hands, broken


def _named_hand(skeleton: Skeleton, own: dict[int, NamedJoint]) -> dict[str, int] | str:
    """The joints of one side by canonical name, or why they are no hand."""
    depth = {joint: len(skeleton.path(joint)) for joint in own}
    digits = [joint for joint, told in own.items() if told.digit is not None]
    if not any(set(skeleton.path(joint)[1:]) & set(own) for joint in digits):
        return _without_tree(own)
    chains: dict[str, list[int]] = {}
    for digit in DIGITS:
        chain = sorted((joint for joint, told in own.items() if told.digit == digit), key=lambda joint: depth[joint])
        if not chain or any(upper not in skeleton.path(lower) for upper, lower in pairwise(chain)):
            chain = [joint for joint in chain if own[joint].segment != "metacarpal"]  # which hang beside the fingers
        names = ", ".join(repr(skeleton.names[joint]) for joint in chain[:4])
        if len(chain) < _SHORTEST_CHAIN:
            return f"the {digit} needs three joints, but {names or 'none'} can be told by name"
        if any(upper not in skeleton.path(lower) for upper, lower in pairwise(chain)):
            return f"the joints of the {digit}, {names}, do not hang from each other in one chain"
        last = skeleton.children(chain[-1])
        if len(last) == 1 and skeleton.carries_tip(last[0]) and not _has_tip(digit, [own[joint] for joint in chain]):
            chain.append(last[0])  # an end without a known name
        chains[digit] = chain
    wrist = _wrist_above(skeleton, own, [chain[0] for chain in chains.values()])
    if wrist is None:
        return "its digits do not hang from one joint"
    found = {"wrist": wrist}
    for digit, chain in chains.items():
        told = [own.get(joint, NamedJoint(None, digit, "tip", None)) for joint in chain]
        segments = chain_names(digit, told, has_tip=skeleton.carries_tip(chain[-1]))
        if segments is None:
            listed = ", ".join(repr(skeleton.names[joint]) for joint in chain)
            return f"which joints of the {digit} bend cannot be told from {listed}"
        found |= {name: joint for name, joint in zip(segments, chain, strict=True) if name is not None}
    return {name: found[name] for name in CANONICAL if name in found}


def _has_tip(digit: str, told: list[NamedJoint]) -> bool:
    """Whether names say that the last joint is the tip already: Blender adds an end to it all the same."""
    named = by_words(digit, told)
    return told[-1].segment == "tip" or (named is not None and named[-1] is not None and named[-1].endswith("-tip"))


def _without_tree(own: dict[int, NamedJoint]) -> dict[str, int] | str:
    """The joints of one side that hang beside each other, by their names alone; or what is missing."""
    wrists = [joint for joint, told in own.items() if told.digit is None]
    if len(wrists) != 1:
        return f"{len(wrists)} joints are called as the wrist is"
    found = {"wrist": wrists[0]}
    for digit in DIGITS:
        chain = sorted(
            (joint for joint, told in own.items() if told.digit == digit), key=lambda joint: own[joint].order
        )
        names = by_words(digit, [own[joint] for joint in chain])
        if names is None:
            return f"the {digit} needs three joints in a row, but {len(chain) or 'none'} can be told by name"
        found |= {name: joint for name, joint in zip(names, chain, strict=True) if name is not None}
    return {name: found[name] for name in CANONICAL if name in found}


def _wrist_above(skeleton: Skeleton, own: dict[int, NamedJoint], bases: list[int]) -> int | None:
    """The joint of that name, or else the nearest one, from which all digits hang."""
    common = set.intersection(*(set(skeleton.path(base)[1:]) for base in bases))
    above = [joint for joint in skeleton.path(bases[0]) if joint in common]
    named = [joint for joint in above if joint in own and own[joint].digit is None]
    return named[0] if named else above[0] if above else None


def _by_tree(skeleton: Skeleton, where: str) -> list[FoundHand]:
    hands, longest = [], 0
    for joint in range(len(skeleton.names)):
        chains = [chain for child in skeleton.children(joint) if (chain := _chain(skeleton, child)) is not None]
        longest = max(longest, len(chains))
        if len(chains) > _FINGERS:
            raise RigError(
                f"{where}: {len(chains)} chains of joints go out from {skeleton.names[joint]!r}, but a hand has five "
                "digits: remove one, or name the joints in a mapping file (--joint-map)"
            )
        if len(chains) == _FINGERS:
            hands.append(
                FoundHand(None, _hand_of_chains(skeleton, joint, chains, where), "by the tree and its geometry")
            )
    if not hands:
        raise RigError(
            f"{where}: no hand was found among its {len(skeleton.names)} joints: no names are known, and from no joint "
            f"go out five chains of three joints without forks (at most {longest}); name the joints in a mapping file "
            "(--joint-map), or pass a model with hands"
        )
    return hands


def _chain(skeleton: Skeleton, joint: int) -> list[int] | None:
    """The joints from one on, None where they fork or are too few. What moves nothing is left out of a fork."""
    chain = [joint]
    while True:
        children = skeleton.children(chain[-1])
        if len(children) > 1:
            children = [child for child in children if skeleton.children(child)] or children[:1]
        if len(children) > 1:
            return None
        if not children:
            return chain if len(chain) >= _SHORTEST_CHAIN else None
        chain.append(children[0])


def _hand_of_chains(skeleton: Skeleton, wrist: int, chains: list[list[int]], where: str) -> dict[str, int]:
    """Five chains as digits."""
    bending = [chain[:-1] if skeleton.carries_tip(chain[-1]) else chain for chain in chains]
    bases = skeleton.positions[[chain[max(len(chain) - 3, 0)] for chain in bending]]
    thumb = min(range(_FINGERS), key=lambda number: _off_line(np.delete(bases, number, axis=0)))
    others = [number for number in range(_FINGERS) if number != thumb]
    centred = bases[others] - bases[others].mean(axis=0)
    along = centred @ np.linalg.svd(centred)[2][0]
    order = [others[row] for row in np.argsort(along)]
    if np.linalg.norm(bases[order[0]] - bases[thumb]) > np.linalg.norm(bases[order[-1]] - bases[thumb]):
        order = order[::-1]
    named = [chains[thumb], *(chains[number] for number in order)]
    found = {"wrist": wrist}
    for digit, chain in zip(DIGITS, named, strict=True):
        names = by_count(digit, len(chain), has_tip=skeleton.carries_tip(chain[-1]))
        if names is None:
            raise RigError(
                f"{where}: the chain of {skeleton.names[chain[0]]!r} has {len(chain)} joints, too few for the {digit}: "
                "a digit needs three joints that bend"
            )
        found |= {name: joint for name, joint in zip(names, chain, strict=True) if name is not None}
    return {name: found[name] for name in CANONICAL if name in found}


def _off_line(points: Floats) -> float:
    """How far four points are from a line, relative to their extent."""
    values = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return float(values[1] / values[0])
