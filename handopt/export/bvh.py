"""The skeleton of a track and its motion as BVH, which motion capture programs read."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from handopt.export.animation import joint_rotations, local_rotations
from handopt.export.gltf_buffer import Y_UP, children_of
from handopt.typing import Floats

if TYPE_CHECKING:
    from handopt.tracking.track import Track


CM_PER_MM: Final = 0.1
"""BVH has no unit of its own; programs take its lengths for centimetres."""


def write_bvh(track: "Track", path: Path) -> None:
    """Write the skeleton and its motion: centimetres, y up, all frames; zero angles are the bind pose."""
    from scipy.spatial.transform import Rotation

    lines, order = _hierarchy(track)
    rotations, positions = joint_rotations(track)
    columns = [positions[:, 0] @ Y_UP.T * CM_PER_MM]
    for joint in order:
        local = local_rotations(rotations, joint, int(track.shaped.parents[joint]))
        columns.append(Rotation.from_matrix(local).as_euler("ZXY", degrees=True))
    lines += ["MOTION", f"Frames: {len(track)}", f"Frame Time: {1 / track.fps:.8f}"]
    lines += [_numbers(row) for row in np.concatenate(columns, axis=1)]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def _hierarchy(track: "Track") -> tuple[list[str], list[int]]:
    """The lines of the skeleton, and the joints with channels in the order of their columns."""
    rig, size = track.shaped, CM_PER_MM * track.scale
    lines, order = ["HIERARCHY"], list[int]()

    def branch(joint: int, depth: int) -> None:
        indent, parent = "\t" * depth, int(rig.parents[joint])
        offset = np.zeros(3) if parent < 0 else (rig.bind[joint, :, 3] - rig.bind[parent, :, 3]) * size
        children = children_of(rig.parents, joint)
        lines.append(f"{indent}{_title(rig.joint_names[joint], parent, children)}")
        lines.extend((f"{indent}{{", f"{indent}\tOFFSET {_numbers(offset)}"))
        if children:
            order.append(joint)
            translation = "Xposition Yposition Zposition " if parent < 0 else ""
            lines.append(f"{indent}\tCHANNELS {6 if parent < 0 else 3} {translation}Zrotation Xrotation Yrotation")
        for child in children:
            branch(child, depth + 1)
        lines.append(f"{indent}}}")

    branch(0, 0)
    return lines, order


def _title(name: str, parent: int, children: list[int]) -> str:
    if not children:
        return "End Site"
    return f"{'ROOT' if parent < 0 else 'JOINT'} {name}"


def _numbers(values: Floats) -> str:
    return " ".join(f"{value:.6f}" for value in values)
