"""Poses, size, proportions and a free surface at once, by Levenberg-Marquardt on all of them.

The system is sparse by the offsets (mesh neighbours) and small by the poses: an arrowhead with a sparse block.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from handopt.config import Config, LMSchedule, LMSettings
from handopt.hand_model import Pose
from handopt.objective.least_squares import LeastSquares
from handopt.objective.targets import FitTargets
from handopt.optimise.arrowhead import ArrowheadSystem
from handopt.optimise.levenberg_marquardt import levenberg_marquardt
from handopt.optimise.solution import Solution
from handopt.shape.bundle_adjustment import RecordShape, SharedModel, moved_together, shared_parameters
from handopt.shape.state import HandShape, PosedShape, Template
from handopt.shape.surface_prior import SurfacePrior
from handopt.shape.vertex_hessian import VertexLinearisation, linearise_vertices
from handopt.typing import Bools, Floats

FeasibleStep = Callable[[Floats, Floats], Floats]

IMAGE_WEIGHT: Final = 1000.0
"""How many times an image's cost counts against the prior's: pixels are many, but their errors related. By hand."""
SCHEDULE: Final = LMSchedule(
    first_damping=1e-4, lowest_damping=0.0, highest_damping=1e9, accepted=0.2, refused=10.0, tolerance=1e-3
)
"""Chosen by hand: it starts close to the answer, where Gauss-Newton's own step is good. The bounds are never met."""


class JointModel(SharedModel):
    """SharedModel with the offsets of the rest vertices, linearised when they are first asked for."""

    def __init__(
        self, template: Template, problem: LeastSquares, state: PosedShape, lm_settings: LMSettings, prior: float
    ) -> None:
        super().__init__(problem, state.pose, lm_settings, prior)
        self.offsets_mm = state.shape.offsets_mm
        self._template, self._lm_settings = template, lm_settings

    @cached_property
    def vertices(self) -> VertexLinearisation:
        """What the images say of the rest vertices."""
        return linearise_vertices(self.problem, self.pose, self._lm_settings, self._template)

    def arrowhead(self, prior: SurfacePrior, damping: float = 0.0) -> ArrowheadSystem:
        """The normal equations, the prior's included."""
        field = self.vertices.curvature + prior.precision / IMAGE_WEIGHT
        shared = shared_parameters(self.hessian.shape[1])
        return ArrowheadSystem(self.hessian, shared, field, self.vertices.cross, damping)


@dataclass(frozen=True)
class JointStep:
    """A step (B, P) of the poses and (V, 3) mm of the offsets."""

    poses: Floats
    offsets_mm: Floats


@dataclass(frozen=True, eq=False)
class JointRefinement:
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
    ) -> Solution[PosedShape, JointModel]:
        """Run the iterations of lm_settings. record: called after every iteration."""

        def notify(iteration: int, state: PosedShape, model: JointModel) -> None:
            if record is not None and iteration:
                record(state.pose, model.terms, state.shape.offsets_mm)

        problem = JointProblem(self, lm_settings)
        schedule = replace(SCHEDULE, iterations=lm_settings.iterations)
        return levenberg_marquardt(problem, PosedShape.of(pose, shape), schedule, problem.solve, notify)

    def deviations(
        self, pose: Pose, shape: HandShape, lm_settings: LMSettings, by_shared: Floats, by_offsets: Floats
    ) -> Floats:
        """Posterior standard deviations (M,) of lengths, given their derivatives.

        by_shared: (M, 1 + S) by the logarithm of the scale and the proportions; by_offsets: (M, 3 V). The posterior is
        the Gaussian of the normal equations (Laplace's approximation); whatever the model cannot express is not in it.
        """
        model = JointProblem(self, lm_settings).evaluate(PosedShape.of(pose, shape))
        arrowhead = model.arrowhead(self.prior)
        dense = np.zeros((arrowhead.rows + by_shared.shape[1], len(by_shared)))
        dense[arrowhead.rows :] = by_shared.T
        move, change = arrowhead.solve(dense, by_offsets.T)
        variances = (np.einsum("nm,nm->m", dense, move) + np.einsum("mv,vm->m", by_offsets, change)) / IMAGE_WEIGHT
        return np.asarray(np.sqrt(np.maximum(variances, 0)))


class JointProblem:
    """The images' cost plus the surface prior's as one sum of squares, under one stage's settings."""

    def __init__(self, refinement: JointRefinement, lm_settings: LMSettings) -> None:
        self._refinement, self._lm_settings = refinement, lm_settings

    def evaluate(self, state: PosedShape, *, derivatives: bool = True) -> JointModel:
        """The cost of all images and of the offsets."""
        given, offsets = self._refinement, state.shape.offsets_mm
        problem = LeastSquares(given.template.hand(offsets), given.targets, given.config)
        return JointModel(given.template, problem, state, self._lm_settings, given.prior.cost(offsets) / IMAGE_WEIGHT)

    def solve(self, model: JointModel, damping: Floats) -> JointStep:
        """The damped Gauss-Newton step of poses and offsets."""
        prior = self._refinement.prior
        arrowhead = model.arrowhead(prior, float(damping[0]))
        slope = model.vertices.gradient + (prior.precision / IMAGE_WEIGHT) @ model.offsets_mm.ravel()
        move, change = arrowhead.solve(-arrowhead.gathered(model.gradient)[:, None], -slope[:, None])
        return JointStep(arrowhead.scattered(move[:, 0]), change.reshape(-1, 3))

    def moved(self, state: PosedShape, step: JointStep) -> PosedShape:
        """The state after a step, whose offsets give way where they would make the mesh invalid."""
        offsets = state.shape.offsets_mm
        moved = moved_together(self._refinement.template.parameters, state, step.poses)
        change = self._refinement.feasible_step(offsets, step.offsets_mm)
        return replace(moved, shape=replace(moved.shape, offsets_mm=offsets + change))

    def updated(
        self, accepted: Bools, new: tuple[PosedShape, JointModel], old: tuple[PosedShape, JointModel]
    ) -> tuple[PosedShape, JointModel]:
        """One of the two."""
        return new if accepted[0] else old
