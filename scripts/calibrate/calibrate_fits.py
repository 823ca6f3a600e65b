#!/usr/bin/env python3
"""Calibrate the confidence and the uncertainty of fits, on synthetic images of all levels and on scenes without a hand.

Success (the right side, and every visible joint of it, or of the second hand, within 20 mm) is regressed on the
features of a fit; the errors of joints are explained by their spread. With weights from half of the images, the script
prints how often fits of each confidence succeed on the others and how many joints lie within their radius, for both
halves. It then prints both tables of assets/calibration.toml, found on all; --write puts them there; --rows keeps what
was found, from which --from calibrates again. --predictions does this for handopt predict: its confidence alone.
"""

import argparse
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from calibration_tables import named
from calibration_tables import report as report_tables
from numpy.typing import NDArray
from scipy.optimize import minimize

from handopt import Camera, HandoptError, fit, rasterise
from handopt.assess.confidence import ConfidenceFeatures, logistic
from handopt.assess.uncertainty import WEIGHT_NAMES, radius_mm
from handopt.fitting import FitInput, FitSettings, fit_image
from handopt.synth import Settings, generate
from handopt.synth.handless import sample_handless_scene
from handopt.synth.noise import sense
from handopt.synth.noise_models import noise_model
from handopt.synth.poses import LEVELS
from handopt.synth.sensors import sample_camera
from handopt.synth.wild import WildSettings, generate_wild

WILD, HELD = "wild", "wild, held object"
NO_HAND = ("object", "room")
LIMIT_MM = 20.0
SURFACE_MM = 2.0  # of every second image's skin, which the rig cannot express: real hands leave more unexplained
RIDGE = 0.01
OBJECT_WEIGHT = 3.0  # most objects get no answer, so that those that do are few
THRESHOLDS = (0.5, 0.7, 0.9, 0.95)
INSIDE = 2 / 3  # of the joints lie within the radius
FIRST_RADII = (3.0, 0.001, 0.002, 1000.0)  # where the search for the weights of fit_uncertainty begins
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
    parser.add_argument("--predictions", action="store_true", help="what a network alone predicts, in place of fits")
    parser.add_argument("--rows", type=Path, help="file for all fits, a pickle of this script's own")
    parser.add_argument("--from", dest="read", type=Path, help="such a file, instead of fitting")
    parser.add_argument("--write", action="store_true", help="put the weights into assets/calibration.toml")
    options = parser.parse_args(arguments)
    jobs: list[tuple[str, int, int]] = [
        (kind, index, options.seed) for index in range(options.count) for kind in (*LEVELS, WILD, HELD)
    ]
    jobs += [(kind, index, options.seed) for index in range(options.objects) for kind in ("border", *NO_HAND)]
    if options.read is not None:
        rows = pickle.loads(options.read.read_bytes())
    else:
        with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
            work = partial(_one, predicted=options.predictions)
            rows = [row for row in pool.map(work, jobs, chunksize=4) if row is not None]
    if options.rows is not None:
        options.rows.write_bytes(pickle.dumps(rows))
    np.random.default_rng(options.seed).shuffle(rows)
    for first, second in ((rows[::2], rows[1::2]), (rows[1::2], rows[::2])):
        weights = regress(first)
        report(second, logistic(weights, features_of(second)))
        if options.predictions:
            continue
        radii = explain_errors(first, logistic(weights, features_of(first)))
        report_radii(second, logistic(weights, features_of(second)), radii)
    weights = regress(rows)
    names = ("constant", *(each.name for each in fields(ConfidenceFeatures)))
    if options.predictions:
        tables = {"prediction_confidence": named(names, weights)}
    else:
        radii = explain_errors(rows, logistic(weights, features_of(rows)))
        tables = {"fit_confidence": named(names, weights), "fit_uncertainty": named(WEIGHT_NAMES, radii)}
    report_tables(tables, "calibrate_fits.py", options.seed, write=options.write)


