"""A track for animation programs: an animated, skinned glTF, and BVH."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from handopt.export.mesh import SKIN_LINEAR_RGBA, SKIN_ROUGHNESS

if TYPE_CHECKING:
    from handopt.tracking.track import Track

Floats = NDArray[np.float64]

M_PER_MM, CM_PER_MM = 1e-3, 0.1
Y_UP = np.diag([1.0, -1.0, -1.0])
"""The camera's frame (y down, z forward) to that of viewers (y up, z towards the viewer)."""


def joint_rotations(track: "Track") -> tuple[Floats, Floats]:
    """Rotation of every joint from the bind pose, (T, J, 3, 3), and its place (T, J, 3) mm, in the camera frame."""
    transforms = track.transforms()
    places = np.einsum("tjab,jb->tja", transforms[..., :3], track.shaped.bind[:, :, 3]) + transforms[..., 3]
    return transforms[..., :3] / track.scale, places


def write_animation(track: "Track", path: Path) -> None:
    """Write a skinned mesh whose joints move: binary glTF 2.0, metres, y up, one keyframe per known frame."""
    import pygltflib as gltf

    rig = track.shaped
    joints, shown = len(rig.joint_names), np.flatnonzero(track.known)
    turns, places = joint_rotations(track)
    world = turns[shown] @ rig.bind[:, :, :3]
    buffer = _Buffer()
    mesh = gltf.Attributes(
        POSITION=buffer.add(rig.rest_mm * M_PER_MM, "<f4", "VEC3", target=gltf.ARRAY_BUFFER, bounds=True),
        NORMAL=buffer.add(rig.normals, "<f4", "VEC3", target=gltf.ARRAY_BUFFER),
        JOINTS_0=buffer.add(rig.skin_indices, "u1", "VEC4", target=gltf.ARRAY_BUFFER),
        WEIGHTS_0=buffer.add(rig.skin_weights, "<f4", "VEC4", target=gltf.ARRAY_BUFFER),
    )
    indices = buffer.add(rig.faces.ravel(), "<u4", "SCALAR", target=gltf.ELEMENT_ARRAY_BUFFER)
    inverse = buffer.add(_inverse_bind(rig.bind), "<f4", "MAT4")
    times = buffer.add(track.time_s[shown] - track.time_s[0], "<f4", "SCALAR", bounds=True)
    samplers, channels = [], []

    def animate(joint: int, what: str, values: Floats, kind: str) -> None:
        output = buffer.add(values, "<f4", kind)
        samplers.append(gltf.AnimationSampler(input=times, output=output, interpolation="LINEAR"))
        target = gltf.AnimationChannelTarget(node=joint, path=what)
        channels.append(gltf.AnimationChannel(sampler=len(samplers) - 1, target=target))

    nodes = []
    for joint in range(joints):
        parent = int(rig.parents[joint])
        local = _locals(world, joint, parent)
        quaternions = _quaternions(local)
        if parent < 0:
            place = places[shown, joint] @ Y_UP.T * M_PER_MM
            animate(joint, "translation", place, "VEC3")
        else:
            offset = rig.bind[joint, :, 3] - rig.bind[parent, :, 3]
            place = (offset @ rig.bind[parent, :, :3] * M_PER_MM)[None]
        if parent < 0 or np.ptp(quaternions, axis=0).max() > 1e-6:
            animate(joint, "rotation", quaternions, "VEC4")
        children = [int(child) for child in np.flatnonzero(rig.parents == joint)]
        nodes.append(
            gltf.Node(
                name=rig.joint_names[joint], children=children, translation=place[0].tolist(),
                rotation=quaternions[0].tolist(), scale=[track.scale] * 3 if parent < 0 else None,
            )
        )  # fmt: skip
    nodes.append(gltf.Node(name=f"{track.hand} hand", mesh=0, skin=0))
    material = gltf.PbrMetallicRoughness(
        baseColorFactor=list(SKIN_LINEAR_RGBA), metallicFactor=0.0, roughnessFactor=SKIN_ROUGHNESS
    )
    document = gltf.GLTF2(
        asset=gltf.Asset(version="2.0", generator=f"handopt {track.versions.get('handopt', '')}".strip()),
        scene=0,
        scenes=[gltf.Scene(name="hand", nodes=[0, joints])],
        nodes=nodes,
        skins=[gltf.Skin(joints=list(range(joints)), skeleton=0, inverseBindMatrices=inverse)],
        meshes=[gltf.Mesh(name="hand", primitives=[gltf.Primitive(attributes=mesh, indices=indices, material=0)])],
        materials=[gltf.Material(name="skin", pbrMetallicRoughness=material)],
        animations=[gltf.Animation(name="track", samplers=samplers, channels=channels)],
        accessors=buffer.accessors,
        bufferViews=buffer.views,
        buffers=[gltf.Buffer(byteLength=len(buffer.data))],
    )
    document.set_binary_blob(bytes(buffer.data))
    path.write_bytes(b"".join(document.save_to_bytes()))


