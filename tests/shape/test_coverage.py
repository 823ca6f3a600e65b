"""Coverage: the side that faces the camera, where the image has measured it."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from support.factories import fit_result

from handopt.result import FitResult
from handopt.rig import default_rig
from handopt.shape.coverage import confidence_of, frontal_views


@pytest.fixture(scope="module")
def fit() -> FitResult:
    return fit_result()


@pytest.fixture(scope="module")
def views(fit: FitResult) -> NDArray[np.float64]:
    return frontal_views([fit.vertices_mm], fit.rig.faces, [fit.observation])


def test_the_palm_was_seen_and_the_back_was_not(fit: FitResult, views: NDArray[np.float64]) -> None:
    rig = default_rig()
    palm_side = -rig.normals @ rig.bind[0, :, 1]
    assert views[palm_side > 0.8].mean() > 0.5
    assert (views[palm_side < -0.5] > 0.2).mean() < 0.05  # tips of bent fingers show their back
    assert views.max() <= 1.0


def test_views_add_up(fit: FitResult, views: NDArray[np.float64]) -> None:
    twice = frontal_views([fit.vertices_mm] * 2, fit.rig.faces, [fit.observation] * 2)
    assert np.allclose(twice, 2 * views)


def test_what_is_not_measured_is_not_seen(fit: FitResult) -> None:
    blind = replace(fit.observation, mask=np.zeros_like(fit.observation.mask))
    assert frontal_views([fit.vertices_mm], fit.rig.faces, [blind]).max() == 0
    far = replace(fit.observation, depth_mm=fit.observation.depth_mm + 30)
    assert frontal_views([fit.vertices_mm], fit.rig.faces, [far]).max() == 0


def test_a_hand_outside_the_image_is_not_seen(fit: FitResult) -> None:
    assert frontal_views([fit.vertices_mm + np.array([2000.0, 0.0, 0.0])], fit.rig.faces, [fit.observation]).max() == 0


def test_confidence_rises_towards_one() -> None:
    confidence = confidence_of(np.array([0.0, 0.5, 1.0, 10.0]))
    assert confidence[0] == 0
    assert (np.diff(confidence) > 0).all()
    assert confidence[-1] < 1
