"""The objective's value by the slow twins, on every device, in both precisions, and for mirrored hands."""

import dataclasses
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import reference
from support.compare import assert_close, assert_same_bits
from support.descent_objective_cases import CONFIG, GROUPS, RADIUS_PX, SIGMA_MM, WEIGHTS, Case, make_case
from support.factories import bent
from support.observation_factory import (
    CPU,
    WRIST_MM,
    make_objective,
    mirrored,
    near_poses,
    on_device,
    small_observation,
    true_rotation,
)
from support.op_check import CPU as CPU_PLACE
from support.op_check import Place

from handopt.backend import to_device
from handopt.config import Weights
from handopt.errors import NumericalError
from handopt.objective.descent_objective import DescentObjective, total_of
from handopt.objective.terms import GRADIENT_TERMS
from handopt.observation.observation import Observation
from handopt.rig import default_rig

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def observations() -> list[Observation]:
    return [small_observation(0.5), small_observation(1.1)]


@pytest.fixture(scope="module")
def case(observations: list[Observation]) -> Case:
    return make_case(CONFIG, observations)


def test_the_case_has_every_term_at_work(case: Case) -> None:
    terms = case.objective.terms(case.pose, case.level, case.rest)
    assert set(terms) == set(GRADIENT_TERMS)
    for name, values in terms.items():
        assert values.shape == (4,)
        assert values.max() > 1e-4, name


def test_a_stage_can_weaken_the_depth_term(case: Case) -> None:
    full, weak = case.level, dataclasses.replace(case.level, depth=0.25)
    before, after = (case.objective.terms(case.pose, level, case.rest) for level in (full, weak))
    assert_close(after["depth"], 0.25 * before["depth"], rtol=1e-14, reason="a factor")
    assert all((after[name] == before[name]).all() for name in before if name != "depth")


def twins(case: Case, weights: Weights) -> dict[str, Floats]:
    """All terms of the case by the slow twins, from the equations."""
    rig, targets, config, pose = default_rig("right"), case.objective.targets, case.objective.config, case.pose
    transforms = reference.forward_kinematics(
        pose.angles, pose.rotation, pose.translation, pose.scale, rig.parents, rig.articulated, rig.bind, 1
    )
    vertices = reference.skin(transforms, case.rest, rig.skin_indices, rig.skin_weights)
    normals = reference.skin_normals(transforms, rig.normals, rig.skin_indices, rig.skin_weights)
    normals *= case.objective.hand.normals.any(axis=1, keepdims=True)  # 0 where the mesh is no skin
    origins = np.concatenate([rig.bind[:, :, 3], np.ones((25, 1))], axis=1)
    joints = np.einsum("bjac,jc->bja", transforms, origins)[:, rig.keypoint_joints]
    projected = reference.project(vertices, targets.coefficients[pose.image])
    image, _ = reference.render_depth(projected, RADIUS_PX, 48)
    target, _ = reference.render_depth(targets.splats, RADIUS_PX, 48)
    closest, _ = reference.closest_points(targets.points, pose.image, vertices, normals, SIGMA_MM, config.plane)
    offsets = case.rest - rig.rest_mm
    neighbours: list[set[int]] = [set() for _ in offsets]
    for a, b, c in rig.faces:
        for v, others in ((a, (b, c)), (b, (a, c)), (c, (a, b))):
            neighbours[v].update(others)
    bending = [offset - offsets[list(around)].mean(axis=0) for offset, around in zip(offsets, neighbours, strict=True)]
    cm2 = 10.0**2
    return {
        "depth": weights.depth * reference.depth_loss(image, target, pose.image, config.huber, targets.weight),
        "silhouette": weights.silhouette
        / cm2
        * reference.silhouette_loss(projected, targets.field, pose.image, targets.mm_per_px),
        "points": weights.points / SIGMA_MM**2 * closest,
        "collision": weights.collision / cm2 * reference.collision(joints, rig.bones, config.collision_radius_mm),
        "limits": weights.limits * reference.joint_limits(pose.angles, rig.limits.lower, rig.limits.upper),
        "size": weights.size * (np.log(pose.scale) / 0.08) ** 2,
        "shape": np.full(len(pose), weights.shape * np.mean(np.sum(np.square(bending), axis=1))),
    }


