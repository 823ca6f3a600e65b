"""The animated glTF and the BVH of a track, posed again from what their files say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pygltflib
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from support.sequences import FPS, followed, mano_track

from handopt.export.animation import write_animation
from handopt.export.bvh import write_bvh
from handopt.export.mesh import to_gltf
from handopt.tracking.track import Track

Floats = NDArray[np.float64]
TYPES = {5126: "<f4", 5121: "u1", 5125: "<u4"}
WIDTH = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@pytest.fixture(scope="module", params=["right", "left", "mano right", "mano left"])
def track(request: pytest.FixtureRequest) -> Track:
    """Of handopt's own hands, and of hands with pose correctives."""
    kind, _, side = request.param.rpartition(" ")
    return mano_track(side) if kind else followed(side)


@pytest.fixture(scope="module")
def document(track: Track, tmp_path_factory: pytest.TempPathFactory) -> pygltflib.GLTF2:
    path = tmp_path_factory.mktemp("glb") / "hand.glb"
    write_animation(track, path)
    return pygltflib.GLTF2.load_from_bytes(path.read_bytes())


def array(document: pygltflib.GLTF2, index: int) -> Floats:
    """The values of an accessor, whose view must be aligned and inside the buffer."""
    accessor = document.accessors[index]
    view = document.bufferViews[accessor.bufferView]
    assert view.byteOffset % 4 == 0
    assert view.byteOffset + view.byteLength <= document.buffers[0].byteLength
    data = document.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    values = np.frombuffer(data, TYPES[accessor.componentType]).reshape(accessor.count, WIDTH[accessor.type])
    if accessor.min:
        assert np.allclose(values.min(axis=0), accessor.min)
        assert np.allclose(values.max(axis=0), accessor.max)
    return values.astype(np.float64)


def global_transforms(document: pygltflib.GLTF2, frame: int) -> dict[int, Floats]:
    """The matrix (4, 4) of every joint's node at a keyframe, from its parents on."""
    moved: dict[tuple[int, str], Floats] = {}
    animation = document.animations[0]
    for channel in animation.channels:
        output = array(document, animation.samplers[channel.sampler].output)
        moved[channel.target.node, channel.target.path] = output[frame]

    def local(node: int) -> Floats:
        own = document.nodes[node]
        matrix = np.eye(4)
        rotation = moved.get((node, "rotation"), np.array(own.rotation))
        matrix[:3, :3] = Rotation.from_quat(rotation).as_matrix() * np.array(own.scale or [1.0] * 3)
        matrix[:3, 3] = moved.get((node, "translation"), np.array(own.translation))
        return matrix

    found: dict[int, Floats] = {}

    def walk(node: int, above: Floats) -> None:
        found[node] = above @ local(node)
        for child in document.nodes[node].children or []:
            walk(child, found[node])

    walk(document.skins[0].joints[0], np.eye(4))
    return found


