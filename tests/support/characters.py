"""Tracks without a tracker, and characters whose hands are named and posed in other ways, for tests of motion."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pygltflib as gltf
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from handopt.rig import KEYPOINT_NAMES, default_rig
from handopt.rig.skinned import Skinned

Floats = NDArray[np.float64]
FRAMES, FPS = 6, 25.0
DIGITS = ("thumb", "index", "middle", "ring", "pinky")


def write_poses(folder: Path, side: str, seed: int = 3) -> Path:
    """Write as much of a track's folder as is read of it: a hand that turns and bends, one frame without a pose."""
    rng = np.random.default_rng(seed)
    rig = default_rig(side)
    low, high = rig.limits.lower, rig.limits.upper
    share = np.linspace(0.1, 0.9, FRAMES)[:, None, None]
    turn = Rotation.from_rotvec(rng.normal(size=3)) * Rotation.from_rotvec(np.outer(np.arange(FRAMES), [0.2, 0.3, 0.1]))
    known = np.arange(FRAMES) != 2
    folder.mkdir(parents=True)
    np.savez(
        folder / "track.npz",
        header=np.array(json.dumps({"format": "handopt.track/1", "source": "frames", "fps": FPS})),
        camera=np.array([400.0, 400.0, 159.5, 119.5, 320, 240]),
        time_s=np.arange(FRAMES) / FPS,
        tracked=known,
        bridged=np.zeros(FRAMES, bool),
        unexplained_fraction=np.zeros(FRAMES),
        confidence=np.ones(FRAMES),
        joint_uncertainty_mm=np.ones((FRAMES, 21)),
        joint_visible=np.ones((FRAMES, 21), bool),
        rotation=turn.as_matrix(),
        translation_mm=np.array([10.0, -20.0, 500.0]) + 5.0 * np.arange(FRAMES)[:, None],
        angles_rad=low + share * (high - low),
        scale=np.full(FRAMES, 1.1),
        window_depth_mm=np.zeros((FRAMES, 32, 32), np.uint16),
        window_center_mm=np.full((FRAMES, 3), 500.0),
        window_half_mm=np.array(150.0),
        **Skinned.of(rig).arrays(),
    )
    return folder


def true_joints(folder: Path, side: str) -> tuple[Floats, Floats]:
    """Joints (T, 21, 3) and vertices (T, V, 3) in metres, y up, of the frames with a pose."""
    with np.load(folder / "track.npz") as arrays:
        known = arrays["tracked"]
        vertices, joints = Skinned.of(default_rig(side)).posed(
            arrays["rotation"][known],
            arrays["translation_mm"][known],
            arrays["angles_rad"][known],
            arrays["scale"][known],
        )
    flip = np.array([1e-3, -1e-3, -1e-3])
    return joints * flip, vertices * flip


def mixamo(name: str, side: str) -> str:
    """Bones of Mixamo."""
    if name == "wrist":
        return f"mixamorig:{side.capitalize()}Hand"
    digit, part = name.split("_")
    parts = ("cmc", "mcp", "ip", "tip") if digit == "thumb" else ("mcp", "pip", "dip", "tip")
    return f"mixamorig:{side.capitalize()}Hand{digit.capitalize()}{parts.index(part) + 1}"


def unreal(name: str, side: str) -> str:
    """Bones of Unreal's mannequin, which has no tips."""
    if name == "wrist":
        return f"hand_{side[0]}"
    digit, part = name.split("_")
    parts = ("cmc", "mcp", "ip", "tip") if digit == "thumb" else ("mcp", "pip", "dip", "tip")
    return f"{digit}_{parts.index(part) + 1:02d}_{side[0]}"


