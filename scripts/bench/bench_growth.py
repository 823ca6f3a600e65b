#!/usr/bin/env python3
"""Measure how the time of a fit grows with its work: images, hypotheses, vertices and pixels.

    python scripts/bench/bench_growth.py -o growth              # growth.json and growth.png, for some minutes
    python scripts/bench/bench_growth.py --only pixels --rounds 5

CPU time on one thread, so that other programs change little; every round measures every size once, in turn, and the
median counts. An exponent e says that time grows like size to the power of e: "all" over all sizes, "end" over the last
two alone, where what every fit costs weighs least. The plot needs Matplotlib: pip install '.[plots]'.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from handopt import Camera, Config, FitInput, Rig, default_rig, fit, fit_many
from handopt.backend import one_cpu_thread
from handopt.synth.generate import CAMERA, Settings, generate
from handopt.typing import FloatImage

SEED = 271828
FORMAT = "handopt.growth/1"
IMAGES = (1, 2, 4, 8, 16, 32)
HYPOTHESES = (16, 32, 64, 128, 256, 512, 1000)
"""Starts of the tournament, up to the most that settings allow."""
SUBDIVIDED = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)
"""How often the mesh is subdivided; of the last time maybe only a part of its faces."""
SCALES = (0.5, 1.0, 2.0, 3.0, 4.5, 6.0)
"""Of images of 640 x 480: the last has 3840 x 2880 pixels, more than 4K's 3840 x 2160."""
ONCE = Config(retry=1.0)
"""No second search, whatever the first one leaves unexplained: else sizes do different work."""

Case = tuple[int, Callable[[], Any]]


@dataclass(frozen=True)
class Growth:
    """What grows, and a case for each size."""

    name: str
    cases: list[Case]


def growths(only: set[str], level: str) -> Iterator[Growth]:
    """What is to be measured; its inputs are made here, before any clock runs. level: of the synthetic images."""
    depths = [generate(Settings(seed=SEED), level, index).counts.astype(np.float32) for index in range(max(IMAGES))]
    alone = partial(fit, hand="right", device="cpu")
    if "images" in only:
        given = [FitInput(each, CAMERA, "right") for each in depths]
        yield Growth("images", [(count, partial(together, given[:count])) for count in IMAGES])
    if "hypotheses" in only:
        configs = [replace(ONCE, proposals=count) for count in HYPOTHESES]
        yield Growth(
            "hypotheses", [(each.proposals, partial(alone, depths[0], CAMERA, config=each)) for each in configs]
        )
    if "vertices" in only:
        rigs = [subdivided(default_rig("right"), times) for times in SUBDIVIDED]
        yield Growth(
            "vertices", [(len(rig.rest_mm), partial(alone, depths[0], CAMERA, rig=rig, config=ONCE)) for rig in rigs]
        )
    if "pixels" in only:
        scaled = [enlarged(depths[0], CAMERA, scale) for scale in SCALES]
        yield Growth("pixels", [(depth.size, partial(alone, depth, camera, config=ONCE)) for depth, camera in scaled])


def together(given: list[FitInput]) -> list[Any]:
    """Fit images as one batch. Raises what is wrong with one of them."""
    results = list(fit_many(given, config=ONCE, device="cpu", batch=len(given)))
    for each in results:
        if isinstance(each, Exception):
            raise each
    return results


def subdivided(rig: Rig, times: float) -> Rig:
    """A rig with more vertices: each face is cut in four at the middles of its edges, whose skin is that of both ends.

    times: how often; of the last time a share of the faces, beside which edges stay whole.
    """
    while times > 0:
        share, times = min(times, 1.0), times - 1.0
        cut, kept = np.split(rig.faces, [round(share * len(rig.faces))])
        edges = np.sort(np.concatenate([cut[:, [0, 1]], cut[:, [1, 2]], cut[:, [2, 0]]]), axis=1)
        edges, inverse = np.unique(edges, axis=0, return_inverse=True)
        middle = len(rig.rest_mm) + inverse.reshape(3, -1).T
        corners = [np.stack([cut[:, corner], middle[:, corner], middle[:, corner - 1]], axis=1) for corner in range(3)]
        weights = dense_weights(rig)
        rig = replace(
            rig,
            rest_mm=np.concatenate([rig.rest_mm, rig.rest_mm[edges].mean(axis=1)]),
            faces=np.concatenate([*corners, middle, kept]).astype(np.int32),
            **sparse_weights(np.concatenate([weights, weights[edges].mean(axis=1)]), rig.skin_indices.shape[1]),
        )
    return rig


