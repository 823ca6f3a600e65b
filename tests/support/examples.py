"""The examples that come with the project, and fits of them that tests share."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.config import Config, DescentStage, VertexStage
from handopt.fitting import Start, fit
from handopt.input.camera import Camera
from handopt.input.depth import read_depth
from handopt.input.sidecar import find_sidecar
from handopt.result import FitResult

Floats = NDArray[np.float64]

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "examples"
QUICK = Config(
    solver="gradient",
    starts=12,
    crop_px=64,
    points=96,
    stages=(
        DescentStage(iterations=8, radius_px=5.0, sigma_mm=30.0, step=1.0, top_k_out=4),
        DescentStage(iterations=8, radius_px=4.0, sigma_mm=20.0, step=0.5, top_k_out=3, scale=True, mutants=1),
        DescentStage(iterations=10, radius_px=3.0, sigma_mm=10.0, step=0.25, top_k_out=1, scale=True),
    ),
    vertices=VertexStage(iterations=12),
)
"""Settings for a gradient descent within a third of a second, good enough for an open hand."""


@dataclass(frozen=True)
class Example:
    """A depth image, its camera, and what it shows."""

    depth_mm: NDArray[np.float32]
    camera: Camera
    hand: str
    joints_mm: Floats
    truth: Start

    def error_mm(self, result: FitResult) -> float:
        """Mean distance of the fitted joints to the true ones."""
        return float(np.linalg.norm(result.joints_mm - self.joints_mm, axis=1).mean())

    def fit(self, **arguments: Any) -> FitResult:
        """Fit the true hand on the CPU, in short, unless told otherwise."""
        return fit(self.depth_mm, self.camera, **{"hand": self.hand, "device": "cpu", "config": QUICK, **arguments})


@cache
def example(name: str) -> Example:
    """Load assets/examples/NAME.png."""
    said = json.loads((FOLDER / f"{name}.json").read_text())
    beside = find_sidecar(FOLDER / f"{name}.png")
    camera = None if beside is None else beside.camera
    truth = Start(said["rotation"], said["translation_mm"], said["angles_rad"], said["scale"])
    depth = read_depth(FOLDER / f"{name}.png").depth_mm
    return Example(depth, camera, said["hand"], np.array(said["joints_mm"]), truth)


@cache
def fitted(name: str, hand: str | None = None) -> FitResult:
    """The fit of an example with the default settings; hand: the true one if None."""
    return example(name).fit(config=None, hand=hand or example(name).hand)


@cache
def by_descent(name: str) -> FitResult:
    """A short fit of an example by gradient descent."""
    return example(name).fit()


@cache
def with_vertices(name: str) -> FitResult:
    """The fit of an example's surface, from the true pose."""
    config = Config(solver="gradient", stages=QUICK.stages[2:])
    return example(name).fit(config=config, start=example(name).truth, shape="vertices")
