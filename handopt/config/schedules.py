"""Schedules of the two solvers: rounds of Levenberg-Marquardt, and stages of gradient descent, both coarse to fine."""

from dataclasses import dataclass, replace
from typing import Annotated

from msgspec import Meta

from handopt.config.constraints import (
    Checked,
    Count,
    Damping,
    Fraction,
    Hypotheses,
    Iterations,
    LengthMm,
    NonNegative,
    PointCount,
    Positive,
    PositiveHypotheses,
    PositiveIterations,
    RadiusPx,
)
from handopt.errors import ConfigError


@dataclass(frozen=True)
class LMSchedule(Checked):
    """How Levenberg-Marquardt damps its steps, and when it ends. The defaults are the pose fit's, chosen by hand.

    A damping is a share of the Hessian's diagonal that is added to it: near 0 a step is Gauss-Newton's, and the larger
    it is, the shorter the step.
    """

    # The most iterations; 0 evaluates the start and takes no step.
    iterations: Iterations = 0
    first_damping: Damping = 1e-2
    lowest_damping: Damping = 1e-6
    highest_damping: Damping = 1e3
    # Factor of the damping after a step that lowered the cost.
    accepted: Positive = 0.3
    # Factor of the damping after a step that did not.
    refused: Positive = 5.0
    # Relative decrease of the cost below which it has converged; 0 runs all iterations.
    tolerance: NonNegative = 0.0


@dataclass(frozen=True)
class LMSettings(Checked):
    """One run of Levenberg-Marquardt over a batch of hypotheses."""

    # The most iterations; 0, which takes no step, is for callers that want costs alone. A round needs at least 1.
    iterations: Iterations
    # Distance of an observed point to the model where it starts to count as an outlier, mm.
    sigma_mm: LengthMm
    # How many observed points, at most as many as are drawn (Config.points).
    points: PointCount = 400
    # About how many of the model's vertices; 0 takes all.
    vertices: Count = 0
    # Share of point-to-plane against point-to-point distance.
    plane: Fraction = 0.6
    # Distance beside or in front of the observed hand where a vertex starts to count as an outlier, mm.
    free_space_mm: LengthMm = 30.0
    # Factor of the pose prior's weight.
    prior: NonNegative = 1.0
    # Whether the hand's size is free.
    scale: bool = False
    # Whether the proportions of fingers and palm are free, or a model's own shape parameters such as betas.
    proportions: bool = False
    # How often each face of the mesh is split into four: points of a coarse mesh lie beside its vertices.
    subdivisions: Annotated[int, Meta(ge=0, le=3)] = 0

    @property
    def schedule(self) -> LMSchedule:
        """The damping and the end of the run."""
        return LMSchedule(self.iterations)


@dataclass(frozen=True)
class TournamentRound(Checked):
    """One round of the tournament: hypotheses are optimised, and the best go on."""

    lm_settings: LMSettings
    # How many hypotheses go on.
    top_k_out: PositiveHypotheses
    # How many of the best hypotheses enter; 0 takes all.
    top_k_in: Hypotheses = 0
    # The round is skipped where the best hypothesis has a smaller unexplained fraction.
    skip_below: NonNegative = 0.0
    # Whether hypotheses are ranked by their unexplained fraction instead of their cost.
    rank_by_unexplained: bool = False
    # How many poses with one finger drawn again join, those with the smallest unexplained fraction.
    mutations: Hypotheses = 0

    def __post_init__(self) -> None:
        """Check every field, and that the round does something."""
        super().__post_init__()
        if self.lm_settings.iterations == 0:
            raise ConfigError("lm_settings.iterations: must be greater than 0")


@dataclass(frozen=True)
class DescentStage(Checked):
    """One stage of gradient descent."""

    iterations: PositiveIterations
    # Radius of a splat, px.
    radius_px: RadiusPx
    # Distance of an observed point to the model where it starts to count as an outlier, mm.
    sigma_mm: LengthMm
    # Factor of the step sizes (Steps).
    step: NonNegative
    # How many hypotheses go on after this stage.
    top_k_out: PositiveHypotheses
    # Whether the hand's size is free.
    scale: bool = False
    # Factor of the depth term's weight: the noise of splats makes it less exact than the points at the end.
    depth: NonNegative = 1.0
    # How many poses with a finger drawn again, for each finger of the best `parents` hypotheses, join at the start.
    mutants: Hypotheses = 0
    parents: PositiveHypotheses = 3  # [tuned]: better than 2


