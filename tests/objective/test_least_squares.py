"""Least squares of poses: its linear system by finite differences of its cost.

As in the gradient objective, normals, matches and bone lengths count as constant in the derivatives: normals are held
constant here as well, finite differences keep clear of new matches, and lengths change with scale and proportions only,
which are checked without the collision term.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import reference
from support.compare import assert_close, assert_same_bits, relative_error
from support.least_squares_cases import SETTINGS, SHAPES, WEIGHTS, least_squares, poses
from support.observation_factory import on_device
from support.op_check import Place
from support.problems_hand import collision_branches

from handopt.backend import cpu_threads, set_cpu_threads
from handopt.hand_model import Hand, Pose
from handopt.objective.least_squares import LeastSquares
from handopt.objective.one_call import OneCall
from handopt.ops.closest_points import closest_points
from handopt.ops.normal_equations import RIGID

Floats = NDArray[np.float64]

EPSILON: dict[Any, float] = {np.float32: 6e-8, np.float64: 1.2e-16}
OFF = 1e-100
STEP = 1e-6
GROUPS = {
    "rotation": slice(0, 3),
    "translation": slice(3, 6),
    "scale": slice(6, 7),
    "angles": slice(RIGID, -SHAPES),
    "proportions": slice(-SHAPES, None),
}


@pytest.fixture(scope="module")
def problem() -> LeastSquares:
    return least_squares()


@pytest.fixture
def constant_normals(monkeypatch: pytest.MonkeyPatch, problem: LeastSquares) -> None:
    """The normals of the poses, whatever the poses are."""
    normals = problem.hand.vertex_normals(problem.hand.transforms(poses()))
    monkeypatch.setattr(Hand, "vertex_normals", lambda _self, _transforms: normals)
    monkeypatch.setattr(OneCall, "suits", lambda _hand: False)  # the kernel of one call makes its own normals


def branches(problem: LeastSquares, pose: Pose) -> NDArray[np.int64]:
    """Which side of every kink the poses are on."""
    hand, targets, config = problem.hand, problem.targets, problem.config
    transforms = hand.transforms(pose)
    vertices = hand.vertices(transforms, hand.rest_of(pose))
    observed = targets.points[:, : SETTINGS.points].copy()
    nearest = closest_points(observed, pose.image, vertices, hand.vertex_normals(transforms), SETTINGS.sigma_mm)[1]
    at = reference.project(vertices, targets.coefficients[pose.image])[..., :2]
    cells, pixels = np.floor(at).clip(-1, 47), np.floor(at + 0.5).clip(-1, 48).astype(int)
    padded = np.pad(targets.nearest_depth, ((0, 0), (1, 1), (1, 1)))
    depth = padded[pose.image[:, None], pixels[..., 1] + 1, pixels[..., 0] + 1]
    before = depth - config.front_margin_mm > vertices[..., 2]
    contacts = collision_branches(
        hand.joints(transforms, hand.keypoints_of(pose)), hand.bones, config.collision_radius_mm
    )
    limits = np.sign(pose.angles - hand.lower) + np.sign(pose.angles - hand.upper)
    parts = (nearest, cells, pixels, before, contacts, limits)
    return np.concatenate([np.ravel(part).astype(np.int64) for part in parts])


def clear_steps(problem: LeastSquares, pose: Pose, group: str, shape: tuple[int, ...]) -> Iterator[Floats]:
    """Random steps (B, P) of a group of parameters in which finite differences cross no kink."""
    here = branches(problem, pose)
    for seed in range(40):
        step = np.zeros(shape)
        part = step[:, GROUPS[group]]
        part[:] = STEP * np.random.default_rng([seed, 6]).normal(size=part.shape)
        if all(
            np.array_equal(branches(problem, problem.parameters.moved(pose, sign * step)), here) for sign in (1, -1)
        ):
            yield step


@pytest.mark.usefixtures("constant_normals")
@pytest.mark.parametrize("group", GROUPS)
def test_the_gradient_is_that_of_the_cost(group: str) -> None:
    still = group in ("scale", "proportions")
    problem = least_squares(replace(WEIGHTS, collision=OFF) if still else WEIGHTS)
    pose = poses()
    system = problem.system(pose, SETTINGS)
    moves = zip(range(3), clear_steps(problem, pose, group, system.gradient.shape), strict=False)
    found = [step for _, step in moves]
    assert len(found) == 3, "too few directions without a kink"
    for step in found:
        change = problem.cost(problem.parameters.moved(pose, step), SETTINGS) - problem.cost(
            problem.parameters.moved(pose, -step), SETTINGS
        )
        slopes = 4 * (system.gradient * step).sum(axis=1)
        for row in range(4):
            assert relative_error(float(slopes[row]), float(change[row])) <= 2e-6, f"hypothesis {row}"


@pytest.mark.usefixtures("constant_normals")
def test_every_term_is_part_of_the_problem(problem: LeastSquares) -> None:
    terms = problem.system(poses(), SETTINGS).terms
    assert set(terms) == {"points", "silhouette", "collision", "limits", "prior", "size", "votes"}
    for name, term in terms.items():
        assert term.shape == (4,)
        assert (term >= 0).all()
        assert term.any(), f"{name} is never active: the gradient's test does not test it"


def test_the_cost_is_the_sum_of_the_systems_terms(problem: LeastSquares) -> None:
    system = problem.system(poses(), SETTINGS)
    assert_same_bits(problem.cost(poses(), SETTINGS), system.cost)
    assert_close(system.cost, sum(system.terms.values()), rtol=1e-15, reason="a sum")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shapes", "offset_mm"), [(0, 0.0), (13, 0.0), (13, 4.0)])
@pytest.mark.parametrize("radius_mm", [1.0, 25.0])
def test_one_call_gives_the_terms_of_the_ops(
    dtype: type, shapes: int, offset_mm: float, radius_mm: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = least_squares(dtype=dtype)
    together.config = replace(together.config, collision_radius_mm=radius_mm)
    assert together._one_call is not None, "built with the schedule of a GPU"
    pose = poses(dtype, shapes)
    pose.angles[-1, 3] = np.nan  # a pose that is no number is no other's concern
    monkeypatch.setattr(OneCall, "suits", lambda _hand: False)
    by_ops = least_squares(dtype=dtype)
    by_ops.config = together.config
    aside = offset_mm * np.random.default_rng(3).normal(size=(21, 3)).astype(dtype)  # of keypoints from their joints
    for each in (together, by_ops):
        each.hand = replace(each.hand, keypoints=each.hand.keypoints + aside)
    threads = cpu_threads()
    try:
        for count in (1, 2):
            set_cpu_threads(count)
            for derivatives in (True, False):
                found, expected = (each.system(pose, SETTINGS, derivatives=derivatives) for each in (together, by_ops))
                assert list(found.terms) == list(expected.terms)
                for name, term in expected.terms.items():
                    if name in ("prior", "size", "votes"):  # sums of squares, which NumPy makes in another order
                        assert_close(found.terms[name][:-1], term[:-1], rtol=20 * EPSILON[dtype], reason=name)
                    else:
                        np.testing.assert_array_equal(found.terms[name], term, err_msg=name)
                assert found.hessian.size == expected.hessian.size
                if derivatives:
                    # The ops add the contacts of a pose that is no number where any other pose has contacts.
                    lower = np.tril(found.hessian[:-1]), np.tril(expected.hessian[:-1])
                    assert_close(*lower, of_max=4 * EPSILON[dtype], reason="a few roundings of the priors")
                    gradients = found.gradient[:-1], expected.gradient[:-1]
                    assert_close(*gradients, of_max=20 * EPSILON[dtype], reason="a few roundings of the priors")
                    assert (expected.terms["collision"][:-1] > 0).any() == (radius_mm == 25.0)
    finally:
        set_cpu_threads(threads)


def test_the_hessian_is_positive_definite_and_bounds_the_priors(problem: LeastSquares) -> None:
    lower = problem.system(poses(), SETTINGS).hessian
    hessian = np.tril(lower) + np.tril(lower, -1).transpose(0, 2, 1)
    assert (np.linalg.eigvalsh(hessian)[:, 0] > 0).all()
    priors = least_squares(replace(WEIGHTS, points=OFF, silhouette=OFF, collision=OFF, votes=OFF)).system(
        poses(), SETTINGS
    )
    rest = hessian - np.tril(priors.hessian) - np.tril(priors.hessian, -1).transpose(0, 2, 1)
    assert np.linalg.eigvalsh(rest).min() > -1e-9 * np.abs(hessian).max()


@pytest.mark.usefixtures("constant_normals")
@pytest.mark.parametrize("told", [False, True], ids=["relaxed", "told"])
def test_the_priors_are_quadratic_and_exact(told: bool, rng: np.random.Generator) -> None:
    expected = 0.5 * rng.normal(size=(4, 15, 3)) if told else None
    problem = least_squares(replace(WEIGHTS, points=OFF, silhouette=OFF, collision=OFF, votes=OFF))
    pose = poses()
    system = problem.system(pose, SETTINGS, expected)
    hessian = np.tril(system.hessian) + np.tril(system.hessian, -1).transpose(0, 2, 1)
    step = 1e-3 * rng.normal(size=system.gradient.shape)
    over = np.sign(pose.angles - problem.hand.lower) + np.sign(pose.angles - problem.hand.upper)
    moved = problem.parameters.moved(pose, step)
    same = over == np.sign(moved.angles - problem.hand.lower) + np.sign(moved.angles - problem.hand.upper)
    predicted = 2 * (system.gradient * step).sum(1) + np.einsum("bi,bij,bj->b", step, hessian, step)
    clear = same.all(axis=(1, 2))
    assert clear.sum() >= 2
    change = problem.cost(moved, SETTINGS, expected) - problem.cost(pose, SETTINGS, expected)
    assert_close(change[clear], predicted[clear], rtol=1e-9, reason="squares, as long as no limit is crossed")


def test_steps_are_limited(problem: LeastSquares) -> None:
    pose = poses()
    step = np.full(problem.system(pose, SETTINGS).gradient.shape, 1e3)
    moved = problem.parameters.moved(pose, step)
    turns = moved.rotation @ pose.rotation.transpose(0, 2, 1)
    angle = np.arccos((np.trace(turns, axis1=1, axis2=2) - 1) / 2)
    assert_close(angle, np.full(4, 0.5), rtol=1e-9, reason="an arc cosine")
    shift = np.linalg.norm(moved.translation - pose.translation, axis=1)
    assert_close(shift, np.full(4, 30.0), rtol=1e-12, reason="rounding")
    assert_close(moved.scale, pose.scale * np.exp(0.1), rtol=1e-14, reason="rounding")
    assert_close(moved.proportions, pose.proportions + 0.1, rtol=1e-14, reason="rounding")
    free = problem.hand.free > 0
    assert_close(moved.angles[:, free], pose.angles[:, free] + 0.5, rtol=1e-14, reason="rounding")
    assert_same_bits(moved.angles[:, ~free], pose.angles[:, ~free], "frozen angles")


@pytest.mark.parametrize("shapes", [0, SHAPES])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_devices(shapes: int, dtype: type, device: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = poses(dtype, shapes)
    system = least_squares(dtype=dtype, device=device.device).system(on_device(alone, device.device), SETTINGS)
    monkeypatch.setattr(OneCall, "suits", lambda _hand: False)
    pose = Pose(
        **{name: array.astype(np.float64) if array.dtype == dtype else array for name, array in vars(alone).items()}
    )
    expected = least_squares().system(pose, SETTINGS)
    bound, reason = 200 * EPSILON[dtype], "sums in another order"
    for name, term in expected.terms.items():
        assert_close(device.fetch(system.terms[name]), term, of_max=bound, reason=f"{name}: {reason}")
    assert_close(np.tril(device.fetch(system.hessian)), np.tril(expected.hessian), of_max=bound, reason=reason)
    assert_close(device.fetch(system.gradient), expected.gradient, of_max=bound, reason=reason)
