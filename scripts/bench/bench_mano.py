#!/usr/bin/env python3
"""Fit a model of MANO to depth images that are rendered from it, and say how well pose and shape are found.

    scripts/bench/bench_mano.py MANO_RIGHT.pkl --count 100

Each image has its own betas, drawn from their prior, a pose and a view of a level of handopt synth, and a sensor's
noise. Printed are the mean error of the 21 joints, and the mean distance of the fitted rest mesh (scale and betas) from
the true one, both in mm.
"""

import argparse
from pathlib import Path

import numpy as np

import handopt
from handopt.ops.rasterise import rasterise
from handopt.rig import Rig, load_rig, with_shape
from handopt.rig.pose import joint_transforms, posed_keypoints, posed_vertices
from handopt.synth.noise import sense
from handopt.synth.noise_models import noise_model
from handopt.synth.poses import Level, sample_hand

CAMERA = handopt.Camera(475.0, 475.0, 319.5, 239.5, 640, 480)


def main() -> None:
    """Print a line for each image, then shares and means."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--level", default="easy", choices=["easy", "medium", "hard"])
    parser.add_argument("--noise", default="sr305")
    options = parser.parse_args()
    rig = load_rig(options.model)
    seeds = range(options.first, options.first + options.count)
    joints, mesh = np.array([errors_mm(rig, seed, options.level, options.noise) for seed in seeds]).T
    median, near = np.median(joints), joints <= 3
    print(f"joints: mean {joints.mean():.2f} mm, median {median:.2f} mm, at most 3 mm in {near.mean():.0%}")
    print(f"mesh of the shape: mean {mesh.mean():.2f} mm, at most 1.5 mm in {np.mean(mesh <= 1.5):.0%}")
    print(f"both: {np.mean(near & (mesh <= 1.5)):.0%} of {len(seeds)} seeds")


def errors_mm(rig: Rig, seed: int, level: Level, noise: str) -> tuple[float, float]:
    """Mean errors of the joints and of the rest mesh of one fit."""
    rng = np.random.default_rng(seed)
    assert rig.shape_space is not None
    right = rig if rig.side == "right" else rig.mirrored()
    flip = np.diag([1.0 if rig.side == "right" else -1.0, 1.0, 1.0])
    hand = sample_hand(rng, level)
    base = handopt.default_rig("right").bind[0, :, :3]
    rotation = flip @ hand.rotation @ base @ right.bind[0, :, :3].T @ flip
    betas = np.clip(rng.normal(size=len(rig.shape_names)), -2.5, 2.5)
    shaped = with_shape(rig, rig.shape_space.coefficients(betas))
    place = np.array([rng.uniform(-60, 60), rng.uniform(-40, 40), rng.uniform(380, 600)])
    posed = joint_transforms(shaped, rotation[None], place[None], hand.angles_rad[None], np.ones(1))
    angles = hand.angles_rad[None]
    vertices, joints = posed_vertices(shaped, posed, angles), posed_keypoints(shaped, posed, angles)
    view = (CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy, CAMERA.width, CAMERA.height)
    depth = rasterise(vertices.astype(np.float32), rig.faces, view)[0]
    sensed = sense(np.asarray(depth, np.float64), CAMERA, noise_model(noise), rng)
    fitted = handopt.fit(np.asarray(sensed), CAMERA, hand=rig.side, rig=rig)
    pose_error = np.linalg.norm(fitted.joints_mm - joints[0], axis=1).mean()
    found = with_shape(rig, fitted.proportions)
    mesh_error = np.linalg.norm(rest(found, fitted.scale) - rest(shaped, 1.0), axis=1).mean()
    off = np.abs(rig.shape_space.values(fitted.proportions) - betas).mean()
    print(
        f"{seed}: joints {pose_error:.2f} mm, mesh {mesh_error:.2f} mm, betas {off:.2f}, scale {fitted.scale:.3f}, "
        f"confidence {fitted.confidence:.2f}",
        flush=True,
    )
    return float(pose_error), float(mesh_error)


def rest(rig: Rig, scale: float) -> np.ndarray:
    """Rest vertices (V, 3) mm about the wrist."""
    return np.asarray(scale * (rig.rest_mm - rig.bind[0, :, 3]))


if __name__ == "__main__":
    main()
