"""What the network of proposals sees: a view that does not depend on where the hand is."""

from dataclasses import replace

import numpy as np
import pytest
from support.compare import assert_close
from support.observation_factory import small_observation
from support.proposal_factories import CAMERA, observed, posed_sample

from handopt.errors import ObservationError
from handopt.proposals.features import centered_view, network_input, robust_centre, rotation_to_axis, view_rays
from handopt.proposals.propose import quarter_turns
from handopt.synth.poses import sample_hand


def test_the_centre_lies_on_the_axis_of_the_view(rng: np.random.Generator) -> None:
    for _ in range(20):
        point = rng.normal(size=3) * [300, 300, 0] + [0, 0, rng.uniform(200, 1500)]
        turn, distance = rotation_to_axis(point)
        assert_close(turn @ point, [0, 0, distance], atol=1e-9, reason="float64")
        assert_close(turn @ turn.T, np.eye(3), atol=1e-12, reason="float64")
        assert np.linalg.det(turn) > 0
        axis = np.cross(point, [0, 0, 1])
        assert_close(turn @ axis, axis, atol=1e-9, reason="the least rotation keeps the axis across both directions")


def test_points_far_away_do_not_move_the_centre(rng: np.random.Generator) -> None:
    points = rng.normal(size=(500, 3)) * 30 + [0, 0, 600]
    far = np.concatenate([points, rng.normal(size=(40, 3)) * 5 + [300, 0, 700]])
    assert np.linalg.norm(robust_centre(far) - robust_centre(points)) < 5
    alone = np.array([[0.0, 0, 500], [1000, 0, 500]])
    assert_close(robust_centre(alone), [500, 0, 500], atol=1e-9, reason="nothing is near the median: the mean of all")


def test_a_view_shows_the_points_of_the_hand(rng: np.random.Generator) -> None:
    vertices, _ = posed_sample(sample_hand(rng, "easy"), np.array([90.0, -60.0, 500.0]))
    observation = observed(vertices)
    view = centered_view(observation)
    seen = np.isfinite(view.offset_mm)
    assert view.offset_mm.shape == (64, 64)
    assert view.offset_mm.dtype == np.float32
    assert seen.sum() > 200
    assert np.abs(view.offset_mm[seen]).max() < 120  # mm: a half of the view's edge
    # Back in the camera's frame, each pixel lies on the surface.
    points = (view_rays(view.distance_mm) * (view.offset_mm + view.distance_mm)[..., None])[seen] @ view.rotation
    pixels = np.rint(CAMERA.project(points)).astype(int)
    assert observation.mask[pixels[:, 1], pixels[:, 0]].mean() > 0.98
    depth = observation.depth_mm[pixels[:, 1], pixels[:, 0]]
    assert np.median(np.abs(points[:, 2] - depth)) < 0.5


def test_a_view_does_not_depend_on_where_the_hand_is(rng: np.random.Generator) -> None:
    sample = sample_hand(rng, "medium")
    middle, _ = posed_sample(sample, np.array([0.0, 40.0, 550.0]))
    turn, _ = rotation_to_axis(np.array([0.25, -0.2, 1.0]))
    aside, _ = posed_sample(sample, np.array([0.0, 40.0, 550.0]), turn.T)
    one, other = centered_view(observed(middle)), centered_view(observed(aside))
    assert abs(one.distance_mm - other.distance_mm) < 3
    # The least rotations to the two centres differ by a roll about the axis, which is small here.
    both = np.isfinite(one.offset_mm) & np.isfinite(other.offset_mm)
    either = np.isfinite(one.offset_mm) | np.isfinite(other.offset_mm)
    assert both.sum() / either.sum() > 0.85
    assert np.median(np.abs(one.offset_mm - other.offset_mm)[both]) < 3


def test_an_observation_without_a_hand_is_refused() -> None:
    observation = small_observation()
    with pytest.raises(ObservationError, match="no points"):
        centered_view(replace(observation, points_mm=np.zeros((0, 3), np.float32)))
    with pytest.raises(ObservationError, match="nothing of the hand"):
        centered_view(replace(observation, mask=np.zeros_like(observation.mask)))


def test_a_view_of_labelled_pixels_shows_all_that_is_measured_and_its_labels(rng: np.random.Generator) -> None:
    vertices, _ = posed_sample(sample_hand(rng, "easy"), np.array([30.0, -20.0, 500.0]))
    observation = observed(vertices)
    plain = centered_view(observation)
    assert plain.labels is None
    assert (network_input(plain.offset_mm)[..., 2:] == 0).all()
    rows = np.arange(len(observation.mask))[:, None] > np.flatnonzero(observation.mask.any(axis=1)).mean()
    labels = np.stack([observation.mask & rows, observation.mask & ~rows, ~observation.mask], axis=-1)
    view = centered_view(replace(observation, mask=observation.mask & rows, labels=labels.astype(np.float32)))
    assert view.measured_mm is not None
    assert view.labels is not None
    hand, measured = np.isfinite(view.offset_mm), np.isfinite(view.measured_mm)
    assert 0.2 < hand.sum() / measured.sum() < 0.9
    assert np.array_equal(view.offset_mm[hand], view.measured_mm[hand])
    assert np.array_equal(view.labels[hand], np.tile(np.float32([1, 0, 0]), (hand.sum(), 1)))
    assert np.array_equal(view.labels[measured & ~hand][:, 1] > 0.5, view.labels[measured & ~hand][:, 0] < 0.5)
    assert (view.labels[~measured] == 0).all()
    image = network_input(view.offset_mm, view.measured_mm, view.labels)
    assert image.shape == (64, 64, 6)
    assert np.array_equal(image[..., 2:5], view.labels)
    assert_close(image[..., 5], np.nan_to_num(view.measured_mm) / 100, rtol=1e-6, reason="float32")
    assert np.array_equal(image[..., :2], network_input(view.offset_mm, channels=2))
    for turned, back in zip(quarter_turns(view), range(4), strict=True):
        assert turned.labels is not None
        assert turned.measured_mm is not None
        assert np.array_equal(np.rot90(turned.labels, back), view.labels)
        assert np.array_equal(np.rot90(turned.measured_mm, back), view.measured_mm, equal_nan=True)


def test_a_turned_view_shows_the_same_hand_turned(rng: np.random.Generator) -> None:
    vertices, _ = posed_sample(sample_hand(rng, "medium"), np.array([0.0, 40.0, 550.0]))
    observation = observed(vertices)
    upright, turned = centered_view(observation), centered_view(observation, turn_rad=np.pi / 2)
    assert_close(turned.rotation, quarter_turns(upright)[1].rotation, atol=1e-9, reason="float64")
    assert np.array_equal(np.isfinite(turned.offset_mm), np.isfinite(quarter_turns(upright)[1].offset_mm))
