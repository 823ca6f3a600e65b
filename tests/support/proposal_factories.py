"""Small networks with random weights, a slow twin of their layers, and observations of rendered hands."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.input.camera import Camera
from handopt.observation.observation import Observation
from handopt.observation.observe import observe
from handopt.ops.kinematics import forward_kinematics
from handopt.ops.rasterise import rasterise
from handopt.ops.skinning import skin
from handopt.proposals.features import CHANNELS, SIZE
from handopt.proposals.model_file import PoseModel, load_model, save_model
from handopt.proposals.network import Network, head_sizes
from handopt.proposals.votes import vote_layers
from handopt.rig import default_rig
from handopt.synth.poses import HandSample
from support.slow_layers import slow_convolution

Floats = NDArray[np.float64]

CAMERA = Camera(475.0, 470.0, 322.3, 236.4, 640, 480, "test")
FREE = 22
HEADS = 5


def random_weights(rng: np.random.Generator, heads: int = HEADS, widths: tuple[int, ...] = (3, 4, 6)) -> dict[str, Any]:
    """Weights of a network with widths[0] filters at the start and a stage for each other width."""
    weights: dict[str, Any] = {}

    def layer(name: str, inputs: int, outputs: int) -> None:
        weights[f"{name}.weight"] = (rng.normal(size=(inputs, outputs)) / np.sqrt(inputs)).astype(np.float32)
        weights[f"{name}.bias"] = (0.3 * rng.normal(size=outputs)).astype(np.float32)

    layer("stem", 25 * CHANNELS, widths[0])
    for stage, (before, width) in enumerate(itertools.pairwise(widths)):
        layer(f"stage{stage}.shrink", 9 * before, width)
        layer(f"stage{stage}.first", 9 * width, width)
        layer(f"stage{stage}.second", 9 * width, width)
    side = SIZE >> len(widths)
    layer("dense", side * side * widths[-1], 7)
    layer("inner", 7, 7)
    layer("head", 7, heads * sum(head_sizes(FREE)))
    return weights


def random_network(rng: np.random.Generator, heads: int = HEADS, widths: tuple[int, ...] = (3, 4, 6)) -> Network:
    """A network of random weights."""
    return Network(random_weights(rng, heads, widths), len(widths) - 1, heads)


def slow_heads(network: Network, image: Floats) -> Floats:
    """The heads (K, n) of an image (64, 64, 6), layer by layer in loops."""
    w = network.weights

    def layer(x: Floats, name: str, size: int, stride: int) -> Floats:
        return slow_convolution(x, w[f"{name}.weight"], w[f"{name}.bias"], size, stride)

    x = np.maximum(layer(image, "stem", 5, 2), 0)
    for stage in range(network.stages):
        x = np.maximum(layer(x, f"stage{stage}.shrink", 3, 2), 0)
        inner = np.maximum(layer(x, f"stage{stage}.first", 3, 1), 0)
        x = np.maximum(x + layer(inner, f"stage{stage}.second", 3, 1), 0)
    numbers = x.ravel()
    for name in ("dense", "inner"):
        numbers = np.maximum(numbers @ w[f"{name}.weight"].astype(np.float64) + w[f"{name}.bias"], 0)
    heads: Floats = numbers @ w["head.weight"].astype(np.float64) + w["head.bias"]
    return heads.reshape(network.heads, -1)


def posed_sample(sample: HandSample, wrist_mm: Floats, turn: Floats | None = None) -> tuple[Floats, Floats]:
    """Vertices (V, 3) and keypoints (21, 3) of a drawn hand with its wrist at a place, turned about the camera."""
    rig = sample.subject.dress(default_rig("right"))
    matrix = np.eye(3) if turn is None else turn
    pose = (
        sample.angles_rad[None],
        (matrix @ sample.rotation)[None],
        (matrix @ wrist_mm)[None],
        np.array([sample.scale]),
    )
    transforms = forward_kinematics(*pose, rig.parents, rig.articulated, rig.bind)
    vertices = skin(transforms, np.array(rig.rest_mm), np.array(rig.skin_indices), np.array(rig.skin_weights))
    joints = skin(transforms, np.array(rig.keypoints_mm), np.array(rig.keypoint_joints)[:, None], np.ones((21, 1)))
    return vertices[0], joints[0]


def observed(vertices: Floats, camera: Camera = CAMERA) -> Observation:
    """What a camera shows of vertices of the default hand, all of it taken for the hand."""
    numbers = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    depth = rasterise(vertices[None].astype(np.float32), np.array(default_rig("right").faces), numbers)[0]
    return observe(depth, camera, mask=depth > 0)[0]


MODEL_HEADS = 2
MODEL_NUMBERS = 6 + 22 + 3 + 1 + 1
MODEL_FACTS = {"heads": MODEL_HEADS, "stages": 3, "training": {"seed": 4}, "scores": {"best_mm": 9.5}}


def random_arrays(rng: np.random.Generator) -> dict[str, Any]:
    """Weights of a narrow model of three stages."""
    arrays: dict[str, Any] = {}
    widths = (3, 4, 5, 5)

    def layer(name: str, inputs: int, outputs: int) -> None:
        arrays[f"{name}.weight"] = rng.normal(0, 0.1, (inputs, outputs)).astype(np.float32)
        arrays[f"{name}.bias"] = rng.normal(0, 0.1, outputs).astype(np.float32)

    layer("stem", 25 * CHANNELS, 3)
    for stage, (before, width) in enumerate(itertools.pairwise(widths)):
        layer(f"stage{stage}.shrink", 9 * before, width)
        layer(f"stage{stage}.first", 9 * width, width)
        layer(f"stage{stage}.second", 9 * width, width)
    layer("dense", 4 * 4 * 5, 6)
    layer("inner", 6, 7)
    layer("head", 7, MODEL_HEADS * MODEL_NUMBERS)
    layer("joints", 7, 42)
    for name, (inputs, outputs) in vote_layers(7, *widths[1:]).items():
        layer(name, int(inputs), outputs)
    return arrays


def random_model(path: Path, rng: np.random.Generator) -> PoseModel:
    """A model of random weights, written and read again."""
    save_model(path, random_arrays(rng), MODEL_FACTS)
    return load_model(path)
