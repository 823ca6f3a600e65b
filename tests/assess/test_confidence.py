"""What makes a fit sure; that the numbers are calibrated is measured by scripts/calibrate/calibrate_fits.py."""

from dataclasses import asdict, replace
from typing import Any

import calibrate_fits
import numpy as np
import pytest
from support.factories import fit_result

from handopt import HandoptError, fit
from handopt.assess.calibration import calibration
from handopt.assess.confidence import (
    FITTED,
    PREDICTED,
    USUAL_VOTE_DISTANCE,
    USUAL_VOTE_RADIUS_MM,
    ConfidenceFeatures,
    confidence,
    confidence_text,
    logistic,
)
from handopt.proposals.voted_poses import VotedJoints

GOOD = ConfidenceFeatures(
    log_unexplained_fraction=np.log(0.12),
    runner_up_margin=0.8,
    hand_probability=0.95,
    label_overlap=0.88,
    vote_distance=0.35,
    log_vote_radius=np.log(6.0),
)


def test_good_features_make_a_fit_sure_and_bad_ones_do_not() -> None:
    assert confidence(GOOD) > 0.9
    assert confidence(replace(GOOD, log_unexplained_fraction=np.log(0.6))) < 0.5
    for name, worse in {
        "log_unexplained_fraction": np.log(0.3),
        "runner_up_margin": 0.0,
        "hand_probability": 0.1,
        "label_overlap": 0.5,
        "vote_distance": 1.5,
        "log_vote_radius": np.log(20.0),
    }.items():
        assert confidence(replace(GOOD, **{name: worse})) < confidence(GOOD), name


def test_only_another_pose_of_visible_joints_is_a_runner_up() -> None:
    joints = fit_result().joints_mm
    visible = np.arange(21) < 18
    near, hidden, other = joints + 3.0, joints.copy(), joints.copy()
    hidden[20] += 60.0
    other[4] += 60.0
    margins = [
        ConfidenceFeatures.of(0.1, 0.2, joints, visible, [(0.3, another)], 1.0, None).runner_up_margin
        for another in (near, hidden, other)
    ]
    assert margins == [1.0, 1.0, pytest.approx(np.log(1.5))], "1 is the most, and where there is no runner-up"
    assert ConfidenceFeatures.of(0.1, 0.2, joints, visible, [], 1.0, None).runner_up_margin == 1.0
    assert ConfidenceFeatures.of(
        0.1, 0.2, joints, np.zeros(21, bool), [(0.1, other)], 1.0, None
    ).runner_up_margin == pytest.approx(np.log(0.5))


def test_a_fit_is_as_far_from_the_votes_as_its_visible_joints_are() -> None:
    joints = np.asarray(fit_result().joints_mm, np.float64)
    voted = VotedJoints(joints + [0.0, 0.0, 10.0] * (np.arange(21) >= 18)[:, None], np.full(21, 6.0))
    for visible, distance in ((np.arange(21) < 18, 0.0), (np.arange(21) >= 18, 1.0), (np.zeros(21, bool), 3 / 21)):
        found = ConfidenceFeatures.of(0.1, 0.2, joints, visible, [], 1.0, None, voted)
        assert found.vote_distance == pytest.approx(distance)
    assert ConfidenceFeatures.of(0.1, 0.2, joints, visible, [], 1.0, None).vote_distance == USUAL_VOTE_DISTANCE


@pytest.mark.parametrize(("radius_mm", "counted"), [(9.0, 9.0), (0.1, 1.0)])
def test_how_far_off_votes_may_be_counts_by_its_logarithm(radius_mm: float, counted: float) -> None:
    joints = np.asarray(fit_result().joints_mm, np.float64)
    radii = np.linspace(0.5, 1.5, 21) * radius_mm

    def features(*votes: Any) -> ConfidenceFeatures:
        return ConfidenceFeatures.of(0.1, 0.2, joints, np.ones(21, bool), [], 1.0, None, *votes)

    for found in (features(VotedJoints(joints, radii), np.full(21, 40.0)), features(None, radii)):
        assert found.log_vote_radius == pytest.approx(np.log(counted))
    assert features().log_vote_radius == np.log(USUAL_VOTE_RADIUS_MM)


@pytest.mark.parametrize("seed", range(6))
def test_objects_are_no_confident_hands(seed: int) -> None:
    depth, camera = calibrate_fits.no_hand(np.random.default_rng((99, seed)))
    try:
        result = fit(depth, camera, device="cpu")
    except HandoptError:
        return  # no answer is no wrong answer
    assert result.confidence < 0.7
    assert not result.status.startswith("The fit is good")


def test_the_regression_finds_the_weights_of_a_logistic_model() -> None:
    rng = np.random.default_rng(5)
    features = rng.normal(size=(20_000, 2))
    odds = np.exp(0.5 + 2.0 * features[:, 0] - features[:, 1])
    success = rng.random(len(features)) < odds / (1 + odds)
    rows = [calibrate_fits.Row("easy", bool(good), tuple(each)) for good, each in zip(success, features, strict=True)]
    assert np.abs(calibrate_fits.regress(rows) - [0.5, 2.0, -1.0]).max() < 0.1


def test_an_image_is_cut_within_the_hand() -> None:
    result = fit_result()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        depth, camera, inside = calibrate_fits.cut(rng, result.observation.depth_mm, result.camera, result.joints_mm)
        assert depth.shape == (camera.height, camera.width)
        assert 5 < inside.sum() < 21
        pixel = np.rint(camera.project(result.joints_mm)).astype(int)
        assert (inside == ((pixel >= 0) & (pixel < [camera.width, camera.height])).all(axis=1)).mean() > 0.9


def test_the_logistic_function_is_the_probability_of_its_odds() -> None:
    assert logistic(np.array([0.0, 1.0]), np.array([[0.0], [np.log(3.0)], [-np.log(3.0)]])) == pytest.approx(
        [0.5, 0.75, 0.25]
    )


def test_every_feature_has_a_weight() -> None:
    for table in (FITTED, PREDICTED):
        assert calibration(table).weights.keys() == {"constant", *asdict(GOOD)}


def test_a_prediction_is_less_sure_than_a_fit_that_leaves_as_much() -> None:
    for fraction in (0.15, 0.25, 0.4):
        features = replace(GOOD, log_unexplained_fraction=float(np.log(fraction)))
        assert confidence(features, PREDICTED) < confidence(features) - 0.005
    several = [replace(GOOD, log_unexplained_fraction=float(np.log(each))) for each in (0.25, 0.35, 0.45)]
    sure = [confidence(each, PREDICTED) for each in several]
    assert sure == sorted(sure, reverse=True)
    unsure = replace(several[-1], log_vote_radius=float(np.log(15.0)))
    assert sure[0] > 0.5 > confidence(unsure, PREDICTED)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (0.5, "0.50"),
        (0.8999, "0.89"),
        (0.4999, "0.49"),
        (0.9, "0.90"),
        (0.994, "0.99"),
        (0.996, ">0.99"),
        (1.0, ">0.99"),
    ],
)
def test_no_confidence_is_said_to_be_certain(value: float, text: str) -> None:
    assert confidence_text(value) == text
