#!/usr/bin/env python3
"""Render the example depth images of assets/examples: the default hand as a structured-light sensor would see it.

Each example becomes NAME.png (16 bit, 1 mm per count, 0 = no measurement) and NAME.json (camera, hand, ground truth).
Everything runs in float64 and from one seed, so the shipped files are reproduced: every count and label, and the bytes
of the PNG files too where Pillow has the same version of zlib.

handopt poses the hands. Forearm, background and sensor are this script's own and older than those of handopt.synth,
which would draw other images; tests and documents rest on the shipped ones.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.spatial.transform import Rotation

from handopt import Camera, Rig, default_rig, rasterise
from handopt.rig.pose import joint_transforms, posed_keypoints, posed_vertices
from handopt.synth.poses import PALM_UPRIGHT

Floats = NDArray[np.float64]

EXAMPLES_DIR = Path(__file__).resolve().parents[2] / "assets" / "examples"
CAMERA = Camera(475.0, 475.0, 319.5, 239.5, 640, 480, "rendered")
UNIT_MM = 1.0

# Sensor model, in the range of what is published for structured-light cameras of the first generations.
NOISE_FLOOR_MM = 0.35
NOISE_PER_M2_MM = 1.5  # the axial noise grows with the square of the distance
BASELINE_MM = 75.0
DISPARITY_STEP_PX = 0.125
EDGE_JITTER_PX = 0.5
EDGE_STEP_MM = 15.0
FLYING_SHARE = 0.3
FLYING_REACH_MM = 40.0
EDGE_DROPOUT = 0.3
GRAZING_COSINE = 0.3
GRAZING_DROPOUT = 0.6
RANDOM_DROPOUT = 0.002

# The forearm in the frame of the wrist joint: x across the hand, y towards its back, z towards the elbow.
FOREARM_Z_MM = (6.0, 230.0)
FOREARM_HALF_WIDTH_MM = (26.0, 42.0)
FOREARM_HALF_HEIGHT_MM = (18.0, 36.0)
FOREARM_SIDES = 48


@dataclass(frozen=True)
class Example:
    """One scene. The hand starts upright, palm towards the camera."""

    hand: str
    turns_deg: tuple[float, float, float]  # about x, y, z of the camera, in this order
    wrist_mm: tuple[float, float, float]
    scale: float
    angles: dict[int, tuple[float, float, float]]  # radians by joint row: twist, abduction, flexion; 0 where missing
    forearm: bool
    wall_mm: float | None = None  # distance on the optical axis; None: nothing within the sensor's range
    wall_tilt: tuple[float, float] = (0.0, 0.0)  # mm of depth per mm to the right and down


def _relaxed(spread: float, flexion: float) -> dict[int, tuple[float, float, float]]:
    """Angles of an open hand: fingers fanned by `spread` and every finger joint bent by `flexion` radians."""
    fan = {3: 1.2, 6: 0.2, 9: -0.8, 12: -1.8}
    angles = dict.fromkeys(range(3, 15), (0.0, 0.0, flexion))
    return angles | {row: (0.0, spread * share, flexion) for row, share in fan.items()}


EXAMPLES = {
    "open": Example(
        hand="right",
        turns_deg=(-12.0, 14.0, 10.0),
        wrist_mm=(-18.0, 78.0, 520.0),
        scale=1.0,
        angles=_relaxed(0.09, 0.09) | {0: (0.0, 0.1, 0.05), 2: (0.0, 0.0, 0.15)},
        forearm=True,
        wall_mm=1050.0,
        wall_tilt=(0.12, -0.06),
    ),
    "back": Example(
        hand="right",
        turns_deg=(8.0, 168.0, -22.0),
        wrist_mm=(-30.0, 60.0, 455.0),
        scale=0.96,
        angles=_relaxed(0.05, 0.16) | {0: (0.0, 0.05, 0.1), 2: (0.0, 0.0, 0.2)},
        forearm=True,
    ),
    "pinch": Example(
        hand="right",
        turns_deg=(-6.0, 52.0, -8.0),
        wrist_mm=(10.0, 66.0, 480.0),
        scale=1.04,
        angles=_relaxed(0.06, 0.2)
        | {0: (0.28, 0.17, 0.4), 1: (0.0, 0.0, 0.35), 2: (0.0, 0.0, 0.4)}
        | {3: (0.0, 0.04, 0.79), 4: (0.0, 0.0, 0.81), 5: (0.0, 0.0, 0.42)},
        forearm=True,
    ),
    "left": Example(
        hand="left",
        turns_deg=(10.0, -16.0, 24.0),
        wrist_mm=(28.0, 62.0, 500.0),
        scale=1.0,
        angles=_relaxed(0.1, 0.12)
        | {0: (0.0, 0.0, 0.2)}
        | {9: (0.0, 0.0, 1.2), 10: (0.0, 0.0, 1.3), 11: (0.0, 0.0, 0.7)}
        | {12: (0.0, 0.0, 1.2), 13: (0.0, 0.0, 1.3), 14: (0.0, 0.0, 0.7)},
        forearm=True,
    ),
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(EXAMPLES)} (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the sensor noise (default: 1)")
    parser.add_argument("-o", "--output", type=Path, default=EXAMPLES_DIR, help="folder to write to")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(EXAMPLES):
        parser.error(f"unknown example: {', '.join(sorted(unknown))}")
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.names or EXAMPLES:
        counts, labels = render_example(name, options.seed)
        image = options.output / f"{name}.png"
        Image.fromarray(counts).save(image, optimize=True)
        lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in labels.items())
        image.with_suffix(".json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
        print(f"{image.name}: {image.stat().st_size / 1024:.0f} KB, {np.count_nonzero(counts)} measured pixels")


def render_example(name: str, seed: int) -> tuple[NDArray[np.uint16], dict[str, object]]:
    """Render one example. Returns the (480, 640) uint16 image in mm and its labels."""
    example = EXAMPLES[name]
    rng = np.random.default_rng([seed, list(EXAMPLES).index(name)])
    rig = default_rig(example.hand)
    rotation, angles = wrist_rotation(example, rig), joint_angles(example)
    transforms = joint_transforms(
        rig, rotation[None], np.array([example.wrist_mm]), angles[None], np.array([example.scale])
    )
    surface = render_surface(example, rig, transforms)
    counts = sense(surface, rng)
    joints_mm = posed_keypoints(rig, transforms)[0]
    labels: dict[str, object] = {
        "camera": CAMERA.to_dict(),
        "unit_mm": UNIT_MM,
        "hand": example.hand,
        "joints_mm": joints_mm.round(2).tolist(),
        "rotation": rotation.round(6).tolist(),
        "translation_mm": list(example.wrist_mm),
        "scale": example.scale,
        "angles_rad": angles.round(4).tolist(),
        "seed": seed,
    }
    return counts, labels


def joint_angles(example: Example) -> Floats:
    """Return the (15, 3) angles of an example in radians."""
    angles = np.zeros((15, 3))
    for row, values in example.angles.items():
        angles[row] = values
    return angles


def wrist_rotation(example: Example, rig: Rig) -> Floats:
    """Return the rotation (3, 3) from the rig's frame to the camera's."""
    turn = Rotation.from_euler("xyz", example.turns_deg, degrees=True).as_matrix()
    return np.asarray(turn @ PALM_UPRIGHT @ rig.bind[0, :, :3].T, dtype=np.float64)


def render_surface(example: Example, rig: Rig, transforms: Floats) -> Floats:
    """Return the noise-free depth (480, 640) of hand, forearm and wall in mm, 0 where nothing is hit."""
    layers = [depth_image(posed_vertices(rig, transforms), rig.faces)]
    if example.forearm:
        points, faces = forearm_mesh()
        in_rig = points @ rig.bind[0, :, :3].T + rig.bind[0, :, 3]
        wrist = transforms[0, 0]
        layers.append(depth_image((in_rig @ wrist[:, :3].T + wrist[:, 3])[None], faces))
    if example.wall_mm is not None:
        v, u = np.mgrid[: CAMERA.height, : CAMERA.width]
        slope = example.wall_tilt[0] * (u - CAMERA.cx) / CAMERA.fx + example.wall_tilt[1] * (v - CAMERA.cy) / CAMERA.fy
        layers.append(example.wall_mm / (1.0 - slope))
    nearest = np.min([np.where(layer > 0, layer, np.inf) for layer in layers], axis=0)
    return np.where(np.isfinite(nearest), nearest, 0.0)


def depth_image(points: Floats, faces: NDArray[np.int32]) -> Floats:
    """Return the depth (480, 640) in mm of one mesh (1, V, 3) in the camera's frame."""
    camera = (CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy, CAMERA.width, CAMERA.height)
    return np.asarray(rasterise(np.ascontiguousarray(points), faces, camera)[0], dtype=np.float64)


