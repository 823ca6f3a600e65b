"""The motion of a hand on its own or another skeleton as BVH: centimetres, y up, zero angles in the rest pose."""

from pathlib import Path

import numpy as np

from handopt.export.bvh import CM_PER_MM
from handopt.export.gltf_buffer import M_PER_MM
from handopt.export.motion.retarget import RigMotion, TargetRig, retarget
from handopt.export.motion.source import HandMotion
from handopt.rig.joints import KEYPOINT_JOINTS
from handopt.typing import Floats

CM_PER_M = CM_PER_MM / M_PER_MM


def own_target(motion: HandMotion) -> TargetRig:
    """The track's own hand as a target: 21 joints with the axes of the rig's frame, in its fitted size."""
    rest = np.tile(np.eye(4), (len(KEYPOINT_JOINTS), 1, 1))
    rest[:, :3, 3] = (motion.rest_mm - motion.rest_mm[0]) * motion.scale * M_PER_MM
    parents = tuple(-1 if row == 0 else 0 if row % 4 == 1 else row - 1 for row in range(len(KEYPOINT_JOINTS)))
    bones = {joint: row for row, joint in enumerate(KEYPOINT_JOINTS)}
    return TargetRig(KEYPOINT_JOINTS, parents, rest, bones, moves=True)


def write_motion_bvh(motion: HandMotion, target: TargetRig, path: Path) -> list[str]:
    """Write the wrist and what hangs on it, one frame for each keyframe. Returns what the user should know."""
    from scipy.spatial.transform import Rotation

    moved = retarget(motion, target)
    wrist = target.bones["wrist"]
    inside = _under(target, wrist)
    lines, order = ["HIERARCHY"], list[int]()
    _branch(target, inside, wrist, 0, lines, order)
    place = motion.joints_m[:, 0] if target.moves else np.broadcast_to(target.rest[wrist, :3, 3], (len(motion), 3))
    columns = [place * CM_PER_M]
    world = _world_turns(moved, target, inside, len(motion))
    for node in order:
        parent = target.parents[node]
        local = world[node] if node == wrist else np.swapaxes(world[parent], 1, 2) @ world[node]
        columns.append(Rotation.from_matrix(local).as_euler("ZXY", degrees=True))
    lines += ["MOTION", f"Frames: {len(motion)}", f"Frame Time: {1 / motion.fps:.8f}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in np.concatenate(columns, axis=1)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return []


def _under(target: TargetRig, wrist: int) -> set[int]:
    """The wrist and the nodes of the hand, and what lies between them."""
    inside = {wrist}
    for node in target.bones.values():
        path = [node]
        while path[-1] >= 0 and path[-1] != wrist:
            path.append(target.parents[path[-1]])
        inside |= set(path) if path[-1] == wrist else set()
    return inside


def _world_turns(moved: RigMotion, target: TargetRig, inside: set[int], count: int) -> dict[int, Floats]:
    """Rotations (T, 3, 3) of each node from the rest pose; nodes that do not turn go with their parent."""
    world: dict[int, Floats] = {}
    for node in sorted(inside):
        parent = target.parents[node]
        still = world[parent] if parent in world else np.tile(np.eye(3), (count, 1, 1))
        world[node] = moved.world.get(node, still)
    return world


def _branch(target: TargetRig, inside: set[int], node: int, depth: int, lines: list[str], order: list[int]) -> None:
    indent, root = "\t" * depth, depth == 0
    children = [child for child in sorted(inside) if target.parents[child] == node]
    place = target.rest[node, :3, 3]
    offset = np.zeros(3) if root else (place - target.rest[target.parents[node], :3, 3]) * CM_PER_M
    name = target.names[node].replace(" ", "_")
    title = f"ROOT {name}" if root else f"JOINT {name}" if children else "End Site"
    lines.extend((f"{indent}{title}", f"{indent}{{", f"{indent}\tOFFSET {' '.join(f'{each:.6f}' for each in offset)}"))
    if children or root:
        order.append(node)
        moves = "Xposition Yposition Zposition " if root else ""
        lines.append(f"{indent}\tCHANNELS {6 if root else 3} {moves}Zrotation Xrotation Yrotation")
    for child in children:
        _branch(target, inside, child, depth + 1, lines, order)
    lines.append(f"{indent}}}")
