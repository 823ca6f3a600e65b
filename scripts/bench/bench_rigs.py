#!/usr/bin/env python3
"""Fit rigs of other programs to depth images of handopt's own hand, and say how far their joints are from its joints.

    scripts/bench/bench_rigs.py hand.glb character.fbx --hand right --count 10

Each rig is loaded without a joint map. Images are noise-free, of the default hand in its own proportions, in poses and
views of a level of handopt synth. Programs put joints at other places of the hand: `matched` is the error where each
joint counts as the point of its own bone that stands, in fits of the open hand from three sides, at handopt's joint.
--keypoints says where the joints are, as for handopt fit.
"""

import argparse
from pathlib import Path

import numpy as np

import handopt
from handopt.ops.rasterise import rasterise
from handopt.rig import Rig, default_rig, load_rig, with_keypoints, with_shape
from handopt.rig.pose import joint_transforms, posed_keypoints, posed_vertices
from handopt.synth.poses import Level, sample_hand
from handopt.typing import Floats

CAMERA = handopt.Camera(475.0, 475.0, 319.5, 239.5, 640, 480)
RESTING = 3


def main() -> None:
    """Print a line for each rig."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rigs", nargs="+", type=Path)
    parser.add_argument("--hand", default=None, choices=["right", "left"])
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--keypoints", default="auto", choices=["auto", "rig", "default"])
    parser.add_argument("--level", default="easy", choices=["easy", "medium", "hard"])
    options = parser.parse_args()
    for path in options.rigs:
        rig = load_rig(path, options.hand)
        rig = with_keypoints(rig, options.keypoints)
        for note in rig.notes:
            print(f"{path.name}: {note[:200]}")
        rest = [fitted(rig, seed, None) for seed in range(1000, 1000 + RESTING)]
        shift = np.mean([turned.transpose(0, 2, 1) @ (true - found)[..., None] for found, turned, true in rest], axis=0)
        parts = [fitted(rig, seed, options.level) for seed in range(options.first, options.first + options.count)]
        raw = np.array([distances(found, true) for found, _, true in parts])
        matched = np.array([distances(found + (turned @ shift)[..., 0], true) for found, turned, true in parts])
        worst = handopt.KEYPOINT_NAMES[int(raw.mean(axis=0).argmax())]
        print(
            f"{path.name} ({rig.side}): joints {raw.mean():.2f} mm (most {worst} {raw.mean(axis=0).max():.2f} mm), "
            f"matched {matched.mean():.2f} mm, worst image {matched.mean(axis=1).max():.2f} mm, "
            f"{options.count} images, keypoints {options.keypoints}",
            flush=True,
        )


def fitted(rig: Rig, seed: int, level: Level | None) -> tuple[Floats, Floats, Floats]:
    """A rig fitted to an image: its keypoints (21, 3), their axes (21, 3, 3), and the true keypoints (21, 3), mm.

    level: of the pose; None for the open hand.
    """
    rng = np.random.default_rng(seed)
    own = default_rig(rig.side)
    hand = sample_hand(rng, level or "easy")
    angles = np.zeros((1, 15, 3)) if level is None else hand.angles_rad[None]
    flip = np.diag([1.0 if rig.side == "right" else -1.0, 1.0, 1.0])
    place = np.array([rng.uniform(-60, 60), rng.uniform(-40, 40), rng.uniform(380, 600)])
    transforms = joint_transforms(own, (flip @ hand.rotation @ flip)[None], place[None], angles, np.ones(1))
    vertices, joints = posed_vertices(own, transforms, angles), posed_keypoints(own, transforms, angles)
    view = (CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy, CAMERA.width, CAMERA.height)
    depth = rasterise(vertices.astype(np.float32), own.faces, view)[0]
    result = handopt.fit(np.asarray(depth), CAMERA, hand=rig.side, rig=rig)
    shaped = with_shape(rig, result.proportions) if len(result.proportions) else rig
    pose = result.rotation[None], result.translation_mm[None], result.angles_rad[None], np.array([result.scale])
    moved = joint_transforms(shaped, *pose)[0, rig.keypoint_joints, :, :3] / result.scale
    return result.joints_mm, moved @ shaped.bind[rig.keypoint_joints, :, :3], joints[0]


def distances(found: Floats, true: Floats) -> Floats:
    """Distances (21,) of joints (21, 3)."""
    return np.asarray(np.linalg.norm(found - true, axis=1))


if __name__ == "__main__":
    main()
