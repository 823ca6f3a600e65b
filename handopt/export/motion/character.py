"""A character's .glb or .vrm file: which bones its hand has, and the file with a track's motion added to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.errors import RigError
from handopt.export.motion.retarget import RigMotion, TargetRig, retarget
from handopt.export.motion.source import HandMotion
from handopt.files import UnreadableError, read_bytes
from handopt.rig.bone_names import hand_bones
from handopt.rig.joints import CANONICAL
from handopt.tracking.smoothing import continuous
from handopt.typing import Floats

LARGEST_BYTES: Final = 2**30
MOST_NODES: Final = 100_000
VRM_SEGMENTS: Final = {
    "Metacarpal": "metacarpal",
    "Proximal": "phalanx-proximal",
    "Intermediate": "phalanx-intermediate",
}
"""What VRM calls the segments; "Distal" ends each digit."""


def read_character(path: Path) -> Any:
    """Read a binary glTF file. Raises RigError."""
    import pygltflib

    try:
        content = read_bytes(path, LARGEST_BYTES)
    except UnreadableError as error:
        raise RigError(f"{path}: the character cannot be read: {error.reason}; change character=") from error
    if content[:4] != b"glTF":
        raise RigError(f"{path} is no binary glTF file: export the character as .glb or .vrm and change character=")
    try:
        document = pygltflib.GLTF2.load_from_bytes(content)
    except Exception as error:  # pygltflib raises almost anything on damaged files
        raise RigError(f"{path} is damaged ({type(error).__name__}): export it again, or change character=") from error
    if document is None or not document.nodes or len(document.nodes) > MOST_NODES:
        raise RigError(f"{path} has no bones, or more than {MOST_NODES} nodes: change character=")
    if len(document.buffers) > 1 or (document.buffers and document.buffers[0].uri):
        raise RigError(f"{path} keeps its data in other files: export it as one .glb and change character=")
    return document


def target_rig(document: Any, side: str, mapping: dict[str, str], where: str) -> TargetRig:
    """The skeleton of a character and the bones of one hand. mapping: {canonical joint: name}. Raises RigError."""
    order = _parents_first(document, where)
    names = [str(document.nodes[node].name or f"node {node}") for node in order]
    places = {node: place for place, node in enumerate(order)}
    parents = [-1] * len(order)
    for node in order:
        for child in document.nodes[node].children or []:
            parents[places[child]] = places[node]
    rest = np.empty((len(order), 4, 4))
    for place, node in enumerate(order):
        local = node_matrix(document.nodes[node], where)
        rest[place] = local if parents[place] < 0 else rest[parents[place]] @ local
    jointed = {node for skin in document.skins or [] for node in skin.joints}
    moving = [name for node, name in zip(order, names, strict=True) if node in jointed or not jointed]
    bones = {joint: names.index(name) for joint, name in hand_bones(moving, side).items()}
    bones |= {joint: places[node] for joint, node in vrm_bones(document, side).items() if node in places}
    for joint, name in mapping.items():
        if name not in names:
            raise RigError(f"{where}: joint_map= calls {joint} {name!r}, which is no bone there")
        bones[joint] = names.index(name)
    wrist = bones.get("wrist")
    above = -1 if wrist is None else parents[wrist]
    return TargetRig(tuple(names), tuple(parents), rest, bones, moves=above < 0 or order[above] not in jointed)


def vrm_bones(document: Any, side: str) -> dict[str, int]:
    """Nodes of the canonical joints that a VRM file names, of version 0 or 1; empty for other files."""
    extensions = document.extensions or {}
    bones: dict[str, Any] = {}
    for name in ("VRM", "VRMC_vrm"):
        listed = extensions.get(name, {}).get("humanoid", {}).get("humanBones", {})
        pairs = [(each.get("bone"), each) for each in listed] if isinstance(listed, list) else list(listed.items())
        bones |= {str(bone): each.get("node") for bone, each in pairs if isinstance(each, dict)}
    named = {bone.removeprefix(side): node for bone, node in bones.items() if bone.startswith(side)}
    found = {"wrist": named["Hand"]} if "Hand" in named else {}
    old_thumb = "ThumbIntermediate" in named
    for bone, node in named.items():
        joint = _vrm_joint(bone, old_thumb)
        if joint in CANONICAL:
            found[joint] = node
    return {joint: node for joint, node in found.items() if isinstance(node, int)}


def _vrm_joint(bone: str, old_thumb: bool) -> str:
    """Canonical joint of a bone of VRM, such as IndexProximal. old_thumb: whether it has VRM 0's names."""
    for digit, prefix in (("Thumb", "thumb"), ("Little", "pinky-finger"), ("Index", "index-finger")):
        if bone.startswith(digit):
            return _vrm_segment(bone.removeprefix(digit), prefix, old_thumb and digit == "Thumb")
    for digit in ("Middle", "Ring"):
        if bone.startswith(digit):
            return _vrm_segment(bone.removeprefix(digit), f"{digit.lower()}-finger", False)
    return ""


def _vrm_segment(segment: str, prefix: str, old_thumb: bool) -> str:
    if old_thumb:
        segment = {"Proximal": "Metacarpal", "Intermediate": "Proximal"}.get(segment, segment)
    return f"{prefix}-{VRM_SEGMENTS.get(segment, 'phalanx-distal')}"


