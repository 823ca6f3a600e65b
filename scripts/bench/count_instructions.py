#!/usr/bin/env python3
"""Count the instructions of the hot kernels by callgrind, and compare them with those that are committed.

    scripts/bench/count_instructions.py             # each kernel beside instructions.json; 1 where one grew by over 8 %
    scripts/bench/count_instructions.py --write     # make that the new instructions.json
    scripts/bench/count_instructions.py --fit       # the kernels of a whole fit as well, for some minutes

Counts do not depend on the machine's load, nor on its processor: HANDOPT_LEVEL=base takes the kernels for any x86-64.
They depend on the compiler, so that counts of another compiler are not compared. Needs valgrind.
"""

import argparse
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
COMMITTED = Path(__file__).with_name("instructions.json")
SLACK = 1.08
DAMPING = {"first_damping": 0.01, "smallest_scale": 0.6, "largest_scale": 1.6}
NOT_GIVEN = ("shape_mean", "shape_precision", "temporal_pose", "temporal_weight", "temporal_width")
COMMAND = "scripts/bench/count_instructions.py"
HOW_TO_EXPLAIN = (
    "HANDOPT_LEVEL=base valgrind --tool=callgrind --dump-instr=yes --callgrind-out-file=callgrind.out "
    f"python {COMMAND} --driver kernels && callgrind_annotate --inclusive=no callgrind.out"
)
# The clones of a kernel that the compiler makes for OpenMP and for constants count as the kernel.
KERNEL = re.compile(r"^(\w+?)_f32(?:\.\S*)?(?:'\d+)?$")


