"""Changes inputs at random for hours, and keeps those that a reader or a command does not survive.

See scripts/check/fuzz.
"""

import argparse
import hashlib
import json
import sys
import time
from importlib import import_module
from pathlib import Path
from random import Random

from support.fuzz_process import Fault, FuzzProcess
from support.fuzzing import Target, mutated

MODULES = {"readers": "fuzz_targets", "commands": "fuzz_commands"}


def main(arguments: list[str] | None = None) -> int:
    """Fuzz until the time is over, and print what was found as JSON. Returns 1 if something was."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--hours", type=float, default=0.05, metavar="N", help="how long (default: 0.05)")
    parser.add_argument("--inputs", type=int, metavar="N", help="how many inputs at most")
    parser.add_argument("--seed", type=int, default=None, metavar="N", help="default: another one each time")
    parser.add_argument("--only", default="", metavar="NAME", help="only targets whose name holds this")
    parser.add_argument(
        "--what", choices=MODULES, default="readers", help="readers, or whole commands: some 100 times slower"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("fuzz-faults"), help="folder of inputs that break something"
    )
    options = parser.parse_args(arguments)
    return fuzz(MODULES[options.what], options)


def fuzz(module: str, options: argparse.Namespace, *, slowest_s: float = 10.0) -> int:
    """Fuzz the targets of a module of support."""
    seed = time.time_ns() if options.seed is None else options.seed
    targets: list[Target] = [each for each in import_module(f"support.{module}").TARGETS if options.only in each.name]
    faults: dict[tuple[str, str], Fault] = {}
    ends, count = time.monotonic() + 3600 * options.hours, 0
    with FuzzProcess(module, slowest_s=slowest_s) as process:
        while time.monotonic() < ends and (options.inputs is None or count < options.inputs):
            target = targets[count % len(targets)]
            fault = process.fault_of(target, mutated(target, Random(f"{seed} {count}")))
            count += 1
            if fault is None or (fault.where, fault.what[:20]) in faults:
                continue
            faults[fault.where, fault.what[:20]] = fault
            options.output.mkdir(parents=True, exist_ok=True)
            name = f"{hashlib.sha256(fault.data).hexdigest()[:8]}-{fault.target.replace('/', '-')}"
            (options.output / name).write_bytes(fault.data)
            print(f"{name}: {fault.what} at {fault.where}", file=sys.stderr)
    print(json.dumps({"seed": seed, "inputs": count, "faults": len(faults)}))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
