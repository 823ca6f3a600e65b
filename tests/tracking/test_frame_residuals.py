"""The temporal term and what is believed of the shape."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.compare import assert_close
from support.least_squares_cases import SETTINGS, SHAPES, least_squares, poses
from support.observation_factory import on_device
from support.op_check import Place

from handopt.config import Config
from handopt.objective.one_call import OneCall
from handopt.ops.normal_equations import RIGID
from handopt.optimise.pose_fit import fit_poses
from handopt.tracking.frame_residuals import FrameResiduals, ShapeEstimate, Temporal, _tangent, learn, without_sizes


def test_tangents_are_rotation_vectors(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(20, 3))
    rotations = Rotation.from_rotvec(vectors)
    assert np.allclose(_tangent(np, rotations.as_matrix()), rotations.as_rotvec(), atol=1e-6)
    assert np.allclose(_tangent(np, np.eye(3)[None]), 0)


def test_sizes_are_left_to_the_belief() -> None:
    config = without_sizes(Config())
    assert config.weights.size == config.weights.proportions == 0
    assert config.weights.points == Config().weights.points


def test_frames_sharpen_the_belief_by_their_own_information(rng: np.random.Generator) -> None:
    count = RIGID + 4
    prior = ShapeEstimate.unknown(Config(), 2)
    factor = rng.normal(size=(40, count + 2))
    hessian = factor.T @ factor
    rows = [RIGID - 1, count, count + 1]
    hessian[np.ix_(rows, rows)] += prior.precision
    solution = np.array([0.1, 0.05, -0.02])
    learned = learn(prior, hessian, solution, count, 1.0, prior)
    gained = learned.precision - 2 * prior.precision
    inverse = np.linalg.inv(factor.T @ factor)[np.ix_(rows, rows)]
    assert np.allclose(np.linalg.inv(gained), inverse, rtol=1e-4), "marginal over the pose"
    assert np.abs(learned.mean - solution).max() < np.abs(solution).max()
    assert learned.scale == pytest.approx(np.exp(learned.mean[0]))


def test_a_frame_that_shows_nothing_teaches_nothing() -> None:
    prior = ShapeEstimate.unknown(Config(), 2)
    count = RIGID + 4
    hessian = np.eye(count + 2)
    rows = [RIGID - 1, count, count + 1]
    hessian[np.ix_(rows, rows)] = prior.precision
    learned = learn(prior, hessian, np.zeros(3), count, 1.0, prior)
    assert np.allclose(learned.mean, 0)
    assert np.allclose(learned.precision, 2 * prior.precision)


def test_what_is_expected_counts_less_after_a_longer_time() -> None:
    expected = Temporal(np.eye(3), np.zeros(3), np.zeros((15, 3)))
    assert expected.after(0.5) is expected
    later = expected.after(2.0)
    assert later.angles_weight == pytest.approx(expected.angles_weight / 4)
    assert later.angles_width == expected.angles_width


@pytest.mark.parametrize(("known", "tracked"), [(True, False), (False, True), (True, True)])
def test_one_call_takes_the_steps_of_the_loop(
    known: bool, tracked: bool, device: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for in_one_call in (True, False):
        if not in_one_call:
            monkeypatch.setattr(OneCall, "suits", lambda _hand: False)
        given = least_squares(device=device.device)
        start = poses() if known else poses(shapes=0)
        near = start.rotation[0], start.translation[0] + 4.0, start.angles[0] + 0.1
        shape = ShapeEstimate(np.full(1 + SHAPES, 0.02), 40 * np.eye(1 + SHAPES) + 3)
        residuals = FrameResiduals(given.hand, without_sizes(given.config)).at(
            given.hand, given.targets, shape if known else None, Temporal(*near) if tracked else None
        )
        assert residuals.in_one_call == in_one_call
        found.append(fit_poses(residuals, on_device(start, device.device), SETTINGS))
    together, apart = found
    reason = "float64 sums in another order, through six steps"
    assert list(together.model.terms) == list(apart.model.terms)
    assert ("temporal" in together.model.terms) == tracked
    for name in apart.model.terms:
        terms = (device.fetch(each.model.terms[name]) for each in found)
        assert_close(*terms, of_max=1e-8, reason=f"{name}: {reason}")
    for name in ("angles", "rotation", "translation", "scale", "proportions"):
        assert_close(*(device.fetch(getattr(each.state, name)) for each in found), of_max=1e-8, reason=reason)
    assert_close(*(np.tril(device.fetch(each.model.hessian)) for each in found), of_max=1e-8, reason=reason)
    assert_close(*(device.fetch(each.model.gradient) for each in found), of_max=1e-7, reason=reason)