def forearm_mesh() -> tuple[Floats, NDArray[np.int32]]:
    """Return points (2 n, 3) in the wrist joint's frame, mm, and triangles of a tapered elliptical cylinder."""
    turn = 2.0 * np.pi * np.arange(FOREARM_SIDES) / FOREARM_SIDES
    rings = [
        np.stack([width * np.cos(turn), height * np.sin(turn), np.full_like(turn, z)], axis=1)
        for z, width, height in zip(FOREARM_Z_MM, FOREARM_HALF_WIDTH_MM, FOREARM_HALF_HEIGHT_MM, strict=True)
    ]
    near = np.arange(FOREARM_SIDES)
    following = (near + 1) % FOREARM_SIDES
    far, far_following = near + FOREARM_SIDES, following + FOREARM_SIDES
    faces = np.concatenate([np.stack([near, following, far_following], 1), np.stack([near, far_following, far], 1)])
    return np.concatenate(rings), faces.astype(np.int32)


def sense(surface: Floats, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Turn a noise-free depth image in mm into what a sensor reports, in whole mm, 0 = no measurement."""
    cosine = incidence_cosine(surface)
    near, far = depth_range(surface)
    edge = (near > 0) & (far - near > EDGE_STEP_MM)
    depth = jitter_edges(surface, edge, rng)
    flying = edge & (rng.random(depth.shape) < FLYING_SHARE)
    mixed = near + rng.random(depth.shape) * np.minimum(far - near, FLYING_REACH_MM)
    depth = np.where(flying, mixed, depth)
    sigma = NOISE_FLOOR_MM + NOISE_PER_M2_MM * (depth / 1000.0) ** 2
    depth = np.where(depth > 0, depth + sigma * rng.standard_normal(depth.shape), 0.0)
    depth = quantise(depth)
    dropout = np.full(depth.shape, RANDOM_DROPOUT)
    dropout[edge] = EDGE_DROPOUT
    dropout[(surface > 0) & (cosine < GRAZING_COSINE)] = GRAZING_DROPOUT
    depth[rng.random(depth.shape) < dropout] = 0.0
    return np.rint(depth / UNIT_MM).astype(np.uint16)


def incidence_cosine(surface: Floats) -> Floats:
    """Return the cosine between the surface's normal and the viewing ray at every pixel."""
    points = CAMERA.backproject(surface).astype(np.float64)
    normals = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    lengths = np.linalg.norm(normals, axis=2) * np.linalg.norm(points, axis=2)
    return np.asarray(np.abs((normals * points).sum(axis=2)) / np.maximum(lengths, 1e-9), dtype=np.float64)


def depth_range(surface: Floats) -> tuple[Floats, Floats]:
    """Return the nearest and farthest depth around every pixel; missing surfaces count as far beyond the nearest."""
    filled = np.where(surface > 0, surface, np.inf)
    near = ndimage.minimum_filter(filled, size=3, mode="nearest")
    far = ndimage.maximum_filter(filled, size=3, mode="nearest")
    near = np.where(np.isfinite(near), near, 0.0)
    return near, np.where(np.isfinite(far), far, near + FLYING_REACH_MM * (near > 0))


def jitter_edges(surface: Floats, edge: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """Read edge pixels at randomly displaced positions, which frays silhouettes as real sensors do."""
    rows, columns = np.indices(surface.shape)
    shift = np.rint(EDGE_JITTER_PX * rng.standard_normal((2, *surface.shape))).astype(int) * edge
    rows = np.clip(rows + shift[0], 0, surface.shape[0] - 1)
    columns = np.clip(columns + shift[1], 0, surface.shape[1] - 1)
    return np.asarray(surface[rows, columns], dtype=np.float64)


def quantise(depth: Floats) -> Floats:
    """Round to whole disparity steps: the sensor's depth resolution falls with the square of the distance."""
    steps = CAMERA.fx * BASELINE_MM / DISPARITY_STEP_PX
    measured = depth > 0
    return np.where(measured, steps / np.rint(steps / np.where(measured, depth, 1.0)), 0.0)


if __name__ == "__main__":
    main()
