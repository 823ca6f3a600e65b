#!/usr/bin/env python3
"""Measure how many images a second go through folders: the fit alone, and handopt fit with all that is around it.

Example: handopt synth images --count 80 && python scripts/bench/bench_folder.py images
Prints a table. The fit alone is handopt.fit_many on images that are in memory, on one thread. A run of handopt fit
counts from its first outcome to its last, so that start-up is left out.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

POLL_S = 0.02
RUNS = {
    "-j 1 --no-overlay": ["-j", "1", "--no-overlay"],
    "-j 1": ["-j", "1"],
    "-j 2": ["-j", "2"],
    "--workers 1": ["--workers", "1"],
    "--workers 2": ["--workers", "2"],
    "-j 1 --batch 1": ["-j", "1", "--batch", "1"],
    "-j 1 --renders": ["-j", "1", "--renders"],
}


def main(arguments: list[str] | None = None) -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="folder of depth images, their cameras beside them")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="rounds over all of it")
    parser.add_argument("--runs", default=",".join(RUNS), help="which, with commas between them")
    options = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for _ in range(options.repeat):
        alone = in_memory(options.images)
        print(f"{'fit_many in memory':24} {alone:6.2f} images/s", flush=True)
        for name in options.runs.split(","):
            rate = through_the_command(options.images, RUNS[name])
            print(f"{name:24} {rate:6.2f} images/s, {rate / alone:5.2f} of that", flush=True)


def in_memory(folder: Path) -> float:
    """Images a second of the fit alone."""
    from handopt.cli.inputs import find_images
    from handopt.fitting import BATCH, FitInput, fit_many
    from handopt.input.reader import Reader

    frames = [Reader().read(path) for path in find_images([folder], recursive=True)]
    images = [FitInput(each.depth_mm, each.camera, each.hand) for each in frames]
    deque(fit_many(images[: BATCH["cpu"]], device="cpu"), 0)
    started = time.perf_counter()
    deque(fit_many(images, device="cpu"), 0)
    return len(images) / (time.perf_counter() - started)


def through_the_command(folder: Path, options: list[str]) -> float:
    """Images a second of handopt fit, from its first outcome to its last."""
    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, "-P", "-m", "handopt", "fit", str(folder), "-r", "-q", "-o", f"{output}/fits"]
        seen: list[tuple[float, int]] = []
        with subprocess.Popen(
            [*command, *options, "--device", "cpu"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None:
                seen.append((time.perf_counter(), _lines(Path(output, "fits", "summary.jsonl"))))
                time.sleep(POLL_S)
        if process.returncode not in (0, 1):
            raise SystemExit(f"handopt fit ended with {process.returncode}")
    total = max(count for _, count in seen)
    first = next(each for each in seen if each[1])
    last = next(each for each in seen if each[1] == total)
    return (last[1] - first[1]) / (last[0] - first[0])


def _lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0


if __name__ == "__main__":
    main()
