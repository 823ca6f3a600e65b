#!/usr/bin/env python3
"""Calibrate handopt.track.confidence: follow synthetic sequences.

Success, every visible joint within 20 mm, is regressed on the signs of each frame; the joints' errors are explained by
their spread. Prints the weights, found on every other sequence, and on the sequences between them how often frames of
each confidence succeed and how many joints lie within their radius. 12 sequences of a level take 6 minutes.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from bench_track import Sequence, sequence
from calibrate import LIMIT_MM, Row, explain_errors, regress, report_radii

from handopt.confidence import sure
from handopt.sources.base import Frame
from handopt.synth.generate import CAMERA
from handopt.track.confidence import signs, spread_mm2
from handopt.track.run import Run

FPS = 30.0
THRESHOLDS = (0.5, 0.7, 0.9, 0.95)


def main(arguments: list[str] | None = None) -> None:
    """Follow, regress, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=12, help="of each level")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--levels", default="medium,hard")
    parser.add_argument("--seed", type=int, default=8100)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    jobs = [
        (level, options.seed + number, options.frames)
        for number in range(options.sequences)
        for level in options.levels.split(",")
    ]
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        sequences = list(pool.map(_one, jobs))
    calibrate(sequences)


def calibrate(sequences: list[list[Row]]) -> None:
    """Print the weights found on half of the sequences, how they do on the others, and those found on all."""
    half = (len(sequences) + 1) // 2
    first, second = ([row for each in part for row in each] for part in (sequences[:half], sequences[half:]))
    if second:
        weights = regress(first)
        print("found on half, WEIGHTS =", _rounded(weights))
        report(second, sure(weights, _signs(second)))
        radii = explain_errors(first, sure(weights, _signs(first)))
        report_radii(second, sure(weights, _signs(second)), radii)
    every = first + second
    weights = regress(every)
    print("found on all, WEIGHTS =", _rounded(weights))
    print("RADIUS_WEIGHTS =", _rounded(explain_errors(every, sure(weights, _signs(every)))))


def report(rows: list[Row], confidence: np.ndarray) -> None:
    """Print how often frames of each confidence succeed."""
    success = np.array([row.success for row in rows])
    print(f"{len(rows)} frames, {success.mean():.1%} succeed")
    for limit in THRESHOLDS:
        kept = confidence >= limit
        good = f"{success[kept].mean():.2%}" if kept.any() else "-"
        print(f">= {limit}: {kept.mean():.1%} of them, {good} succeed")


def rows_of(given: Sequence, *, smooth: bool = True) -> list[Row]:
    """A row for each frame with a hand."""
    run = Run(CAMERA, "right", smooth=smooth, fps=FPS)
    for index, depth in enumerate(given.depth):
        run.take(Frame(index, str(index), depth.astype(np.float32), index / FPS))
    track = run.track("calibration", FPS)
    found = run.found
    every = signs(found, causal=not smooth)
    spread = spread_mm2(found, track.rig, track.scale, track.proportions)
    errors = np.linalg.norm(track.joints_mm() - given.joints, axis=2)
    rows = []
    for frame in np.flatnonzero(track.tracked & given.seen):
        visible = given.visible[frame]
        good = bool(errors[frame][visible].max(initial=0.0) < LIMIT_MM)
        rows.append(Row("track", good, tuple(every[frame]), errors[frame], track.visible[frame], spread[frame]))
    return rows


def _one(job: tuple[str, int, int]) -> list[Row]:
    level, seed, frames = job
    return rows_of(sequence(level, seed, frames))


def _signs(rows: list[Row]) -> np.ndarray:
    return np.array([row.signs for row in rows])


def _rounded(weights: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{weight:.4g}") for weight in weights)


if __name__ == "__main__":
    main(sys.argv[1:])
