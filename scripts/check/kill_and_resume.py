#!/usr/bin/env python3
"""Fit a folder undisturbed, then again with SIGKILL at random moments and resumed, and compare every result.

Example: handopt synth images --count 667 && python scripts/check/kill_and_resume.py images -o trial -- -r --no-renders
Prints a JSON object: rates, memory of all processes at a tenth of the images and at the end, what differs. Exits with 1
if something does. What follows -- goes to handopt fit.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

POLL_S = 0.05
MIB = 1 << 20


def main(arguments: list[str] | None = None) -> int:
    """Run the trial."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="folder of depth images")
    parser.add_argument("-o", "--output", type=Path, required=True, help="new folder for both runs")
    parser.add_argument("--kills", type=int, default=5, metavar="N", help="how often to kill (default: 5)")
    parser.add_argument(
        "--who",
        choices=("parent", "tree", "worker"),
        default="parent",
        help="the run, the run with all its processes, or one of its workers, which the run survives (default: parent)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    words = sys.argv[1:] if arguments is None else arguments
    own, more = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    options = parser.parse_args(own)
    options.more = more
    options.output.mkdir(parents=True)

    whole, disturbed = options.output / "whole", options.output / "disturbed"
    report: dict[str, Any] = {"undisturbed": watched(command(options, whole), whole)}
    total = report["undisturbed"]["images"]
    rng = random.Random(options.seed)
    moments = sorted(rng.uniform(0, 0.95 * total) for _ in range(options.kills))
    if options.who == "worker":
        report["kills"] = workers_killed(command(options, disturbed), disturbed, moments, rng)
    else:
        report["kills"] = [
            killed(command(options, disturbed), disturbed, moment, rng.random(), tree=options.who == "tree")
            for moment in moments
        ]
    report["resumed"] = watched(command(options, disturbed), disturbed)
    report["differences"] = differences(whole, disturbed)
    print(json.dumps(report, indent=2))
    return 1 if report["differences"] else 0


def command(options: argparse.Namespace, output: Path) -> list[str]:
    """The command line of a run."""
    return [sys.executable, "-P", "-m", "handopt", "fit", str(options.images), "-q", "-o", str(output), *options.more]


def watched(words: list[str], output: Path) -> dict[str, Any]:
    """Run to the end; memory is that of all processes of the run."""
    started, memory = time.monotonic(), []
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        while process.poll() is None:
            memory.append((lines(output), memory_mib(process.pid)))
            time.sleep(10 * POLL_S)
    total = lines(output)
    early = [size for count, size in memory if 0.1 * total <= count <= 0.2 * total]
    late = [size for count, size in memory if count >= 0.9 * total]
    return {
        "exit": process.returncode,
        "images": total,
        "seconds": round(time.monotonic() - started, 1),
        "mib_at_a_tenth": round(max(early, default=0.0), 1),
        "mib_at_the_end": round(max(late, default=0.0), 1),
    }


def killed(words: list[str], output: Path, images: float, wait_s: float, *, tree: bool = False) -> dict[str, Any]:
    """Kill a run some time after so many images have ended.

    tree: its workers as well; else they are left to notice it by themselves.
    """
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        while process.poll() is None and lines(output) < images:
            time.sleep(POLL_S)
        time.sleep(wait_s)
        if tree:
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
    left = [str(path.relative_to(output)) for path in output.rglob(".handopt-*")]
    return {"exit": process.returncode, "images": lines(output), "unfinished": left}


def workers_killed(words: list[str], output: Path, moments: list[float], rng: random.Random) -> list[dict[str, Any]]:
    """Kill a worker of one run each time that so many images have ended, and wait for the end of the run."""
    kills = []
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        for moment in moments:
            while process.poll() is None and lines(output) < moment:
                time.sleep(POLL_S)
            workers = children(process.pid)
            if process.poll() is None and workers:
                os.kill(rng.choice(workers), signal.SIGKILL)
                kills.append({"images": lines(output), "workers": len(workers)})
    return [*kills, {"exit": process.returncode, "images": lines(output)}]


def children(leader: int) -> list[int]:
    """The workers that a run has started and that still live."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            parent = folder.name.isdigit() and int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == leader and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (OSError, IndexError, ValueError):  # it has just ended
            continue
    return found


def lines(output: Path) -> int:
    """Images that have ended."""
    try:
        return (output / "summary.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def memory_mib(leader: int) -> float:
    """Proportional memory of all processes of a session, in MiB."""
    total = 0
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and int((folder / "stat").read_text().rsplit(")", 1)[1].split()[3]) == leader:
                rollup = (folder / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) << 10 for line in rollup if line.startswith("Pss:"))
        except (OSError, IndexError, ValueError):  # it has just ended
            continue
    return total / MIB


def differences(whole: Path, other: Path) -> list[str]:
    """Files that only one of two outputs has, or whose content differs in more than seconds."""
    names = {path.relative_to(root) for root in (whole, other) for path in root.rglob("*") if path.is_file()}
    return [str(name) for name in sorted(names) if content(whole, name) != content(other, name)]


def content(root: Path, name: Path) -> Any:
    """What a file says, seconds left out; None where it is missing."""
    path = root / name
    if not path.is_file():
        return None
    if name.name == "summary.jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return [{**row, "total_seconds": None, "folder": None} for row in rows]
    if name.name == "result.json":
        return {**json.loads(path.read_text()), "seconds": None}
    return path.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
