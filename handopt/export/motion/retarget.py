"""A hand's motion on another skeleton, by the difference of the two rest poses.

Each of the 16 joints that turn has a frame F in the rest pose: along its bone, then across the palm (of the thumb: out
of the palm), made orthogonal. With R the rotation of a joint from the source's rest pose, and G the orientation of the
target's bone in its own rest pose, the target's bone is turned to

    W = R F_source F_target^T G

so that its direction is that of the source's bone, whatever the rest poses of the two hands look like.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from handopt.errors import RigError
from handopt.export.motion.source import HandMotion
from handopt.rig.joints import BONES, KEYPOINT_JOINTS, KEYPOINT_NAMES, TIPS
from handopt.typing import Floats

TURNING: Final = tuple(row for row in range(len(KEYPOINT_NAMES)) if row not in TIPS)
"""Rows of the keypoints that turn: the wrist and three joints of each digit."""
CHILD: Final = dict(reversed(BONES)) | {0: KEYPOINT_NAMES.index("middle_mcp")}
"""The keypoint that a turning keypoint's bone leads to."""
PARALLEL: Final = 0.95
"""Cosine from which on two directions are too near to span a plane."""


@dataclass(frozen=True)
class TargetRig:
    """A skeleton to be moved; lengths in metres, y up.

    names: of N nodes. parents: (N,) node of the parent, -1 for a root; parents stand before their children. rest:
    (N, 4, 4) node -> world in the rest pose. bones: node of each of the 21 canonical joints of the hand, where it has
    one; the tips may be missing. moves: whether the wrist goes where the hand goes; else it turns on its arm.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    rest: Floats
    bones: dict[str, int]
    moves: bool

    def __post_init__(self) -> None:
        """Raise RigError unless every turning joint is there, and no node on the way to one is skewed or mirrored."""
        missing = [KEYPOINT_JOINTS[row] for row in TURNING if KEYPOINT_JOINTS[row] not in self.bones]
        if missing:
            raise RigError(f"the target rig lacks {', '.join(missing[:4])}: name its bones in a joint_map= file")
        for row in TURNING[1:]:
            node, before = (self.bones[KEYPOINT_JOINTS[each]] for each in (row, 0 if row % 4 == 1 else row - 1))
            above = self.parents[node]
            while above >= 0 and above != before:
                above = self.parents[above]
            if above < 0:
                raise RigError(
                    f"the bone {self.names[node]!r} does not hang on {self.names[before]!r}, so that turning bones "
                    "would tear the hand: parent its bones in the modelling tool"
                )
        for node in {node for bone in self.bones.values() for node in (bone, self.parents[bone]) if node >= 0}:
            columns = self.rest[node, :3, :3] / np.linalg.norm(self.rest[node, :3, :3], axis=0)
            if np.abs(columns.T @ columns - np.eye(3)).max() > 1e-3 or np.linalg.det(columns) < 0:
                raise RigError(
                    f"the bone {self.names[node]!r} is skewed or mirrored: apply scales in the modelling tool"
                )

    @property
    def orientations(self) -> Floats:
        """(N, 3, 3) rotations node -> world in the rest pose."""
        turned = self.rest[:, :3, :3]
        return np.asarray(turned / np.linalg.norm(turned, axis=1, keepdims=True))

    def keypoints(self) -> Floats:
        """(21, 3) places of the joints in the rest pose; NaN where a tip is missing."""
        places = np.full((len(KEYPOINT_NAMES), 3), np.nan)
        for row, joint in enumerate(KEYPOINT_JOINTS):
            if joint in self.bones:
                places[row] = self.rest[self.bones[joint], :3, 3]
        return places


@dataclass(frozen=True)
class RigMotion:
    """How a target rig moves.

    nodes: that turn, parents before children. local: for each of them (T, 3, 3), the rotation in its parent's frame.
    world: (T, 3, 3) from the rest pose, in the world's axes. translation: (T, 3) of the wrist in its parent's frame,
    in the parent's units; None where it stays on its arm.
    """

    nodes: tuple[int, ...]
    local: dict[int, Floats]
    world: dict[int, Floats]
    translation: Floats | None


def retarget(motion: HandMotion, target: TargetRig) -> RigMotion:
    """The motion on a target rig. Raises RigError."""
    ends = target.keypoints()
    source, own = bone_frames(motion.rest_mm, ends), bone_frames(ends, ends)
    orientations = target.orientations
    wanted: dict[int, Floats] = {}
    for row in TURNING:
        node = target.bones[KEYPOINT_JOINTS[row]]
        wanted[node] = motion.turned[:, row] @ source[row] @ own[row].T @ orientations[node]
    nodes = tuple(sorted(wanted))
    local = {}
    for node in nodes:
        parent = target.parents[node]
        ancestor = parent
        while ancestor >= 0 and ancestor not in wanted:
            ancestor = target.parents[ancestor]
        before = np.eye(3) if parent < 0 else orientations[parent]
        if ancestor >= 0:
            before = wanted[ancestor] @ orientations[ancestor].T @ before
        local[node] = np.swapaxes(np.broadcast_to(before, wanted[node].shape), 1, 2) @ wanted[node]
    world = {node: wanted[node] @ orientations[node].T for node in nodes}
    return RigMotion(nodes, local, world, _wrist_places(motion, target) if target.moves else None)


def bone_frames(places: Floats, ends: Floats) -> dict[int, Floats]:
    """Frames (3, 3), by keypoint, of the bones of a hand with joints (21, 3), columns along, across and the third.

    ends: (21, 3) of the target; where a tip is missing there, the last bone of a digit is taken to go on as the one
    before it, in both hands. Raises RigError where two joints lie in one place.
    """
    wrist, index, middle, pinky = (
        places[KEYPOINT_NAMES.index(name)] for name in ("wrist", "index_mcp", "middle_mcp", "pinky_mcp")
    )
    across = pinky - index
    out = np.cross(middle - wrist, across)
    frames = {}
    for row in TURNING:
        child = CHILD[row]
        along = places[row] - places[row - 1] if np.isnan(ends[child]).any() else places[child] - places[row]
        second, spare = (out, across) if KEYPOINT_NAMES[row].startswith("thumb") else (across, out)
        lengths = [float(np.linalg.norm(each)) for each in (along, second, spare)]
        if min(lengths) <= 0 or not np.isfinite(lengths).all():
            raise RigError(f"two joints at {KEYPOINT_NAMES[row]} lie in one place: change character= or joint_map=")
        first = along / lengths[0]
        if abs(first @ second) > PARALLEL * lengths[1]:
            second = spare
        second = second - (second @ first) * first
        second = second / np.linalg.norm(second)
        frames[row] = np.column_stack([first, second, np.cross(first, second)])
    return frames


def _wrist_places(motion: HandMotion, target: TargetRig) -> Floats:
    parent = target.parents[target.bones["wrist"]]
    inverse = np.eye(4) if parent < 0 else np.linalg.inv(target.rest[parent])
    return np.asarray(motion.joints_m[:, 0] @ inverse[:3, :3].T + inverse[:3, 3])
