"""The animated glTF and the BVH of a track, posed again from what their files say."""

from pathlib import Path
from typing import Any

import numpy as np
import pygltflib
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from support.sequences import FPS, followed

from handopt.export.animation import write_animation
from handopt.export.bvh import write_bvh
from handopt.export.mesh import to_gltf

Floats = NDArray[np.float64]
TYPES = {5126: "<f4", 5121: "u1", 5125: "<u4"}
WIDTH = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@pytest.fixture(scope="module", params=["right", "left"])
def hand(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def document(hand: str, tmp_path_factory: pytest.TempPathFactory) -> pygltflib.GLTF2:
    path = tmp_path_factory.mktemp("glb") / "hand.glb"
    write_animation(followed(hand), path)
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
def test_the_skin_moves_as_the_track_says(document: pygltflib.GLTF2, hand: str, frame: int) -> None:
    primitive = document.meshes[0].primitives[0]
    rest = array(document, primitive.attributes.POSITION)
    joints = array(document, primitive.attributes.JOINTS_0).astype(int)
    weights = array(document, primitive.attributes.WEIGHTS_0)
    inverse = array(document, document.skins[0].inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
    places = global_transforms(document, frame)
    matrices = np.array([places[node] @ inverse[row] for row, node in enumerate(document.skins[0].joints)])
    ones = np.concatenate([rest, np.ones((len(rest), 1))], axis=1)
    posed = np.einsum("vk,vkab,vb->va", weights, matrices[joints], ones)[:, :3]
    assert np.abs(posed - to_gltf(followed(hand).vertices_mm(frame))).max() < 2e-5


def test_the_file_is_a_sound_animation(document: pygltflib.GLTF2, hand: str) -> None:
    track = followed(hand)
    names = [node.name for node in document.nodes]
    assert names == [*track.rig.joint_names, f"{hand} hand"]
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
        assert len(output) == len(times)
        if channel.target.path == "rotation":
            assert np.allclose(np.linalg.norm(output, axis=1), 1, atol=1e-5)
            assert (np.einsum("ti,ti->t", output[1:], output[:-1]) > 0).all(), "each turn is the short way"
    primitive = document.meshes[0].primitives[0]
    assert np.allclose(array(document, primitive.attributes.WEIGHTS_0).sum(axis=1), 1, atol=1e-5)
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