def explain_errors(rows: list[Row], confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weights of fit_uncertainty that make the errors of joints most likely, scaled to hold INSIDE of them."""
    errors, spread, visible, sureness = _joints(rows, confidence)

    def loss(logarithms: NDArray[np.float64]) -> float:
        variance = radius_mm(spread, visible, sureness, np.exp(logarithms)) ** 2
        return float((1.5 * np.log(variance) + 0.5 * (FREEDOM + 3) * np.log1p(errors**2 / variance / FREEDOM)).sum())

    weights = np.exp(minimize(loss, np.log(FIRST_RADII), method="Nelder-Mead", options={"maxiter": 4000}).x)
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


def regress(rows: list[Row], share: float | None = None) -> NDArray[np.float64]:
    """Logistic regression with a small ridge: the weights of 1 and of each feature, 0 of those that never differ.

    share: rows count so that this share of them succeeds; None: as they are
    """
    features, success = features_of(rows), np.array([row.success for row in rows])
    counts = np.array([OBJECT_WEIGHT if row.kind in NO_HAND else 1.0 for row in rows])
    if share is not None:
        counts *= np.where(success, share / success.mean(), (1 - share) / (1 - success).mean())
    told = np.append(True, np.ptp(features, axis=0) > 0)
    inputs = np.column_stack([np.ones(len(features)), features])[:, told]

    def loss(weights: NDArray[np.float64]) -> float:
        score = inputs @ weights
        return float((counts * np.logaddexp(0, np.where(success, -score, score))).sum() + RIDGE * (weights**2).sum())

    found = np.zeros(len(told))
    found[told] = minimize(loss, np.zeros(inputs.shape[1])).x
    return found


def report(fits: list[Row], confidence: NDArray[np.float64]) -> None:
    """Print how often fits of each confidence succeed."""
    kinds, success = np.array([row.kind for row in fits]), np.array([row.success for row in fits])
    for kind in [*LEVELS, WILD, HELD, "border", *NO_HAND, "all"]:
        rows = np.ones(len(kinds), bool) if kind == "all" else kinds == kind
        if not rows.any():
            continue
        line = [f"{kind}: {rows.sum()} fits, {success[rows].mean():.1%} succeed"]
        for limit in THRESHOLDS:
            kept = rows & (confidence >= limit)
            good = f"{success[kept].mean():.1%}" if kept.any() else "-"
            line.append(f">= {limit}: {kept.sum() / rows.sum():.0%} of them, {good} succeed")
        print("; ".join(line))


def _one(job: tuple[str, int, int], *, predicted: bool = False) -> Row | None:
    kind, index, seed = job
    depth, camera, hands = _drawn(kind, index, seed)
    try:
        if predicted:
            result = fit_image(FitInput(depth, camera), FitSettings("scale", device="cpu", refine=0))
        else:
            result = fit(depth, camera)
    except HandoptError:
        return None  # no answer is no wrong answer
    features = result.confidence_features.inputs
    if not hands:
        return Row(kind, False, features)
    errors = [np.linalg.norm(result.joints_mm - hand.joints, axis=1) for hand in hands]
    worst = [float(each[hand.visible].max(initial=0.0)) for each, hand in zip(errors, hands, strict=True)]
    meant = int(np.argmin(worst))
    success = worst[meant] < LIMIT_MM and result.hand == hands[meant].side
    return Row(kind, success, features, errors[meant], hands[meant].visible, result.spread_mm2)


class Truth(NamedTuple):
    """A hand of an image: (21, 3) mm, (21,), and its side."""

    joints: NDArray[np.float64]
    visible: NDArray[np.bool_]
    side: str


def _drawn(kind: str, index: int, seed: int) -> tuple[NDArray[np.float32], Camera, list[Truth]]:
    """An image of a kind, its camera, and the hands in it."""
    rng = np.random.default_rng((seed, index))
    if kind == "object":
        return *no_hand(rng), []
    if kind == "room":
        camera, noise = sample_camera(rng)
        depth, _, _ = sample_handless_scene(rng, camera)
        return np.rint(sense(depth, camera, noise_model(noise), rng)).astype(np.float32), camera, []
    if kind in (WILD, HELD):
        wild = generate_wild(WildSettings(seed=seed, held=kind == HELD), index)
        sample, other = wild.sample, wild.other
        hands = [Truth(sample.scene.joints, wild.visible, sample.side)]
        hands += [] if other is None else [Truth(other.joints, other.visible, other.side)]
        return sample.counts.astype(np.float32), sample.scene.camera, hands
    settings = Settings(seed=seed + (kind == "border"), surface_rms_mm=SURFACE_MM * (index % 2))
    sample = generate(settings, "hard" if kind == "border" else kind, index)
    depth, camera = sample.counts.astype(np.float32), sample.scene.camera
    seen = sample.scene.visible(sample.hand.scale)
    if kind == "border":
        depth, camera, inside = cut(rng, depth, camera, sample.scene.joints)
        seen = seen & inside
    return depth, camera, [Truth(sample.scene.joints, seen, sample.side)]


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
