#!/usr/bin/env python3
"""Calibrate the confidence and the uncertainty of tracks, on synthetic sequences and on objects that are no hands.

Success (every visible joint within 20 mm) is regressed on the features of each frame; the errors of joints are
explained by their spread. Sensors take turns, a third of the hands have the rig's skin and the others one that is 2 or
3 mm off it, a camera of half the resolution sees every third sequence, and a third of the hands are as small as
children's. Rendered hands are seldom lost: wrong frames count so much that one in twenty is wrong. For weights found
on every other sequence, the script prints how often frames of each confidence succeed on the sequences between them,
and how many joints lie within their radius. It then prints both tables of assets/calibration.toml, found on all;
--write puts them there. 12 sequences of a level and 12 objects take 6 minutes. --rows keeps the frames, --from starts
from kept ones.
"""

import argparse
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from calibrate_fits import FREEDOM, INSIDE, LIMIT_MM, Row, features_of, no_hand, regress
from calibration_tables import named
from calibration_tables import report as report_tables
from scipy.optimize import minimize

from handopt.assess.calibration import weights as calibrated
from handopt.assess.confidence import logistic
from handopt.input.camera import Camera
from handopt.input.sequence.base import SequenceFrame
from handopt.rig import PROPORTION_NAMES, default_rig
from handopt.synth.generate import CAMERA
from handopt.synth.subject import Subject
from handopt.tracking.confidence import (
    FEATURES,
    RADIUS_WEIGHT_NAMES,
    doubtful,
    features,
    inputs,
    spread_mm2,
    uncertainty_mm,
)
from handopt.tracking.run import Run

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))
from bench_track import Sequence, sequence

FPS = 30.0
OBJECT_FRAMES, OBJECT_STEP_PX = 40, 2
SMALL = Camera(237.5, 237.5, 159.5, 119.5, 320, 240)
THRESHOLDS = (0.5, 0.7, 0.9, 0.95)
RIGHT_SHARE = 0.95
"""Of frames, as the regression counts them. By hand: of real frames 86 to 94 % are right, of rendered ones 98 %."""
SIZES = (1.0, 1.0, 0.72)
SURFACES_MM, NOISES = (0.0, 2.0, 3.0), ("sr305", "kinect2", "d400", "truedepth")


def main(arguments: list[str] | None = None) -> None:
    """Follow, regress, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=12, help="of each level")
    parser.add_argument("--objects", type=int, default=12, help="sequences without a hand")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--levels", default="medium,hard")
    parser.add_argument("--seed", type=int, default=8100)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rows", type=Path, help="file for all frames, a pickle of this script's own")
    parser.add_argument("--from", dest="read", type=Path, help="such a file, instead of tracking")
    parser.add_argument("--write", action="store_true", help="put the weights into assets/calibration.toml")
    options = parser.parse_args(arguments)
    sequences = pickle.loads(options.read.read_bytes()) if options.read is not None else _sequences(options)
    if options.rows is not None:
        options.rows.write_bytes(pickle.dumps(sequences))
    weights, radii = calibrate(sequences)
    tables = {
        "track_confidence": named(("constant", *FEATURES), weights),
        "track_uncertainty": named(RADIUS_WEIGHT_NAMES, radii),
    }
    report_tables(tables, "calibrate_tracks.py", options.seed, write=options.write)


def _sequences(options: argparse.Namespace) -> list[list[Row]]:
    jobs = [
        (level, options.seed + number, options.frames)
        for number in range(options.sequences)
        for level in options.levels.split(",")
    ]
    jobs += [("object", options.seed + number, OBJECT_FRAMES) for number in range(options.objects)]
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        return list(pool.map(_one, jobs))


def calibrate(sequences: list[list[Row]]) -> tuple[np.ndarray, np.ndarray]:
    """Print how the weights found on half of the sequences do on the others; return those found on all."""
    first, second = ([row for each in sequences[start::2] for row in each] for start in (0, 1))
    if second:
        weights = regress(first, RIGHT_SHARE)
        report(second, logistic(weights, features_of(second)))
        report_radii(second, explain_errors(first))
    every = first + second
    return regress(every, RIGHT_SHARE), explain_errors(every)


def explain_errors(rows: list[Row]) -> np.ndarray:
    """The weights of the radii that make the errors of joints most likely, scaled to hold INSIDE of them."""
    errors, spread, visible = _joints(rows)

    def loss(logarithms: np.ndarray) -> float:
        variance = uncertainty_mm(spread, visible, np.exp(logarithms)) ** 2
        return float((1.5 * np.log(variance) + 0.5 * (FREEDOM + 3) * np.log1p(errors**2 / variance / FREEDOM)).sum())

    weights = np.exp(
        minimize(
            loss,
            np.log(calibrated("track_uncertainty", *RADIUS_WEIGHT_NAMES)),
            method="Nelder-Mead",
            options={"maxiter": 4000},
        ).x
    )
    factor = np.quantile(errors / uncertainty_mm(spread, visible, weights), INSIDE)
    return np.asarray(weights * [factor**2, factor**2, factor])


def report_radii(rows: list[Row], weights: np.ndarray) -> None:
    """Print how many joints lie within their radius, visible and hidden ones, and how large the radii are."""
    errors, spread, visible = _joints(rows)
    radii = uncertainty_mm(spread, visible, weights)
    for name, chosen in (("visible", visible), ("hidden", ~visible)):
        inside, size = (errors < radii)[chosen].mean(), np.percentile(radii[chosen], (10, 50, 90)).round(1)
        twice = (errors < 2 * radii)[chosen].mean()
        print(f"{name} joints: {inside:.1%} within their radius, {twice:.1%} within twice; radii p10, p50, p90 {size}")


def _joints(rows: list[Row]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors, spread and visibility of all joints of hands, (n,) each."""
    hands = [row for row in rows if row.errors is not None]
    errors, spread, visible = (
        np.concatenate([getattr(row, name) for row in hands]) for name in ("errors", "spread", "visible")
    )
    return errors, spread, visible