@pytest.mark.parametrize("frame", [0, 9])
def test_the_skin_moves_as_the_track_says(document: pygltflib.GLTF2, track: Track, frame: int) -> None:
    primitive = document.meshes[0].primitives[0]
    rest = array(document, primitive.attributes.POSITION) + morphed(document, frame)
    attributes = vars(primitive.attributes)
    sets = [number for number in range(3) if attributes.get(f"JOINTS_{number}") is not None]
    joints = np.hstack([array(document, attributes[f"JOINTS_{each}"]).astype(int) for each in sets])
    weights = np.hstack([array(document, attributes[f"WEIGHTS_{each}"]) for each in sets])
    inverse = array(document, document.skins[0].inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
    places = global_transforms(document, frame)
    matrices = np.array([places[node] @ inverse[row] for row, node in enumerate(document.skins[0].joints)])
    ones = np.concatenate([rest, np.ones((len(rest), 1))], axis=1)
    posed = np.einsum("vk,vkab,vb->va", weights, matrices[joints], ones)[:, :3]
    assert np.abs(posed - to_gltf(track.vertices_mm(frame))).max() < 2e-5
    nodes = [document.skins[0].joints[joint] for joint in track.rig.keypoint_joints]
    heads = np.array([places[node][:3, 3] for node in nodes])
    assert np.abs(heads - to_gltf(track.joints_mm()[frame])).max() < 2e-6


def morphed(document: pygltflib.GLTF2, frame: int) -> Floats | float:
    """What the morph targets add to the mesh at a keyframe, (V, 3) m."""
    targets = document.meshes[0].primitives[0].targets
    if not targets:
        return 0.0
    animation = document.animations[0]
    (sampler,) = (each.sampler for each in animation.channels if each.target.path == "weights")
    weights = array(document, animation.samplers[sampler].output).reshape(-1, len(targets))
    shapes = np.array([array(document, each["POSITION"]) for each in targets])
    return np.asarray(np.tensordot(weights[frame], shapes, 1))


def test_pose_correctives_are_morph_targets(document: pygltflib.GLTF2, track: Track) -> None:
    mesh, channels = document.meshes[0], document.animations[0].channels
    moved = [each.target.node for each in channels if each.target.path == "weights"]
    if track.rig.pose_correctives is None:
        assert not mesh.primitives[0].targets
        assert not moved
        return
    count = len(mesh.primitives[0].targets)
    assert 1 < count <= np.count_nonzero(track.known) + 1, "no more targets than frames, and a constant one"
    assert moved == [len(track.rig.joint_names)], "the node of the mesh"
    assert len(mesh.weights) == len(mesh.extras["targetNames"]) == count
    (sampler,) = (each.sampler for each in channels if each.target.path == "weights")
    weights = array(document, document.animations[0].samplers[sampler].output)
    assert weights.min() >= 0, "Blender cuts off what is below 0"
    assert weights.max() <= 1
    assert np.linalg.norm(morphed(document, 9), axis=1).max() > 3e-4, "the correctives of this pose move nothing"


def test_a_hand_that_stands_still_in_the_bind_pose_has_no_morph_targets(tmp_path: Path) -> None:
    track = mano_track()
    still = replace(track, angles_rad=np.zeros_like(track.angles_rad))
    write_animation(still, tmp_path / "hand.glb")
    document = pygltflib.GLTF2.load_from_bytes((tmp_path / "hand.glb").read_bytes())
    assert not document.meshes[0].primitives[0].targets


def test_the_file_is_a_sound_animation(document: pygltflib.GLTF2, track: Track) -> None:
    names = [node.name for node in document.nodes]
    assert names == [*track.rig.joint_names, f"{track.hand} hand"]
    assert document.nodes[-1].skin == 0
    assert sorted(document.scenes[0].nodes) == [0, len(names) - 1]
    animation = document.animations[0]
    times = array(document, animation.samplers[0].input)[:, 0]
    assert times[0] == 0
    assert (np.diff(times) > 0).all()
    assert len(times) == len(track)
    assert times[-1] == pytest.approx((len(track) - 1) / FPS, abs=1e-4)
    targets = {(channel.target.node, channel.target.path) for channel in animation.channels}
    assert len(targets) == len(animation.channels)
    assert {(0, "translation"), (0, "rotation")} <= targets
    for channel in animation.channels:
        sampler = animation.samplers[channel.sampler]
        output = array(document, sampler.output)
        per_frame = len(document.meshes[0].weights) if channel.target.path == "weights" else 1
        assert len(output) == len(times) * per_frame
        if channel.target.path == "rotation":
            assert np.allclose(np.linalg.norm(output, axis=1), 1, atol=1e-5)
            assert (np.einsum("ti,ti->t", output[1:], output[:-1]) > 0).all(), "each turn is the short way"
    primitive = document.meshes[0].primitives[0]
    own = vars(primitive.attributes)
    sums = [array(document, own[name]).sum(axis=1) for name in own if name.startswith("WEIGHTS_") and own[name]]
    assert np.allclose(np.sum(sums, axis=0), 1, atol=1e-5)
    assert array(document, primitive.indices).max() < document.accessors[primitive.attributes.POSITION].count


def parsed_bvh(text: str) -> tuple[list[dict[str, Any]], Floats, float]:
    """Joints with their parents, offsets and channels, the motion (T, C), and the frame time."""
    lines = iter(text.splitlines())
    joints: list[dict[str, Any]] = []
    open_joints: list[int] = []
    assert next(lines) == "HIERARCHY"
    for line in lines:
        words = line.split()
        if words[0] in ("ROOT", "JOINT", "End"):
            parent = open_joints[-1] if open_joints else -1
            joints.append({"name": words[1], "parent": parent, "channels": []})
        elif words[0] == "{":
            open_joints.append(len(joints) - 1)
        elif words[0] == "}":
            open_joints.pop()
        elif words[0] == "OFFSET":
            joints[-1]["offset"] = np.array(words[1:], float)
        elif words[0] == "CHANNELS":
            assert int(words[1]) == len(words[2:])
            joints[-1]["channels"] = words[2:]
        elif words[0] == "MOTION":
            break
    count = int(next(lines).split()[1])
    seconds = float(next(lines).split()[2])
    motion = np.array([row.split() for row in lines], float)
    assert len(motion) == count
    return joints, motion, seconds


@pytest.mark.parametrize("hand", ["right", "left"])
def test_the_bvh_skeleton_moves_as_the_track_says(hand: str, tmp_path: Path) -> None:
    track = followed(hand)
    write_bvh(track, tmp_path / "hand.bvh")
    joints, motion, seconds = parsed_bvh((tmp_path / "hand.bvh").read_text())
    assert seconds == pytest.approx(1 / FPS)
    assert motion.shape == (len(track), sum(len(joint["channels"]) for joint in joints))
    frame = 9
    numbers = iter(motion[frame])
    turns, places = [], []
    for joint in joints:
        values = {channel: next(numbers) for channel in joint["channels"]}
        rotation = np.eye(3)
        for axis in "ZXY":
            if f"{axis}rotation" in values:
                rotation = rotation @ Rotation.from_euler(axis, values[f"{axis}rotation"], degrees=True).as_matrix()
        shift = np.array([values.get(f"{axis}position", 0.0) for axis in "XYZ"])
        if joint["parent"] < 0:
            turns.append(rotation)
            places.append(shift + joint["offset"])
        else:
            above = joint["parent"]
            turns.append(turns[above] @ rotation)
            places.append(places[above] + turns[above] @ joint["offset"])
    expected = to_gltf(track.joints_mm()[frame]) * 100  # cm
    tips = [place for joint, place in zip(joints, places, strict=True) if joint["name"] == "Site"]
    assert np.abs(np.array(tips) - expected[[4, 8, 12, 16, 20]]).max() < 2e-3
    assert np.abs(places[0] - expected[0]).max() < 2e-3
