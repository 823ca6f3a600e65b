#!/usr/bin/env python3
"""Calibrate handopt.confidence: fit synthetic images and objects that are no hands, and regress success on the signs.

Success is every visible joint within 20 mm. Prints the weights for handopt/confidence.py, and on a second, disjoint set
of images how often fits of each confidence succeed. 300 images of each level and 150 objects take about 10 minutes on
2 cores.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from handopt import Camera, HandoptError, fit, rasterise
from handopt.confidence import Signs
from handopt.synth import Settings, generate
from handopt.synth.poses import LEVELS

LIMIT_MM = 20.0
RIDGE = 0.01
THRESHOLDS = (0.5, 0.7, 0.9, 0.95)
Row = tuple[str, bool, tuple[float, ...]]


def main(arguments: list[str] | None = None) -> None:
    """Fit, regress, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="images of each level")
    parser.add_argument("--objects", type=int, default=150, help="images without a hand")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    jobs = [(level, index, options.seed) for level in LEVELS for index in range(options.count)]
    jobs += [("border", index, options.seed) for index in range(options.objects)]
    jobs += [("object", index, options.seed) for index in range(options.objects)]
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        rows = [row for row in pool.map(_one, jobs, chunksize=4) if row is not None]
    kinds = np.array([row[0] for row in rows])
    success = np.array([row[1] for row in rows])
    signs = np.array([row[2] for row in rows])
    first = np.arange(len(rows)) % 2 == 0
    print("WEIGHTS =", tuple(np.round(regress(signs[first], success[first]), 3).tolist()), "from the first half")
    weights = regress(signs, success)
    print("WEIGHTS =", tuple(np.round(weights, 3).tolist()))
    report(kinds[~first], success[~first], sure(regress(signs[first], success[first]), signs[~first]))


def regress(signs: NDArray[np.float64], success: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Logistic regression with a small ridge: the weights of 1 and of each sign."""
    inputs = np.column_stack([np.ones(len(signs)), signs])

    def loss(weights: NDArray[np.float64]) -> float:
        score = inputs @ weights
        return float(np.logaddexp(0, np.where(success, -score, score)).sum() + RIDGE * (weights**2).sum())

    return np.asarray(minimize(loss, np.zeros(inputs.shape[1])).x)


def sure(weights: NDArray[np.float64], signs: NDArray[np.float64]) -> NDArray[np.float64]:
    """The confidence of fits."""
    return np.asarray(1 / (1 + np.exp(-(weights[0] + signs @ weights[1:]))))


def report(kinds: NDArray[np.str_], success: NDArray[np.bool_], confidence: NDArray[np.float64]) -> None:
    """Print how often fits of each confidence succeed."""
    for kind in [*LEVELS, "border", "object", "all"]:
        rows = np.ones(len(kinds), bool) if kind == "all" else kinds == kind
        if not rows.any():
            continue
        line = [f"{kind}: {rows.sum()} fits, {success[rows].mean():.1%} succeed"]
        for limit in THRESHOLDS:
            kept = rows & (confidence >= limit)
            good = f"{success[kept].mean():.1%}" if kept.any() else "-"
            line.append(f">= {limit}: {kept.sum() / rows.sum():.0%} of them, {good} succeed")
        print("; ".join(line))


def _one(job: tuple[str, int, int]) -> Row | None:
    kind, index, seed = job
    if kind == "object":
        depth, camera = no_hand(np.random.default_rng((seed, index)))
        truth: Any = None
    else:
        level = "hard" if kind == "border" else kind
        sample = generate(Settings(seed=seed + (kind == "border")), level, index)  # type: ignore[arg-type]
        depth, camera = sample.counts.astype(np.float32), sample.scene.camera
        seen = sample.scene.visible(sample.hand.scale)
        if kind == "border":
            depth, camera, inside = cut(np.random.default_rng((seed, index)), depth, camera, sample.scene.joints)
            seen = seen & inside
        truth = sample.scene.joints, seen
    try:
        result = fit(depth, camera)
    except HandoptError:
        return None  # no answer is no wrong answer
    signs = Signs.of(
        result.unexplained,
        result.joints_mm,
        result.joint_visible,
        [(other.unexplained, other.joints_mm) for other in result.alternatives],
        result.observation.likeness,
        result.observation.border_share,
    )
    if truth is None:
        return kind, False, astuple(signs)
    errors = np.linalg.norm(result.joints_mm - truth[0], axis=1)[truth[1]]
    return kind, bool(errors.max(initial=0.0) < LIMIT_MM), astuple(signs)


def cut(
    rng: np.random.Generator, depth: NDArray[np.float32], camera: Camera, joints: NDArray[np.float64]
) -> tuple[NDArray[np.float32], Camera, NDArray[np.bool_]]:
    """An image that ends within the hand, its camera, and which joints are in it."""
    u, v = camera.project(joints).T
    left, top, right, bottom = 0, 0, camera.width, camera.height
    share = rng.uniform(0.05, 0.5)
    side = rng.integers(4)
    if side == 0:
        left = int(np.quantile(u, share))
    elif side == 1:
        right = int(np.quantile(u, 1 - share))
    elif side == 2:
        top = int(np.quantile(v, share))
    else:
        bottom = int(np.quantile(v, 1 - share))
    left, top = max(0, left), max(0, top)
    right, bottom = min(camera.width, max(right, left + 2)), min(camera.height, max(bottom, top + 2))
    view = Camera(camera.fx, camera.fy, camera.cx - left, camera.cy - top, right - left, bottom - top)
    inside = (u >= left) & (u < right) & (v >= top) & (v < bottom)
    return np.ascontiguousarray(depth[top:bottom, left:right]), view, inside


def no_hand(rng: np.random.Generator) -> tuple[NDArray[np.float32], Camera]:
    """A depth image of an object: an ellipsoid, a box or a bottle, with noise."""
    camera = Camera(fx=475.0, fy=475.0, cx=319.5, cy=239.5, width=640, height=480)
    around = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    heights = np.linspace(-1, 1, 13)
    power = rng.choice([0.5, 0.15, 0.02])  # of an ellipsoid, a bottle or a box
    radius = np.maximum(1 - heights**2, 0) ** power
    circle = np.stack([np.cos(around), np.sin(around)])
    ring = np.sign(circle) * np.abs(circle) ** rng.choice([1.0, 0.4])
    size = rng.uniform([25, 15, 40], [70, 50, 160])
    rings = [np.column_stack([*(r * ring), np.full(24, h)]) for r, h in zip(radius, heights, strict=True)]
    points = np.concatenate(rings)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    vertices = (points * size) @ turn + [rng.uniform(-60, 60), rng.uniform(-60, 60), rng.uniform(350, 700)]
    corners = []
    for first in range(0, 24 * 12, 24):
        for a in range(24):
            b = (a + 1) % 24
            corners += [(first + a, first + b, first + 24 + a), (first + b, first + 24 + b, first + 24 + a)]
    view = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    depth = rasterise(vertices[None], np.array(corners, np.int32), view)[0]
    noise = rng.normal(size=depth.shape) * 1.5e-6 * depth**2
    return np.where(depth > 0, np.rint(depth + noise), 0).astype(np.float32), camera


if __name__ == "__main__":
    main(sys.argv[1:])
