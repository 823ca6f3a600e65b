#!/usr/bin/env python3
"""Measure how fast handopt is: one table, with the spread, and a JSON file that later runs are compared with.

    scripts/bench/bench_speed.py                                  # everything, for some minutes
    scripts/bench/bench_speed.py --only fit,unit --rounds 9
    scripts/bench/bench_speed.py -o speed.json                    # keep the figures, with the machine
    scripts/bench/bench_speed.py --compare speed.json

Every round measures every row once, in turn, so that a machine that becomes slower makes all rows slower. A ratio to
other figures means something only on the machine that made them; the table says where it differs.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from bench_unit import COLLISION_RADIUS_MM, SPLAT_RADIUS_PX, UnitOfWork, scene

from handopt import backend, fit
from handopt.input.sequence.base import SequenceFrame
from handopt.observation.observe import observe
from handopt.synth.generate import CAMERA, Settings, generate
from handopt.synth.sequence import generate_sequence
from handopt.tracking.run import Run

SEED = 271828
LEVELS = ("easy", "medium", "hard")
TRACK_LEVELS = ("medium", "hard")
BATCHES = (1, 16, 64)
UNIT_RUNS = 20
FPS = 30.0
FORMAT = "handopt.speed/1"
SAME_WITHIN = 0.05
"""Ratios nearer to 1 than this are called the same where the spreads overlap."""

Row = tuple[str, str, Callable[[], float]]


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """Name, unit and measurement of each row that is asked for; its inputs are made here, before any clock runs."""
    if "unit" in options.only:
        yield from unit_rows(options.device)
    if "fit" in options.only:
        yield from fit_rows(options.images, options.device)
    if "track" in options.only:
        yield from track_rows(options.frames)
    if "start" in options.only:
        yield "handopt --help", "ms", lambda: of_process(["-m", "handopt", "--help"])
        yield "import handopt", "ms", lambda: of_process(["-c", "import handopt"])
        yield "first fit of a process", "ms + a fit", first_fit


def unit_rows(device_name: str) -> Iterator[Row]:
    """The unit of work, per image of a batch."""
    device = backend.resolve_device(device_name)
    for batch in BATCHES:
        unit = UnitOfWork(problem(batch, device), device)
        unit.run()

        def measure(unit: UnitOfWork = unit, batch: int = batch) -> float:
            return min(timed(lambda: [unit.run() for _ in range(UNIT_RUNS)]) for _ in range(3)) / UNIT_RUNS / batch

        yield f"unit of work, B = {batch}", "ms/image", measure


def fit_rows(count: int, device: str) -> Iterator[Row]:
    """handopt.fit and its observation of the image, the median of some images of each level."""
    for level in LEVELS:
        depths = [
            sample.counts.astype(np.float32)
            for sample in (generate(Settings(seed=SEED), level, i) for i in range(count))
        ]
        fit(depths[0], CAMERA, hand="right", device=device)

        def measure(depths: list[Any] = depths) -> float:
            return median_of(lambda depth: fit(depth, CAMERA, hand="right", device=device), depths)

        yield f"fit, {level}", "ms/image", measure
        if level == "medium":
            yield "observe, medium", "ms/image", partial(median_of, partial(observe, camera=CAMERA), depths)


def track_rows(frames: int) -> Iterator[Row]:
    """A track, per frame, without pictures and files."""
    for level in TRACK_LEVELS:
        depths = [
            sample.counts.astype(np.float32) for sample, _ in generate_sequence(Settings(seed=SEED), level, frames)
        ]
        for smooth in (False, True):

            def measure(depths: list[Any] = depths, smooth: bool = smooth) -> float:
                def follow() -> None:
                    run = Run(CAMERA, "right", smooth=smooth, fps=FPS)
                    for index, depth in enumerate(depths):
                        run.push(SequenceFrame(index, str(index), depth, index / FPS))
                    run.track("bench", FPS)

                return timed(follow) / len(depths)

            yield f"track, {level}{', smooth' if smooth else ''}", "ms/frame", measure


def problem(batch: int, device: backend.Device) -> dict[str, Any]:
    """Inputs of UnitOfWork: random poses of the default hand."""
    s = {name: backend.to_numpy(value) for name, value in scene(batch, device).items() if not isinstance(value, float)}
    return {
        "M": s["transforms"], "P": s["rest"], "W": s["weights"], "J": s["indices"], "proj": s["coefficients"][0],
        "T": np.repeat(s["target"], batch, axis=0), "crest": s["joint_rest"], "cidx": s["joint_indices"][:, 0],
        "pairs": s["bones"], "rc": COLLISION_RADIUS_MM, "lam": 0.01, "r": SPLAT_RADIUS_PX,
    }  # fmt: skip


def timed(run: Callable[[], Any]) -> float:
    """Milliseconds of one run."""
    started = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - started)


def median_of(run: Callable[[Any], Any], inputs: list[Any]) -> float:
    """The median of the milliseconds of all inputs."""
    return float(np.median([timed(partial(run, each)) for each in inputs]))


def of_process(arguments: list[str]) -> float:
    """Milliseconds of a Python process."""
    return timed(lambda: subprocess.run([sys.executable, "-P", *arguments], check=True, capture_output=True))


def first_fit() -> float:
    """Milliseconds from the start of a process to its first result, less those of a later fit of the same image."""
    code = """
