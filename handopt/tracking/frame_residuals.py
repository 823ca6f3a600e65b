"""Least squares of a frame within a sequence: what one image says, where the hand was going, and whose hand it is."""

from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from handopt.backend import Array, to_device
from handopt.config import Config, LMSettings
from handopt.hand_model import Hand, Pose
from handopt.objective.least_squares import LeastSquares, System
from handopt.objective.targets import FitTargets
from handopt.objective.terms import SCALES
from handopt.ops.minimise_poses import PosePriors
from handopt.ops.normal_equations import RIGID
from handopt.typing import Floats

REFERENCE_SIGMA_MM = 5.0
_NOTHING = np.zeros(0)
_NO_EVIDENCE = FitTargets(
    0, _NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, (), (), ()
)


def without_sizes(config: Config) -> Config:
    """The settings without the prior of size and proportions: a ShapeEstimate replaces it, or they are fixed."""
    return replace(config, weights=replace(config.weights, size=0.0, proportions=0.0))


@dataclass(frozen=True)
class Temporal:
    """What is expected of a frame: a pose, and how strongly to expect it.

    rotation: (3, 3); translation_mm: (3,); angles_rad: (15, 3). Weights are of squared deviations, in the units of the
    objective at a robust width of 5 mm; beyond the widths a deviation counts less and less (Geman and McClure, 1985),
    so that the image can overrule it.
    """

    rotation: Floats
    translation_mm: Floats
    angles_rad: Floats
    rotation_weight: float = 0.3
    translation_weight: float = 3e-5
    angles_weight: float = 0.1
    rotation_width: float = 0.3
    translation_width_mm: float = 30.0
    angles_width: float = 0.3

    def after(self, steps: float) -> "Temporal":
        """The same for a frame that comes after so many usual intervals: what is expected is known the less."""
        if steps <= 1:
            return self
        names = ("rotation_weight", "translation_weight", "angles_weight")
        return replace(self, **{name: getattr(self, name) / steps**2 for name in names})


@dataclass(frozen=True)
class ShapeEstimate:
    """Estimate of a hand's logarithm of scale and its proportions (14,): mean, and precision (14, 14)."""

    mean: Floats
    precision: Floats

    @classmethod
    def unknown(cls, config: Config, proportions: int, factor: float = 1.0) -> "ShapeEstimate":
        """The prior of a single fit, its precision times a factor."""
        weights = config.weights
        precision = [
            weights.size / SCALES.size_sigma**2,
            *[weights.proportions / SCALES.proportion_sigma**2] * proportions,
        ]
        return cls(np.zeros(1 + proportions), factor * np.diag(precision))

    @property
    def scale(self) -> float:
        """Scale of the whole hand."""
        return float(np.exp(self.mean[0]))

    @property
    def proportions(self) -> Floats:
        """Proportions (13,)."""
        return self.mean[1:]