def test_terms_are_those_of_the_twins(case: Case) -> None:
    terms = case.objective.terms(case.pose, case.level, case.rest)
    for name, expected in twins(case, WEIGHTS).items():
        assert_close(terms[name], expected, rtol=1e-11, reason=f"{name}: float64 sums in another order")
    prior = case.objective.prior(case.pose.angles)[0]
    assert_close(terms["prior"], 0.01 * prior, rtol=1e-12, reason="the prior, weighted")


def test_terms_do_not_depend_on_whether_gradients_are_asked_for(case: Case) -> None:
    alone = case.objective.terms(case.pose, case.level)
    along, gradient = case.objective.terms_and_gradient(case.pose, case.level)
    for name in GRADIENT_TERMS:
        assert_same_bits(alone[name], along[name], name)
    assert gradient.rest is None
    given = case.objective.terms(case.pose, case.level, case.objective.hand.rest.copy())
    for name in GRADIENT_TERMS:
        assert_same_bits(given[name], alone[name], name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hypotheses_do_not_see_each_other(dtype: type, observations: list[Observation]) -> None:
    case = make_case(CONFIG, observations, dtype)
    terms, gradient = case.objective.terms_and_gradient(case.pose, case.level)
    for row in range(len(case.pose)):
        one = case.pose.select(np.array([row]))
        alone, slope = case.objective.terms_and_gradient(one, case.level)
        for name in GRADIENT_TERMS:
            assert_same_bits(alone[name], terms[name][row : row + 1], name)
        for group in ("angles", "rotation", "translation", "scale"):
            assert_same_bits(getattr(slope, group), getattr(gradient, group)[row : row + 1], group)


def test_devices_and_precision(device: Place, observations: list[Observation]) -> None:
    """A tenth of a pixel may have another winner in float32, where two points are equally bright."""
    expected, slope = (lambda c: c.objective.terms_and_gradient(c.pose, c.level, c.rest))(
        make_case(CONFIG, observations)
    )
    views = [(observations[0], False), (mirrored(observations[1]), True)]
    for dtype, tolerance in ((np.float64, 1e-11), (np.float32, 2e-4)):
        if dtype == np.float64 and device == CPU_PLACE:
            continue
        case = make_case(CONFIG, observations, dtype)
        objective = make_objective(CONFIG, views, device=device.device, dtype=dtype)
        pose, rest = on_device(case.pose, device.device), to_device(case.rest, device.device, dtype)
        terms, gradient = objective.terms_and_gradient(pose, objective.level(RADIUS_PX, SIGMA_MM), rest)
        for name in GRADIENT_TERMS:
            assert terms[name].dtype == dtype, name
            found = device.fetch(terms[name])
            assert_close(found, expected[name], of_max=tolerance, reason=f"{name}: sums in another order or precision")
        for group in GROUPS:
            found = device.fetch(getattr(gradient, group))
            assert found.dtype == dtype
            assert_close(
                found,
                getattr(slope, group),
                of_max=50 * tolerance,
                reason=f"{group}: and few pixels with another winner",
            )


def test_a_left_hand_counts_as_its_mirror_image(observations: list[Observation]) -> None:
    pose = near_poses((0.4, 1.0, 0.6), (0, 0, 0), dtype=np.float32)
    observation = observations[0]
    results = []
    for view in ((observation, False), (mirrored(observation), True)):
        objective = make_objective(CONFIG, [view], dtype=np.float32)
        results.append(objective.terms_and_gradient(pose, objective.level(RADIUS_PX, SIGMA_MM)))
    (right, right_slope), (left, left_slope) = results
    reason = "the mirrored columns S - 1 - x are rounded once more in float32"
    for name in GRADIENT_TERMS:
        assert_close(left[name], right[name], rtol=1e-5, reason=reason)
    for group in ("angles", "rotation", "translation", "scale"):
        assert_close(getattr(left_slope, group), getattr(right_slope, group), of_max=1e-4, reason=reason)


def test_hypotheses_are_compared_with_their_own_image(observations: list[Observation]) -> None:
    first, second = small_observation(0.2), small_observation(1.2)
    both = make_objective(CONFIG, [(first, False), (second, False)])
    pose = near_poses((0.6,), (1,))
    total = float(total_of(both.terms(pose, both.level(RADIUS_PX, SIGMA_MM)))[0])
    other = replace(pose, image=np.zeros(1, np.int32))
    assert abs(float(total_of(both.terms(other, both.level(RADIUS_PX, SIGMA_MM)))[0]) - total) > 1e-3


def test_the_truth_scores_better_than_its_neighbours(observations: list[Observation]) -> None:
    objective = make_objective(CONFIG, [(observations[0], False)])
    level = objective.level(RADIUS_PX, SIGMA_MM)
    truth = near_poses((0.5,), (0,))
    truth.angles[:], truth.scale[:], truth.translation[:] = bent(0.5), 1.0, WRIST_MM
    truth.rotation[:] = true_rotation(default_rig("right").bind)
    best = total_of(objective.terms(truth, level))[0]
    for shift in np.concatenate([np.diag([12.0] * 3), np.diag([-12.0] * 3)]):
        worse = truth.copy()
        worse.translation += shift
        assert total_of(objective.terms(worse, level))[0] > best
    for row in range(15):
        worse = truth.copy()
        worse.angles[0, row, 2] += 0.5
        assert total_of(objective.terms(worse, level))[0] > best, row


def test_bumps_cost_more_than_shifts(case: Case) -> None:
    hand = case.objective.hand

    def cost(offset: Any) -> float:
        return float(case.objective.terms(case.pose, case.level, hand.rest + offset)["shape"][0])

    spike = np.zeros_like(hand.rest)
    spike[100] = 2.0
    wave = np.sin(hand.rest / 60)
    assert cost(0.0) == 0
    assert cost(3.0) < 1e-20, "a shift of all vertices bends nothing"
    assert cost(spike * np.sqrt((wave**2).sum() / (spike**2).sum())) > 20 * cost(wave), "spikes are dear, waves cheap"


def test_totals_are_infinite_where_they_are_no_numbers() -> None:
    terms = {
        "a": np.array([1.0, np.nan, 2.0, np.inf], np.float32),
        "b": np.array([0.5, 1.0, -np.inf, 1.0], np.float32),
    }
    totals = total_of(terms)
    assert totals.dtype == np.float64
    assert totals.tolist() == [1.5, np.inf, np.inf, np.inf]


@pytest.mark.parametrize("group", ["angles", "rotation", "translation", "scale"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_pose_that_is_no_number_has_an_infinite_total(group: str, value: float, case: Case) -> None:
    pose = case.pose.copy()
    getattr(pose, group)[1] = value
    with np.errstate(invalid="ignore"):
        totals = total_of(case.objective.terms_and_gradient(pose, case.level)[0])
    assert np.isinf(totals).tolist() == [False, True, False, False]


def test_no_finite_total_at_all_is_an_error() -> None:
    with pytest.raises(NumericalError, match="not finite for any pose; check depth_mm=, camera= and the weights"):
        total_of({"a": np.array([np.nan, 1.0]), "b": np.array([0.0, np.inf])})


def test_the_laplacian_is_only_needed_for_free_vertices(case: Case) -> None:
    bare = DescentObjective(case.objective.hand, case.objective.targets, CONFIG)
    terms = bare.terms(case.pose, case.level)
    assert (terms["shape"] == 0).all()
    assert bare.hand.device == CPU