import sys, time, handopt
image = handopt.read_image(sys.argv[1])
def fit():
    return handopt.fit(image.depth_mm, image.camera, hand=image.hand)
fit()
first, times = time.time(), []
for _ in range(3):
    times.append(-time.perf_counter()); fit(); times[-1] += time.perf_counter()
print(first - sorted(times)[1])
"""
    image = Path(__file__).parents[2] / "assets" / "examples" / "open.png"
    started = time.time()
    command = [sys.executable, "-P", "-c", code, str(image)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return 1e3 * (float(done.stdout) - started)


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        processor = names[0] if names else processor
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": processor, "cores": os.cpu_count(), "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "python": platform.python_version(), "numpy": version("numpy"), "load": load,
    }  # fmt: skip


def measured(chosen: list[Row], rounds: int) -> dict[str, Any]:
    """Median, 10th and 90th percentile of each row over the rounds."""
    samples: dict[str, list[float]] = {name: [] for name, _, _ in chosen}
    for number in range(rounds):
        for name, _, measure in chosen:
            samples[name].append(measure())
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    table = {}
    for name, unit, _ in chosen:
        low, median, high = np.percentile(samples[name], (10, 50, 90))
        table[name] = {"unit": unit, "median": median, "p10": low, "p90": high}
    return table


def verdict(now: dict[str, float], before: dict[str, float]) -> str:
    """How two rows compare, in words: before / now as a factor."""
    ratio = before["median"] / now["median"]
    overlap = now["p10"] <= before["p90"] and before["p10"] <= now["p90"]
    if overlap and abs(ratio - 1) < SAME_WITHIN:
        return "the same"
    return f"{ratio:.2f} x as fast" + (", within the spread" if overlap else "")


def show(table: dict[str, Any], before: dict[str, Any] | None) -> None:
    """Print the table, beside that of an earlier run."""
    print(f"{'':26}{'median':>9}{'p10':>9}{'p90':>9}" + (f"{'before':>9}" if before else ""))
    for name, row in table.items():
        line = f"{name:26}{row['median']:9.3f}{row['p10']:9.3f}{row['p90']:9.3f}"
        if before and name in before:
            line += f"{before[name]['median']:9.3f}  {verdict(row, before[name])}"
        print(f"{line}  {row['unit']}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("unit", "fit", "track", "start")
    parser.add_argument("--only", default=",".join(parts), help=f"parts, separated by commas, of {', '.join(parts)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=8, help="of each level")
    parser.add_argument("--frames", type=int, default=60, help="of each track")
    parser.add_argument("--device", default="cpu", help="of unit and fit: cpu, cuda or cuda:N")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the figures")
    parser.add_argument("--compare", type=Path, help="JSON file of an earlier run")
    options = parser.parse_args(arguments)
    options.only = set(options.only.split(","))
    if not options.only <= set(parts):
        parser.error(f"--only: expected some of {', '.join(parts)}")
    before = json.loads(options.compare.read_text(encoding="utf-8")) if options.compare else None
    if before is not None and before.get("format") != FORMAT:
        parser.error(f"--compare: {options.compare} is not a file that -o has written")
    here = machine()
    table = measured(list(rows(options)), options.rounds)
    print(", ".join(f"{name} {value}" for name, value in here.items()))
    if before is not None and any(before["machine"][name] != here[name] for name in ("processor", "cores", "threads")):
        print(f"the other figures are of another machine: {before['machine']}")
    show(table, before["rows"] if before else None)
    if options.output:
        facts = {"format": FORMAT, "date": datetime.now(UTC).date().isoformat(), "machine": here, "rows": table}
        options.output.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
