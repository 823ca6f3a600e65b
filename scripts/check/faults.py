#!/usr/bin/env python3
"""Fit a folder of images on a disk that is full, broken or slow to keep, or in a process that is killed, and resume.

Example: handopt synth images --count 4 && python scripts/check/faults.py images -o trial -- -r --no-renders
Every trial lets one of the calls that change the output fail (scripts/check/fault_shim.c), checks that what stands
there is whole and that the run has said what failed, and resumes it undisturbed: the outputs are equal to those of a
run without faults. After a power cut, and where fsync does nothing, files that were not synced become empty before.
Prints a JSON object, and exits with 1 if anything was lost, torn or trusted although damaged. What follows -- goes to
handopt fit. Needs a C compiler and Linux.
"""

import argparse
import contextlib
import ctypes
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

from kill_and_resume import content, differences

SHIM = Path(__file__).with_name("fault_shim.c")
KINDS = {"full": 1, "broken": 2, "short": 3, "killed": 4, "power cut": 4, "no sync": 5}
"""What happens, and its number in the shim."""
BEFORE_RUN = 40  # exit status of a child that could not start
EXPECTED = (0, 1, 2)


def main(arguments: list[str] | None = None) -> int:
    """Run the trials, in a process with the shim."""
    words = sys.argv[1:] if arguments is None else arguments
    with tempfile.TemporaryDirectory() as folder:
        shim = Path(folder) / "fault_shim.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", SHIM, "-o", shim, "-ldl"], check=True)
        environment = {**os.environ, "LD_PRELOAD": str(shim), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run([sys.executable, __file__, "--shim", shim, *words], env=environment).returncode


def trials(words: list[str]) -> int:
    """Run the trials in this process, which forks for each run of handopt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="folder of depth images")
    parser.add_argument("-o", "--output", type=Path, required=True, help="new folder for all runs")
    parser.add_argument("--trials", type=int, default=100, metavar="N", help="of each kind (default: 100)")
    parser.add_argument("--only", choices=KINDS, help="one kind of fault")
    parser.add_argument("--seed", type=int, default=0, help="of the calls that fail")
    own, more = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    options = parser.parse_args(own)
    output = options.output.resolve()
    output.mkdir(parents=True)
    command = ["fit", str(options.images), "-q", "-j", "1", *more, "-o"]

    whole, rng = output / "whole", random.Random(options.seed)
    _load([*command, str(whole)])
    shutil.rmtree(whole, ignore_errors=True)
    status, said, calls = _run([*command, str(whole)], whole)
    if status != 0:
        sys.exit(f"the run without faults ended with {status}: {said}")
    report: dict[str, Any] = {"calls": calls, "trials": {}, "faults": []}
    for kind in KINDS if options.only is None else [options.only]:
        report["trials"][kind] = 0
        for _ in range(options.trials):
            folder = output / "disturbed"
            call = rng.randint(1, calls)
            found = _trial(kind, call, [*command, str(folder)], folder, whole)
            report["trials"][kind] += 1
            report["faults"] += [f"{kind}, call {call}: {each}" for each in found]
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(report, indent=2))
    return 1 if report["faults"] else 0


def _trial(kind: str, call: int, command: list[str], folder: Path, whole: Path) -> list[str]:
    """What is wrong after a run with a fault, and after it was resumed."""
    record = folder.with_name("calls.txt")
    record.unlink(missing_ok=True)
    status, said, _ = _run(command, folder, KINDS[kind], call, record)
    found = []
    if kind in ("killed", "power cut"):
        if status != -9:
            found.append(f"was not killed but ended with {status}")
    elif status not in EXPECTED:
        found.append(f"ended with {status}")
    found += [f"said {line}" for line in said.splitlines() if "Traceback" in line or "-vv shows" in line]
    if kind in ("short", "no sync") and status != 0:
        found.append(f"ended with {status}: {said}")
    if kind in ("power cut", "no sync"):
        emptied = _cut(folder, record)
        if kind == "no sync" and not emptied:
            found.append("nothing became empty: the trial shows nothing")
        if kind == "power cut":
            found += [f"{name} was not synced" for name in emptied if not _is_partial(name) and name != "summary.jsonl"]
    else:
        found += [f"{name} is torn" for name in _results(folder, whole) if not _is_whole(folder, whole, name)]
    again = [*command[:-2], "--update", *command[-2:]] if kind == "no sync" else command
    status, said, _ = _run(again, folder)
    if status != 0:
        found.append(f"resumed, ended with {status}: {said}")
    found += [f"resumed, {name} differs" for name in differences(whole, folder)]
    return found


def _results(folder: Path, whole: Path) -> list[str]:
    """The folders of images that stand in an output, each in that of its level where there are levels."""
    names = sorted(str(path.parent.relative_to(whole)) for path in whole.rglob("result.json"))
    return [name for name in names if (folder / name).exists()]


def _is_whole(folder: Path, whole: Path, name: str) -> bool:
    files = {path.relative_to(root / name) for root in (folder, whole) for path in (root / name).rglob("*")}
    return all(content(folder / name, each) == content(whole / name, each) for each in files)


def _is_partial(name: str) -> bool:
    return ".handopt-" in name


def _cut(folder: Path, record: Path) -> list[str]:
    """Empty the files that were written after they were synced the last time."""
    last: dict[int, str] = {}
    for line in record.read_text().splitlines() if record.exists() else []:
        what, inode = line.split()
        last[int(inode)] = what
    emptied = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and last.get(path.stat().st_ino) == "w":
            os.truncate(path, 0)
            emptied.append(str(path.relative_to(folder)))
    return emptied


def _load(command: list[str]) -> None:
    """Run handopt in this process, so that its children find loaded what is loaded once."""
    from handopt.cli.main import main as handopt

    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        handopt(command)
    if threading.active_count() > 1:
        sys.exit("threads are left of the run that loads, which a child would lack")


def _run(
    command: list[str], folder: Path, kind: int = 0, call: int = 0, record: Path | None = None
) -> tuple[int, str, int]:
    """Run handopt in a child: its exit status (negative: the signal), what it said, and its calls below the folder."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(command, folder, kind, call, record, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    text, _, calls = said.rpartition("\n")
    return status, text if calls.isdigit() else said, int(calls) if calls.isdigit() else 0


def _child(command: list[str], folder: Path, kind: int, call: int, record: Path | None, writing: int) -> None:
    from handopt.cli.main import main as handopt

    status = BEFORE_RUN
    try:
        os.dup2(writing, 2)
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        log = -1 if record is None else os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        shim = ctypes.CDLL(None)
        shim.fault_arm(os.fsencode(folder), kind, ctypes.c_long(call), log)
        sys.stdout, sys.stderr = io.TextIOWrapper(os.fdopen(1, "wb", 0)), io.TextIOWrapper(os.fdopen(2, "wb", 0))
        with contextlib.suppress(SystemExit):
            try:
                handopt(command)
            except SystemExit as error:
                status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
                raise
        shim.fault_seen.restype = ctypes.c_long
        sys.stderr.flush()
        os.write(2, b"\n%d" % shim.fault_seen())
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--shim"]:
        sys.exit(trials(sys.argv[3:]))
    sys.exit(main())
