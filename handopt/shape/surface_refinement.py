"""Poses, size, proportions and a free surface at once, by Levenberg-Marquardt on all of them.

The system is sparse by the offsets (mesh neighbours) and small by the poses: an arrowhead with a sparse block.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from handopt.config import Config, LMSchedule, LMSettings
from handopt.errors import NumericalError
from handopt.hand_model import Pose
from handopt.objective.least_squares import LeastSquares
from handopt.objective.targets import FitTargets
from handopt.optimise.arrowhead import ArrowheadSystem
from handopt.optimise.levenberg_marquardt import levenberg_marquardt
from handopt.optimise.solution import Solution
from handopt.shape.bundle_adjustment import (
    RecordShape,
    SharedModel,
    SharedProblem,
    moved_together,
    shared_parameters,
)
from handopt.shape.state import HandShape, PosedShape, Template
from handopt.shape.surface_prior import SurfacePrior
from handopt.shape.vertex_hessian import VertexLinearisation, linearise_vertices
from handopt.typing import Floats

FeasibleStep = Callable[[Floats, Floats], Floats]

IMAGE_WEIGHT: Final = 1000.0
"""How many times an image's cost counts against the prior's: pixels are many, but their errors related. By hand."""
SCHEDULE: Final = LMSchedule(
    first_damping=1e-4, lowest_damping=0.0, highest_damping=1e9, accepted=0.2, refused=10.0, tolerance=1e-3
)
"""Chosen by hand: it starts close to the answer, where Gauss-Newton's own step is good. The bounds are never met."""


class SurfaceModel(SharedModel):
    """SharedModel with the offsets of the rest vertices, linearised when they are first asked for."""

    def __init__(
        self,
        template: Template,
        problem: LeastSquares,
        state: PosedShape,
        lm_settings: LMSettings,
        prior: float,
        *,
        derivatives: bool,
    ) -> None:
        super().__init__(problem, state.pose, lm_settings, prior, derivatives=derivatives)
        self.offsets_mm = state.shape.offsets_mm
        self._template, self._lm_settings = template, lm_settings

    @cached_property
    def vertices(self) -> VertexLinearisation:
        """What the images say of the rest vertices."""
        return linearise_vertices(self.problem, self.pose, self._lm_settings, self._template)

    def arrowhead(self, prior: SurfacePrior, damping: float = 0.0) -> ArrowheadSystem:
        """The normal equations, the prior's included. Raises NumericalError where they are not finite."""
        by_offsets = self.vertices
        parts = (self.hessian, self.gradient, by_offsets.curvature.data, by_offsets.gradient, by_offsets.cross)
        if not all(np.isfinite(part).all() for part in parts):
            raise NumericalError(
                "the objective is not finite for the shared hand; check depth_mm=, camera= and the weights"
            )
        field = by_offsets.curvature + prior.precision / IMAGE_WEIGHT
        shared = shared_parameters(self.hessian.shape[1], self.pose.proportions.shape[1])
        return ArrowheadSystem(self.hessian, shared, field, by_offsets.cross, damping)


@dataclass(frozen=True)
class SurfaceStep:
    """A step (B, P) of the poses and (V, 3) mm of the offsets."""

    poses: Floats
    offsets_mm: Floats


@dataclass(frozen=True, eq=False)
class SurfaceRefinement:
    """What stays the same while poses and shape move.

    feasible_step: given offsets (V, 3) and a change of them, as much of the change as leaves a valid mesh
    """

    template: Template
    targets: FitTargets
    config: Config
    prior: SurfacePrior
    feasible_step: FeasibleStep

    def run(
        self, pose: Pose, shape: HandShape, lm_settings: LMSettings, record: RecordShape | None = None
    ) -> Solution[PosedShape, SurfaceModel]:
        """Run the iterations of lm_settings, scale and proportions free. Raises NumericalError.

        record: called after every iteration. The solution's model may lack derivatives.
        """

        def notify(iteration: int, state: PosedShape, model: SurfaceModel) -> None:
            if record is not None and iteration:
                record(state.pose, model.terms, state.shape.offsets_mm)

        problem = SurfaceProblem(self, lm_settings)
        schedule = replace(SCHEDULE, iterations=lm_settings.iterations)
        start = PosedShape.of(pose, shape)
        return levenberg_marquardt(problem, start, schedule, problem.solve, notify, linearised=False)

    def deviations(
        self, pose: Pose, shape: HandShape, lm_settings: LMSettings, by_shared: Floats, by_offsets: Floats
    ) -> Floats:
        """Posterior standard deviations (M,) of lengths, given their derivatives.

        by_shared: (M, 1 + S) by the logarithm of the scale and the proportions; by_offsets: (M, 3 V). The posterior is
        the Gaussian of the normal equations (Laplace's approximation); whatever the model cannot express is not in it.
        Raises NumericalError.
        """
        model = SurfaceProblem(self, lm_settings).evaluate(PosedShape.of(pose, shape))
        arrowhead = model.arrowhead(self.prior)
        dense = np.zeros((arrowhead.rows + by_shared.shape[1], len(by_shared)))
        dense[arrowhead.rows :] = by_shared.T
        move, change = arrowhead.solve(dense, by_offsets.T)
        variances = (np.einsum("nm,nm->m", dense, move) + np.einsum("mv,vm->m", by_offsets, change)) / IMAGE_WEIGHT
        return np.asarray(np.sqrt(np.maximum(variances, 0)))


class SurfaceProblem(SharedProblem[SurfaceModel]):
    """The images' cost plus the surface prior's as one sum of squares, under one stage's settings."""

    def __init__(self, refinement: SurfaceRefinement, lm_settings: LMSettings) -> None:
        self._refinement, self._lm_settings = refinement, lm_settings

    def evaluate(self, state: PosedShape, *, derivatives: bool = True) -> SurfaceModel:
        """The cost of all images and of the offsets."""
        given, offsets = self._refinement, state.shape.offsets_mm
        problem = LeastSquares(given.template.hand(offsets), given.targets, given.config)
        prior = given.prior.cost(offsets) / IMAGE_WEIGHT
        return SurfaceModel(given.template, problem, state, self._lm_settings, prior, derivatives=derivatives)

    def solve(self, model: SurfaceModel, damping: Floats) -> SurfaceStep:
        """The damped Gauss-Newton step of poses and offsets."""
        prior = self._refinement.prior
        arrowhead = model.arrowhead(prior, float(damping[0]))
        slope = model.vertices.gradient + (prior.precision / IMAGE_WEIGHT) @ model.offsets_mm.ravel()
        move, change = arrowhead.solve(-arrowhead.gathered(model.gradient)[:, None], -slope[:, None])
        return SurfaceStep(arrowhead.scattered(move[:, 0]), change.reshape(-1, 3))

    def moved(self, state: PosedShape, step: SurfaceStep) -> PosedShape:
        """The state after a step, whose offsets give way where they would make the mesh invalid."""
        offsets = state.shape.offsets_mm
        moved = moved_together(self._refinement.template.parameters, state, step.poses)
        change = self._refinement.feasible_step(offsets, step.offsets_mm)
        return replace(moved, shape=replace(moved.shape, offsets_mm=offsets + change))
