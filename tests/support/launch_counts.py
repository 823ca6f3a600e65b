"""Counts launches, synchronisations and copies of an LM iteration, fits and a tracked frame on the stand-in for CuPy.

An iteration is one of the last round, with proportions, which has the most parameters. "again" is the third fit of the
same sizes, whose rounds are CUDA graphs by then, as those of the frame. Run as a process of its own: python -m
support.launch_counts. Prints them as JSON.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from support import stand_in

FRAMES = 5
KEYS = ("launches", "synchronisations", "copies to host", "copies to device")


def main() -> None:
    """Count."""
    stand_in.use()
    import cupy

    from handopt.config import FitSettings
    from handopt.objective.least_squares import LeastSquares
    from handopt.tracking.run import Run
    from support.examples import example
    from support.sequences import CAMERA, frames

    counts: Counter[str] = cupy.COUNTS
    rounds: list[Callable[[int], object]] = []
    problems: Any = LeastSquares
    minimum = problems.minimum

    def remembered(self: LeastSquares, pose: Any, lm: Any, schedule: Any, *given: Any, **options: Any) -> Any:
        if schedule.iterations:
            rounds.append(lambda n: minimum(self, pose, lm, replace(schedule, iterations=n), *given, **options))
        return minimum(self, pose, lm, schedule, *given, **options)

    problems.minimum = remembered
    counts.clear()
    example("open").fit(device="cuda", config=None)
    fitted = Counter(counts)
    few, more = (_counted(counts, rounds[-1], iterations) for iterations in (4, 5))
    inner = Counter({name: more[name] - few[name] for name in KEYS})
    for _ in range(2):
        counts.clear()
        example("open").fit(device="cuda", config=None)
    again = Counter(counts)
    run = Run(CAMERA, "right", settings=FitSettings(device="cuda"))
    tracked: list[Counter[str]] = []
    for frame in frames("right")[:FRAMES]:
        counts.clear()
        run.push(frame)
        tracked.append(Counter(counts))
    found = {"iteration": inner, "fit": fitted, "again": again, "frame": tracked[-1]}
    print(json.dumps({name: {key: each[key] for key in KEYS} for name, each in found.items()}))


def _counted(counts: Counter[str], minimise: Callable[[int], object], iterations: int) -> Counter[str]:
    """What so many iterations of a round cost."""
    counts.clear()
    minimise(iterations)
    return Counter(counts)


if __name__ == "__main__":
    main()
