"""Measures over frames, against numbers worked out by hand."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.evaluations import ERRORS, NONE, VISIBLE, evaluation

from handopt.errors import ShapeError
from handopt.evaluation.metrics import (
    THRESHOLDS_MM,
    aligned_errors,
    area_under_curve,
    frame_means,
    frame_worst,
    joint_errors,
    share_within,
    success_curve,
)


def test_joint_errors_are_distances() -> None:
    truth = np.zeros((2, 2, 3))
    predicted = np.array([[[3.0, 4.0, 0.0], [0.0, 0.0, 7.0]], [[1.0, 1.0, np.inf], [0.0, 0.0, 0.0]]])
    errors = joint_errors(predicted, truth)
    assert errors[0].tolist() == [5.0, 7.0]
    assert np.isnan(errors[1]).all(), "a frame that is not finite has no prediction"
    with pytest.raises(ShapeError, match="equal shapes"):
        joint_errors(predicted, truth[:, :1])
    with pytest.raises(ShapeError, match="equal shapes"):
        joint_errors(predicted[0], truth[0])


def test_means_and_worst_of_frames() -> None:
    assert frame_means(ERRORS).tolist() == [8.0, 6.0, np.inf, 60.0]
    assert frame_worst(ERRORS).tolist() == [20.0, 8.0, np.inf, 90.0]
    assert frame_means(ERRORS, VISIBLE).tolist()[:3] == [2.0, 6.0, np.inf]
    assert frame_worst(ERRORS, VISIBLE).tolist()[:3] == [3.0, 8.0, np.inf]
    assert np.isnan([frame_means(ERRORS, VISIBLE)[3], frame_worst(ERRORS, VISIBLE)[3]]).all()


def test_shares_include_the_limit_and_count_failures() -> None:
    assert share_within(np.array([5.0, 5.1, np.inf, NONE]), 5.0) == pytest.approx(1 / 3)
    assert share_within(np.array([NONE]), 5.0) is None
    curve = success_curve(np.array([7.0, 80.0, 81.0, np.inf]))
    assert THRESHOLDS_MM[0] == 5
    assert THRESHOLDS_MM[-1] == 80
    assert len(curve) == 76
    assert [curve[limit - 5] for limit in (5, 6, 7, 79, 80)] == [0.0, 0.0, 0.25, 0.25, 0.5]
    assert np.isnan(success_curve(np.array([]))).all()


def test_scores_of_all_frames() -> None:
    scores = evaluation().scores()
    assert (scores["frames"], scores["missing"]) == (4, 1)
    assert scores["mean_joint_error_mm"] == pytest.approx(222 / 9)
    assert scores["median_frame_error_mm"] == 8.0
    assert scores["visible_joint_error_mm"] == pytest.approx(22 / 5)
    assert scores["occluded_joint_error_mm"] == pytest.approx(200 / 4)
    assert scores["median_visible_frame_error_mm"] == 4.0
    assert (scores["visible_joints"], scores["occluded_joints"]) == (5, 4)
    within, visible = scores["worst_joint_within"], scores["worst_visible_joint_within"]
    assert [within[limit] for limit in ("5", "8", "19", "20", "80")] == [0.0, 0.25, 0.25, 0.5, 0.5]
    assert visible["5"] == pytest.approx(1 / 3), "the frame without visible joints is not counted, the missing one is"
    assert visible["8"] == visible["80"] == pytest.approx(2 / 3)


def test_without_visibility_there_is_no_split() -> None:
    plain = evaluation(visible=None)
    assert set(plain.scores()) == {
        "frames",
        "missing",
        "mean_joint_error_mm",
        "median_frame_error_mm",
        "worst_joint_within",
        "auc_20_50",
    }
    assert plain.per_joint()[0] == {"joint": "a", "mean_error_mm": pytest.approx(35 / 3), "median_error_mm": 4.0}
    assert set(plain.curves()) == {"worst_joint", "frame_mean", "joints"}


def test_joints_apart() -> None:
    first, _, last = evaluation().per_joint()
    assert first["mean_error_mm"] == pytest.approx(35 / 3)
    assert (first["visible_mean_error_mm"], first["occluded_mean_error_mm"]) == (2.5, 30.0)
    assert (first["visible_frames"], first["occluded_frames"]) == (2, 1), "of the frames with a prediction"
    assert (last["visible_mean_error_mm"], last["visible_median_error_mm"]) == (8.0, 8.0)
    assert last["occluded_median_error_mm"] == 40.0


def test_curves_count_the_missing_frame() -> None:
    curves = {name: shares[20 - 5] for name, shares in evaluation().curves().items()}
    assert curves == pytest.approx(
        {
            "worst_joint": 2 / 4,
            "frame_mean": 2 / 4,
            "joints": 6 / 12,
            "worst_visible_joint": 2 / 3,
            "visible_frame_mean": 2 / 3,
            "visible_joints": 5 / 6,
            "occluded_joints": 1 / 6,
        }
    )


def test_groups_are_folders_with_levels_in_order() -> None:
    found = evaluation(frames=("medium/0", "hard/0", "easy/0", "easy/1")).groups
    assert {name: rows.tolist() for name, rows in found.items()} == {
        "easy": [False, False, True, True],
        "medium": [True, False, False, False],
        "hard": [False, True, False, False],
    }
    assert list(found) == ["easy", "medium", "hard"]
    assert evaluation(frames=("0", "1", "2", "3")).groups == {}
    assert list(evaluation(frames=("P0/1/0", "P0/2/0", "P1/1/0", "x")).groups) == ["(top)", "P0", "P1"]
    scores = evaluation().to_dict()["groups"]["hard"]
    assert (scores["frames"], scores["missing"], scores["mean_joint_error_mm"]) == (2, 1, 60.0)


def test_calibration_asks_for_every_visible_joint() -> None:
    assert evaluation().calibration() == [
        {"min_confidence": 0.5, "kept": 0.5, "visible_within_20_mm": 1.0},
        {"min_confidence": 0.7, "kept": 0.5, "visible_within_20_mm": 1.0},
        {"min_confidence": 0.9, "kept": 0.25, "visible_within_20_mm": 1.0},
    ]
    loose = evaluation(visible=None, confidence=np.array([0.6, 0.6, NONE, 0.6])).calibration()
    assert loose[0]["kept"] == 0.75
    assert loose[0]["visible_within_20_mm"] == pytest.approx(2 / 3)
    assert loose[1] == {"min_confidence": 0.7, "kept": 0.0, "visible_within_20_mm": None}
    assert evaluation(confidence=np.full(4, NONE)).calibration() == []


def test_the_summary_is_json_without_gaps() -> None:
    document = evaluation(unused=("p/9",), notes=("so",)).to_dict()
    again = json.loads(json.dumps(document, allow_nan=False))
    assert again["format"] == "handopt.evaluation/1"
    assert again["missing_names"] == ["hard/0"]
    assert again["unused_predictions"] == ["p/9"]
    assert again["all"]["worst_joint_within"]["20"] == 0.5
    empty = evaluation(errors_mm=np.full((4, 3), NONE), visible=np.zeros((4, 3), bool)).to_dict()
    assert json.loads(json.dumps(empty, allow_nan=False))["all"]["mean_joint_error_mm"] is None


def test_alignment_takes_away_a_similarity_and_no_mirror(rng: np.random.Generator) -> None:
    truth = rng.normal(size=(4, 21, 3)) * 40.0
    turn = Rotation.from_rotvec(rng.normal(size=(4, 3)))
    moved = np.stack([turn[row].apply(truth[row]) for row in range(4)]) * 1.3 + [5.0, -80.0, 400.0]
    moved[2, 4, 1] = np.nan
    aligned = aligned_errors(moved, truth)
    assert np.isnan(aligned[2]).all()
    assert np.nanmax(aligned) < 1e-9
    mirrored = aligned_errors(truth * [-1.0, 1.0, 1.0], truth)
    assert mirrored.mean(axis=1).min() > 5.0
    same = aligned_errors(np.zeros((1, 21, 3)), truth[:1])
    np.testing.assert_allclose(same[0], np.linalg.norm(truth[0] - truth[0].mean(axis=0), axis=1))


def test_no_other_similarity_is_nearer(rng: np.random.Generator) -> None:
    truth = rng.normal(size=(1, 21, 3)) * 40.0
    predicted = truth + rng.normal(size=truth.shape) * 8.0
    best = (aligned_errors(predicted, truth) ** 2).sum()
    for _ in range(50):
        turn = Rotation.from_rotvec(rng.normal(size=3) * 0.02).as_matrix()
        other = (predicted - predicted.mean(axis=1)) @ turn * rng.normal(1.0, 0.02) + truth.mean(axis=1)
        assert ((other - truth) ** 2).sum() >= best


def test_area_under_the_curve() -> None:
    assert area_under_curve(np.array([[0.0, 20.0]])) == 1.0
    assert area_under_curve(np.array([[35.0, 50.0]])) == pytest.approx(0.25), "half of the way, and none"
    assert area_under_curve(np.array([[0.0], [NONE]])) == 0.5, "a missing frame fails"
    assert area_under_curve(np.zeros((0, 21))) is None
    errors = np.linspace(0.0, 80.0, 5000)[None]
    limits = np.linspace(20.0, 50.0, 3001)
    shares = [(errors <= limit).mean() for limit in limits]
    assert area_under_curve(errors) == pytest.approx(np.trapezoid(shares, limits) / 30.0, abs=1e-3)
