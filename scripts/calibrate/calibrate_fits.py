#!/usr/bin/env python3
"""Calibrate the confidence and the uncertainty of fits, on synthetic images and on objects that are no hands.

Success (every visible joint within 20 mm) is regressed on the features of a fit; the errors of joints are explained by
their spread. The weights come from every other image. For the images between them, the script prints how often fits of
each confidence succeed and how many joints lie within their radius. It prints both tables of assets/calibration.toml;
--write puts them there. 240 images of each level and 120 objects take 3 minutes on 2 cores.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass, fields
from multiprocessing import get_context
from typing import Any

import numpy as np
from calibration_tables import named
from calibration_tables import report as report_tables
from numpy.typing import NDArray
from scipy.optimize import minimize

from handopt import Camera, HandoptError, fit, rasterise
from handopt.assess.calibration import weights as calibrated
from handopt.assess.confidence import ConfidenceFeatures, logistic
from handopt.assess.uncertainty import WEIGHT_NAMES, radius_mm
from handopt.synth import Settings, generate
from handopt.synth.poses import LEVELS
from handopt.synth.wild import WildSettings, generate_wild

WILD = "wild"
LIMIT_MM = 20.0
RIDGE = 0.01
OBJECT_WEIGHT = 3.0  # most objects get no answer, so that those that do are few
THRESHOLDS = (0.5, 0.7, 0.9, 0.95)
INSIDE = 2 / 3  # of the joints lie within the radius
FREEDOM = 3.0  # of Student's t, whose heavy tails keep gross errors from deciding


@dataclass(frozen=True, eq=False)
class Row:
    """One fit: kind of image, whether it succeeds, its features, and (21,) errors in mm, visibility and spread."""

    kind: str
    success: bool
    features: tuple[float, ...]
    errors: NDArray[np.float64] | None = None
    visible: NDArray[np.bool_] | None = None
    spread: NDArray[np.float64] | None = None


def main(arguments: list[str] | None = None) -> None:
    """Fit, regress, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="images of each level")
    parser.add_argument("--objects", type=int, default=150, help="images without a hand")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="put the weights into assets/calibration.toml")
    options = parser.parse_args(arguments)
    jobs: list[tuple[str, int, int]] = [
        (level, index, options.seed) for level in (*LEVELS, WILD) for index in range(options.count)
    ]
    jobs += [("border", index, options.seed) for index in range(options.objects)]
    jobs += [("object", index, options.seed) for index in range(options.objects)]
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        rows = [row for row in pool.map(_one, jobs, chunksize=4) if row is not None]
    first, second = rows[::2], rows[1::2]
    weights = regress(first)
    report(second, logistic(weights, features_of(second)))
    radii = explain_errors(first, logistic(weights, features_of(first)))
    report_radii(second, logistic(weights, features_of(second)), radii)
    names = ("constant", *(each.name for each in fields(ConfidenceFeatures)))
    tables = {"fit_confidence": named(names, weights), "fit_uncertainty": named(WEIGHT_NAMES, radii)}
    report_tables(tables, "calibrate_fits.py", options.seed, write=options.write)


def explain_errors(rows: list[Row], confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weights of fit_uncertainty that make the errors of joints most likely, scaled to hold INSIDE of them."""
    errors, spread, visible, sureness = _joints(rows, confidence)

    def loss(logarithms: NDArray[np.float64]) -> float:
        variance = radius_mm(spread, visible, sureness, np.exp(logarithms)) ** 2
        return float((1.5 * np.log(variance) + 0.5 * (FREEDOM + 3) * np.log1p(errors**2 / variance / FREEDOM)).sum())

    weights = np.exp(
        minimize(
            loss, np.log(calibrated("fit_uncertainty", *WEIGHT_NAMES)), method="Nelder-Mead", options={"maxiter": 4000}
        ).x
    )
    factor = np.quantile(errors / radius_mm(spread, visible, sureness, weights), INSIDE)
    return np.asarray(weights * [factor**2, factor, factor, factor**2])


def report_radii(rows: list[Row], confidence: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
    """Print how many joints lie within their radius, visible and hidden ones, and how large the radii are."""
    errors, spread, visible, sureness = _joints(rows, confidence)
    radii = radius_mm(spread, visible, sureness, weights)
    for name, chosen in (("visible", visible), ("hidden", ~visible)):
        inside, size = (errors < radii)[chosen].mean(), np.percentile(radii[chosen], (10, 50, 90)).round(1)
        twice = (errors < 2 * radii)[chosen].mean()
        print(f"{name} joints: {inside:.1%} within their radius, {twice:.1%} within twice; radii p10, p50, p90 {size}")


def _joints(
    rows: list[Row], confidence: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Errors, spread, visibility and confidence of all joints of fits of hands, (n,) each."""
    hands = [(row, sureness) for row, sureness in zip(rows, confidence, strict=True) if row.errors is not None]
    names = ("errors", "spread", "visible")
    errors, spread, visible = (np.concatenate([getattr(row, name) for row, _ in hands]) for name in names)
    return errors, spread, visible, np.repeat([sureness for _, sureness in hands], 21)


def features_of(rows: list[Row]) -> NDArray[np.float64]:
    """The features (n, N) of fits."""
    return np.array([row.features for row in rows])


def regress(rows: list[Row]) -> NDArray[np.float64]:
    """Logistic regression with a small ridge: the weights of 1 and of each feature."""
    features, success = features_of(rows), np.array([row.success for row in rows])
    counts = np.array([OBJECT_WEIGHT if row.kind == "object" else 1.0 for row in rows])
    inputs = np.column_stack([np.ones(len(features)), features])

    def loss(weights: NDArray[np.float64]) -> float:
        score = inputs @ weights
        return float((counts * np.logaddexp(0, np.where(success, -score, score))).sum() + RIDGE * (weights**2).sum())

    return np.asarray(minimize(loss, np.zeros(inputs.shape[1])).x)


def report(fits: list[Row], confidence: NDArray[np.float64]) -> None:
    """Print how often fits of each confidence succeed."""
    kinds, success = np.array([row.kind for row in fits]), np.array([row.success for row in fits])
    for kind in [*LEVELS, WILD, "border", "object", "all"]:
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
    elif kind == WILD:
        wild = generate_wild(WildSettings(seed=seed, hand="right", held=False, other_hand=False), index)
        depth, camera = wild.sample.counts.astype(np.float32), wild.sample.scene.camera
        truth = wild.sample.scene.joints, wild.visible
    else:
        level = "hard" if kind == "border" else kind
        sample = generate(Settings(seed=seed + (kind == "border")), level, index)
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
    if truth is None:
        return Row(kind, False, astuple(result.confidence_features))
    errors = np.linalg.norm(result.joints_mm - truth[0], axis=1)
    success = bool(errors[truth[1]].max(initial=0.0) < LIMIT_MM)
    return Row(kind, success, astuple(result.confidence_features), errors, truth[1], result.spread_mm2)


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
