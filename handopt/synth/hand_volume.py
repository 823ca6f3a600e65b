"""The volume of a hand as balls inside its mesh: a quick test of which parts of a posed hand overlap."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np

from handopt.ops.skinning import skin, skin_normals
from handopt.rig import PROPORTION_NAMES, Rig
from handopt.rig.joints import CHAINS, DIGITS, KNUCKLES
from handopt.rig.pose import joint_transforms
from handopt.synth.config import SYNTH
from handopt.typing import Bools, FloatImage, Floats, Indices, Ints

PALM: Final = len(DIGITS)
"""The number of the palm, after those of the digits."""
_CONFIG = SYNTH.volume


@dataclass(frozen=True, eq=False)
class HandVolume:
    """Balls that move with the joints, and points of the skin where fingers touch, for a rig.

    points: (N + 10, 3) mm, the balls' centres, the pads of the five tips, and the backs of the five middle phalanges
    (thumb: proximal); joint: (N + 10, 1) int32, what moves them; basis: (13, N + 10, 3) mm, how the proportions do
    radius: (N,) mm; digit: (N,), 5 for the palm; neighbours: (N, N) pairs that touch in every pose
    """

    rig: Rig
    points: Floats
    joint: Ints
    basis: Floats
    radius: Floats
    digit: Indices
    neighbours: Bools
    fingers: tuple[tuple[Indices, Indices], ...]
    """For each digit, the vertices beyond its first joint, and all vertices of other digits and the palm."""

    def of(self, proportions: Floats) -> "SubjectVolume":
        """The volume of a subject with these proportions (13,)."""
        bind = self.rig.bind.copy()
        bind[:, :, 3] += np.tensordot(proportions, self.rig.proportion_basis[1], 1)
        points = self.points + np.tensordot(proportions, self.basis, 1)
        centres = points[: len(self.radius)]
        thickness = np.append(proportions[1 : 2 * PALM : 2], proportions[PROPORTION_NAMES.index("palm_thickness")])
        radius = self.radius * (1 + thickness[self.digit])
        # What overlaps in the open hand, at the roots of the fingers, may always do so.
        reach = np.minimum(radius[:, None] + radius, np.linalg.norm(centres[:, None] - centres, axis=2))
        reach[self.neighbours] = -np.inf
        fingers = int(np.count_nonzero(self.digit < PALM))
        return SubjectVolume(self, proportions, bind, points, reach[:fingers].astype(np.float32))


@dataclass(frozen=True, eq=False)
class SubjectVolume:
    """The volume of one subject's hand, at scale 1.

    proportions: (13,); bind: (J, 3, 4) mm; points: (N + 10, 3) mm, centres of balls and then contacts
    reach: (n, N) mm, the distance below which one of the n balls of fingers overlaps another ball
    """

    volume: HandVolume
    proportions: Floats
    bind: Floats
    points: Floats
    reach: FloatImage

    def measure(self, angles: Floats) -> tuple[Floats, Floats]:
        """Depth of the worst overlap (K,) mm and positions of the contacts (K, 10, 3) mm for angles (K, 15, 3) rad."""
        points = skin(self._transforms(angles), self.points, self.volume.joint, np.ones((len(self.points), 1)))
        count = self.reach.shape[1]
        return _worst_overlap(points[:, :count], self.reach), points[:, count:]

    def depth_in_skin(self, angles: Floats) -> float:
        """How deep a finger's skin lies in another finger's or the palm's, mm, for angles (15, 3): exact but slower.

        Measured at the vertices of middle and distal phalanges, along the normals of the nearest others.
        """
        rig = self.volume.rig
        transforms = self._transforms(angles[None])
        rest = rig.rest_mm + np.tensordot(self.proportions, rig.proportion_basis[0], 1)
        vertices = skin(transforms, rest, rig.skin_indices, rig.skin_weights)[0].astype(np.float32)
        normals = skin_normals(transforms, rig.normals, rig.skin_indices, rig.skin_weights)[0].astype(np.float32)
        worst = 0.0
        for finger, others in self.volume.fingers:
            mine, theirs = vertices[finger], vertices[others]
            squared = (mine**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1) - 2 * mine @ theirs.T
            nearest = squared.argmin(axis=1)
            close = squared[np.arange(len(mine)), nearest] < _CONFIG.near_skin_mm**2
            depth = ((theirs[nearest] - mine) * normals[others][nearest]).sum(axis=1)[close]
            worst = max(worst, float(depth.max(initial=0.0)))
        return worst

    def _transforms(self, angles: Floats) -> Floats:
        count = len(angles)
        rotation = np.broadcast_to(np.eye(3), (count, 3, 3))
        return joint_transforms(self.volume.rig, rotation, np.zeros((count, 3)), angles, np.ones(count), self.bind)


@lru_cache(maxsize=4)
def volume_of(rig: Rig) -> HandVolume:
    """Fill a rig with balls: along the bones of the fingers, and in lines over the palm."""
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
    # Towards their roots fingers are grown together, so that there the girth is of more than one of them.
    radius = np.where(bone == 0, _inscribed(rig, centres), _girth(rig, centres, joint))
    contacts, contact_joint = _contacts(rig)
    points = np.concatenate([centres, contacts])
    return HandVolume(
        rig=rig,
        points=points,
        joint=np.concatenate([joint, contact_joint])[:, None].astype(np.int32),
        basis=_proportion_basis(rig, points, np.concatenate([digit, np.tile(np.arange(PALM), 2)])),
        radius=radius,
        digit=digit,
        neighbours=_neighbours(digit, bone),
        fingers=_fingers(rig),
    )


def _worst_overlap(centres: Floats, reach: FloatImage) -> Floats:
    """The largest reach - distance over all pairs of balls, (K,) mm. centres: (K, N, 3); reach: (n, N) mm."""
    points = (centres - centres.mean(axis=1, keepdims=True)).astype(np.float32)
    squares = np.einsum("kni,kni->kn", points, points)
    fingers = len(reach)
    distance = points[:, :fingers] @ points.transpose(0, 2, 1)
    distance *= -2
    distance += squares[:, :fingers, None]
    distance += squares[:, None, :]
    np.sqrt(np.maximum(distance, 0, out=distance), out=distance)
    np.subtract(reach, distance, out=distance)
    return np.asarray(distance.max(axis=(1, 2)), np.float64)


def _along(rig: Rig, start: int, end: int, *, last: bool) -> Floats:
    """Centres along a bone (n, 3); the last bone goes on to where a ball touches the skin of the tip."""
    a, b = rig.bind[start, :, 3], rig.bind[end, :, 3]
    if last:
        direction = (b - a) / np.linalg.norm(b - a)
        own = rig.rest_mm[rig.skin_indices[:, 0] == start]
        skin_mm = float(((own - a) @ direction).max()) if len(own) else float(np.linalg.norm(b - a))
        b = a + direction * max(skin_mm - float(_inscribed(rig, b[None])[0]), _CONFIG.min_bone_mm)
    count = max(_CONFIG.min_balls, round(float(np.linalg.norm(b - a)) / _CONFIG.spacing_mm))
    share = np.linspace(0, 1, count + 1) if last else np.arange(count) / count
    return np.asarray(a + share[:, None] * (b - a))


def _palm_centres(rig: Rig) -> Floats:
    """Centres in lines from the wrist to the knuckles, each at the height where the largest ball fits, (28, 3)."""
    bases = rig.keypoints_mm[list(KNUCKLES)]
    across = np.linspace(0, 3, _CONFIG.palm_lines)
    knuckles = np.stack([np.interp(across, np.arange(4), bases[:, axis]) for axis in range(3)], axis=1)
    wrist = rig.bind[0, :, 3]
    spots = np.concatenate([wrist + row * (knuckles - wrist) for row in _CONFIG.palm_rows])
    lowest, highest, step = _CONFIG.palm_heights_mm
    heights = np.arange(lowest, highest + step / 2, step)
    tries = spots[:, None] + heights[:, None] * rig.bind[0, :, 1]
    radius = _inscribed(rig, tries.reshape(-1, 3)).reshape(len(spots), -1)
    return np.asarray(tries[np.arange(len(spots)), radius.argmax(axis=1)])


def _contacts(rig: Rig) -> tuple[Floats, Indices]:
    """Pads of the tips and backs of the middle phalanges, (10, 3) mm, and the joints that move them, (10,)."""
    pads: list[Floats] = []
    backs: list[Floats] = []
    joints: list[tuple[int, int]] = []
    for digit in range(PALM):
        middle, distal, tip = (int(rig.keypoint_joints[4 * digit + k]) for k in (2, 3, 4))
        joints += [(distal, middle)]
        for spot, joint, side, points in (
            (_between(rig, (tip, distal), _CONFIG.pad_weights), distal, -1, pads),
            (_between(rig, (middle, distal), _CONFIG.back_weights), middle, 1, backs),
        ):
            points.append(spot + side * _inscribed(rig, spot[None])[0] * rig.bind[joint, :, 1])
    return np.array(pads + backs), np.array(joints).T.ravel()


def _between(rig: Rig, joints: tuple[int, int], weights: tuple[float, float]) -> Floats:
    """The weighted mean (3,) of the positions of two joints."""
    first, second = joints
    return np.asarray(weights[0] * rig.bind[first, :, 3] + weights[1] * rig.bind[second, :, 3])


def _inscribed(rig: Rig, centres: Floats) -> Floats:
    """Radius (n,) of the largest ball around each centre without a vertex in it."""
    return np.asarray(np.linalg.norm(centres[:, None] - rig.rest_mm, axis=2).min(axis=1))


def _girth(rig: Rig, centres: Floats, joint: Indices) -> Floats:
    """Mean distance (n,) of the skin of a bone around each centre from it: fingers are wider than they are high."""
    inscribed = _inscribed(rig, centres)
    result = inscribed.copy()
    for number, (centre, bone) in enumerate(zip(centres, joint, strict=True)):
        offsets = rig.rest_mm - centre
        along = offsets @ rig.bind[bone, :, 2]
        around = np.linalg.norm(offsets - along[:, None] * rig.bind[bone, :, 2], axis=1)
        slice_ = (np.abs(along) < _CONFIG.spacing_mm / 2) & (around < _CONFIG.max_girth * inscribed[number])
        if slice_.any():
            result[number] = max(inscribed[number], float(around[slice_].mean()))
    return result


def _neighbours(digit: Indices, bone: Indices) -> Bools:
    """(N, N) pairs that touch in every pose: along a finger but for its ends, and a finger's base with the palm."""
    same = digit[:, None] == digit
    ends = np.abs(bone[:, None] - bone) == 2
    base = (digit < PALM) & (bone == 0)
    palm = digit == PALM
    return np.asarray((same & ~ends) | (base[:, None] & palm) | (palm[:, None] & base))


def _fingers(rig: Rig) -> tuple[tuple[Indices, Indices], ...]:
    """For each digit, its vertices beyond its first articulated joint, and those of everything else."""
    owner = rig.skin_indices[:, 0]
    pairs = []
    for digit in range(PALM):
        chain = [rig.joint_names.index(name) for name in CHAINS[DIGITS[digit]]]
        far = np.isin(owner, rig.keypoint_joints[4 * digit + 2 : 4 * digit + 5])
        pairs.append((np.flatnonzero(far), np.flatnonzero(~np.isin(owner, chain))))
    return tuple(pairs)


def _proportion_basis(rig: Rig, points: Floats, digit: Indices) -> Floats:
    """How the proportions move points that belong to digits or the palm, (13, n, 3) mm; see proportion_basis."""
    basis = np.zeros((len(PROPORTION_NAMES), len(points), 3))
    positions = rig.bind[:, :, 3]
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