class FrameResiduals(LeastSquares):
    """LeastSquares with a temporal term, and an estimate of the hand's shape in place of the prior of sizes."""

    def __init__(self, hand: Hand, config: Config) -> None:
        """hand: all vertices that are compared. config: with weights of 0 for size and proportions."""
        super().__init__(hand, _NO_EVIDENCE, config)
        self._shape: ShapeEstimate | None = None
        self._temporal: Temporal | None = None

    def at(
        self, hand: Hand, targets: FitTargets, shape: ShapeEstimate | None, temporal: Temporal | None
    ) -> "FrameResiduals":
        """A copy for another frame. hand: perhaps in other proportions; shape: None where these are fixed."""
        other = copy(self)  # what __init__ made of the hand holds in all proportions
        other.hand, other.targets, other._shape, other._temporal = hand, targets, shape, temporal
        return other

    @property
    def _has_temporal(self) -> bool:
        return self._temporal is not None

    def priors(self, pose: Pose, lm_settings: LMSettings, expected: Array | None) -> PosePriors:
        """What is expected of poses, as _add_priors has it."""
        priors = super().priors(pose, lm_settings, expected)
        if self._shape is not None:
            priors = replace(
                priors, shape_mean=self._on(self._shape.mean), shape_precision=self._on(self._shape.precision)
            )
        if self._temporal is None:
            return priors
        temporal = self._temporal
        parts = (temporal.angles_rad, temporal.rotation, temporal.translation_mm)
        weight, width = self._temporal_weights(temporal, lm_settings, temporal.angles_rad.size)
        return replace(
            priors,
            temporal_pose=self._on(np.concatenate([np.ravel(part) for part in parts])),
            temporal_weight=weight,
            temporal_width=width,
        )

    def _temporal_weights(self, temporal: Temporal, lm_settings: LMSettings, angles: int) -> tuple[Array, Array]:
        """Weights and widths (6 + angles,) of deviations of rotation, translation and angles."""
        factor, counts = (REFERENCE_SIGMA_MM / lm_settings.sigma_mm) ** 2, (3, 3, angles)
        weights = (temporal.rotation_weight, temporal.translation_weight, temporal.angles_weight)
        widths = (temporal.rotation_width, temporal.translation_width_mm, temporal.angles_width)
        return self._on(factor * np.repeat(weights, counts)), self._on(np.repeat(widths, counts))

    def _add_priors(
        self, pose: Pose, lm_settings: LMSettings, expected: Array | None, system: System, *, derivatives: bool
    ) -> None:
        super()._add_priors(pose, lm_settings, expected, system, derivatives=derivatives)
        if self._shape is not None:
            self._add_shape(pose, system, derivatives)
        if self._temporal is not None:
            self._add_temporal(self._temporal, pose, lm_settings, system, derivatives)

    def _add_shape(self, pose: Pose, system: System, derivatives: bool) -> None:
        shape, xp = self._shape, self._xp
        assert shape is not None
        off = xp.concatenate([xp.log(pose.scale)[:, None], pose.proportions], axis=1) - self._on(shape.mean)
        precision = self._on(shape.precision)
        slope = off @ precision
        system.terms["size"] = system.terms["size"] + (slope * off).sum(axis=1)
        if not derivatives:
            return
        system.gradient[:, RIGID - 1] += slope[:, 0]
        system.gradient[:, self._count :] += slope[:, 1:]
        numbers = np.r_[RIGID - 1, self._count : self._count + len(shape.mean) - 1]
        rows = to_device(numbers, self.hand.device, np.int64)
        system.hessian[:, rows[:, None], rows] += precision

    def _add_temporal(
        self, temporal: Temporal, pose: Pose, lm_settings: LMSettings, system: System, derivatives: bool
    ) -> None:
        xp = self._xp
        turn = _tangent(xp, pose.rotation @ self._on(temporal.rotation).T)
        shift = pose.translation - self._on(temporal.translation_mm)
        bend = (pose.angles - self._on(temporal.angles_rad)).reshape(len(pose), -1)[:, self._angles]
        offset = xp.concatenate([turn, shift, bend], axis=1)
        weight, width = self._temporal_weights(temporal, lm_settings, bend.shape[1])
        robust = 1 / (1 + (offset / width) ** 2)
        system.terms["temporal"] = (weight * offset**2 * robust).sum(axis=1)
        if not derivatives:
            return
        pull = weight * robust**2
        diagonal = system.hessian.reshape(len(pose), -1)[:, :: system.hessian.shape[1] + 1]  # a view
        for part, own in ((slice(0, 6), slice(0, 6)), (slice(RIGID, self._count), slice(6, None))):
            system.gradient[:, part] += (pull * offset)[:, own]
            diagonal[:, part] += pull[:, own]

    def _on(self, values: Any) -> Array:
        return to_device(values, self.hand.device, self.hand.rest.dtype)


def _tangent(xp: Any, rotation: Array) -> Array:
    """The rotation vectors (B, 3) of rotations (B, 3, 3) below half a turn."""
    skew = xp.stack(
        [
            rotation[:, 2, 1] - rotation[:, 1, 2],
            rotation[:, 0, 2] - rotation[:, 2, 0],
            rotation[:, 1, 0] - rotation[:, 0, 1],
        ],
        axis=1,
    )
    cosine = 0.5 * (xp.trace(rotation, axis1=1, axis2=2) - 1)
    angle = xp.arccos(cosine.clip(-1, 1))
    sine = 0.5 * xp.linalg.norm(skew, axis=1)
    return skew * (0.5 * angle / xp.maximum(sine, 1e-9))[:, None]


def learn(
    shape: ShapeEstimate, hessian: Floats, solution: Floats, count: int, forgetting: float, prior: ShapeEstimate
) -> ShapeEstimate:
    """The estimate after a frame that was solved with it.

    hessian: (P, P) full, the estimate's own part included; solution: (14,); count: where the proportions start in it.
    The frame's own information is the Schur complement of the pose in it.
    """
    rows = np.r_[RIGID - 1, count : len(hessian)]
    pose = np.setdiff1d(np.arange(len(hessian)), rows)
    inner = hessian[np.ix_(pose, pose)] + 1e-9 * np.eye(len(pose))
    across = hessian[np.ix_(rows, pose)]
    posterior = hessian[np.ix_(rows, rows)] - across @ np.linalg.solve(inner, across.T)
    gained = posterior - shape.precision
    values, vectors = np.linalg.eigh(0.5 * (gained + gained.T))
    gained = (vectors * np.maximum(values, 0)) @ vectors.T
    # Every frame brings the prior along, since frames err alike: else their common error would outweigh it in time.
    precision = forgetting * shape.precision + gained + prior.precision
    mean = np.linalg.solve(precision, (forgetting * shape.precision + gained) @ solution + prior.precision @ prior.mean)
    return ShapeEstimate(mean, precision)
