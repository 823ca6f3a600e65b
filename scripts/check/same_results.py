#!/usr/bin/env python3
"""Prove that two versions of handopt give the same numbers, to the bit.

    scripts/check/same_results.py COMMIT --data DIR     # COMMIT against the installed handopt
    scripts/check/same_results.py --run OUT             # only run the commands of the handopt on PATH, into OUT
    scripts/check/same_results.py --compare OLD NEW     # only compare two such folders

The commands are `fit` (every solver, shape and hand, one image and a folder in batches), `track`, `shape`, `synth` and
`eval`. Joints, poses, meshes, images and scores are compared by their bits; times, paths, versions and texts are not.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from handopt.rig import ANGLE_NAMES

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLES = PROJECT / "assets" / "examples"
RENAMED: dict[str, str] = {
    "unexplained": "unexplained_fraction",
    # tracks
    "uncertainty_mm": "joint_uncertainty_mm",
    "tracked": "tracked_frames",
    "bridged": "bridged_frames",
    "refitted": "refitted_frames",
    "seen_share": "coverage",
    "offset_mm": "vertex_offset_mm",
    "left_out": "rejected_images",
    # labels
    "visible": "joint_visible",
    "t_mm": "translation_mm",
    "rotation": "view",  # of the pose too, in both versions
    "yaw": "yaw_rad",
    "pitch": "pitch_rad",
    "roll": "roll_rad",
    "way": "transition",
    # settings
    "above": "skip_below",
    "approach": "lm_settings",
    "capture": "coarse_round",
    "enter": "top_k_in",
    "judged": "rank_by_unexplained",
    "keep": "top_k_out",
    "outline_mm": "free_space_mm",
    "redraws": "mutations",
    # summaries of an evaluation
    "mean_mm": "mean_error_mm",
    "median_mm": "median_error_mm",
    "visible_mean_mm": "visible_mean_error_mm",
    "visible_median_mm": "visible_median_error_mm",
    "occluded_mean_mm": "occluded_mean_error_mm",
    "occluded_median_mm": "occluded_median_error_mm",
    "confidence": "min_confidence",  # of results too, in both versions
}
"""Keys of files that have another name in one of the versions, and the name to compare them by."""
ANGLES = frozenset({"angles_rad", "angles_twist_abd_flex"})
"""Angles of all joints."""
UNWRAPPED = frozenset({"pose"})
"""Objects whose keys stand beside them in one of the versions."""
IGNORED = frozenset({"seconds", "total_seconds", "versions", "version", "bytes", "mtime_ns", "schema", "format"})


def commands(out: Path, data: Path | None) -> Iterator[list[str]]:
    """The command lines to run, each of which writes below `out`."""
    quiet = ["-q"]
    examples = [str(path) for path in sorted(EXAMPLES.glob("*.png"))]
    fit = ["fit", *examples, *quiet, "--no-overlay", "-j", "1"]
    for solver in ("auto", "lm", "gradient"):
        yield [*fit, "--solver", solver, "-o", str(out / f"fit-{solver}")]
    yield [*fit, "--hand", "auto", "--batch", "3", "-o", str(out / "fit-hand-auto")]
    yield [*fit, "--shape", "scale", "--seed", "7", "-o", str(out / "fit-scale")]
    yield [*fit, "--shape", "vertices", "-o", str(out / "fit-vertices")]
    yield ["synth", str(out / "synth"), "--count", "3", "--seed", "5", *quiet]
    yield ["synth", str(out / "sequence"), "--sequence", "--count", "40", "--seed", "5", "--level", "medium", *quiet]
    yield ["synth", str(out / "subject"), "--one-subject", "--count", "4", "--seed", "5", "--level", "easy", *quiet]
    frames, person = str(out / "sequence" / "medium"), str(out / "subject" / "easy")
    yield ["track", frames, *quiet, "--no-video", "-o", str(out / "track")]
    yield ["track", frames, *quiet, "--no-video", "--no-smooth", "-o", str(out / "track-causal")]
    yield ["shape", person, *quiet, "-o", str(out / "shape" / "hand.glb")]
    yield ["eval", str(out / "track"), frames, "-o", str(out / "eval-track")]
    if data is None:
        return
    for level in ("easy", "medium", "hard"):
        images = data / "synthetic" / level
        yield ["fit", str(images), *quiet, "--no-overlay", "-j", "1", "-o", str(out / "fits" / level)]
    yield ["eval", str(out / "fits"), str(data / "synthetic"), "-o", str(out / "eval")]
    yield ["fit", str(data / "nyu"), *quiet, "--no-overlay", "-j", "1", "-o", str(out / "fit-nyu")]
    yield ["track", str(data / "sr305"), *quiet, "--no-video", "-o", str(out / "track-sr305")]


def run(out: Path, data: Path | None, program: str) -> None:
    """Run all commands with a program, and keep what they print. Raises CalledProcessError."""
    out.mkdir(parents=True, exist_ok=True)
    for number, words in enumerate(commands(out, data)):
        begun = time.perf_counter()
        done = subprocess.run([program, *words], capture_output=True, text=True, check=False, cwd=out)
        print(f"{time.perf_counter() - begun:6.1f} s  exit {done.returncode}  {' '.join(words[:2])} … {words[-1]}")
        if done.returncode not in (0, 1):
            sys.exit(f"{program} {' '.join(words)}\n{done.stderr}")
        (out / f"command-{number:02d}.txt").write_text(done.stdout, encoding="utf-8")


def numbers(folder: Path) -> dict[str, Any]:
    """Every number that a run has written, by file and key."""
    found: dict[str, Any] = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name = str(path.relative_to(folder))
        if path.name in ("result.json", "measurements.json", "track.json") or name.startswith(("synth", "eval", "seq")):
            if path.suffix == ".json":
                found |= dict(_leaves(name, json.loads(path.read_text(encoding="utf-8"))))
            elif path.suffix == ".png" and path.name != "curve.png":  # a drawing of what curve.csv holds
                found[name] = path.read_bytes()
        elif path.suffix == ".glb":
            found[name] = _binary_chunk(path)
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                for key in arrays.files:
                    if arrays[key].dtype.kind in "biuf":
                        found[f"{name}:{_name(key)}"] = arrays[key].tobytes()
        elif path.suffix == ".bvh":
            found[name] = path.read_bytes()
        elif path.name == "track.jsonl":
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
                found |= dict(_leaves(f"{name}:{number}", json.loads(line)))
    return found


def _name(key: str) -> str:
    return RENAMED.get(key, key)


def _leaves(where: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in UNWRAPPED:
                yield from _leaves(where, item)
            elif key in ANGLES and isinstance(item, list):  # which other versions keep by joint
                yield from _leaves(f"{where}:angles_rad", dict(zip(ANGLE_NAMES, item, strict=True)))
            elif key not in IGNORED:
                yield from _leaves(f"{where}:{_name(key)}", item)
    elif isinstance(value, list) and value and all(isinstance(item, (int, float)) for item in value):
        yield where, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(f"{where}:{index}", item)
    elif isinstance(value, (int, float)):
        yield where, value


def _binary_chunk(path: Path) -> bytes:
    """The binary chunk of a GLB file, which holds its vertices and animation."""
    data = path.read_bytes()
    length = int.from_bytes(data[12:16], "little")
    return data[20 + length + 8 :]


def compare(old: Path, new: Path) -> int:
    """Print what differs, and return how many numbers do."""
    before, after = numbers(old), numbers(new)
    for title, names in (("only in the old", before.keys() - after.keys()), ("new", after.keys() - before.keys())):
        kinds = sorted({name.rsplit(":", 1)[-1] if ":" in name else name for name in names})
        if names:
            print(f"{title}: {len(names)} values, {', '.join(kinds[:40])}")
    common = before.keys() & after.keys()
    differing = sorted(name for name in common if before[name] != after[name] and not _both_nan(before, after, name))
    for name in differing[:40]:
        values = (before[name], after[name])
        print(f"differs: {name}" + ("" if isinstance(values[0], bytes) else f": {values[0]} -> {values[1]}"))
    print(f"{len(common) - len(differing)} of {len(common)} values are the same to the bit, {len(differing)} differ")
    return len(differing) + (0 if common else 1)


def _both_nan(before: dict[str, Any], after: dict[str, Any], name: str) -> bool:
    return bool(before[name] != before[name] and after[name] != after[name])


def install(commit: str, folder: Path) -> str:
    """Check out a commit, install it into an environment of its own, and return its program."""
    source, environment = folder / "source", folder / "environment"
    subprocess.run(["git", "-C", str(PROJECT), "worktree", "add", "--detach", str(source), commit], check=True)
    venv.create(environment, with_pip=True)
    subprocess.run([str(environment / "bin" / "pip"), "install", "-q", str(source)], check=True)
    return str(environment / "bin" / "handopt")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", nargs="?", help="the version to compare with")
    parser.add_argument("--data", type=Path, help="folder with synthetic/, nyu/ and sr305/ [default: none of them]")
    parser.add_argument("--run", type=Path, metavar="OUT")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("OLD", "NEW"))
    parser.add_argument("--program", default="handopt", help="the program to run [default: handopt]")
    arguments = parser.parse_args()
    data = arguments.data and arguments.data.resolve()
    if arguments.compare:
        return 1 if compare(*arguments.compare) else 0
    if arguments.run:
        run(arguments.run.resolve(), data, arguments.program)
        return 0
    if not arguments.commit:
        parser.error("name a commit, or use --run or --compare")
    with tempfile.TemporaryDirectory() as folder:
        old, new = Path(folder) / "old", Path(folder) / "new"
        try:
            run(old, data, install(arguments.commit, Path(folder)))
            run(new, data, arguments.program)
        finally:
            os.chdir(PROJECT)
            subprocess.run(["git", "worktree", "prune"], check=False)
        return 1 if compare(old, new) else 0


if __name__ == "__main__":
    sys.exit(main())
