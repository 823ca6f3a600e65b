"""The best hypothesis, replayed from its start to its end for pictures and histories."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from handopt.backend import Array, namespace_of, to_device, to_numpy, using
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
    column; renders: gives (T, S, S) closeness at each iteration; target: (S, S) of the image; proportions: (S,)
    """

    view: int
    trace: Trace
    history: dict[str, AnyArray]
    joints_mm: Reals
    vertices_mm: Reals
    proportions: Reals
    renders: "Renders"
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
        mirrored = targets.mirrored[view]
        coefficients = to_numpy(targets.coefficients)[view].copy()
        renders = Renders(hand, joined, rests, history["radius_px"], coefficients, targets.size, mirrored)
        vertices, joints = renders.last()
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
            renders=renders,
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


@dataclass(frozen=True, eq=False)
class Renders:
    """Renders of a hand at each of T iterations, which take as long as a round and are made when they are asked for.

    pose: (T) on the host; rests: (V, 3) mm of each, None where it is the hand's own; radii: (T,) px; coefficients: of
    the crop of size x size pixels that is rendered; mirrored: whether the result is of its mirror image
    """

    hand: Hand
    pose: Pose
    rests: list[Any]
    radii: AnyArray
    coefficients: Reals
    size: int
    mirrored: bool

    def __call__(self) -> Reals:
        """The renders (T, S, S), each at its radius."""
        hand, count = self.hand, len(self.radii)
        with using(hand.device):
            _, _, vertices = self._posed(slice(0, count))
            coefficients = np.broadcast_to(self.coefficients, (count, *self.coefficients.shape))
            projected = project(vertices, to_device(coefficients.copy(), hand.device, coefficients.dtype))
            renders = np.empty((count, self.size, self.size), np.float32)
            for radius in np.unique(self.radii):
                rows = np.flatnonzero(self.radii == radius)
                picked = projected[to_device(rows, hand.device, np.int64)]
                renders[rows] = to_numpy(render_depth(picked, float(radius), self.size)[0])
        return renders[:, :, ::-1] if self.mirrored else renders

    def last(self) -> tuple[Reals, Reals]:
        """The last pose's vertices (V, 3) and joints (21, 3), mm."""
        count = len(self.radii)
        pose, transforms, vertices = self._posed(slice(count - 1, count))
        return to_numpy(vertices)[0], to_numpy(self.hand.joints(transforms, self.hand.keypoints_of(pose)))[0]

    def _posed(self, rows: slice) -> tuple[Pose, Array, Array]:
        """The poses of some iterations, their transforms, and their vertices (N, V, 3) mm."""
        hand, pose = self.hand, _on(self.hand, self.pose.part(rows))
        transforms = hand.transforms(pose)
        vertices = hand.vertices(transforms, hand.rest_of(pose))
        for row, rest in enumerate(self.rests[rows]):
            if rest is not None:
                vertices[row] = hand.vertices(transforms[row : row + 1], to_device(rest, hand.device))[0]
        return pose, transforms, vertices


def _on(hand: Hand, pose: Pose) -> Pose:
    """Poses on the device of a hand."""
    return Pose(*(to_device(array, hand.device, array.dtype) for array in vars(pose).values()))