def character(path: Path, side: str, name_of: Any, *, seed: int = 5, tips: bool = True, arm: bool = True) -> Path:
    """Write a character of one arm: centimetres under a scaled root, any bone axes, fingers bent in the rest pose."""
    rng = np.random.default_rng(seed)
    rest = _bent_rest(side, rng)
    names = ["Armature", f"{side}_forearm", *(name_of(each, side) for each in KEYPOINT_NAMES)]
    parents = [-1, 0, 1, *(2 if row % 4 == 1 else 1 + row for row in range(1, 21))]
    keep = [row for row in range(23) if tips or row < 2 or not KEYPOINT_NAMES[row - 2].endswith("_tip")]
    world = np.tile(np.eye(4), (23, 1, 1))
    world[0, :3, :3] = Rotation.from_euler("x", -90, degrees=True).as_matrix() * 0.01
    world[1, :3, 3] = [0.4, 1.2, 0.0]
    world[2:, :3, 3] = rest * 1e-3 + [0.65, 1.2, 0.0]
    for row in range(1, 23):
        world[row, :3, :3] = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix() * 0.01
    nodes = []
    for row in keep:
        before = np.eye(4) if parents[row] < 0 else world[parents[row]]
        local = np.linalg.inv(before) @ world[row]
        scale = np.linalg.norm(local[:3, :3], axis=0)
        nodes.append(
            gltf.Node(
                name=names[row],
                translation=local[:3, 3].tolist(),
                rotation=Rotation.from_matrix(local[:3, :3] / scale).as_quat().tolist(),
                scale=scale.tolist(),
                children=[keep.index(child) for child in keep if parents[child] == row] or None,
            )
        )
    document = gltf.GLTF2(
        asset=gltf.Asset(version="2.0"), scene=0, scenes=[gltf.Scene(nodes=[0])], nodes=nodes,
        skins=[gltf.Skin(joints=list(range(1 if arm else 2, len(nodes))))],
    )  # fmt: skip
    path.write_bytes(b"".join(document.save_to_bytes()))
    return path


def _bent_rest(side: str, rng: np.random.Generator) -> Floats:
    """Joints (21, 3) mm of a smaller hand that rests with bent fingers, turned somehow."""
    rig = default_rig(side)
    angles = np.zeros((15, 3))
    angles[:, 2] = rng.uniform(0.1, 0.5, 15)
    angles[:, 1] = rng.uniform(-0.1, 0.1, 15)
    turn = Rotation.from_euler("xyz", [0.4, 1.0, -0.7]).as_matrix()
    _, joints = Skinned.of(rig).posed(turn[None], np.zeros((1, 3)), angles[None], np.array([0.8]))
    return np.asarray(joints[0])


def played(document: gltf.GLTF2, frame: int) -> dict[str, Floats]:
    """World matrices (4, 4) of the nodes by name, at a keyframe of the last animation, from the file's numbers."""
    moved: dict[tuple[int, str], Floats] = {}
    animation = document.animations[-1]
    for channel in animation.channels:
        accessor = document.accessors[animation.samplers[channel.sampler].output]
        view = document.bufferViews[accessor.bufferView]
        width = {"VEC3": 3, "VEC4": 4}[accessor.type]
        data = document.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
        values = np.frombuffer(data, "<f4").reshape(accessor.count, width)
        moved[channel.target.node, channel.target.path] = values[frame].astype(np.float64)
    found: dict[str, Floats] = {}

    def visit(node: int, before: Floats) -> None:
        own = document.nodes[node]
        matrix = np.eye(4)
        rotation = moved.get((node, "rotation"), np.array(own.rotation or [0.0, 0.0, 0.0, 1.0]))
        matrix[:3, :3] = Rotation.from_quat(rotation).as_matrix() * np.array(own.scale or [1.0] * 3)
        matrix[:3, 3] = moved.get((node, "translation"), np.array(own.translation or [0.0] * 3))
        found[own.name] = before @ matrix
        for child in own.children or []:
            visit(child, found[own.name])

    for root in document.scenes[0].nodes:
        visit(root, np.eye(4))
    return found


def angles_between(first: Floats, second: Floats) -> Floats:
    """Degrees between vectors (..., 3)."""
    cosines = (first * second).sum(axis=-1) / np.linalg.norm(first, axis=-1) / np.linalg.norm(second, axis=-1)
    return np.degrees(np.arccos(np.clip(cosines, -1, 1)))