def report(rows: list[Row], confidence: np.ndarray) -> None:
    """Print how often frames of each confidence succeed."""
    success = np.array([row.success for row in rows])
    print(f"{len(rows)} frames, {success.mean():.1%} succeed")
    for limit in THRESHOLDS:
        kept = confidence >= limit
        good = f"{success[kept].mean():.2%}" if kept.any() else "-"
        print(f">= {limit}: {kept.mean():.1%} of them, {good} succeed")


def rows_of(given: Sequence, camera: Camera = CAMERA, *, smooth: bool = True) -> list[Row]:
    """A row for each frame with a hand, but for those that are doubtful anyway."""
    run = Run(camera, "right", smooth=smooth, fps=FPS)
    for index, depth in enumerate(given.depth):
        run.push(SequenceFrame(index, str(index), depth.astype(np.float32), index / FPS))
    track = run.track("calibration", FPS)
    found = run.poses
    seen = features(found, causal=not smooth)
    every, ruled_out = inputs(seen), doubtful(seen)
    spread = spread_mm2(found, track.rig, track.scale, track.proportions)
    errors = np.linalg.norm(track.joints_mm() - given.joints, axis=2)
    rows = []
    for frame in np.flatnonzero(track.tracked & given.seen & ~ruled_out):
        visible = given.visible[frame]
        good = bool(errors[frame][visible].max(initial=0.0) < LIMIT_MM)
        rows.append(Row("track", good, tuple(every[frame]), errors[frame], track.joint_visible[frame], spread[frame]))
    return rows


def wrong_rows(depth: np.ndarray, camera: Camera) -> list[Row]:
    """A row for each frame in which an object is taken for the hand, not doubtfully. depth: (T, H, W) mm."""
    run = Run(camera, "right", fps=FPS)
    for index, each in enumerate(depth):
        run.push(SequenceFrame(index, str(index), each.astype(np.float32), index / FPS))
    found = run.poses
    seen = features(found, causal=False)
    every, ruled_out = inputs(seen), doubtful(seen)
    return [
        Row("object", False, tuple(every[row]))
        for row, each in enumerate(found)
        if each is not None and not ruled_out[row]
    ]


def _one(job: tuple[str, int, int]) -> list[Row]:
    kind, seed, frames = job
    if kind == "object":
        depth, camera = no_hand(np.random.default_rng(seed))
        return wrong_rows(np.stack([np.roll(depth, OBJECT_STEP_PX * frame, axis=1) for frame in range(frames)]), camera)
    camera = SMALL if seed % 3 == 2 else CAMERA
    surface, noise = SURFACES_MM[seed % len(SURFACES_MM)], NOISES[seed % len(NOISES)]
    size = SIZES[seed // len(NOISES) % len(SIZES)]
    rig = Subject(size, np.zeros(len(PROPORTION_NAMES))).life_size(default_rig("right"))
    return rows_of(sequence(kind, seed, frames, camera=camera, surface_rms_mm=surface, noise=noise, rig=rig), camera)


if __name__ == "__main__":
    main(sys.argv[1:])
