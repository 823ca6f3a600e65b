"""The objective's gradient by finite differences through the whole chain.

By design the gradient holds three things constant: which vertex an observed point is matched with, the normals of the
vertices (both in the points term), and the lengths of bones (in the collision term). The first is a kink, which finite
differences keep clear of; the second is held constant here as well, or switched off with plane = 0; the third is exact
for all motion but a change of scale, which is therefore checked without the collision term.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from support import reference
from support.compare import relative_error
from support.descent_objective_cases import CONFIG, GROUPS, WEIGHTS, Case, make_case
from support.observation_factory import small_observation

from handopt.config import Weights
from handopt.hand_model import Hand, Pose
from handopt.objective.terms import GRADIENT_TERMS
from handopt.observation.observation import Observation
from handopt.rig import default_rig

Floats = NDArray[np.float64]


OFF = 1e-100


STEPS = {"angles": 1e-6, "rotation": 1e-6, "translation": 1e-5, "scale": 1e-6, "rest": 4e-5}


PARTS = {  # what moves each term
    "depth": set(GROUPS),
    "silhouette": set(GROUPS),
    "points": set(GROUPS),
    "collision": {"angles"},
    "limits": {"angles"},
    "prior": {"angles"},
    "size": {"scale"},
    "shape": {"rest"},
}


@pytest.fixture(scope="module")
def observations() -> list[Observation]:
    return [small_observation(0.5), small_observation(1.1)]


@pytest.fixture(scope="module")
def case(observations: list[Observation]) -> Case:
    return make_case(CONFIG, observations)


@pytest.fixture
def constant_normals(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    """The normals of the case's poses, whatever the poses are."""
    normals = case.objective.hand.vertex_normals(case.objective.hand.transforms(case.pose))
    monkeypatch.setattr(Hand, "vertex_normals", lambda _self, _transforms: normals)


def moved(case: Case, group: str, amount: Floats) -> tuple[Pose, Floats]:
    pose, rest = case.pose.copy(), case.rest
    if group == "rest":
        rest = rest + amount
    elif group == "rotation":
        pose.rotation = np.stack([reference.exponential(w) for w in amount]) @ pose.rotation
    else:
        setattr(pose, group, getattr(pose, group) + amount)
    return pose, rest


def directions(case: Case, group: str, shape: tuple[int, ...]) -> Iterator[Floats]:
    """Random steps in which finite differences cross no kink; frozen angles are left alone."""
    with_bones = group == "angles"
    here = case.branches(case.pose, case.rest, with_bones)
    mask = case.objective.hand.free if group == "angles" else 1
    for seed in range(40):
        step = STEPS[group] * mask * np.random.default_rng([seed, 5]).normal(size=shape)
        ends = (moved(case, group, sign * step) for sign in (1, -1))
        if all(np.array_equal(case.branches(*end, with_bones), here) for end in ends):
            yield step


def check_gradient(case: Case, groups: tuple[str, ...], tolerance: float = 1e-6, count: int = 3) -> None:
    """Directional derivatives of each hypothesis' total, by one group of parameters at a time.

    tolerance: relative. Totals are of size 1 with errors of some 1e-16, and steps change them by some 1e-9.
    """
    _, gradient = case.objective.terms_and_gradient(case.pose, case.level, case.rest)
    for group in groups:
        slope = getattr(gradient, group)
        found = list(zip(range(count), directions(case, group, slope.shape), strict=False))
        assert len(found) == count, f"{group}: too many kinks to take finite differences"
        for _, step in found:
            ends = [case.totals(*moved(case, group, sign * step)) for sign in (1, -1)]
            numeric = (ends[0] - ends[1]) / 2
            product = slope * step
            if group == "rest":
                product, numeric = product[None], numeric.sum(keepdims=True)
            analytic = product.reshape(len(product), -1).sum(axis=1)
            for row, (one, other) in enumerate(zip(analytic, numeric, strict=True)):
                error = relative_error(float(one), float(other))
                assert error <= tolerance, f"{group} of hypothesis {row}: {one:.9g}, by differences {other:.9g}"


def only(name: str, observations: list[Observation], plane: float = 0.6) -> Case:
    """One term; the others weigh next to nothing."""
    weights = Weights(**{**dict.fromkeys(GRADIENT_TERMS, OFF), name: 2.0})
    return make_case(replace(CONFIG, weights=weights, plane=plane), observations)


@pytest.mark.usefixtures("constant_normals")
def test_gradient_of_the_total(case: Case) -> None:
    check_gradient(case, ("angles", "rotation", "translation", "rest"))


@pytest.mark.usefixtures("constant_normals")
def test_gradient_of_the_total_by_scale(observations: list[Observation]) -> None:
    """Without the collision term, whose gradient holds the lengths of bones constant; a change of scale does not."""
    check_gradient(make_case(replace(CONFIG, weights=replace(WEIGHTS, collision=0.0)), observations), ("scale",))


def test_gradient_of_the_total_with_turning_normals(observations: list[Observation]) -> None:
    """With distances from point to point alone, normals only decide what is visible: nothing is held constant."""
    config = replace(CONFIG, weights=replace(WEIGHTS, collision=0.0), plane=0.0)
    check_gradient(make_case(config, observations), GROUPS)


@pytest.mark.usefixtures("constant_normals")
@pytest.mark.parametrize("name", GRADIENT_TERMS)
def test_each_term_alone(name: str, observations: list[Observation]) -> None:
    case = only(name, observations)
    terms, gradient = case.objective.terms_and_gradient(case.pose, case.level, case.rest)
    for other, values in terms.items():
        assert (values.max() > 1e-6) == (other == name), other
    still = {group: np.abs(getattr(gradient, group)).max() < 1e-9 for group in GROUPS}
    if name == "collision":
        still["scale"] = True  # held constant, see above
        assert np.abs(gradient.rotation).max() < 1e-9, "a rigid motion changes nothing between joints"
    assert {group for group in GROUPS if not still[group]} == PARTS[name]
    check_gradient(case, tuple(group for group in GROUPS if group in PARTS[name]))


def test_frozen_angles_have_no_gradient(case: Case) -> None:
    gradient = case.objective.terms_and_gradient(case.pose, case.level)[1]
    free = default_rig("right").limits.free
    assert (gradient.angles[:, ~free] == 0).all()
    assert (np.abs(gradient.angles[:, free]).max(axis=0) > 0).all()
