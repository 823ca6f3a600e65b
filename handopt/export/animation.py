"""A track for animation programs: an animated, skinned glTF."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handopt.export.gltf_buffer import M_PER_MM, Y_UP, GltfBuffer, children_of, hand_mesh
from handopt.export.morph_targets import features_of, morph_targets
from handopt.typing import Floats, Indices

if TYPE_CHECKING:
    from handopt.tracking.track import Track


STILL = 1e-6
"""Change of a quaternion's components below which a joint gets no keyframes; float32 resolves 6e-8 of them."""


def joint_rotations(track: "Track") -> tuple[Floats, Floats]:
    """Rotations of all joints from the bind pose (T, J, 3, 3) and their positions (T, J, 3) in mm, camera frame."""
    transforms = track.transforms()
    positions = np.einsum("tjab,jb->tja", transforms[..., :3], track.shaped.bind[:, :, 3]) + transforms[..., 3]
    return transforms[..., :3] / track.scale, positions


def local_rotations(world: Floats, joint: int, parent: int) -> Floats:
    """Rotations (T, 3, 3) of a joint relative to its parent, or to the viewer's frame where parent is -1.

    world: (T, J, 3, 3) of all joints in the camera frame
    """
    if parent < 0:
        return np.asarray(Y_UP @ world[:, joint])
    return np.asarray(world[:, parent].transpose(0, 2, 1) @ world[:, joint])


def write_animation(track: "Track", path: Path) -> None:
    """Write a skinned mesh whose joints move: binary glTF 2.0, metres, y up, one keyframe per known frame.

    A rig's pose correctives are morph targets, whose weights move as well.
    """
    import pygltflib as gltf

    rig, shown = track.shaped, np.flatnonzero(track.known)
    buffer = GltfBuffer()
    attributes = buffer.add_mesh(rig.rest_mm * M_PER_MM, rig.normals)
    attributes |= buffer.add_skin(rig.skin_indices, rig.skin_weights)
    indices = buffer.add_faces(rig.faces)
    inverse = buffer.add(_inverse_binds(rig.bind), "<f4", "MAT4")
    channels = _Channels(buffer, buffer.add(track.time_s[shown] - track.time_s[0], "<f4", "SCALAR", bounds=True))
    nodes = _joint_nodes(track, shown, channels)
    joints = list(range(len(nodes)))
    mesh = hand_mesh("hand", attributes, indices)
    if rig.pose_correctives is not None:
        _add_correctives(mesh, track, shown, channels)
    buffer.write(
        path,
        generator=f"handopt {track.versions.get('handopt', '')}".strip(),
        roots=[0, len(nodes)],
        nodes=[*nodes, gltf.Node(name=f"{track.hand} hand", mesh=0, skin=0)],
        skins=[gltf.Skin(joints=joints, skeleton=0, inverseBindMatrices=inverse)],
        meshes=[mesh],
        animations=[gltf.Animation(name="track", samplers=channels.samplers, channels=channels.channels)],
    )


@dataclass
class _Channels:
    """The moving properties of nodes, all with keyframes at the times of one accessor."""

    buffer: GltfBuffer
    times: int
    samplers: list[Any] = field(default_factory=list)
    channels: list[Any] = field(default_factory=list)

    def add(self, node: int, path: str, values: Floats, kind: str) -> None:
        """Move a node's path ("translation", "rotation" or "weights") through values (T, width), or (T K,) weights."""
        import pygltflib as gltf

        output = self.buffer.add(values, "<f4", kind)
        self.samplers.append(gltf.AnimationSampler(input=self.times, output=output, interpolation="LINEAR"))
        target = gltf.AnimationChannelTarget(node=node, path=path)
        self.channels.append(gltf.AnimationChannel(sampler=len(self.samplers) - 1, target=target))


def _add_correctives(mesh: Any, track: "Track", shown: Indices, channels: _Channels) -> None:
    """Give a mesh what the poses add to its rest vertices; it belongs to the node after those of the joints."""
    rig, buffer = track.shaped, channels.buffer
    assert rig.pose_correctives is not None
    targets = morph_targets(rig.pose_correctives, features_of(rig, track.angles_rad[shown]))
    if not targets.names:
        return
    mesh.primitives[0].targets = [buffer.add_target(each * M_PER_MM) for each in targets.displacements_mm]
    mesh.weights = targets.weights[0].tolist()
    mesh.extras = {"targetNames": targets.names}
    channels.add(len(rig.joint_names), "weights", targets.weights.ravel(), "SCALAR")


def _offsets(track: "Track", shown: Indices, joint: int, parent: int) -> Floats:
    """Where a joint lies in its parent's frame, in metres: (1, 3), or (T, 3) where pose correctives move it."""
    rig = track.shaped
    offset = (rig.bind[joint, :, 3] - rig.bind[parent, :, 3])[None]
    moved = rig.pose_correctives
    if moved is not None and moved.joints[:, joint].any():  # a point of the skin, such as a tip
        offset = offset + features_of(rig, track.angles_rad[shown]) @ moved.joints[:, joint]
    return np.asarray(offset @ rig.bind[parent, :, :3] * M_PER_MM)


def _joint_nodes(track: "Track", shown: Indices, channels: _Channels) -> list[Any]:
    """A node for each joint, in the pose of the first known frame; what moves is added to the channels."""
    import pygltflib as gltf

    rig = track.shaped
    rotations, positions = joint_rotations(track)
    world = rotations[shown] @ rig.bind[:, :, :3]
    nodes = []
    for joint, name in enumerate(rig.joint_names):
        parent = int(rig.parents[joint])
        quaternions = _quaternions(local_rotations(world, joint, parent))
        if parent < 0:
            translation = positions[shown, joint] @ Y_UP.T * M_PER_MM
        else:
            translation = _offsets(track, shown, joint, parent)
        if len(translation) == len(shown) > 1 or parent < 0:
            channels.add(joint, "translation", translation, "VEC3")
        if parent < 0 or np.ptp(quaternions, axis=0).max() > STILL:
            channels.add(joint, "rotation", quaternions, "VEC4")
        nodes.append(
            gltf.Node(
                name=name,
                children=children_of(rig.parents, joint) or None,
                translation=translation[0].tolist(),
                rotation=quaternions[0].tolist(),
                scale=[track.scale] * 3 if parent < 0 else None,
            )
        )
    return nodes


def _quaternions(rotations: Floats) -> Floats:
    """Quaternions (T, 4), x y z w, that turn the short way from each to the next."""
    from scipy.spatial.transform import Rotation

    from handopt.tracking.smoothing import continuous

    return continuous(Rotation.from_matrix(rotations).as_quat())


def _inverse_binds(bind: Floats) -> Floats:
    """Inverse bind matrices (J, 16), column by column, metres."""
    matrices = np.tile(np.eye(4), (len(bind), 1, 1))
    matrices[:, :3] = bind
    matrices[:, :3, 3] *= M_PER_MM
    return np.asarray(np.linalg.inv(matrices).transpose(0, 2, 1).reshape(-1, 16))
