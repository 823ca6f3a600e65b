"""How far joints may be off; that the radii are calibrated is measured by scripts/calibrate/calibrate_fits.py."""

from dataclasses import replace

import calibrate_fits
import numpy as np
import pytest
from support.compare import assert_close
from support.examples import example
from support.observation_factory import CPU, gather, near_poses, small_observation

from handopt import fit
from handopt.assess.uncertainty import radius_mm, spread_of
from handopt.config import Config, LMSettings
from handopt.hand_model import Hand, Pose
from handopt.objective.least_squares import LeastSquares
from handopt.rig import default_rig

CONFIG = Config(crop_px=32, points=100)
APPROACH = LMSettings(3, 10.0, points=100, scale=True)


@pytest.fixture(scope="module")
def problem() -> LeastSquares:
    hand = Hand.of(default_rig("right"), CPU, np.float64)
    return LeastSquares(hand, gather(CONFIG, [(small_observation(), False)]), CONFIG)


def joints(problem: LeastSquares, pose: Pose) -> np.ndarray:
    return np.asarray(problem.hand.joints(problem.hand.transforms(pose), problem.hand.keypoints_of(pose)))


def test_the_spread_is_the_trace_of_the_joints_covariance(problem: LeastSquares) -> None:
    """Of a cost so steep that steps are small, so that joints move linearly."""
    pose = near_poses((0.3,), (0,))
    steep = LeastSquares(
        problem.hand,
        problem.targets,
        replace(
            CONFIG,
            weights=replace(CONFIG.weights, points=1e6, prior=2.5e3, size=2.5e3, silhouette=7.5e5, limits=2.5e5),
        ),
    )
    hessian = np.tril(steep.system(pose, APPROACH).hessian[0])
    hessian += np.tril(hessian, -1).T
    jacobian = np.zeros((21, 3, len(hessian)))
    for column in range(len(hessian)):
        step = np.zeros((1, len(hessian)))
        step[0, column] = 1e-6
        jacobian[:, :, column] = (joints(steep, steep.parameters.moved(pose, step)) - joints(steep, pose))[0] / 1e-6
    expected = np.einsum("jap,pq,jaq->j", jacobian, np.linalg.inv(hessian), jacobian)
    assert_close(spread_of(steep, pose, APPROACH), expected, of_max=2e-3, reason="steps of 1 % of a radian or less")


def test_spread_hiding_and_doubt_widen_the_radius() -> None:
    spread, seen = np.array([0.0, 1000.0, 1000.0]), np.array([True, True, False])
    sure, unsure = radius_mm(spread, seen, 1.0), radius_mm(spread, seen, 0.2)
    assert sure[0] == pytest.approx(2.436, abs=1e-3), "the least of assets/calibration.toml"
    assert sure[1] >= sure[0], "the spread of visible joints may say nothing"
    assert sure[2] > sure[1] + 0.5, "that of hidden ones does"
    assert (unsure > sure).all()


def test_the_radius_adds_what_is_best_the_spread_and_doubt() -> None:
    spread, seen = np.array([1000.0, 1000.0]), np.array([True, False])
    assert radius_mm(spread, seen, 1.0, (4.0, 0.001, 0.002, 100.0)) == pytest.approx([5**0.5, 8**0.5])
    assert radius_mm(spread, seen, 0.5, (4.0, 0.001, 0.002, 100.0)) == pytest.approx([30**0.5, 33**0.5])


def test_a_fit_tells_radii_that_hold_most_joints() -> None:
    one = example("pinch")
    result = fit(one.depth_mm, one.camera, hand=one.hand, device="cpu")
    radii = result.joint_uncertainty_mm
    assert radii.shape == (21,)
    errors = np.linalg.norm(result.joints_mm - one.joints_mm, axis=1)
    assert (errors < 3 * radii).mean() > 0.8
    assert radii[result.joint_visible].mean() < radii[~result.joint_visible].mean()


def test_calibration_finds_the_weights_of_simulated_errors(rng: np.random.Generator) -> None:
    true = np.array([2.0, 0.001, 0.002, 400.0])
    rows, sureness = [], rng.uniform(0.3, 1.0, 400)
    for sure in sureness:
        spread, seen = rng.uniform(300, 6000, 21), rng.random(21) < 0.6
        errors = np.linalg.norm(rng.normal(size=(21, 3)), axis=1) * radius_mm(spread, seen, sure, true)
        rows.append(calibrate_fits.Row("hard", True, (), errors, seen, spread))
    found = calibrate_fits.explain_errors(rows, sureness)
    assert_close(found[1] / found[2], 0.5, atol=0.03, reason="8400 samples")
    names = ("errors", "spread", "visible")
    errors, spread, seen = (np.concatenate([getattr(row, name) for row in rows]) for name in names)
    inside = errors < radius_mm(spread, seen, np.repeat(sureness, 21), found)
    for part in (seen, ~seen):
        assert inside[part].mean() == pytest.approx(2 / 3, abs=0.03)