def dense_weights(rig: Rig) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Skinning weights (V, J)."""
    weights = np.zeros((len(rig.rest_mm), len(rig.joint_names)))
    np.add.at(weights, (np.arange(len(weights))[:, None], rig.skin_indices), rig.skin_weights)
    return weights


def sparse_weights(weights: np.ndarray[Any, np.dtype[np.float64]], count: int) -> dict[str, Any]:
    """The largest weights of each vertex, and their joints. count: of them."""
    indices = np.argsort(-weights, axis=1, kind="stable")[:, :count]
    largest = np.take_along_axis(weights, indices, axis=1)
    return {
        "skin_indices": indices.astype(np.int32),
        "skin_weights": largest / largest.sum(axis=1, keepdims=True),
    }


def enlarged(depth: FloatImage, camera: Camera, scale: float) -> tuple[FloatImage, Camera]:
    """The same image by a camera of more or fewer pixels, each of which takes the nearest one."""
    width, height = round(scale * camera.width), round(scale * camera.height)
    rows, columns = (
        np.minimum(np.arange(n) / scale, m - 1).astype(int) for n, m in ((height, camera.height), (width, camera.width))
    )
    middle = [scale * (each + 0.5) - 0.5 for each in (camera.cx, camera.cy)]
    return np.ascontiguousarray(depth[rows][:, columns]), Camera(
        scale * camera.fx, scale * camera.fy, *middle, width, height
    )


def measured(growth: Growth, rounds: int) -> dict[str, Any]:
    """Median seconds of CPU time of each size, their spread, and the exponents."""
    growth.cases[0][1]()
    samples: list[list[float]] = [[] for _ in growth.cases]
    for _ in range(rounds):
        for (_, run), times in zip(growth.cases, samples, strict=True):
            started = time.process_time()
            run()
            times.append(time.process_time() - started)
    sizes, seconds = [size for size, _ in growth.cases], [float(np.median(times)) for times in samples]
    slope = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
    return {
        "sizes": sizes, "seconds": seconds, "least": [min(times) for times in samples],
        "most": [max(times) for times in samples], "exponent": {"all": slope, "end": slopes(sizes, seconds)[-1]},
    }  # fmt: skip


def slopes(sizes: list[int], seconds: list[float]) -> list[float]:
    """The exponent between each two neighbours."""
    return [
        float(np.log(t1 / t0) / np.log(n1 / n0))
        for (n0, n1), (t0, t1) in zip(pairwise(sizes), pairwise(seconds), strict=True)
    ]


def draw(found: dict[str, dict[str, Any]], path: Path) -> None:
    """One panel for each thing that grows, both axes logarithmic."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure((3.4 * len(found), 3.2), dpi=80, layout="constrained")
    for axes, (name, row) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        axes.loglog(row["sizes"], row["seconds"], "o-", color="#1b6ca8")
        axes.fill_between(row["sizes"], row["least"], row["most"], color="#1b6ca8", alpha=0.2, linewidth=0)
        end = row["exponent"]["end"]
        axes.set_title(f"{name}: exponent {row['exponent']['all']:.2f}, at the end {end:.2f}", fontsize=8)
        axes.set_xlabel(name)
        axes.set_ylabel("CPU time of a call, s")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(visible=True, which="both", alpha=0.2)
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print a table, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("images", "hypotheses", "vertices", "pixels")
    parser.add_argument("--only", default=",".join(parts), help=f"parts, separated by commas, of {', '.join(parts)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--level", default="medium", help="of the synthetic images")
    parser.add_argument("-o", "--output", type=Path, help="stem of a JSON file and a PNG plot")
    options = parser.parse_args(arguments)
    only = set(options.only.split(","))
    if not only <= set(parts):
        parser.error(f"--only: expected some of {', '.join(parts)}")
    found: dict[str, dict[str, Any]] = {}
    with one_cpu_thread():
        for growth in growths(only, options.level):
            found[growth.name] = row = measured(growth, options.rounds)
            times = ", ".join(f"{n:,}: {1e3 * t:.0f}" for n, t in zip(row["sizes"], row["seconds"], strict=True))
            every, end = row["exponent"]["all"], row["exponent"]["end"]
            print(f"{growth.name}: exponent {every:.2f}, at the end {end:.2f}; ms for {times}", flush=True)
    if options.output:
        here = {"machine": platform.machine(), "cores": os.cpu_count(), "date": datetime.now(UTC).date().isoformat()}
        text = json.dumps({"format": FORMAT, **here, "rows": found}, indent=1) + "\n"
        options.output.with_suffix(".json").write_text(text, encoding="utf-8")
        draw(found, options.output.with_suffix(".png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
