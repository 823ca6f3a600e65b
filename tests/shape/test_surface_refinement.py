"""Everything at once: the eliminated system is the whole one, and what a run gives is better than what it got."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.compare import assert_close
from support.shape_cases import LM_SETTINGS, start, targets, template

from handopt.config import Config
from handopt.errors import NumericalError
from handopt.objective.least_squares import LeastSquares, System
from handopt.optimise.arrowhead import ArrowheadSystem
from handopt.rig import default_rig
from handopt.shape.bundle_adjustment import SharedModel, shared_parameters
from handopt.shape.mesh_validity import MeshValidity
from handopt.shape.state import PosedShape
from handopt.shape.surface_prior import surface_prior
from handopt.shape.surface_refinement import SurfaceRefinement
from handopt.shape.vertex_hessian import linearise_vertices

CONFIG = Config(points=300, crop_px=64)
RIG = default_rig()
PRIOR = surface_prior(RIG)


@pytest.fixture(scope="module")
def refinement() -> SurfaceRefinement:
    validity = MeshValidity(RIG.rest_mm, RIG.faces.astype(np.int64))
    return SurfaceRefinement(template(), targets(), CONFIG, PRIOR, validity.feasible_step)


def test_the_arrow_solves_the_whole_system(rng: np.random.Generator) -> None:
    pose, shape = start()
    pose = PosedShape.of(pose, shape).pose
    problem = LeastSquares(template().hand(shape.offsets_mm), targets(), CONFIG)
    system = problem.system(pose, LM_SETTINGS)
    pull = linearise_vertices(problem, pose, LM_SETTINGS, template())
    precision = PRIOR.precision / 1000  # the cost of an image counts a thousandfold beside the prior
    common = shared_parameters(system.gradient.shape[1])
    hessian = SharedModel(problem, pose, LM_SETTINGS).hessian
    arrow = ArrowheadSystem(hessian, common, pull.curvature + precision, pull.cross, damping=0.1)
    own = arrow.own
    move, change = rng.normal(size=(arrow.rows + len(common), 1)), rng.normal(size=(pull.gradient.size, 1))
    step = arrow.scattered(move[:, 0])
    lower = np.tril(system.hessian)
    hessian = lower + np.tril(lower, -1).transpose(0, 2, 1)
    felt = np.einsum("bpq,bq->bp", hessian, step)
    felt[:, own] += 0.1 * np.einsum("bpp->bp", hessian)[:, own] * step[:, own]
    dense = arrow.gathered(felt + pull.cross @ change[:, 0])
    dense[arrow.rows :] += 0.1 * np.einsum("bpp->p", hessian)[common] * step[0, common]
    field = (pull.curvature + precision) @ change[:, 0] + np.einsum("bpv,bp->v", pull.cross, step)
    solved, offsets = arrow.solve(dense[:, None], field[:, None])
    dead = np.abs(np.einsum("bpp->bp", hessian)[:, own]).ravel() <= 1e-12
    alive = ~np.concatenate([dead, np.zeros(len(common), np.bool_)])
    assert alive.sum() > 100
    assert_close(solved[alive], move[alive], atol=1e-5, reason="the system's condition is about 1e8")
    assert_close(offsets, change, atol=1e-5, reason="the system's condition is about 1e8")


def test_a_run_lowers_the_cost_and_keeps_the_hand_sound(refinement: SurfaceRefinement) -> None:
    pose, shape = start()
    recorded = []
    solution = refinement.run(
        pose, shape, LM_SETTINGS, lambda at, terms, offsets: recorded.append((at, terms, offsets.copy()))
    )
    after, found = solution.state.pose, solution.state.shape
    before = LeastSquares(template().hand(shape.offsets_mm), targets(), CONFIG).cost(
        PosedShape.of(pose, shape).pose, LM_SETTINGS
    )
    assert solution.cost[0] < 0.9 * before.sum()
    assert 1 <= len(recorded) == solution.iterations <= LM_SETTINGS.iterations
    assert np.array_equal(recorded[-1][2], found.offsets_mm)
    assert np.array_equal(recorded[-1][0].angles, after.angles)
    rms = np.sqrt((found.offsets_mm**2).sum(axis=1).mean())
    assert 0.3 < rms < 4.0
    assert MeshValidity(RIG.rest_mm, RIG.faces.astype(np.int64)).defects(RIG.rest_mm + found.offsets_mm).valid
    assert np.array_equal(start()[1].offsets_mm, shape.offsets_mm)


@pytest.mark.parametrize("where", ["translation", "rotation", "angles", "scale"])
def test_vertices_that_are_not_finite_are_an_error(where: str, refinement: SurfaceRefinement) -> None:
    pose, shape = start()
    if where == "scale":
        shape = replace(shape, scale=np.nan)
    else:
        getattr(pose, where)[1] = np.nan
    lengths = np.zeros((1, 1 + len(shape.proportions))), np.zeros((1, RIG.rest_mm.size))
    for call in (
        lambda: refinement.run(pose, shape, LM_SETTINGS),
        lambda: refinement.deviations(pose, shape, LM_SETTINGS, *lengths),
    ):
        with pytest.raises(
            NumericalError, match="not finite for the shared hand; check depth_mm=, camera= and the weights"
        ):
            call()


def test_the_last_iteration_evaluates_costs_alone(
    refinement: SurfaceRefinement, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    system = LeastSquares.system

    def watched(self: LeastSquares, *arguments: Any, derivatives: bool = True) -> System:
        asked.append(derivatives)
        return system(self, *arguments, derivatives=derivatives)

    monkeypatch.setattr(LeastSquares, "system", watched)
    refinement.run(*start(), replace(LM_SETTINGS, iterations=1))
    assert asked == [True, False]


def test_what_images_show_is_surer_than_what_they_do_not(refinement: SurfaceRefinement) -> None:
    pose, shape = start()
    by_shared = np.zeros((3, 1 + len(shape.proportions)))
    by_shared[0, 0] = 1.0
    by_offsets = np.zeros((3, RIG.rest_mm.size))
    palm = int(np.argmin(np.linalg.norm(RIG.rest_mm - RIG.keypoints_mm[[0, 9]].mean(axis=0), axis=1)))
    by_offsets[1, 3 * palm : 3 * palm + 3] = RIG.normals[palm]
    by_offsets[2] = 2 * by_offsets[1]
    deviations = refinement.deviations(pose, shape, LM_SETTINGS, by_shared, by_offsets)
    assert 0.0005 < deviations[0] < 0.08  # the prior's deviation of the size is 8 %
    assert 0.01 < deviations[1] < 2.5
    assert deviations[2] == pytest.approx(2 * deviations[1])
