"""Tests of the scores of masks, on masks whose pixels one can count."""

import numpy as np
import pytest

from handopt.errors import ShapeError
from handopt.evaluation import mask_scores

# 0 background, 1 hand, 2 forearm, 4 object
TRUTH = np.array([[0, 1, 1, 4], [0, 1, 1, 4], [2, 2, 4, 4]], np.uint8)
PREDICTED = np.array([[0, 1, 1, 1], [1, 1, 0, 4], [2, 2, 0, 4]], np.uint8)


def test_hand_iou_and_the_share_of_the_object_that_is_told_from_the_hand() -> None:
    scores = mask_scores(TRUTH, PREDICTED)
    assert scores.hand_iou == pytest.approx(3 / 6)
    assert scores.object_apart == pytest.approx(3 / 4)
    assert scores.object_found == pytest.approx(2 / 4)


def test_scores_add_up_over_images() -> None:
    both = mask_scores(TRUTH, PREDICTED) + mask_scores(TRUTH, TRUTH)
    assert both.hand_iou == pytest.approx(7 / 10)
    assert both.object_apart == pytest.approx(7 / 8)


def test_what_is_not_there_has_no_score() -> None:
    nothing = np.zeros((2, 2), np.uint8)
    assert mask_scores(nothing, nothing).hand_iou is None
    assert mask_scores(nothing, nothing).object_apart is None
    assert mask_scores(nothing, nothing).object_found is None
    assert mask_scores(nothing, np.ones((2, 2), np.uint8)).hand_iou == 0


def test_masks_of_other_sizes_are_refused() -> None:
    with pytest.raises(ShapeError, match="predicted"):
        mask_scores(TRUTH, PREDICTED[:2])
