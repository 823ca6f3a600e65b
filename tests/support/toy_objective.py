"""A toy objective whose minimum is known, for the tests of gradient descent, and what every search must fulfil."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.config import Config, DescentStage, Steps
from handopt.hand_model import Pose
from handopt.objective.descent_objective import Gradient, total_of
from handopt.optimise.history import SearchHistory
from support.compare import assert_close, assert_same_bits
from support.observation_factory import CPU

Floats = NDArray[np.float64]

REST = np.zeros((4, 3))


class ToyObjective:
    """Squared distance of the wrist to a goal of each image, of the angles to a goal, of the scale to 1.2, of vertices.

    spoil: changes the terms of an evaluation, to make them wrong.
    """

    def __init__(self, goals: Any, angles: Floats | None = None) -> None:
        self.hand = SimpleNamespace(device=CPU, rest=REST, rest_of=lambda _pose: REST)
        self.goals = np.asarray(goals, np.float64)
        self.angles = np.zeros((15, 3)) if angles is None else angles
        self.spoil: Callable[[dict[str, Floats], Pose], None] = lambda _terms, _pose: None
        self.depths: list[float] = []
        self.asked: list[tuple[float, float]] = []

    def level(self, radius_px: float, sigma_mm: float, depth: float = 1.0) -> Any:
        self.asked.append((radius_px, sigma_mm))
        self.depths.append(depth)
        return SimpleNamespace(radius_px=radius_px, sigma_mm=sigma_mm)

    def terms(self, pose: Pose, _sharpness: Any, rest: Floats | None = None) -> dict[str, Floats]:
        terms = {
            "far": (((pose.translation - self.goals[pose.image]) / 10) ** 2).sum(axis=1),
            "bent": ((pose.angles - self.angles) ** 2).sum(axis=(1, 2)),
            "big": (pose.scale - 1.2) ** 2,
            "rough": np.full(len(pose), 0.0 if rest is None else float(((rest - 1) ** 2).sum())),
        }
        self.spoil(terms, pose)
        return terms

    def terms_and_gradient(
        self, pose: Pose, level: Any, rest: Floats | None = None
    ) -> tuple[dict[str, Floats], Gradient]:
        away = (pose.translation - self.goals[pose.image]) / 50
        slopes = 2 * (pose.angles - self.angles), np.zeros_like(away), away, 2 * (pose.scale - 1.2)
        return self.terms(pose, level, rest), Gradient(*slopes, None if rest is None else 2 * (rest - 1))


def wrists(positions: Any, images: Any = None) -> Pose:
    """Open hands at the given positions."""
    positions = np.array(positions, np.float64)
    count = len(positions)
    images = np.zeros(count) if images is None else images
    return Pose(
        np.zeros((count, 15, 3)), np.tile(np.eye(3), (count, 1, 1)), positions, np.ones(count),
        np.asarray(images, np.int32), np.zeros((count, 0)),
    )  # fmt: skip


def stage(iterations: int, top_k_out: int, **more: Any) -> DescentStage:
    return DescentStage(
        **{"radius_px": 4.0, "sigma_mm": 20.0, "step": 1.0, "iterations": iterations, "top_k_out": top_k_out, **more}
    )


def settings(*stages: DescentStage, **more: Any) -> Config:
    steps = Steps(rotation_rad=0.05, translation_mm=3.0, angles_rad=0.1, scale=0.02, vertices_mm=0.1)
    return Config(**{"stages": stages, "steps": steps, "tolerance": 0.0, **more})


def check_consistent(objective: Any, history: SearchHistory) -> None:
    """Survivors are sorted, their totals are those of their poses, and their paths end in them."""
    totals = total_of(objective.terms(history.pose, None))
    assert_close(history.totals, totals, rtol=1e-12, reason="the best pose of the last stage, evaluated again")
    assert (np.diff(history.totals) >= 0).all()
    assert len(np.unique(history.ids)) == len(history.ids)
    for row in range(len(history.pose)):
        path = history.path(row)
        assert [step for step, _ in path] == history.iterations, "one row of every step"
        step, last = path[-1]
        for name in ("angles", "rotation", "translation", "scale", "image"):
            assert_same_bits(getattr(step.pose, name)[last], getattr(history.pose, name)[row], name)
        assert_close(step.total[last], history.totals[row], rtol=1e-12, reason="the same pose")