@dataclass(frozen=True)
class Steps(Checked):
    """Step sizes of gradient descent where DescentStage.step is 1: Adam's, or the largest of momentum descent.

    All [hand] but the scale's.
    """

    rotation_rad: NonNegative = 0.06
    translation_mm: NonNegative = 4.0
    angles_rad: NonNegative = 0.08
    scale: NonNegative = 0.02  # [tuned]: better than 0.01
    vertices_mm: NonNegative = 0.15


@dataclass(frozen=True)
class VertexStage(Checked):
    """The last stage of gradient descent with shape="vertices": rest vertices move along with the pose. All [hand]."""

    iterations: PositiveIterations = 80
    radius_px: RadiusPx = 3.0  # of a splat
    sigma_mm: LengthMm = 6.0  # as in DescentStage
    step: NonNegative = 0.25  # factor of the step sizes


# Gradient descent. Iterations, radii, distances and step factors by [hand]; 24 and 8 hypotheses after the first two
# stages, and a free size from the second on, were [tuned] (instead of 16 and 6, and from the third on).
STAGES = (
    DescentStage(iterations=20, radius_px=8.0, sigma_mm=40.0, step=1.0, top_k_out=24),
    DescentStage(iterations=25, radius_px=6.0, sigma_mm=25.0, step=0.7, top_k_out=8, scale=True),
    DescentStage(iterations=20, radius_px=4.5, sigma_mm=15.0, step=0.5, top_k_out=6, scale=True, mutants=2),
    DescentStage(iterations=20, radius_px=4.5, sigma_mm=15.0, step=0.4, top_k_out=3, scale=True, mutants=2),
    DescentStage(iterations=50, radius_px=3.5, sigma_mm=8.0, step=0.15, top_k_out=1, scale=True, depth=0.25),
)

# The round that comes first where the user gives a pose to start from: it captures from further away. [hand]
COARSE_ROUND = TournamentRound(LMSettings(10, 40.0, points=240, vertices=400, free_space_mm=40.0), top_k_out=6)

# The whole mesh, size and proportions free. [hand]
_FINE = LMSettings(6, 6.0, points=400, plane=0.9, free_space_mm=15.0, prior=0.3, scale=True, proportions=True)
# Poses with a finger drawn again, on a subset of the mesh. [hand]
_MUTATED = LMSettings(6, 10.0, points=240, vertices=400, free_space_mm=15.0, prior=0.3, scale=True)
# The round that comes last for a model with a shape space of its own, such as MANO, whose 778 vertices lie 7 mm apart.
# [tuned] on 12 images of bench_mano.py: without splitting faces the mesh of the shape is 3 mm off instead of 0.9 mm; on
# 20 with a sensor's noise: with 2000 of some 10,000 pixels it is within 1.5 mm in 85 % instead of 95 %.
SPACE_ROUND = TournamentRound(
    LMSettings(20, 4.0, 8000, plane=1.0, free_space_mm=15.0, prior=0.01, scale=True, proportions=True, subdivisions=2),
    top_k_out=2,
    rank_by_unexplained=True,
)
# The tournament. 24 and 10 hypotheses after the first two rounds were [tuned]: 1.5 % more hard images in the right pose
# than with 16 and 6. Fingers are drawn again where more than 0.1 is unexplained [hand]. In the last round planes weigh
# 0.95 [tuned]: disturbed poses come back in 96 of 100 cases (tests/test_recovery.py), fewer with 1.0.
ROUNDS = (
    TournamentRound(LMSettings(5, 20.0, points=160, vertices=300, free_space_mm=15.0), top_k_out=24, top_k_in=64),
    TournamentRound(LMSettings(5, 15.0, points=160, vertices=300, free_space_mm=15.0, scale=True), top_k_out=10),
    TournamentRound(LMSettings(6, 10.0, points=240, vertices=400, free_space_mm=15.0, scale=True), top_k_out=4),
    TournamentRound(_FINE, top_k_out=3, rank_by_unexplained=True),
    TournamentRound(_MUTATED, top_k_out=4, rank_by_unexplained=True, skip_below=0.1, mutations=8),
    TournamentRound(_FINE, top_k_out=3, rank_by_unexplained=True, skip_below=0.1),
    TournamentRound(_MUTATED, top_k_out=4, rank_by_unexplained=True, skip_below=0.1, mutations=8),
    TournamentRound(_FINE, top_k_out=3, rank_by_unexplained=True, skip_below=0.1),
    TournamentRound(
        replace(_FINE, iterations=8, sigma_mm=5.0, points=2000, plane=0.95, prior=0.1),
        top_k_out=2,  # the best and its runner-up, which the confidence compares
        rank_by_unexplained=True,
    ),
)