def count(driver: str) -> dict[str, int]:
    """Instructions of each kernel in what a driver runs, 'kernels' or 'fit'."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--compress-strings=no"]
        done = subprocess.run(
            [*command, sys.executable, "-P", __file__, "--driver", driver],
            env={**os.environ, "HANDOPT_LEVEL": "base", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(done.args)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return own_costs(out.read_text(encoding="utf-8", errors="replace"))


def own_costs(profile: str) -> dict[str, int]:
    """Instructions of each kernel without those of what it calls, from a profile of callgrind."""
    costs: dict[str, int] = {}
    kernel, of_call = "", False
    for line in profile.splitlines():
        if line.startswith("fn="):
            found = KERNEL.match(line[3:])
            kernel = found[1] if found else ""
        elif line.startswith("calls="):
            of_call = True
        elif line and line[0] in "0123456789+-*":
            if kernel and not of_call:
                costs[kernel] = costs.get(kernel, 0) + int(line.split()[1])
            of_call = False
    return costs


def grown(before: dict[str, int], now: dict[str, int]) -> list[str]:
    """What takes over 8 % more instructions than before, or is new, or was hardly seen, as sentences."""
    found = []
    for kernel, instructions in sorted(now.items()):
        if kernel not in before:
            found.append(f"{kernel} is not in {COMMITTED.name}: run {COMMAND} --write")
        elif instructions > SLACK * before[kernel]:
            found.append(f"{kernel} takes {instructions:,} instructions in place of {before[kernel]:,}")
    for kernel, instructions in sorted(before.items()):
        if now.get(kernel, 0) < instructions / 2:
            found.append(
                f"{kernel} takes {now.get(kernel, 0):,} instructions in place of {instructions:,}: if it is faster, "
                f"run {COMMAND} --write; if its parts have no names, build without stripping (install.strip = false)"
            )
    return found


def problem(rng: Any) -> tuple[dict[str, Any], dict[str, float]]:
    """What minimise_poses is given, for one step of 8 poses of a hand with 400 vertices against 240 points."""
    import numpy as np

    sizes = {"B": 8, "J": 25, "V": 400, "K": 4, "A": 15, "M": 21, "N": 20, "O": 240, "W": 120, "S": 13, "P": 42, "D": 4}
    numbers = {**sizes, "threads": 1, "linearised": 1, "scratch_size": 40_000, "numbers_size": 640, "sigma": 15.0}
    numbers |= {"radius": 14.0, "free_space": 20.0, "iterations": 1, "rows": 1, "F": 4}
    numbers |= DAMPING
    articulated = [joint for joint in range(25) if joint % 5 in (2, 3, 4)]
    ancestry = np.full((25, 4), -1)
    for joint in range(1, 25):
        finger = (joint - 1) // 5
        above = [row for row, other in enumerate(articulated) if (other - 1) // 5 == finger and other <= joint]
        ancestry[joint, : len(above)] = above[::-1]
    eye, points = np.eye(3), rng.uniform(-80, 80, (400, 3))
    bind = np.concatenate([np.repeat(eye[None], 25, 0), rng.uniform(-60, 60, (25, 3, 1))], axis=2)
    weights = np.sort(rng.dirichlet(np.ones(4), 400), axis=1)[:, ::-1]
    weights[:250, 2:] = 0
    arrays = {
        "trace_angles": 0.3 * rng.normal(size=(8, 15, 3)),
        "trace_rotation": np.repeat(eye[None], 8, 0),
        "trace_translation": np.tile((0.0, 0.0, 500.0), (8, 1)),
        "trace_scale": np.ones(8),
        "trace_proportions": 0.03 * rng.normal(size=(8, 13)),
        "expected": np.full((8, 15, 3), 0.2),
        "free": np.ones(42),
        "precision": np.full((15, 3), 6.0),
        "followers": np.array([(3 * finger + 2, 3 * finger + 1) for finger in range(1, 5)]),
        "index": np.zeros(8),
        "bind": bind,
        "rest": points,
        "keypoints": bind[:21, :, 3],
        "parents": np.array([-1, *(each if each % 5 else 0 for each in range(24))]),
        "articulated": np.array(articulated),
        "rest_normals": points / np.linalg.norm(points, axis=1, keepdims=True),
        "indices": 1 + 5 * rng.integers(0, 5, (400, 1)) + rng.permuted(np.tile(np.arange(4), (400, 1)), axis=1),
        "weights": weights,
        "keypoint_joints": np.arange(21),
        "bones": np.stack([np.arange(20), np.arange(1, 21)], axis=1),
        "lower": np.full((15, 3), -0.4),
        "upper": np.full((15, 3), 0.4),
        "observed": rng.uniform(-80, 80, (1, 240, 3)) + np.array([0.0, 0.0, 500.0]),
        "coefficients": np.array([[240.0, 60.0, 240.0, 60.0, 0.004, -1.5]]),
        "field": rng.uniform(-5, 20, (1, 120, 120)).clip(0),
        "nearest_depth": rng.uniform(420, 560, (1, 120, 120)),
        "mm_per_px": np.array([2.0]),
        **{"votes": np.zeros((1, 21, 4)), "ones": np.ones(21)},
        "joint_basis": rng.normal(size=(13, 25, 3)),
        "vertex_basis": rng.normal(size=(13, 400, 3)) * (rng.random((13, 400, 1)) < 0.3),
        "keypoint_basis": rng.normal(size=(13, 21, 3)),
        "ancestry": ancestry,
        "columns": np.where(np.arange(45) < 22, np.arange(45) + 7, -1).reshape(15, 3),
        "hessian": np.empty((8, 42, 42)),
        "gradient": np.empty((8, 42)),
        "scratch": np.zeros((1, 40_000)),
        "scratch_numbers": np.zeros((1, 640)),
        **{"terms": np.empty((8, 8)), "improved": np.empty(8)},
        **dict.fromkeys(NOT_GIVEN, np.empty(0)),
    }
    return arrays, numbers


def run_kernels() -> None:
    """Launch the hot kernels of a fit on a problem of the usual size."""
    import numpy as np

    from handopt.backend import launch
    from handopt.backend.signatures import SIGNATURES

    arrays, numbers = problem(np.random.default_rng(0))
    kinds = {"r*": np.float32, "i*": np.int32}
    given = {
        name: np.ascontiguousarray(arrays[name], kinds[kind])
        if kind in kinds
        else numbers.get(name, 0 if name.startswith("has_") else int(kind == "r"))
        for name, kind in SIGNATURES["minimise_poses"]
    }
    launch("minimise_poses", 8, *given.values())


def launches() -> dict[str, int]:
    """How often a fit of an example launches each kernel."""
    module = importlib.import_module("handopt.backend.launch")
    counts: Counter[str] = Counter()
    launch_cpu = module.launch_cpu

    def counted(kernel: str, arguments: tuple[Any, ...]) -> None:
        counts[kernel] += 1
        launch_cpu(kernel, arguments)

    module.launch_cpu = counted  # type: ignore[attr-defined]
    try:
        run_fit()
    finally:
        module.launch_cpu = launch_cpu  # type: ignore[attr-defined]
    return dict(counts)


def run_fit() -> None:
    """Fit a hand to an example."""
    import handopt

    camera = handopt.Camera(475.0, 475.0, 319.5, 239.5, 640, 480)
    depth_mm = handopt.read_depth(str(PROJECT / "assets/examples/open.png"), unit=1.0).depth_mm
    handopt.fit(depth_mm, camera, hand="right", device="cpu")


def compiler() -> str:
    """The compiler of the library."""
    from handopt.backend import library

    return library().compiler


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="make the counts the committed ones")
    parser.add_argument("--fit", action="store_true", help="count the kernels of a whole fit as well")
    parser.add_argument("--driver", choices=("kernels", "fit"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.driver:
        (run_kernels if given.driver == "kernels" else run_fit)()
        return 0
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is missing: apt-get install valgrind")
    committed = json.loads(COMMITTED.read_text(encoding="utf-8")) if COMMITTED.exists() else {}
    now = {name: count(name) for name in (("kernels", "fit") if given.fit else ("kernels",))}
    if given.write:
        text = json.dumps(
            {**committed, "compiler": compiler(), "launches": launches(), **now}, indent=1, sort_keys=True
        )
        COMMITTED.write_text(f"{text}\n", encoding="utf-8")
    elif committed["compiler"] != compiler():
        print(f"not compared: the committed counts are of {committed['compiler']}, these of {compiler()}")
        committed = {**committed, **now}
    problems: list[str] = []
    for name, counts in now.items():
        before = counts if given.write else committed[name]
        problems += grown(before, counts)
        for kernel, instructions in sorted(counts.items(), key=lambda each: -each[1]):
            print(f"{name}\t{kernel}\t{instructions}\t{instructions / before.get(kernel, instructions):.3f}")
    for problem in problems:
        print(f"{problem}. What takes them: {HOW_TO_EXPLAIN}", file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