class _Buffer:
    """The binary chunk as it grows, with a view and an accessor for each array in it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[Any] = []
        self.accessors: list[Any] = []

    def add(self, values: Any, dtype: str, kind: str, *, target: int | None = None, bounds: bool = False) -> int:
        """Append an array; returns the number of its accessor."""
        import pygltflib as gltf

        array = np.ascontiguousarray(values).astype(dtype)
        flat = array.reshape(len(array), -1)
        self.data.extend(b"\0" * (-len(self.data) % 4))
        self.views.append(gltf.BufferView(buffer=0, byteOffset=len(self.data), byteLength=array.nbytes, target=target))
        self.data.extend(array.tobytes())
        component = {"<f4": gltf.FLOAT, "u1": gltf.UNSIGNED_BYTE, "<u4": gltf.UNSIGNED_INT}[dtype]
        self.accessors.append(
            gltf.Accessor(
                bufferView=len(self.views) - 1, componentType=component, count=len(array), type=kind,
                min=flat.min(axis=0).tolist() if bounds else None, max=flat.max(axis=0).tolist() if bounds else None,
            )
        )  # fmt: skip
        return len(self.accessors) - 1


def _locals(world: Floats, joint: int, parent: int) -> Floats:
    """Rotations (T, 3, 3) of a joint relative to its parent, or to the viewer's frame."""
    if parent < 0:
        return np.asarray(Y_UP @ world[:, joint])
    return np.asarray(world[:, parent].transpose(0, 2, 1) @ world[:, joint])


def _quaternions(rotations: Floats) -> Floats:
    """Quaternions (T, 4), x y z w, that turn the short way from each to the next."""
    from scipy.spatial.transform import Rotation

    from handopt.tracking.smoothing import continuous

    return continuous(Rotation.from_matrix(rotations).as_quat())


def _inverse_bind(bind: Floats) -> Floats:
    """Inverse bind matrices (J, 16), column by column, metres."""
    matrices = np.tile(np.eye(4), (len(bind), 1, 1))
    matrices[:, :3] = bind
    matrices[:, :3, 3] *= M_PER_MM
    return np.asarray(np.linalg.inv(matrices).transpose(0, 2, 1).reshape(-1, 16))


def write_bvh(track: "Track", path: Path) -> None:
    """Write the skeleton and its motion as BVH: centimetres, y up, all frames; zero angles are the bind pose."""
    from scipy.spatial.transform import Rotation

    rig = track.shaped
    turns, places = joint_rotations(track)
    size = CM_PER_MM * track.scale
    lines: list[str] = ["HIERARCHY"]
    order: list[int] = []

    def branch(joint: int, depth: int) -> None:
        indent, parent = "\t" * depth, int(rig.parents[joint])
        offset = np.zeros(3) if parent < 0 else (rig.bind[joint, :, 3] - rig.bind[parent, :, 3]) * size
        children = [int(child) for child in np.flatnonzero(rig.parents == joint)]
        lines.append(f"{indent}{_bvh_name(rig.joint_names[joint], parent, children)}")
        lines.extend((f"{indent}{{", f"{indent}\tOFFSET {_numbers(offset)}"))
        if children:
            order.append(joint)
            place = "Xposition Yposition Zposition " if parent < 0 else ""
            lines.append(f"{indent}\tCHANNELS {6 if parent < 0 else 3} {place}Zrotation Xrotation Yrotation")
        for child in children:
            branch(child, depth + 1)
        lines.append(f"{indent}}}")

    branch(0, 0)
    columns = [places[:, 0] @ Y_UP.T * CM_PER_MM]
    for joint in order:
        local = _locals(turns, joint, int(rig.parents[joint]))
        columns.append(Rotation.from_matrix(local).as_euler("ZXY", degrees=True))
    lines += ["MOTION", f"Frames: {len(track)}", f"Frame Time: {1 / track.fps:.8f}"]
    lines += [_numbers(row) for row in np.concatenate(columns, axis=1)]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def _bvh_name(name: str, parent: int, children: list[int]) -> str:
    if not children:
        return "End Site"
    return f"{'ROOT' if parent < 0 else 'JOINT'} {name}"


def _numbers(values: Floats) -> str:
    return " ".join(f"{value:.6f}" for value in values)
