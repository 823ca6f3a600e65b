"""The best hypothesis, replayed from its start to its end for pictures and histories."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from handopt.backend import namespace_of, to_device, to_numpy
from handopt.hand_model import Hand, Pose
from handopt.objective.targets import FitTargets
from handopt.ops.projection import project
from handopt.ops.splat import render_depth
from handopt.optimise.history import SearchHistory
from handopt.result import Trace
from handopt.rig.anatomy import MIRROR
from handopt.typing import AnyArray, Reals

SCHEDULE_COLUMNS = ("stage", "radius_px", "step")
"""Columns of a history that are no terms."""


@dataclass(frozen=True)
class BestHypothesis:
    """The best hypothesis, on the host, mirrored back where the hand is a left one.

    view: number of the image that it fits; trace: its pose at each iteration; history: its terms and the schedule, by
    column; renders: (T, S, S) closeness at each iteration, target: (S, S) of the image; proportions: (S,)
    """

    view: int
    trace: Trace
    history: dict[str, AnyArray]
    joints_mm: Reals
    vertices_mm: Reals
    proportions: Reals
    renders: Reals
    target: Reals
    converged: bool

    @classmethod
    def of(cls, search: SearchHistory, row: int, targets: FitTargets, hand: Hand) -> "BestHypothesis":
        """Follow one hypothesis, a row of the survivors, through all iterations, and render each of them."""
        path = search.path(row)
        view = int(to_numpy(search.pose.image)[row])
        flip = np.diag(MIRROR) if targets.mirrored[view] else np.eye(3)
        parts = [iteration.pose.part(slice(row, row + 1)) for iteration, row in path]
        xp = namespace_of(parts[0].scale)
        joined = Pose(
            *(to_numpy(xp.concatenate([getattr(part, f.name) for part in parts])) for f in dataclasses.fields(Pose))
        )
        rests = [iteration.rest for iteration, _ in path]
        names = dict.fromkeys(name for iteration, _ in path for name in iteration.terms)
        history: dict[str, AnyArray] = {
            name: np.array([each.terms[name][row] if name in each.terms else np.nan for each, row in path])
            for name in names
        }
        history["total"] = np.nansum(list(history.values()), axis=0)
        history["stage"] = np.array([iteration.stage for iteration, _ in path])
        history["radius_px"] = np.array([iteration.radius_px for iteration, _ in path])
        history["step"] = np.array([iteration.factor for iteration, _ in path])
        vertices, joints, renders = _replay(hand, targets, joined, rests, history["radius_px"])
        mirrored = targets.mirrored[view]
        observed = to_numpy(targets.target(float(history["radius_px"][-1])))[view]
        rest_trace = None
        if rests[-1] is not None:
            shapes = to_numpy(hand.rest_of(_on(hand, joined)))
            shapes = np.broadcast_to(shapes, (len(rests), *shapes.shape[-2:]))
            rest_trace = np.stack([s if rest is None else rest for s, rest in zip(shapes, rests, strict=True)]) @ flip
        return cls(
            view=view,
            trace=Trace(
                rotation=flip @ joined.rotation.astype(np.float64) @ flip,
                translation_mm=joined.translation.astype(np.float64) @ flip,
                angles_rad=joined.angles.astype(np.float64),
                scale=joined.scale.astype(np.float64),
                rest_mm=rest_trace,
            ),
            history=history,
            joints_mm=joints.astype(np.float64) @ flip,
            vertices_mm=vertices.astype(np.float64) @ flip,
            proportions=joined.proportions[-1].astype(np.float64),
            renders=renders[:, :, ::-1] if mirrored else renders,
            target=observed[:, ::-1] if mirrored else observed,
            converged=search.converged[view],
        )

    def rescaled(self, factor: float) -> "BestHypothesis":
        """The same hypothesis of a hand that is larger by a factor."""
        trace, rest = self.trace, self.trace.rest_mm
        scaled = dataclasses.replace(
            trace, translation_mm=trace.translation_mm * factor, scale=trace.scale * factor, rest_mm=rest
        )
        return dataclasses.replace(
            self, trace=scaled, joints_mm=self.joints_mm * factor, vertices_mm=self.vertices_mm * factor
        )

    def facts(self) -> dict[str, Any]:
        """The fields of a FitResult that the hypothesis itself determines."""
        return {
            "converged": self.converged,
            "joints_mm": self.joints_mm,
            "vertices_mm": self.vertices_mm,
            "rotation": self.trace.rotation[-1],
            "translation_mm": self.trace.translation_mm[-1],
            "angles_rad": self.trace.angles_rad[-1],
            "scale": float(self.trace.scale[-1]),
            "proportions": self.proportions,
            "terms": {name: float(values[-1]) for name, values in self.history.items() if name not in SCHEDULE_COLUMNS},
            "iterations": len(self.trace.scale),
            "history": self.history,
            "trace": self.trace,
            "renders": self.renders,
            "target": self.target,
        }


def _replay(
    hand: Hand, targets: FitTargets, pose: Pose, rests: list[Any], radii: AnyArray
) -> tuple[Reals, Reals, Reals]:
    """The last pose's vertices and joints, and a render of every pose at its radius."""
    device = hand.device
    on_device = _on(hand, pose)
    transforms = hand.transforms(on_device)
    vertices = hand.vertices(transforms, hand.rest_of(on_device))
    for row, rest in enumerate(rests):
        if rest is not None:
            vertices[row] = hand.vertices(transforms[row : row + 1], to_device(rest, device))[0]
    projected = project(vertices, targets.coefficients[on_device.image])
    renders = np.empty((len(radii), targets.size, targets.size), np.float32)
    for radius in np.unique(radii):
        rows = np.flatnonzero(radii == radius)
        picked = projected[to_device(rows, device, np.int64)]
        renders[rows] = to_numpy(render_depth(picked, float(radius), targets.size)[0])
    return to_numpy(vertices[-1]), to_numpy(hand.joints(transforms, hand.keypoints_of(on_device))[-1]), renders


def _on(hand: Hand, pose: Pose) -> Pose:
    """Poses on the device of a hand."""
    return Pose(*(to_device(array, hand.device, array.dtype) for array in vars(pose).values()))
