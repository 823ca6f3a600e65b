"""Counts launches, synchronisations and copies of an LM iteration, a fit and a tracked frame on the stand-in for CuPy.

Run as a process of its own: python -m support.launch_counts. Prints them as JSON.
"""

import json
from collections import Counter
from typing import Any

from support import stand_in

FRAMES = 5
KEYS = ("launches", "synchronisations", "copies to host", "copies to device")


def main() -> None:
    """Count."""
    stand_in.use()
    import cupy

    from handopt.config import FitSettings
    from handopt.optimise import pose_fit
    from handopt.tracking.run import Run
    from support.examples import example
    from support.sequences import CAMERA, frames

    counts: Counter[str] = cupy.COUNTS
    iterations: list[Counter[str]] = []
    room: Any = pose_fit
    minimise = room.levenberg_marquardt

    def counted(problem: Any, state: Any, schedule: Any, solve: Any, told: Any, *, linearised: bool) -> Any:
        seen = Counter(counts)

        def record(number: int, at: Any, model: Any) -> None:
            nonlocal seen
            if number:
                iterations.append(Counter(counts) - seen)
            if told is not None:
                told(number, at, model)
            seen = Counter(counts)

        return minimise(problem, state, schedule, solve, record, linearised=linearised)

    room.levenberg_marquardt = counted
    counts.clear()
    example("open").fit(device="cuda", config=None)
    fitted = Counter(counts)
    inner = iterations[len(iterations) // 2]
    run = Run(CAMERA, "right", settings=FitSettings(device="cuda"))
    tracked: list[Counter[str]] = []
    for frame in frames("right")[:FRAMES]:
        counts.clear()
        run.push(frame)
        tracked.append(Counter(counts))
    found = {"iteration": inner, "fit": fitted, "frame": tracked[-1]}
    print(json.dumps({name: {key: each[key] for key in KEYS} for name, each in found.items()}))


if __name__ == "__main__":
    main()
