"""The flesh of a hand as balls inside its mesh: a quick test of which parts of a posed hand reach into each other."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from handopt.kinematics import forward_kinematics
from handopt.rig import PROPORTION_NAMES, Rig
from handopt.rig.joints import CHAINS, DIGITS
from handopt.skinning import skin

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

PALM: Final = len(DIGITS)
BALL_SPACING_MM: Final = 8.0
_PALM_LINES = 7
_PALM_ROWS = (0.2, 0.4, 0.6, 0.8)
_HEIGHTS_MM = np.arange(-12.0, 12.5, 1.0)


@dataclass(frozen=True, eq=False)
class Flesh:
    """Balls that move with the joints, and points of the skin where fingers touch, for a rig.

    centres: (N, 3) mm; joint: (N, 1) int32; radius: (N,) mm; digit: (N,), 5 for the palm
    contacts: (10, 3) mm, the pads of the five tips, then the backs of the five middle phalanges (thumb: proximal)
    contact_joint: (10, 1) int32; neighbours: (N, N) pairs that touch in every pose
    basis, contact_basis: (13, N, 3) and (13, 10, 3) mm, what the proportions move
    """

    rig: Rig
    centres: Floats
    joint: NDArray[np.int32]
    radius: Floats
    digit: Whole
    contacts: Floats
    contact_joint: NDArray[np.int32]
    neighbours: NDArray[np.bool_]
    basis: Floats
    contact_basis: Floats

    def of(self, proportions: Floats) -> "Body":
        """The flesh of a subject with these proportions (13,)."""
        bind = self.rig.bind.copy()
        bind[:, :, 3] += np.tensordot(proportions, self.rig.proportion_basis[1], 1)
        centres = self.centres + np.tensordot(proportions, self.basis, 1)
        thickness = np.append(proportions[1 : 2 * PALM : 2], proportions[PROPORTION_NAMES.index("palm_thickness")])
        radius = self.radius * (1 + thickness[self.digit])
        # What overlaps in the open hand, at the roots of the fingers, may always do so.
        reach = np.minimum(radius[:, None] + radius, np.linalg.norm(centres[:, None] - centres, axis=2))
        reach[self.neighbours] = -np.inf
        contacts = self.contacts + np.tensordot(proportions, self.contact_basis, 1)
        return Body(self, bind, centres, contacts, reach.astype(np.float32))


@dataclass(frozen=True, eq=False)
class Body:
    """The flesh of one subject, at scale 1.

    bind: (J, 3, 4), centres: (N, 3), contacts: (10, 3) mm; reach: (N, N) mm, the distance below which balls overlap
    """

    flesh: Flesh
    bind: Floats
    centres: Floats
    contacts: Floats
    reach: NDArray[np.float32]

    def measure(self, angles: Floats) -> tuple[Floats, Floats]:
        """Depth of the worst overlap (K,) mm and positions of the contacts (K, 10, 3) mm for angles (K, 15, 3) rad."""
        flesh, count = self.flesh, len(angles)
        transforms = forward_kinematics(
            angles,
            np.broadcast_to(np.eye(3), (count, 3, 3)).copy(),
            np.zeros((count, 3)),
            np.ones(count),
            flesh.rig.parents,
            flesh.rig.articulated,
            self.bind,
            flesh.rig.side_sign,
        )
        centres = skin(transforms, self.centres, flesh.joint, np.ones((len(self.centres), 1)))
        contacts = skin(transforms, self.contacts, flesh.contact_joint, np.ones((len(self.contacts), 1)))
        return _worst_overlap(centres, self.reach), contacts


@lru_cache(maxsize=4)
def flesh_of(rig: Rig) -> Flesh:
    """Fill a rig with balls: along the bones of the fingers, and in lines over the palm."""
    positions = rig.bind[:, :, 3]
    balls: list[tuple[Floats, int, int, int]] = []  # centre, joint, digit, number of the bone
    for finger, name in enumerate(DIGITS):
        joints = [rig.joint_names.index(each) for each in (CHAINS[name] if name == "thumb" else CHAINS[name][1:])]
        for number, (start, end) in enumerate(pairwise(joints)):
            for centre in _along(rig, start, end, last=number == 2):
                balls.append((centre, start, finger, number))
    for centre in _palm_centres(rig):
        balls.append((centre, 0, PALM, 0))
    centres = np.array([ball[0] for ball in balls])
    joint = np.array([ball[1] for ball in balls])
    digit, bone = np.array([ball[2] for ball in balls]), np.array([ball[3] for ball in balls])
    radius = _inscribed(rig, centres)
    contacts, contact_joint = _contacts(rig)
    contact_digit = np.tile(np.arange(PALM), 2)
    return Flesh(
        rig=rig,
        centres=centres,
        joint=joint[:, None].astype(np.int32),
        radius=radius,
        digit=digit,
        contacts=contacts,
        contact_joint=contact_joint[:, None].astype(np.int32),
        neighbours=_neighbours(digit, bone),
        basis=_proportion_basis(rig, positions, centres, digit),
        contact_basis=_proportion_basis(rig, positions, contacts, contact_digit),
    )


def _worst_overlap(centres: Floats, reach: NDArray[np.float32]) -> Floats:
    """The largest reach - distance over all pairs of balls, (K,) mm. centres: (K, N, 3); reach: (N, N) mm."""
    points = (centres - centres.mean(axis=1, keepdims=True)).astype(np.float32)
    squares = np.einsum("kni,kni->kn", points, points)
    distance = points @ points.transpose(0, 2, 1)
    distance *= -2
    distance += squares[:, :, None]
    distance += squares[:, None, :]
    np.sqrt(np.maximum(distance, 0, out=distance), out=distance)
    return np.asarray((reach - distance).max(axis=(1, 2)), np.float64)


def _along(rig: Rig, start: int, end: int, *, last: bool) -> Floats:
    """Centres along a bone (n, 3); the last bone goes on to where a ball touches the skin of the tip."""
    a, b = rig.bind[start, :, 3], rig.bind[end, :, 3]
    if last:
        direction = (b - a) / np.linalg.norm(b - a)
        own = rig.rest_mm[rig.skin_indices[:, 0] == start]
        skin_mm = float(((own - a) @ direction).max()) if len(own) else float(np.linalg.norm(b - a))
        b = a + direction * max(skin_mm - float(_inscribed(rig, b[None])[0]), 1.0)
    count = max(2, round(float(np.linalg.norm(b - a)) / BALL_SPACING_MM))
    share = np.linspace(0, 1, count + 1) if last else np.arange(count) / count
    return np.asarray(a + share[:, None] * (b - a))


def _palm_centres(rig: Rig) -> Floats:
    """Centres in lines from the wrist to the knuckles, each at the height where the largest ball fits, (28, 3)."""
    bases = rig.keypoints_mm[[5, 9, 13, 17]]
    across = np.linspace(0, 3, _PALM_LINES)
    knuckles = np.stack([np.interp(across, np.arange(4), bases[:, axis]) for axis in range(3)], axis=1)
    wrist = rig.bind[0, :, 3]
    spots = np.concatenate([wrist + row * (knuckles - wrist) for row in _PALM_ROWS])
    tries = spots[:, None] + _HEIGHTS_MM[:, None] * rig.bind[0, :, 1]
    radius = _inscribed(rig, tries.reshape(-1, 3)).reshape(len(spots), -1)
    return np.asarray(tries[np.arange(len(spots)), radius.argmax(axis=1)])


def _contacts(rig: Rig) -> tuple[Floats, Whole]:
    """Pads of the tips and backs of the middle phalanges, (10, 3) mm, and the joints that move them, (10,)."""
    pads: list[Floats] = []
    backs: list[Floats] = []
    joints: list[tuple[int, int]] = []
    for digit in range(PALM):
        middle, distal, tip = (int(rig.keypoint_joints[4 * digit + k]) for k in (2, 3, 4))
        joints += [(distal, middle)]
        for spot, joint, side, points in (
            (0.7 * rig.bind[tip, :, 3] + 0.3 * rig.bind[distal, :, 3], distal, -1, pads),
            (0.5 * rig.bind[middle, :, 3] + 0.5 * rig.bind[distal, :, 3], middle, 1, backs),
        ):
            points.append(spot + side * _inscribed(rig, spot[None])[0] * rig.bind[joint, :, 1])
    return np.array(pads + backs), np.array(joints).T.ravel()


def _inscribed(rig: Rig, centres: Floats) -> Floats:
    """Radius (n,) of the largest ball around each centre without a vertex in it."""
    return np.asarray(np.linalg.norm(centres[:, None] - rig.rest_mm, axis=2).min(axis=1))


def _neighbours(digit: Whole, bone: Whole) -> NDArray[np.bool_]:
    """(N, N) pairs that touch in every pose: along a finger but for its ends, and a finger's base with the palm."""
    same = digit[:, None] == digit
    ends = np.abs(bone[:, None] - bone) == 2
    base = (digit < PALM) & (bone == 0)
    palm = digit == PALM
    return np.asarray((same & ~ends) | (base[:, None] & palm) | (palm[:, None] & base))


def _proportion_basis(rig: Rig, positions: Floats, points: Floats, digit: Whole) -> Floats:
    """How the proportions move points that belong to digits or the palm, (13, n, 3) mm; see proportion_basis."""
    basis = np.zeros((len(PROPORTION_NAMES), len(points), 3))
    wrist = positions[0]
    for number, name in enumerate(DIGITS):
        base = rig.joint_names.index(CHAINS[name][0] if name == "thumb" else CHAINS[name][1])
        mine = digit == number
        basis[2 * number, mine] = points[mine] - positions[base]
        for axis in range(3):
            row = 2 * PALM + axis
            basis[row, mine] = rig.proportion_basis[1][row, base]
    for axis in range(3):
        direction = rig.bind[0, :, axis]
        mine = digit == PALM
        basis[2 * PALM + axis, mine] = np.outer((points[mine] - wrist) @ direction, direction)
    return basis
