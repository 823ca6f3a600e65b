"""Poses, size, proportions and a free surface at once: Gauss-Newton on everything, with the surface eliminated first.

The system is sparse by the offsets (mesh neighbours) and small by the poses; offsets are eliminated through a sparse
factorisation, and what is left is a dense system of all poses and the shared parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handopt.backend import to_device, to_numpy
from handopt.config import Config, LMSettings
from handopt.hand_model import Pose
from handopt.objective.least_squares import LeastSquares, System
from handopt.objective.targets import FitTargets
from handopt.shape.bundle_adjustment import Record, free_lengths, notify, own_and_common, total_of, whole_hessian
from handopt.shape.state import HandShape, Template, shared
from handopt.shape.surface_prior import SurfacePrior
from handopt.shape.vertex_hessian import VertexLinearisation, linearise_vertices

Floats = NDArray[np.float64]
Admit = Callable[[Floats, Floats], Floats]

IMAGE_WEIGHT: Final = 1000.0
"""How many times an image's cost counts against the prior's: its pixels are many, but their errors are related."""
FIRST_DAMPING: Final = 1e-4
ACCEPTED, REFUSED = 0.2, 10.0
ENOUGH: Final = 1e-3
"""Relative decrease of the cost below which the iterations end."""


class ArrowheadSystem:
    """The normal equations of B poses (P parameters, some of them common to all) and an offset field (3 V).

    Unknowns are the poses' own parameters one after the other, then the common ones; and the offsets apart.
    """

    def __init__(self, system: System, pull: VertexLinearisation, precision: Any, damping: float = 0.0) -> None:
        """precision: of the offsets' prior (3 V, 3 V), in the costs' unit."""
        from scipy.sparse import csc_array
        from scipy.sparse.linalg import splu

        hessian = whole_hessian(system)
        self.count, self.size = hessian.shape[:2]
        self.own, self.common = own_and_common(self.size)
        each, self.rows = len(self.own), len(self.own) * self.count
        dense = np.zeros((self.rows + len(self.common),) * 2)
        mixed = np.empty((len(dense), pull.cross.shape[2]))
        for image in range(self.count):
            part = slice(each * image, each * (image + 1))
            dense[part, part] = hessian[image][np.ix_(self.own, self.own)]
            dense[part, self.rows :] = hessian[image][np.ix_(self.own, self.common)]
            mixed[part] = pull.cross[image][self.own]
        dense[self.rows :, : self.rows] = dense[: self.rows, self.rows :].T
        dense[self.rows :, self.rows :] = hessian[:, self.common[:, None], self.common].sum(axis=0)
        mixed[self.rows :] = pull.cross[:, self.common].sum(axis=0)
        diagonal = dense[np.diag_indices_from(dense)]
        dense[np.diag_indices_from(dense)] += damping * diagonal + (diagonal <= 1e-12)
        self._factor = splu(
            csc_array(pull.curvature + precision), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )  # fmt: skip
        self._mixed, self._solved = mixed, self._factor.solve(mixed.T)
        self._schur = dense - mixed @ self._solved

    def solve(self, dense: Floats, field: Floats) -> tuple[Floats, Floats]:
        """Solve for right-hand sides (N, n) of poses and common parameters, and (3 V, n) of the offsets."""
        partial = self._factor.solve(np.ascontiguousarray(field))
        move = np.linalg.solve(self._schur, dense - self._mixed @ partial)
        return move, partial - self._solved @ move

    def gathered(self, gradient: Floats) -> Floats:
        """The gradients (B, P) of all poses by the unknowns (N,)."""
        return np.concatenate([gradient[:, self.own].ravel(), gradient[:, self.common].sum(axis=0)])

    def scattered(self, move: Floats) -> Floats:
        """A step (N,) of the unknowns as steps (B, P) of the poses."""
        step = np.empty((self.count, self.size))
        step[:, self.own] = move[: self.rows].reshape(self.count, -1)
        step[:, self.common] = move[self.rows :]
        return step


@dataclass(frozen=True)
class Together:
    """What stays the same while poses and shape move.

    admit: given offsets (V, 3) and a change of them, as much of the change as leaves a sound hand
    """

    template: Template
    targets: FitTargets
    config: Config
    prior: SurfacePrior
    feasible_step: Admit

    def run(
        self, pose: Pose, shape: HandShape, lm_settings: LMSettings, record: Record | None = None
    ) -> tuple[Pose, HandShape, float]:
        """Run an approach's iterations; a step is taken where it lowers the images' cost plus the prior's."""
        pose, damping = shared(pose, shape), FIRST_DAMPING
        problem, system, total = self._evaluated(pose, shape, lm_settings)
        pull = None
        for _ in range(lm_settings.iterations):
            if pull is None:
                pull = linearise_vertices(problem, pose, lm_settings, self.template)
                free_lengths(problem, pose, system)
            moved, trial = self._trial(problem, pose, shape, system, pull, damping)
            found = self._evaluated(moved, trial, lm_settings)
            fell = total - found[2]
            if fell > 0:
                pose, shape, pull = moved, trial, None
                problem, system, total = found
                damping *= ACCEPTED
            else:
                damping *= REFUSED
            notify(record, pose, system, shape)
            if 0 < fell < ENOUGH * total:
                break
        return pose, shape, total

    def deviations(
        self, pose: Pose, shape: HandShape, lm_settings: LMSettings, by_common: Floats, by_offsets: Floats
    ) -> Floats:
        """Posterior standard deviations (M,) of lengths, given their derivatives.

        by_common: (M, 1 + S) by the logarithm of the scale and the proportions; by_offsets: (M, 3 V). The posterior is
        the Gaussian of the normal equations (Laplace's approximation); whatever the model cannot express is not in it.
        """
        pose = shared(pose, shape)
        problem, system, _ = self._evaluated(pose, shape, lm_settings)
        pull = linearise_vertices(problem, pose, lm_settings, self.template)
        arrow = ArrowheadSystem(system, pull, self.prior.precision / IMAGE_WEIGHT)
        dense = np.zeros((arrow.rows + len(arrow.common), len(by_common)))
        dense[arrow.rows :] = by_common.T
        move, change = arrow.solve(dense, by_offsets.T)
        variances = (np.einsum("nm,nm->m", dense, move) + np.einsum("mv,vm->m", by_offsets, change)) / IMAGE_WEIGHT
        return np.asarray(np.sqrt(np.maximum(variances, 0)))

    def _trial(
        self,
        problem: LeastSquares,
        pose: Pose,
        shape: HandShape,
        system: System,
        pull: VertexLinearisation,
        damping: float,
    ) -> tuple[Pose, HandShape]:
        """The poses and the shape after a damped step."""
        precision = self.prior.precision / IMAGE_WEIGHT
        arrow = ArrowheadSystem(system, pull, precision, damping)
        gradient = arrow.gathered(to_numpy(system.gradient).astype(np.float64))
        slope = pull.gradient + precision @ shape.offsets_mm.ravel()
        move, change = arrow.solve(-gradient[:, None], -slope[:, None])
        step = to_device(arrow.scattered(move[:, 0]), problem.hand.device, pose.scale.dtype)
        moved = problem.moved(pose, step)
        return moved, replace(
            shape,
            scale=float(to_numpy(moved.scale)[0]),
            proportions=to_numpy(moved.proportions)[0].astype(np.float64),
            offsets_mm=shape.offsets_mm + self.feasible_step(shape.offsets_mm, change.reshape(-1, 3)),
        )

    def _evaluated(self, pose: Pose, shape: HandShape, lm_settings: LMSettings) -> tuple[LeastSquares, System, float]:
        problem = LeastSquares(self.template.hand(shape.offsets_mm), self.targets, self.config)
        system = problem.system(pose, lm_settings)
        return problem, system, total_of(system) + self.prior.cost(shape.offsets_mm) / IMAGE_WEIGHT