def node_matrix(node: Any, where: str = "character=") -> Floats:
    """The matrix (4, 4) of a node of glTF in its parent's frame. Raises RigError."""
    from scipy.spatial.transform import Rotation

    if node.matrix is not None:
        matrix = np.array(node.matrix, np.float64).reshape(4, 4).T
    else:
        matrix = np.eye(4)
        turn = np.array(node.rotation or [0.0, 0.0, 0.0, 1.0], np.float64)
        if not np.isfinite(turn).all() or not np.any(turn):
            raise RigError(f"{where}: the rotation of {node.name!r} is no quaternion")
        matrix[:3, :3] = Rotation.from_quat(turn).as_matrix() * np.array(node.scale or [1.0] * 3, np.float64)
        matrix[:3, 3] = node.translation or [0.0] * 3
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise RigError(f"{where}: the place of {node.name!r} is not finite")
    return matrix


def write_character(motion: HandMotion, rig: Path, mapping: dict[str, str], path: Path) -> list[str]:
    """Write a character with the motion of its hand as one more animation, and return what the user should know.

    Raises RigError.
    """
    document = read_character(rig)
    target = target_rig(document, motion.side, mapping, str(rig))
    order = _parents_first(document, str(rig))
    moved = retarget(motion, target)
    add_animation(document, motion, target, moved, order)
    path.write_bytes(b"".join(document.save_to_bytes()))
    found = [f"{joint} is {target.names[node]!r}" for joint, node in target.bones.items()]
    place = "goes where the hand goes" if target.moves else "turns on its arm, which stays"
    return [f"The {motion.side} hand was found: {', '.join(found)}.", f"The wrist {place}."]


def add_animation(
    document: Any, motion: HandMotion, target: TargetRig, moved: RigMotion, order: list[int] | range
) -> None:
    """Append an animation to a glTF document. order: the document's node of each of the target's."""
    import pygltflib as gltf

    blob = bytearray(document.binary_blob() or b"")
    samplers, channels = [], []

    def add(values: Floats, kind: str) -> int:
        data = np.ascontiguousarray(values, "<f4")
        columns = data.reshape(len(data), -1)
        blob.extend(b"\0" * (-len(blob) % 4))
        document.bufferViews.append(gltf.BufferView(buffer=0, byteOffset=len(blob), byteLength=data.nbytes))
        blob.extend(data.tobytes())
        document.accessors.append(
            gltf.Accessor(
                bufferView=len(document.bufferViews) - 1,
                componentType=gltf.FLOAT,
                count=len(data),
                type=kind,
                min=columns.min(axis=0).tolist() if kind == "SCALAR" else None,
                max=columns.max(axis=0).tolist() if kind == "SCALAR" else None,
            )
        )
        return len(document.accessors) - 1

    times = add(motion.time_s, "SCALAR")

    def move(node: int, path: str, values: Floats, kind: str) -> None:
        samplers.append(gltf.AnimationSampler(input=times, output=add(values, kind), interpolation="LINEAR"))
        channel = gltf.AnimationChannelTarget(node=order[node], path=path)
        channels.append(gltf.AnimationChannel(sampler=len(samplers) - 1, target=channel))
        _unpack(document.nodes[order[node]])

    for node in moved.nodes:
        move(node, "rotation", quaternions(moved.local[node]), "VEC4")
    if moved.translation is not None:
        move(target.bones["wrist"], "translation", moved.translation, "VEC3")
    document.animations.append(gltf.Animation(name=f"{motion.side} hand", samplers=samplers, channels=channels))
    if not document.buffers:
        document.buffers.append(gltf.Buffer(byteLength=0))
    document.buffers[0].byteLength = len(blob)
    document.set_binary_blob(bytes(blob))


def quaternions(rotations: Floats) -> Floats:
    """Quaternions (T, 4), x y z w, of rotations (T, 3, 3), that turn the short way from each to the next."""
    from scipy.spatial.transform import Rotation

    return continuous(Rotation.from_matrix(rotations).as_quat())


def _unpack(node: Any) -> None:
    """Say a node's matrix as translation, rotation and scale, which alone can be animated."""
    if node.matrix is None:
        return
    matrix = node_matrix(node)
    scale = np.linalg.norm(matrix[:3, :3], axis=0)
    node.matrix = None
    node.translation, node.scale = matrix[:3, 3].tolist(), scale.tolist()
    node.rotation = quaternions((matrix[:3, :3] / scale)[None])[0].tolist()


def _parents_first(document: Any, where: str) -> list[int]:
    """The nodes of a file so that parents stand before their children. Raises RigError where they go in a circle."""
    children = {child for node in document.nodes for child in node.children or []}
    order = list(_below(document, [node for node in range(len(document.nodes)) if node not in children]))
    if len(order) != len(document.nodes) or len(set(order)) != len(order):
        raise RigError(f"{where}: its nodes are no tree: export it again, or change character=")
    return order


def _below(document: Any, roots: list[int]) -> Iterator[int]:
    waiting, count = list(reversed(roots)), 0
    while waiting and count <= len(document.nodes):
        node = waiting.pop()
        yield node
        count += 1
        below = document.nodes[node].children or []
        waiting += [child for child in reversed(below) if 0 <= child < len(document.nodes)]
